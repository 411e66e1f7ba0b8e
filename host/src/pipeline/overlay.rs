//! Rows that are handled, and not committed yet or newer than the snapshot of the store that handlers read.
//!
//! Writes gather in the *open* layer, each row once however often it is written. The committer takes that layer whole,
//! and a new one opens. A taken layer stays readable until it is committed and a snapshot that contains it has been taken: then
//! it may be dropped, and is when there are too many bytes of such layers. A read therefore looks at the open layer, at the
//! taken ones, newest first, and at the snapshot.

use super::{chunk::LastEvent, owners::Looked, recent::Recent};
use crate::{
    limits,
    plugin::RowWrite,
    store::{Generation, ParkedEvent, RowChanges, RowSnapshot, Store, StoreError},
    traces::Times,
    vocabulary::{EventFailure, FailureKind, Known, Layered, Mark, NewerRows, Page, Position, ReadRows, Scan},
};
use ahash::RandomState;
use bytes::Bytes;
use fastbloom::BloomFilter;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Work that is committed as a whole.
#[derive(Default)]
pub struct Layer {
    rows: Arc<RowChanges>,
    /// Events that were set aside.
    pub(super) parked: Vec<ParkedEvent>,
    /// What it may hold in memory: the write frames that its rows are slices of, and its dead letters.
    pub(super) bytes: usize,
    /// How far the work is; `None` while nothing has been done.
    pub(super) reached: Option<Reached>,
    /// When the first work came in.
    pub(super) since: Option<Instant>,
    /// Processor time of the handling.
    pub(super) work: Duration,
    /// Transient failures met.
    pub(super) retries: u64,
    committed: AtomicBool,
}

/// The point after the events whose writes are in a layer.
#[derive(Debug, Clone)]
pub struct Reached {
    pub(super) position: Position,
    pub(super) events: u64,
    pub(super) last: Option<LastEvent>,
    /// The last event that is known to be there or before, whatever became of it.
    pub(super) seen: Option<Mark>,
    /// Dead letters that have been handled: stream and position.
    pub(super) retried: Vec<(String, Position)>,
    /// When they were read and handled.
    pub(super) times: Option<Times>,
}

impl Reached {
    /// After `events` events, the last of which is at `position`.
    pub fn after(position: Position, events: u64) -> Reached {
        Reached { position, events, last: None, seen: None, retried: Vec::new(), times: None }
    }
}

impl Layer {
    /// Its rows.
    pub fn rows(&self) -> &Arc<RowChanges> {
        &self.rows
    }

    /// Notes that the rows of this layer are in the store.
    pub(super) fn mark_committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    fn is_committed(&self) -> bool {
        self.committed.load(Ordering::Acquire)
    }
}

/// The layers of one rebuild. The handler writes and reads, the committer takes.
#[derive(Default)]
pub struct Overlay {
    layers: Mutex<Layers>,
}

#[derive(Default)]
pub(super) struct Layers {
    pub(super) open: Layer,
    taken: Vec<Arc<Layer>>,
    /// Every key that was ever written, and by mistake a few more; only where the generation had no rows to begin with.
    /// What it does not know is not in the store either.
    written: Option<BloomFilter<RandomState>>,
    /// Rows that were committed before any of the layers.
    recent: Option<Recent>,
}

impl Overlay {
    /// Layers over rows that were committed before.
    pub(super) fn over(recent: Option<Recent>) -> Overlay {
        Overlay { layers: Mutex::new(Layers { recent, ..Layers::default() }) }
    }

    /// Adds a chunk's writes and dead letters, and moves on to where that leads.
    pub fn apply(&self, writes: Vec<RowWrite>, parked: Vec<ParkedEvent>, reached: Reached, work: Duration) {
        let mut layers = self.lock();
        let layers = &mut *layers;
        let open = &mut layers.open;
        // Nobody else has the rows of the open layer.
        let rows = Arc::make_mut(&mut open.rows);
        let before = rows.bytes();
        open.bytes += parked.iter().map(|event| event.event.len()).sum::<usize>();
        open.parked.extend(parked);
        for write in writes {
            if let Some(written) = &mut layers.written {
                written.insert(&(write.table, &*write.key));
            }
            rows.put(write.table, write.key, write.document);
        }
        open.bytes += rows.bytes() - before;
        open.since.get_or_insert_with(Instant::now);
        open.work += work;
        let mut before = open.reached.take();
        let mut retried = before.as_mut().map_or_else(Vec::new, |before| std::mem::take(&mut before.retried));
        retried.extend(reached.retried);
        let earlier = before.as_ref().and_then(|before| before.times);
        open.reached = Some(Reached {
            retried,
            times: reached.times.map(|times| times.after(earlier)).or(earlier),
            events: reached.events + before.as_ref().map_or(0, |before| before.events),
            seen: reached.seen.or_else(|| before.as_ref().and_then(|before| before.seen.clone())),
            last: reached.last.or(before.and_then(|before| before.last)),
            position: reached.position,
        });
    }

    /// Hands the open layer to the committer, and opens another.
    pub fn take(&self) -> Arc<Layer> {
        let mut layers = self.lock();
        let taken = Arc::new(std::mem::take(&mut layers.open));
        layers.taken.push(taken.clone());
        taken
    }

