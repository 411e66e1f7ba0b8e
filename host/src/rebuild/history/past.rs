//! A row of a generation, with what its history is handled again with, and what comes of that.

use crate::{
    plugin::Plugin,
    rebuild::compare::is_same,
    source::Source,
    store::{Generation, RebuildRecord, Segment, StoreError},
    vocabulary::Position,
};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};

/// A row of a generation, and how much of its history is wanted.
pub(super) struct Past<'a> {
    pub(super) generation: &'a Generation,
    pub(super) table: usize,
    pub(super) key: &'a str,
    pub(super) record: RebuildRecord,
    pub(super) source: Arc<dyn Source>,
    /// The plugins that built the generation, each with the end of its part; the last one goes on.
    pub(super) segments: Vec<Segment>,
    pub(super) plugin: Plugin,
    /// Whether all of them are partitioned by stream.
    pub(super) by_stream: bool,
    pub(super) through: Position,
}

impl Past<'_> {
    pub(super) fn table_name(&self) -> &str {
        self.generation.tables.get(self.table).map_or("", String::as_str)
    }

    /// The row as errors name it.
    pub(super) fn name(&self) -> String {
        format!("{}/{} row {}", self.generation.projection, self.table_name(), self.key.escape_debug())
    }

    pub(super) fn same(&self, one: Option<&Bytes>, other: Option<&Bytes>) -> Result<bool, StoreError> {
        match (one, other) {
            (Some(one), Some(other)) => is_same(self.table_name(), self.key, one, other),
            (one, other) => Ok(one.is_none() && other.is_none()),
        }
    }
}

/// What handling the history again has come to.
pub(super) struct Replayed {
    /// How many events changed the row.
    pub(super) changes: u64,
    /// The streams that they are of.
    pub(super) streams: BTreeSet<String>,
    /// The row in the end.
    pub(super) row: Option<Bytes>,
    /// The events that were set aside.
    pub(super) parked: Vec<(Position, String)>,
}
