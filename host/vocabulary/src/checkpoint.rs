//! How far a rebuild has come, durably.

use super::{EventFailure, Position};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a rebuild is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A host is replaying events.
    Running,
    /// Stopped by an operator or an interrupted host; resumes at the checkpoint.
    Paused,
    /// The target was reached and no event was lost. Terminal.
    Completed,
    /// Stopped at an event that could not be handled; resumes at the checkpoint once its cause is gone.
    Failed,
    /// Given up by an operator; may be started again.
    Cancelled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
        })
    }
}

/// An event as a checkpoint remembers it, to recognise it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub position: Position,
    /// Half of the BLAKE3 of the event as a frame shows it, in hexadecimal; empty for one that could not be read, which may
    /// be corrected where it stands.
    pub content: String,
}

impl Mark {
    /// Remembers the event in `frame`; `None` where that is none.
    pub fn of(frame: &[u8], position: Position) -> Option<Mark> {
        let event = unspool_frame::Event::decode(&mut &*frame).ok()?;
        Some(Mark { id: event.id.to_owned(), position, content: Mark::content_of(frame) })
    }

    /// Whether `found` is the event that is remembered.
    pub fn is(&self, found: &Mark) -> bool {
        let same = self.content.is_empty() || self.content == found.content;
        self.id == found.id && self.position == found.position && same
    }

    /// See [`Mark::content`].
    pub fn content_of(frame: &[u8]) -> String {
        blake3::hash(frame).to_hex()[..32].to_owned()
    }
}

/// What a checkpoint knows about its history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    /// Nothing was recorded, by an earlier release.
    #[default]
    Unknown,
    /// No event stands at it or before it.
    Nothing,
    /// The last event at it or before it that is known, whether it was handled, became a dead letter, or is of no type that
    /// matches.
    Event(Mark),
}

/// How far a generation has been built. Everything up to and including `position` has been applied, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The projection being rebuilt.
    pub projection_name: String,
    /// The last event that was handled; absent before the first.
    pub last_event_id: Option<String>,
    /// Its timestamp, in milliseconds since 1970.
    pub last_event_timestamp: Option<i64>,
    /// How far the source has been read, over events that did not match too.
    pub position: Position,
    /// The event by which the history is recognised when work goes on.
    #[serde(default)]
    pub seen: Seen,
    /// Matching events handled so far.
    pub events_processed: u64,
    /// Matching events that were counted, and were not there any more when they were to be read.
    #[serde(default)]
    pub missing: u64,
    /// When this checkpoint was made, in milliseconds since 1970.
    pub checkpointed_at: i64,
    /// What the rebuild is doing.
    pub status: Status,
    /// Why it failed; present exactly when `status` is `failed`.
    pub error: Option<EventFailure>,
}
