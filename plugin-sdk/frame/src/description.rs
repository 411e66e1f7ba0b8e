//! The description frame: what a projection declares.

use crate::wire::{self, Result};
use serde::{Deserialize, Serialize};

/// What `describe` answers: a MessagePack map with these fields in camel case. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The projection's name: lower-case letters, digits and `-`.
    pub name: String,
    /// The version of the state's shape. Another version needs a new generation.
    pub version: u32,
    /// The event types it handles; `*` stands for all.
    pub event_types: Vec<String>,
    /// The tables it writes.
    pub tables: Vec<TableDescription>,
    /// How much a handler does; decides the chunk size where nothing else does.
    #[serde(default)]
    pub complexity: Complexity,
    /// Events per chunk, instead of the one that `complexity` suggests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<u32>,
    /// Whether events of different streams may be handled side by side.
    #[serde(default)]
    pub partitioning: Partitioning,
}

/// A table of a read model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDescription {
    /// The table's name: lower-case letters, digits, `-` and `_`.
    pub name: String,
}

/// How much a handler does for one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Complexity {
    /// Counters and sums: 1000 events a chunk.
    Simple,
    /// Field updates in a table: 500 events a chunk.
    #[default]
    Standard,
    /// Several tables and look-ups: 250 events a chunk.
    Complex,
    /// Feeds for other systems: 100 events a chunk.
    Integration,
}

impl Complexity {
    /// Events per chunk where neither the operator nor the projection says otherwise.
    pub fn chunk_size(self) -> u32 {
        match self {
            Complexity::Simple => 1000,
            Complexity::Standard => 500,
            Complexity::Complex => 250,
            Complexity::Integration => 100,
        }
    }
}

/// What must stay in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partitioning {
    /// All events, whatever their stream.
    #[default]
    None,
    /// The events of one stream; no row is touched by two streams.
    Stream,
}

impl Description {
    /// The frame that `describe` returns.
    pub fn encode(&self) -> Vec<u8> {
        let frame = rmp_serde::to_vec_named(self);
        debug_assert!(frame.is_ok(), "a description is a plain map");
        frame.unwrap_or_default()
    }

    /// Reads a description frame.
    ///
    /// # Errors
    /// Names the field that is missing or of another type.
    pub fn decode(frame: &[u8]) -> Result<Self> {
        rmp_serde::from_slice(frame).map_err(|e| wire::error("description", e))
    }
}
