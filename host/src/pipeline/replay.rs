//! The events of one stream, replayed by themselves; and what changes a generation whose checkpoint stays where it is.

use super::chunk::Chunk;
use crate::{
    limits,
    plugin::{CallError, Outcome, Plugin, ReadRows, RowWrite},
    source::{Source, SourceError},
    store::{Commit, RebuildRecord, RowChange, Store, StoreError, merged},
    vocabulary::{BlockEvent, EventFailure, FailureKind, Matcher, Position, now_ms, work},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

/// Changed rows, by table and key; `None` where a row is deleted.
pub type Changes = BTreeMap<(usize, Bytes), Option<Bytes>>;

/// Takes events off the parked ones without handling them.
///
/// # Errors
/// When the store refuses, or `record` is no longer the one that may commit.
pub fn unpark(
    store: &Store,
    record: &RebuildRecord,
    plugin_digest: &str,
    events: Vec<(String, Position)>,
) -> Result<(), StoreError> {
    let mut commit = empty_commit(store, record, plugin_digest)?;
    commit.discarded = events.len() as u64;
    commit.unparked = events;
    store.commit(&[commit])
}

/// A part of a stream's replay: who handles its events, and up to which position.
pub type Part = (Plugin, Position);

/// What a replay of one stream came to: every row that it touched, as it left it, and how many events were handled.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The rows; `None` where it deleted one.
    pub rows: Changes,
    /// Its events that were handled.
    pub events: u64,
    /// Rows that it looked for and had not written before: table and key.
    pub missed: BTreeSet<(usize, Bytes)>,
    /// What it scanned: table and prefix.
    pub scanned: BTreeSet<(usize, String)>,
}

/// Replays the events of one stream behind `after` on no rows at all, part by part. What was handled is in `replayed` when
/// this returns, however it returns.
///
/// # Errors
/// What the source says, or the first event that cannot be handled.
pub fn replay_stream(
    source: &dyn Source,
    stream: &str,
    after: Position,
    parts: &[Part],
    replayed: &mut Replayed,
) -> Result<(), EventFailure> {
    work::begin(format!("replaying {stream}"), "events read", None);
    let rows = Rows::default();
    let mut from = after;
    let mut done = Ok(());
    for (plugin, through) in parts {
        done = done.and_then(|()| replay_part(source, stream, from, plugin, *through, &rows, &mut replayed.events));
        from = *through;
    }
    replayed.rows = rows.changes().clone();
    let sought = std::mem::take(&mut *rows.sought());
    (replayed.missed, replayed.scanned) = (sought.rows, sought.scans);
    done
}

fn replay_part(
    source: &dyn Source,
    stream: &str,
    after: Position,
    plugin: &Plugin,
    through: Position,
    rows: &Rows,
    events: &mut u64,
) -> Result<(), EventFailure> {
    let unreadable = |e: SourceError| EventFailure::permanent(FailureKind::Source, e.message);
    let matcher = Matcher::new(&plugin.description().event_types);
    let mut chunk = Chunk::new(after);
    let mut flush = |chunk: &mut Chunk| {
        let (handled, failure) = handle(plugin, &std::mem::replace(chunk, Chunk::new(after)), rows);
        *events += handled as u64;
        failure.map_or(Ok(()), Err)
    };
    let mut reader = source.read(&matcher, after, through).map_err(unreadable)?;
    while let Some(block) = reader.next().map_err(unreadable)? {
        work::advance(block.ends.len() as u64);
        for BlockEvent { frame, position, unreadable } in block.events() {
            if unspool_frame::Event::stream_of(frame) == Some(stream.as_bytes()) {
                if let Some(why) = unreadable {
                    flush(&mut chunk)?;
                    chunk.push(frame, position);
                    chunk.unreadable = Some(why.to_owned());
                    return chunk.unreadable_failure().map_or(Ok(()), Err);
                }
                chunk.push(frame, position);
            }
            if chunk.len() >= limits::RETRY_EVENTS || chunk.bytes() >= limits::CHUNK_BYTES {
                flush(&mut chunk)?;
            }
        }
    }
    flush(&mut chunk)
}

/// Puts the rows of one stream into a generation, in one commit: what `rows` says, and nothing else of what `stale`
/// touches.
///
/// # Errors
/// When the store refuses, or `record` is no longer the one that may commit.
pub fn replace_rows(
    store: &Store,
    record: &RebuildRecord,
    plugin_digest: &str,
    rows: &Changes,
    stale: impl IntoIterator<Item = (usize, Bytes)>,
) -> Result<(), StoreError> {
    let mut changes: Changes = stale.into_iter().map(|row| (row, None)).collect();
    changes.extend(rows.clone());
    let mut commit = empty_commit(store, record, plugin_digest)?;
    commit.rows = sorted(&changes, record.tables.len());
    store.commit(&[commit])
}