    /// The layers, locked. Held for look-ups and swaps only.
    pub(super) fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the taken layers that are not committed yet.
    pub(super) fn uncommitted_bytes(&self) -> usize {
        self.lock().taken.iter().filter(|layer| !layer.is_committed()).map(|layer| layer.bytes).sum()
    }

    /// How many of the taken layers, the oldest ones, are committed.
    fn committed(&self) -> usize {
        self.lock().taken.iter().take_while(|layer| layer.is_committed()).count()
    }
}

impl Layers {
    /// The row as the layers have it.
    fn get(&self, table: usize, key: &str) -> Known {
        let known = self.newest_first().find_map(|layer| layer.rows.get(table, key)).cloned();
        known.or_else(|| self.recent.as_ref()?.get(table, key)).or_else(|| {
            let written = self.written.as_ref()?.contains(&(table, key.as_bytes()));
            (!written).then_some(None)
        })
    }

    fn newest_first(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.open).chain(self.taken.iter().rev().map(Arc::as_ref))
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Layer> {
        self.taken.iter().map(Arc::as_ref).chain(std::iter::once(&self.open))
    }
}

impl NewerRows for Overlay {
    /// Looks for all keys under one lock.
    fn known(&self, table: usize, keys: &[&str]) -> Vec<Known> {
        let layers = self.lock();
        keys.iter().map(|key| layers.get(table, key)).collect()
    }

    /// Layers are not sorted: this looks at all their rows of the table.
    fn changes(&self, table: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)> {
        let layers = self.lock();
        layers.oldest_first().flat_map(|layer| layer.rows.within(table, within)).collect()
    }
}

/// The rows of a rebuild as its handlers see them: the overlay over the committed ones.
pub struct View {
    overlay: Arc<Overlay>,
    store: Store,
    generation: Generation,
    snapshot: RowSnapshot,
    /// How many of the taken layers, the oldest ones, the snapshot contains.
    contained: usize,
}

impl View {
    /// The rows of a generation, under `overlay`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(overlay: Arc<Overlay>, store: Store, generation: Generation) -> Result<View, StoreError> {
        let snapshot = store.current_rows(&generation)?;
        let mut empty = true;
        for table in 0..generation.tables.len() {
            empty &= snapshot.scan(table, Scan { limit: 1, ..Scan::ALL })?.is_empty();
        }
        if empty {
            let filter =
                BloomFilter::with_num_bits(limits::WRITTEN_KEYS_BYTES * 8).hasher(RandomState::new()).hashes(4);
            overlay.lock().written = Some(filter);
        }
        Ok(View { overlay, store, generation, snapshot, contained: 0 })
    }

    /// Takes a new snapshot where layers have been committed since the last. Layers that it contains are kept as long as
    /// there is room, since a row that changed lately changes again soon; the oldest go first, so that none is dropped
    /// before one that it overrides. The snapshot comes after the count, so it contains everything that is dropped.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        let committed = self.overlay.committed();
        if committed > self.contained {
            self.snapshot = self.store.current_rows(&self.generation)?;
            self.contained = committed;
            let mut layers = self.overlay.lock();
            let contained = &layers.taken[..committed];
            let (mut bytes, mut dropped) = (contained.iter().map(|layer| layer.bytes).sum::<usize>(), 0);
            while bytes > limits::RETAINED_BYTES && dropped < committed {
                bytes -= contained[dropped].bytes;
                dropped += 1;
            }
            layers.taken.drain(..dropped);
            self.contained -= dropped;
        }
        Ok(())
    }

    /// A reader for one chunk.
    pub fn reader(&self) -> ChunkRows {
        let (newer, older) = (self.overlay.clone(), self.snapshot.clone());
        ChunkRows { rows: Layered { newer, older }, looked: None }
    }
}

/// What the plugin reads while it handles one chunk.
pub struct ChunkRows {
    rows: Layered<Arc<Overlay>, RowSnapshot>,
    looked: Option<Arc<Mutex<Looked>>>,
}

impl ChunkRows {
    /// The same rows, and what is looked at from now on.
    pub(super) fn noting(mut self) -> (ChunkRows, Arc<Mutex<Looked>>) {
        let looked = self.looked.get_or_insert_default().clone();
        (self, looked)
    }

    fn note(&self, note: impl FnOnce(&mut Looked)) {
        if let Some(looked) = &self.looked {
            note(&mut looked.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn unreadable(error: StoreError) -> EventFailure {
    EventFailure { transient: error.is_transient(), ..EventFailure::permanent(FailureKind::Store, error.to_string()) }
}

impl ReadRows for ChunkRows {
    type Error = EventFailure;

    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, EventFailure> {
        self.note(|looked| keys.iter().for_each(|key| looked.at(table, key)));
        self.rows.get_many(table, keys).map_err(unreadable)
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, EventFailure> {
        let page = self.rows.scan(table, scan).map_err(unreadable)?;
        self.note(|looked| {
            looked.through(table, scan.prefix);
            page.iter().for_each(|(key, _)| looked.at(table, key));
        });
        Ok(page)
    }
}

#[cfg(test)]
mod tests;
