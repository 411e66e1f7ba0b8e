//! What a trigger requests, and what it is answered.

use super::same_history::Accept;
use crate::{
    store::{RebuildOptions, RebuildRecord},
    vocabulary::{Position, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a trigger requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// The projection.
    pub name: String,
    /// `log`, `file:PATH`, `postgres:PRESET?...` or a name of `unspool.toml`; where absent the source of the live generation,
    /// else of the latest rebuild, else `log`. An unfinished rebuild keeps its own.
    pub source: Option<String>,
    /// The first event, by id, position or time; from the first of the source where absent.
    pub from: Option<String>,
    /// The last event, by id, position or time; up to the source's ceiling where absent.
    pub to: Option<String>,
    /// Start over, giving up what an unfinished rebuild has done.
    pub restart: bool,
    /// What an operator says about a history that is not quite what it was.
    #[serde(default)]
    pub accept: Accept,
    /// How it goes about it.
    #[serde(default)]
    pub options: RebuildOptions,
    /// Where its rows are to live: `postgres:` and a connection string, or `store`. Where `unspool.toml` says, or those of
    /// the latest rebuild live, where absent; an unfinished rebuild keeps its own.
    pub into: Option<String>,
}

/// The answer to a trigger.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum TriggerAnswer {
    /// A new rebuild.
    Started {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
        /// Where its events come from, and those of the live generation; only where that is another history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// See `source`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_was: Option<String>,
    },
    /// It is running anyway.
    AlreadyRunning {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
    },
    /// It goes on from its checkpoint.
    Resumed {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
        /// The last event that had been handled; absent where there was none.
        from_event_id: Option<String>,
    },
}

impl TriggerAnswer {
    /// The projection.
    pub fn projection_name(&self) -> &str {
        match self {
            TriggerAnswer::Started { projection_name, .. }
            | TriggerAnswer::AlreadyRunning { projection_name, .. }
            | TriggerAnswer::Resumed { projection_name, .. } => projection_name,
        }
    }

    /// The answer about an attempt that has begun: of a generation that goes on, or of a new one. `came_from`: see
    /// [`TriggerAnswer::Started`].
    pub(super) fn begun(record: &RebuildRecord, resumed: bool, came_from: Option<(String, String)>) -> TriggerAnswer {
        let (projection_name, checkpoint_id) = (record.checkpoint.projection_name.clone(), record.checkpoint_id());
        if resumed || record.status() == Status::Completed {
            let from_event_id = record.checkpoint.last_event_id.clone();
            return TriggerAnswer::Resumed { projection_name, checkpoint_id, from_event_id };
        }
        let (source, source_was) = came_from.unzip();
        TriggerAnswer::Started { projection_name, checkpoint_id, source, source_was }
    }
}

/// What a trigger would do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The projection.
    pub projection_name: String,
    /// `started`, `resumed` or `already_running`.
    pub would_be: String,
    /// Where the events come from.
    pub source: String,
    /// Where those of the live generation come from, where that is another history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_was: Option<String>,
    /// It begins after this position.
    pub after: Position,
    /// It ends here.
    pub target: Position,
    /// Matching events between the two; absent where the source does not count them.
    pub events: Option<u64>,
    /// Records between the two that are no events of the history any more, by why: archived ones and the like; those that are
    /// known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Events per chunk.
    pub chunk_size: u32,
    /// The plugin that handles them.
    pub plugin_digest: String,
    /// Whether it is promoted when it completes.
    pub promotes: bool,
}
