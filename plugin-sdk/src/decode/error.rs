//! What is wrong with a value, and where.

use std::fmt::{self, Display};

/// Why a value does not decode. One pointer wide: it is part of the result of every field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Problem>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    /// Such as `address.street` or `lines[3].qty`; empty for the value as a whole.
    field: String,
    problem: String,
}

pub(super) type Result<T> = std::result::Result<T, DecodeError>;

#[cold]
pub(super) fn custom(problem: impl Display) -> DecodeError {
    DecodeError(Box::new(Problem { field: String::new(), problem: problem.to_string() }))
}

impl DecodeError {
    /// The field that is missing or wrong, as a path; empty where the value as a whole is wrong.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.0.field
    }

    /// The same error, seen from the value that holds the one it was found in.
    #[cold]
    pub(super) fn inside(mut self, step: impl Display) -> DecodeError {
        let separator = if matches!(self.0.field.as_bytes().first(), None | Some(b'[')) { "" } else { "." };
        self.0.field = format!("{step}{separator}{}", self.0.field);
        self
    }
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { field, problem } = &*self.0;
        if field.is_empty() { f.write_str(problem) } else { write!(f, "field `{field}`: {problem}") }
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: Display>(problem: T) -> DecodeError {
        custom(problem)
    }

    #[cold]
    fn missing_field(field: &'static str) -> DecodeError {
        custom("is missing").inside(field)
    }
}
