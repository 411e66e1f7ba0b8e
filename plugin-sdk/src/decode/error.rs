//! What is wrong with a value, and where.

use rmp_serde::decode::Error;
use std::fmt::{self, Display};

/// Why a value does not decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// Such as `address.street` or `lines[3].qty`; empty for the value as a whole.
    field: String,
    problem: String,
}

impl DecodeError {
    /// The field that is missing or wrong, as a path; empty where the value as a whole is wrong.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn whole(problem: impl Display) -> DecodeError {
        DecodeError { field: String::new(), problem: problem.to_string() }
    }

    pub(super) fn located(error: serde_path_to_error::Error<Error>) -> DecodeError {
        let field = if error.path().iter().len() == 0 { String::new() } else { error.path().to_string() };
        let problem = match error.into_inner() {
            Error::Syntax(problem) => problem,
            Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => "the data ends in the middle of it".into(),
            Error::DepthLimitExceeded => "is nested too deeply".into(),
            other => other.to_string(),
        };
        // Found missing in what should hold it, so that the path ends there.
        match problem.strip_prefix("missing field `").and_then(|name| name.strip_suffix('`')) {
            Some(missing) => {
                let separator = if field.is_empty() { "" } else { "." };
                DecodeError { field: format!("{field}{separator}{missing}"), problem: "is missing".into() }
            }
            None => DecodeError { field, problem: plainly(problem) },
        }
    }
}

/// In the words of whoever corrects the event: to them nil is no unit, it does not matter whether a string is borrowed, and
/// 1e308 has no 309 digits.
fn plainly(mut problem: String) -> String {
    if let Some(rest) = problem.strip_prefix("invalid type: ") {
        let float = rest.strip_prefix("floating point `").and_then(|rest| rest.split_once('`'));
        if let Some((Ok(float), rest)) = float.map(|(float, rest)| (float.parse::<f64>(), rest)) {
            problem = format!("invalid type: floating point `{float:?}`{rest}");
        } else if let Some(rest) = rest.strip_prefix("unit value") {
            problem = format!("invalid type: nil{rest}");
        }
    }
    match problem.strip_suffix("a borrowed string") {
        Some(rest) => format!("{rest}a string"),
        None => problem,
    }
}

impl Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeError { field, problem } = self;
        if field.is_empty() { f.write_str(problem) } else { write!(f, "field `{field}`: {problem}") }
    }
}

impl std::error::Error for DecodeError {}
