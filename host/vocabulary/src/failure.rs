//! Why an event could not be handled.

use super::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// What kind of thing went wrong. Open in its written form: an unknown word reads as [`FailureKind::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The handler said no.
    Handler,
    /// The handler trapped: a panic or an impossible instruction.
    Trap,
    /// The handler used up its processor time.
    Deadline,
    /// The handler asked for more memory than it may have.
    Memory,
    /// The handler recursed too deeply.
    Stack,
    /// The handler returned something that is not an outcome, or wrote outside its tables.
    BadOutput,
    /// The source could not be read, or this event of it.
    Source,
    /// The store could not commit.
    Store,
    /// The plugin could not be loaded.
    Plugin,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A failure that stops a rebuild, or one that was retried: the culprit, and all that helps to fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventFailure {
    /// What kind of thing went wrong.
    pub kind: FailureKind,
    /// Whether another try may succeed.
    pub transient: bool,
    /// How many tries in a row had failed for such a reason when it was given up; absent where there was only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<NonZeroU32>,
    /// What went wrong, in the plugin's or the host's words.
    pub message: String,
    /// What helps, where that is not what helps against others of its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// More facts, as names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(String, String)>,
    /// The guest's call stack, innermost first; empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The event that failed; absent where no single event is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Its position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The digest of the plugin that handled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin_digest: Option<String>,
}

impl EventFailure {
    /// A permanent failure that blames no event.
    pub fn permanent(kind: FailureKind, message: impl Into<String>) -> EventFailure {
        EventFailure {
            kind,
            transient: false,
            tries: None,
            message: message.into(),
            remedy: None,
            details: Vec::new(),
            backtrace: Vec::new(),
            event_id: None,
            event_type: None,
            stream: None,
            position: None,
            plugin_digest: None,
        }
    }

    /// A failure that another try may not meet.
    pub fn transient(kind: FailureKind, message: impl Into<String>) -> EventFailure {
        EventFailure { transient: true, ..EventFailure::permanent(kind, message) }
    }

    /// The same failure, after `tries` tries in a row that failed for such a reason.
    pub fn tried(self, tries: u32) -> EventFailure {
        EventFailure { tries: NonZeroU32::new(tries).filter(|_| self.transient), ..self }
    }

    /// [`EventFailure::tried`]; nothing tries it again by itself.
    pub fn given_up(self, tries: u32) -> EventFailure {
        EventFailure { transient: false, ..self.tried(tries) }
    }

    /// The same failure, against which `remedy` helps.
    pub fn with_remedy(self, remedy: impl Into<String>) -> EventFailure {
        EventFailure { remedy: Some(remedy.into()), ..self }
    }

    /// Whether a projection is not what it declares, in that two streams meet in a row: no single event is to blame.
    pub fn is_breach(&self) -> bool {
        self.kind == FailureKind::BadOutput && self.stream.is_some() && self.event_id.is_none()
    }

    /// The same failure, blaming `event`, which stands at `position`.
    pub fn at(self, event: &unspool_frame::Event<'_>, position: Position) -> EventFailure {
        EventFailure {
            event_id: Some(event.id.to_owned()),
            event_type: Some(event.kind.to_owned()),
            stream: Some(event.stream.to_owned()),
            position: Some(position),
            ..self
        }
    }
}

impl std::fmt::Display for EventFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(id), Some(kind), Some(position)) = (&self.event_id, &self.event_type, self.position) {
            // The type may be what cannot be read of it.
            let kind = if kind.is_empty() { "no type" } else { kind };
            write!(f, "event {id} ({kind}, position {position}): ")?;
        }
        f.write_str(&self.message)?;
        for (name, value) in &self.details {
            write!(f, "; {name}: {value}")?;
        }
        Ok(())
    }
}
