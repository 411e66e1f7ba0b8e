//! Why an event could not be handled.

use std::fmt::{self, Display};

/// What a handler answers: nothing, or why it could not handle the event.
pub type Handled = Result<(), Failure>;

/// Whether another try of the same event can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The same event will fail again: the rebuild stops there until the event or the plugin is fixed.
    Permanent,
    /// Another try may succeed: the host tries again a few times.
    Transient,
}

impl FailureKind {
    /// The word for it in the plugin contract.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FailureKind::Permanent => "permanent",
            FailureKind::Transient => "transient",
        }
    }
}

/// Why an event could not be handled, for the operator. Made by [`permanent`] and [`transient`].
///
/// One pointer wide, so that the result of a handler that succeeds costs nothing to pass on.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(Box<Facts>);

#[derive(Clone, PartialEq, Eq)]
struct Facts {
    kind: FailureKind,
    message: String,
    details: Vec<(String, String)>,
}

/// The event cannot be applied, now or ever.
#[cold]
pub fn permanent(message: impl Display) -> Failure {
    Failure::new(FailureKind::Permanent, message)
}

/// The event could not be applied this time. Rare in a pure function; the host tries the event again with a pause.
#[cold]
pub fn transient(message: impl Display) -> Failure {
    Failure::new(FailureKind::Transient, message)
}

impl Failure {
    fn new(kind: FailureKind, message: impl Display) -> Failure {
        Failure(Box::new(Facts { kind, message: message.to_string(), details: Vec::new() }))
    }

    /// Adds a fact, such as the row that is missing. Details keep the order in which they are added.
    #[must_use]
    pub fn detail(mut self, name: impl Display, value: impl Display) -> Failure {
        self.0.details.push((name.to_string(), value.to_string()));
        self
    }

    /// Whether another try can succeed.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// What is wrong, in a sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts beside the message, as names and values.
    #[must_use]
    pub fn details(&self) -> &[(String, String)] {
        &self.0.details
    }

    /// Kind, message and details, to pass them on.
    #[must_use]
    pub fn into_parts(self) -> (FailureKind, String, Vec<(String, String)>) {
        (self.0.kind, self.0.message, self.0.details)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        for (i, (name, value)) in self.details().iter().enumerate() {
            write!(f, "{}{name} = {value}", if i == 0 { " (" } else { ", " })?;
        }
        if self.details().is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failure: {self}", self.kind().word())
    }
}

impl std::error::Error for Failure {}
