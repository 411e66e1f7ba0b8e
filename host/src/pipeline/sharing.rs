//! Handling the streams of one chunk on several instances at once, for projections that are partitioned by stream.
//!
//! The result is that of handling the chunk in one call. Where a part fails, everything that was handled is thrown away
//! and the chunk is handled in one call: so a failure names the same event, behind the same good ones. Two parts that write
//! one row break what the projection says of itself, and which write would hold would be chance: that is an error.

use super::{Attempt, chunk::Chunk, handlers::one_call, overlay::ChunkRows, yield_if_low};
use crate::{
    limits,
    plugin::{CallError, Outcome, RowWrite},
    vocabulary::{EventFailure, FailureKind, Partitioning},
};
use ahash::{AHashMap, RandomState};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::Scope,
};

/// A part of a chunk to be handled, and where its outcome goes.
struct Part {
    number: usize,
    chunk: Chunk,
    rows: ChunkRows,
    done: Sender<(usize, Result<Outcome, CallError>)>,
}

/// The threads beside the handlers' own. They end when this is dropped.
pub(super) struct Sharing {
    parts: Sender<Part>,
    /// Decides which stream goes where; any way is right.
    hash: RandomState,
}

impl Sharing {
    /// Starts as many threads as instances may work for one rebuild beside its own; none where its events must stay in
    /// order over all streams.
    pub(super) fn start<'scope>(attempt: &'scope Attempt, scope: &'scope Scope<'scope, '_>) -> Option<Sharing> {
        let instances = attempt.pool.instances();
        if attempt.plugin.description().partitioning != Partitioning::Stream || instances < 2 {
            return None;
        }
        let (parts, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 1..instances {
            let waiting = waiting.clone();
            let spawned = std::thread::Builder::new()
                .name(format!("instance {number}"))
                .stack_size(limits::HANDLER_THREAD_STACK_BYTES)
                .spawn_scoped(scope, move || work(attempt, &waiting));
            if let Err(e) = spawned {
                tracing::warn!("a thread for another instance does not start, one call handles everything: {e}");
                return None;
            }
        }
        Some(Sharing { parts, hash: RandomState::new() })
    }

    /// Handles `chunk` in parts; `None` where it is to be handled in one call instead.
    pub(super) fn handle(&self, attempt: &Attempt, chunk: &Chunk, rows: impl Fn() -> ChunkRows) -> Option<Outcome> {
        let instances = attempt.pool.share();
        if chunk.len() < limits::SHARED_EVENTS || instances < 2 {
            return None;
        }
        let mut parts: Vec<Chunk> = (0..instances).map(|_| Chunk::new(chunk.through)).collect();
        for index in 0..chunk.len() {
            let stream = unspool_frame::Event::stream_of(chunk.encoded(index))?;
            let part = (self.hash.hash_one(stream) % instances as u64) as usize;
            parts[part].push(chunk.encoded(index), chunk.position(index));
        }
        let (done, outcomes) = channel();
        let mut others = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        let (_, own) = others.next()?;
        let mut shared = 0;
        for (number, chunk) in others {
            self.parts.send(Part { number, chunk, rows: rows(), done: done.clone() }).ok()?;
            shared += 1;
        }
        drop(done);
        let own = one_call(attempt, &own, rows());
        // All of them, so that none works on an older view while the next chunk is handled.
        let outcomes: Vec<_> = outcomes.iter().take(shared).map(|(_, outcome)| outcome).collect();
        merge(own, outcomes, shared, chunk.len())
    }
}

fn work(attempt: &Attempt, waiting: &Mutex<Receiver<Part>>) {
    yield_if_low(attempt.record.priority);
    loop {
        let part = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Part { number, chunk, rows, done }) = part else { return };
        let outcome = one_call(attempt, &chunk, rows);
        if done.send((number, outcome)).is_err() {
            return;
        }
    }
}

/// The outcomes of all parts as that of the whole; `None` where a part did not succeed.
fn merge(
    own: Result<Outcome, CallError>,
    others: Vec<Result<Outcome, CallError>>,
    shared: usize,
    events: usize,
) -> Option<Outcome> {
    if others.len() != shared {
        return None;
    }
    let mut writes: Vec<RowWrite> = Vec::new();
    let mut writers: AHashMap<(usize, Bytes), usize> = AHashMap::new();
    for (part, outcome) in std::iter::once(own).chain(others).enumerate() {
        let outcome = outcome.ok().filter(|outcome| outcome.failure.is_none())?;
        for write in outcome.writes {
            let writer = *writers.entry((write.table, write.key.clone())).or_insert(part);
            if writer != part {
                return Some(two_streams(&write));
            }
            writes.push(write);
        }
    }
    Some(Outcome { handled: events, writes, failure: None })
}

/// A row that two streams write: nothing of the chunk is kept.
fn two_streams(write: &RowWrite) -> Outcome {
    let key = String::from_utf8_lossy(&write.key).into_owned();
    let message = format!(
        "the projection says that it is partitioned by stream, but two streams write the row {key} of table number {}: \
         take `partitioning: Stream` out, or key the row by stream",
        write.table
    );
    let failure = EventFailure::permanent(FailureKind::Plugin, message);
    Outcome { handled: 0, writes: Vec::new(), failure: Some(failure) }
}
