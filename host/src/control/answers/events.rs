//! Answers about events.

use crate::{
    store::ParkedEvent,
    vocabulary::{EventFailure, Position, Shape},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event of the log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// Unique in the log.
    pub id: String,
    /// Its position.
    pub position: u64,
    /// The entity it belongs to.
    pub stream: String,
    /// Its type.
    pub r#type: String,
    /// When it happened.
    pub timestamp: i64,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// The payload.
    pub data: Value,
    /// What the writer noted beside it.
    pub metadata: Value,
}

/// What the events of one type and version look like.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventShape {
    /// Their type.
    pub r#type: String,
    /// The version of their payloads' shape.
    pub schema_version: u32,
    /// How many there are.
    pub count: u64,
    /// Where the first of them is.
    pub first: Position,
    /// Where the last of them is.
    pub last: Position,
    /// What their payloads look like.
    pub payload: Shape,
}

/// An event that was set aside, in one line.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Its id; null where it cannot be read.
    pub id: Option<String>,
    /// Its stream.
    pub stream: String,
    /// Its type; null where it cannot be read.
    pub r#type: Option<String>,
    /// Its position in its history.
    pub position: Position,
    /// Its source could not read it.
    pub unreadable: bool,
    /// Why; null where it only follows an earlier one of its stream.
    pub error: Option<String>,
}

impl DeadLetter {
    pub(in crate::control) fn new(parked: &ParkedEvent) -> DeadLetter {
        let event = unspool_frame::Event::decode(&mut &parked.event[..]).ok();
        DeadLetter {
            id: event.as_ref().map(|event| event.id.to_owned()),
            stream: parked.stream.clone(),
            r#type: event.as_ref().map(|event| event.kind.to_owned()),
            position: parked.position,
            unreadable: parked.unreadable,
            error: parked.failure.as_ref().map(|failure| failure.message.clone()),
        }
    }
}

/// An event that was set aside, in full.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetterInFull {
    /// In one line.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// What is in it.
    #[serde(flatten)]
    pub content: DeadLetterContent,
    /// Why it was set aside, in full.
    pub failure: Option<EventFailure>,
}

/// What is in an event that was set aside.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DeadLetterContent {
    /// Of one that its source could not read.
    Unreadable {
        /// What the source has.
        raw: Value,
    },
    /// Of any other.
    Event {
        /// When it happened.
        timestamp: i64,
        /// The payload.
        data: Value,
        /// What the writer noted beside it.
        metadata: Value,
    },
}
