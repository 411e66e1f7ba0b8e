//! What one rebuild puts into a transaction, and what becomes of its record by that.

use super::{
    catalog::{BuiltRange, ParkedEvent, RebuildRecord, tables::decode},
    changes::RowChanges,
    error::StoreError,
};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use unspool_vocabulary::{Checkpoint, FollowState, Position, StageReport, Status, act::Act};

/// Everything that one rebuild has finished since its last commit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The generation that is being built.
    pub generation: u64,
    /// The attempt that did the work.
    pub attempt: u64,
    /// It brings a complete generation forward: the status in its checkpoint is that of the follower, and the rebuild stays completed.
    #[serde(default)]
    pub follows: bool,
    /// The plugin that did it.
    pub plugin_digest: String,
    /// Its position now, and what it is doing.
    pub checkpoint: Checkpoint,
    /// Transient failures met since the last commit.
    pub retries: u64,
    /// Time worked since the last commit, in milliseconds.
    pub active_ms: u64,
    /// The changed rows.
    #[serde(skip)]
    pub rows: Arc<RowChanges>,
    /// Whether no other commit of the attempt follows: then all its rows are in their tables.
    #[serde(skip)]
    pub last: bool,
    /// Events set aside, whether for the first time or again.
    pub parked: Vec<ParkedEvent>,
    /// Events that are no longer set aside: stream and position.
    pub unparked: Vec<(String, Position)>,
    /// How many of those were not handled.
    pub discarded: u64,
    /// Where the time went so far.
    pub stages: StageReport,
    /// On whose behalf, where that is not the host itself: who has the attempt end, or has had its dead letters handled again.
    #[serde(skip)]
    pub by: Option<Arc<Act>>,
}

/// The effect of a commit on the record, but for dead letters, which are counted where they are kept.
pub(super) fn apply_to(record: &mut RebuildRecord, commit: &Commit) {
    // A digest of other rows than these says nothing about them.
    record.row_digest = None;
    record.discarded += commit.discarded;
    extend_ranges(record, commit);
    record.retries += commit.retries;
    record.checkpoint = commit.checkpoint.clone();
    if commit.follows {
        let error = record.checkpoint.error.take();
        record.checkpoint.status = Status::Completed;
        if let Some(following) = record.following.as_mut().filter(|_| commit.checkpoint.status == Status::Failed) {
            (following.state, following.error) = (FollowState::Failed, error);
            following.since = commit.checkpoint.checkpointed_at;
        }
        return;
    }
    record.stages = commit.stages.clone();
    record.active_ms += commit.active_ms;
    if record.status() != Status::Running {
        record.ended_at = Some(commit.checkpoint.checkpointed_at);
    }
}

/// The stored record, provided that `commit` comes from the attempt that holds the claim and does not move backwards. An
/// attempt has one last commit; what changes a rebuild that has ended claims it again, and leaves it in its status.
pub(super) fn fenced_record(
    rebuilds: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    commit: &Commit,
) -> Result<RebuildRecord, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let fenced = || StoreError::fenced(projection, commit.generation);
    let stored = rebuilds.get((projection, commit.generation))?.ok_or_else(fenced)?;
    let record: RebuildRecord = decode(projection, stored.value())?;
    let open = match commit.follows {
        true => record.status() == Status::Completed && record.is_followed(),
        false => record.status() == Status::Running || record.status() == commit.checkpoint.status,
    };
    let held = record.attempt == commit.attempt && open;
    if held && record.checkpoint.position <= commit.checkpoint.position { Ok(record) } else { Err(fenced()) }
}

fn extend_ranges(record: &mut RebuildRecord, commit: &Commit) {
    let through = commit.checkpoint.position;
    if through == record.checkpoint.position {
        return;
    }
    match record.ranges.last_mut() {
        Some(last) if last.plugin_digest == commit.plugin_digest && last.chunk_size == record.chunk_size => {
            last.through = through;
        }
        _ => record.ranges.push(BuiltRange {
            plugin_digest: commit.plugin_digest.clone(),
            after: record.checkpoint.position,
            through,
            chunk_size: record.chunk_size,
        }),
    }
}
