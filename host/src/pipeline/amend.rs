//! What changes a generation that has been built without handling an event: its checkpoint stays where it is, and so does its
//! status. No attempt does that, since an attempt leads to where its events end.

use crate::{
    store::{Commit, RebuildRecord, RowChanges, Store, StoreError},
    vocabulary::{Position, act, now_ms},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// Changed rows, by table and key; `None` where a row is deleted.
pub type Changes = BTreeMap<(usize, Bytes), Option<Bytes>>;

/// Discards dead letters without handling them.
///
/// # Errors
/// When the store refuses, or `record` is no longer the one that may commit.
pub fn unpark(
    store: &Store,
    record: &RebuildRecord,
    plugin_digest: &str,
    events: Vec<(String, Position)>,
) -> Result<(), StoreError> {
    let mut commit = standing(store, record, plugin_digest)?;
    commit.discarded = events.len() as u64;
    commit.unparked = events;
    store.commit(&[commit])
}

/// Changes rows in one commit: readers see all of it or nothing.
///
/// # Errors
/// When the store refuses, or `record` is no longer the one that may commit.
pub fn replace_rows(
    store: &Store,
    record: &RebuildRecord,
    plugin_digest: &str,
    changes: Changes,
) -> Result<(), StoreError> {
    let mut commit = standing(store, record, plugin_digest)?;
    let mut rows = RowChanges::default();
    changes.into_iter().for_each(|((table, key), document)| rows.put(table, key, document));
    commit.rows = rows.into();
    store.commit(&[commit])
}

/// A commit that leaves the checkpoint where it is, and changes nothing yet.
fn standing(store: &Store, record: &RebuildRecord, plugin_digest: &str) -> Result<Commit, StoreError> {
    let now = store.rebuild(&record.checkpoint.projection_name, record.generation)?;
    let mut checkpoint = now.checkpoint;
    checkpoint.checkpointed_at = now_ms();
    Ok(Commit {
        follows: false,
        generation: record.generation,
        attempt: record.attempt,
        plugin_digest: plugin_digest.to_owned(),
        checkpoint,
        retries: 0,
        active_ms: 0,
        rows: Arc::default(),
        last: true,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: now.stages,
        by: act::current(),
    })
}