/// A commit that leaves the checkpoint where it is.
fn empty_commit(store: &Store, record: &RebuildRecord, plugin_digest: &str) -> Result<Commit, StoreError> {
    let now = store.rebuild(&record.checkpoint.projection_name, record.generation)?;
    let mut checkpoint = now.checkpoint;
    checkpoint.checkpointed_at = now_ms();
    Ok(Commit {
        generation: record.generation,
        attempt: record.attempt,
        plugin_digest: plugin_digest.to_owned(),
        checkpoint,
        retries: 0,
        active_ms: 0,
        rows: Vec::new(),
        journal: None,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: now.stages,
    })
}

fn sorted(changes: &Changes, tables: usize) -> Vec<Vec<RowChange>> {
    let mut rows: Vec<Vec<RowChange>> = Vec::new();
    rows.resize_with(tables, Vec::new);
    for ((table, key), document) in changes {
        if let Some(rows) = rows.get_mut(*table) {
            rows.push(RowChange { key: key.clone(), document: document.clone() });
        }
    }
    rows
}

/// Handles a chunk; where it fails without saying where, one event at a time.
fn handle(plugin: &Plugin, chunk: &Chunk, rows: &Rows) -> (usize, Option<EventFailure>) {
    if chunk.is_empty() {
        return (0, None);
    }
    let never = Arc::new(AtomicBool::new(false));
    let call = |part: &Chunk| plugin.handle(part.frame(), rows.clone(), &never);
    let blame = |index: usize, failure: EventFailure| {
        let failure = match chunk.event(index) {
            Some(event) => failure.at(&event, chunk.position(index)),
            None => failure,
        };
        Some(failure)
    };
    match call(chunk) {
        Ok(outcome) => accept(rows, outcome, 0, &blame),
        Err(CallError::Stopped) => (0, blame(0, EventFailure::transient(FailureKind::Other, "it was stopped"))),
        Err(CallError::Failed(failure)) if chunk.len() == 1 || failure.kind == FailureKind::Store => {
            (0, blame(0, failure))
        }
        Err(CallError::Failed(_)) => {
            for index in 0..chunk.len() {
                match call(&chunk.single(index)) {
                    Ok(outcome) => {
                        if let (_, Some(failure)) = accept(rows, outcome, index, &blame) {
                            return (index, Some(failure));
                        }
                    }
                    Err(CallError::Stopped) => return (index, None),
                    Err(CallError::Failed(failure)) => return (index, blame(index, failure)),
                }
            }
            (chunk.len(), None)
        }
    }
}

fn accept(
    rows: &Rows,
    outcome: Outcome,
    first: usize,
    blame: &impl Fn(usize, EventFailure) -> Option<EventFailure>,
) -> (usize, Option<EventFailure>) {
    rows.apply(outcome.writes);
    let handled = outcome.handled;
    (handled, outcome.failure.and_then(|failure| blame(first + handled, failure)))
}

/// No rows to begin with, and what has been changed since.
#[derive(Clone, Default)]
struct Rows {
    changes: Arc<Mutex<Changes>>,
    sought: Arc<Mutex<Sought>>,
}

/// What was looked for: rows, by table and key, and prefixes by which tables were scanned.
#[derive(Default)]
struct Sought {
    rows: BTreeSet<(usize, Bytes)>,
    scans: BTreeSet<(usize, String)>,
}

impl Rows {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sought(&self) -> MutexGuard<'_, Sought> {
        self.sought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, writes: Vec<RowWrite>) {
        let mut changes = self.changes();
        for write in writes {
            changes.insert((write.table, write.key), write.document);
        }
    }
}

impl ReadRows for Rows {
    fn get(&mut self, table: usize, key: &str) -> Result<Option<Bytes>, EventFailure> {
        let row = (table, Bytes::copy_from_slice(key.as_bytes()));
        if let Some(known) = self.changes().get(&row) {
            return Ok(known.clone());
        }
        self.sought().rows.insert(row);
        Ok(None)
    }

    fn scan(
        &mut self,
        table: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<(String, Bytes)>, EventFailure> {
        self.sought().scans.insert((table, prefix.to_owned()));
        merged::scan(
            merged::Range { prefix, after, limit, max_bytes },
            |_| Ok(Vec::new()),
            |within| {
                let changes = self.changes();
                let rows = changes.iter().filter(|((changed, _), _)| *changed == table);
                let key = |key| std::str::from_utf8(key).ok().filter(|key| within(key));
                rows.filter_map(|((_, at), document)| Some((key(at)?.to_owned(), document.clone()))).collect()
            },
        )
    }
}
