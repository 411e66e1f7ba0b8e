//! Chunks that are read and wait for their handler, bounded in bytes.

use super::{chunk::Chunk, stop::Stop};
use crate::{limits, source::SourceError};
use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often a handler that waits for a chunk checks whether it is to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A queue with one reader and one handler. A mutex and a condition variable, because the bound is in bytes and either
/// side may close it.
pub(super) struct ChunkQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<Result<Chunk, SourceError>>,
    bytes: usize,
    /// The memory of a chunk that is done.
    spare: Option<Chunk>,
    ended: bool,
    closed: bool,
}

impl ChunkQueue {
    pub(super) fn new() -> ChunkQueue {
        ChunkQueue { state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for room, then appends. `false` once the handler's side has closed.
    pub(super) fn push(&self, item: Result<Chunk, SourceError>) -> bool {
        let bytes = item.as_ref().map_or(0, Chunk::bytes);
        let mut state = self.lock();
        while !state.closed && state.bytes > 0 && state.bytes + bytes > limits::READ_AHEAD_BYTES {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return false;
        }
        state.bytes += bytes;
        state.items.push_back(item);
        self.changed.notify_all();
        true
    }

    /// Gives back a chunk that is done: its memory serves another one. Chunks are large, and fresh memory is expensive.
    pub(super) fn recycle(&self, chunk: Chunk) {
        self.lock().spare = Some(chunk);
    }

    /// An empty chunk after `last`.
    pub(super) fn chunk_after(&self, last: &Chunk) -> Chunk {
        let spare = self.lock().spare.take();
        spare.map_or_else(|| last.next(), |spare| spare.emptied(last.through))
    }

    /// Declares that nothing will follow.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// The next chunk; `None` at the end of the range, or once `stop` is raised: the reader may wait for its source.
    pub(super) fn pop(&self, stop: &Stop) -> Option<Result<Chunk, SourceError>> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                state.bytes -= item.as_ref().map_or(0, Chunk::bytes);
                self.changed.notify_all();
                return Some(item);
            }
            if state.ended || state.closed || stop.is_raised() {
                return None;
            }
            state = self.changed.wait_timeout(state, POLL_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the reader go: nobody takes chunks any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.bytes = 0;
        self.changed.notify_all();
    }

    /// No invariant spans a panic here, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
