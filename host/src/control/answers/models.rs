//! Answers about read models and their generations.

use crate::{
    export::Column,
    store::{BuiltRange, Purpose, RebuildRecord},
    vocabulary::{Position, StageReport, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Which generation is live, and which one was before.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Switched {
    /// The projection.
    pub projection_name: String,
    /// The live one.
    pub live_generation: Option<u64>,
    /// The one that was live before it.
    pub previous_generation: Option<u64>,
    /// Where they stood, where they were taken back in time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken_back_from: Option<Position>,
    /// Where they stand then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken_back_to: Option<Position>,
}

/// A row, and of what it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundRow {
    /// The projection.
    pub projection_name: String,
    /// The table.
    pub table: String,
    /// The row's key.
    pub key: String,
    /// Its document.
    pub value: Value,
    /// The generation that it was read from.
    pub generation: u64,
    /// The history up to here is in it, and nothing after it.
    pub position: Position,
}

/// The digest of a generation's rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// The projection.
    pub projection_name: String,
    /// The generation.
    pub generation: u64,
    /// BLAKE3, in hexadecimal.
    pub digest: String,
    /// How many rows there are.
    pub rows: u64,
}

/// How a generation was built.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The projection.
    pub projection_name: String,
    /// The generation.
    pub generation: u64,
    /// What it is called, where it has a name.
    pub name: Option<String>,
    /// What it was built for.
    pub purpose: Purpose,
    /// What its rebuild is doing.
    pub status: Status,
    /// Where its events came from.
    pub source: String,
    /// Where its rows are; null for the store.
    pub into: Option<String>,
    /// Which history that was.
    pub source_identity: String,
    /// The version of its state's shape.
    pub state_version: u32,
    /// It has the events after this position.
    pub after: Position,
    /// Up to this one.
    pub through: Position,
    /// What became of them.
    pub events: ReceiptEvents,
    /// Which plugin built which part.
    pub ranges: Vec<BuiltRange>,
    /// Events per chunk.
    pub chunk_size: u32,
    /// When its rebuild started.
    pub started_at: i64,
    /// When it ended; null while it has not.
    pub ended_at: Option<i64>,
    /// Transient failures met and retried.
    pub retries: u64,
    /// Where the time went.
    pub stages: StageReport,
    /// The digest of its rows; null where it is not complete.
    pub digest: Option<String>,
    /// How many rows it had then; null where it is not complete.
    pub rows: Option<u64>,
}

/// The events of a generation's range.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptEvents {
    /// Of the types that the projection handles.
    pub matching: u64,
    /// Handled.
    pub handled: u64,
    /// Dead letters.
    pub parked: u64,
    /// Dead letters that were discarded.
    pub discarded: u64,
    /// Counted, and not there any more when they were to be read; null where the source does not count.
    pub missing: Option<u64>,
    /// Of other types; null where the source does not count, or is not at hand any more.
    pub filtered: Option<u64>,
    /// Left out by the source, by why; null where it is not at hand any more.
    pub left_out: Option<BTreeMap<String, u64>>,
}

/// A generation, and its role.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedGeneration {
    /// The generation.
    pub generation: u64,
    /// What it is called, where it has a name.
    pub name: Option<String>,
    /// Its role.
    pub role: Role,
    /// What its rebuild is doing.
    pub status: Status,
    /// The version of its state's shape.
    pub state_version: u32,
    /// Where its events come from.
    pub source: String,
    /// Where its rows are; null for the store.
    pub into: Option<String>,
    /// It has the events after this position.
    pub after: Position,
    /// Up to this one.
    pub position: Position,
    /// How many it has handled.
    pub events_processed: u64,
    /// How many dead letters it has.
    pub parked: u64,
    /// Events per chunk.
    pub chunk_size: u32,
    /// When its rebuild started.
    pub started_at: i64,
    /// When it ended; null while it has not.
    pub ended_at: Option<i64>,
    /// Which plugin built which part.
    pub ranges: Vec<BuiltRange>,
}

/// The role of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "GenerationRole")]
pub enum Role {
    /// It is the one that readers get.
    Live,
    /// It was live before.
    Previous,
    /// It is complete, and not live.
    Complete,
    /// It is being built.
    Building,
    /// Its rebuild was cancelled.
    GivenUp,
    /// It shows the state at an earlier position.
    AsOf,
    /// It is built to be compared.
    Scratch,
}

impl ListedGeneration {
    /// The entry for the generation of `record`.
    pub(in crate::control) fn new(record: &RebuildRecord, role: Role) -> ListedGeneration {
        ListedGeneration {
            generation: record.generation,
            name: record.spec.label.clone(),
            role,
            status: record.status(),
            state_version: record.state_version,
            source: record.spec.source.clone(),
            into: record.external.as_ref().map(|external| external.into.clone()),
            after: record.spec.after,
            position: record.checkpoint.position,
            events_processed: record.checkpoint.events_processed,
            parked: record.parked,
            chunk_size: record.chunk_size,
            started_at: record.started_at,
            ended_at: record.ended_at,
            ranges: record.ranges.clone(),
        }
    }
}

/// A generation that is gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// The projection.
    pub projection_name: String,
    /// The generation.
    pub generation: u64,
    /// What became of it.
    pub status: DropStatus,
}

/// What became of a generation that was to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DropStatus {
    /// It is gone.
    Dropped,
}

/// A row of a read model.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ModelRow {
    /// Its key.
    pub key: String,
    /// Its document.
    pub value: Value,
}

/// A table whose rows follow.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TableHead {
    /// Its name.
    pub table: String,
    /// The generation that it is of.
    pub generation: u64,
    /// Its columns; none where they were not requested.
    #[schemars(with = "Vec<Value>")]
    pub columns: Vec<Column>,
    /// How many rows all tables of the answer have; absent where that is not known.
    pub all: Option<u64>,
}

/// All requested rows have been given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The projection.
    pub projection_name: String,
    /// The generation.
    pub generation: u64,
    /// How many rows that were.
    pub rows: u64,
}

/// A table whose file is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedTable {
    /// The projection.
    pub projection_name: String,
    /// The table.
    pub table: String,
    /// The generation that it is of.
    pub generation: u64,
    /// The format of the file.
    pub format: String,
    /// How many rows are in it.
    pub rows: u64,
    /// The file.
    pub file: String,
}
