//! Handling the streams of one chunk separately, for projections that are partitioned by stream: on several
//! instances at once, which is quicker; and now and then by one, to check whether the projection is what it declares.
//!
//! The result is that of handling the chunk in one call. Where a part fails, everything that was handled is thrown away
//! and the chunk is handled in one call: so a failure names the same event, after the same good ones. A part that writes, reads
//! or scans what another part writes breaks what the projection declares, and its result would be left to chance: that is an
//! error. It is found in every call that is handled in parts; in the others events are in order, and their rows are those
//! of any other run.
//!
//! | calls | in parts |
//! |---|---|
//! | of `plugin verify`, once through the history | a stream each, and rows are held against those of all calls before |
//! | the first of a generation, where it is not larger than [`limits::CHECKED_EVENTS`] | a stream each |
//! | one of [`limits::CHECKED_CALLS`], whichever begins at such a position | [`limits::CHECKED_PARTS`] |
//! | of [`limits::SHARED_EVENTS`] or more, where several instances may work | an instance each |
//! | others | none |

use super::{
    attempt::Attempt,
    chunk::Chunk,
    instance,
    overlay::ChunkRows,
    owners::{Breach, Looked, Meeting, Owners},
    panics,
    priority::yield_if_low,
};
use crate::{
    limits,
    plugin::{Outcome, RowWrite},
    vocabulary::{EventFailure, FailureKind, Partitioning, Position},
};
use ahash::{AHashMap, RandomState};
use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::Scope,
};

/// A part of a chunk.
struct Part {
    /// Its stream, where it has one alone.
    stream: Option<String>,
    chunk: Chunk,
}

/// What became of a part.
struct Handled {
    outcome: Outcome,
    looked: Looked,
}

/// Parts that one instance after another handles, each with its number and the rows that it reads.
type Parts = Vec<(usize, Chunk, ChunkRows)>;

/// What became of them, up to the first that did not succeed, which has `None`.
type Done = Vec<(usize, Option<Handled>)>;

/// Parts for another thread, and where their outcomes go: or, where it panics, its message.
struct Share {
    parts: Parts,
    done: Sender<Result<Done, String>>,
}

/// The threads beside the handlers' own, which end when this is dropped; and what is known of the owners of rows.
pub(super) struct Sharing {
    shares: Sender<Share>,
    threads: usize,
    /// Decides which stream goes where; any way is right. The same each time, so that what is found is found again.
    hash: RandomState,
    /// Whether nothing of the generation has been handled yet.
    is_first: Cell<bool>,
    /// Whose rows are whose, in all calls so far, where they are kept: with the names of the owners.
    kept: Option<RefCell<(Owners, Streams)>>,
}

/// Streams by number.
#[derive(Default)]
struct Streams {
    names: Vec<String>,
    numbers: AHashMap<String, usize>,
}

impl Streams {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

impl Sharing {
    /// Starts as many threads as instances may work for one rebuild beside its own; none where its events must stay in
    /// order over all streams.
    pub(super) fn start<'scope>(attempt: &'scope Attempt, scope: &'scope Scope<'scope, '_>) -> Option<Sharing> {
        if attempt.plugin.partitioning() != Partitioning::Stream {
            return None;
        }
        let (shares, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = 0;
        for number in 1..attempt.pool.instances() {
            let waiting = waiting.clone();
            let spawned = std::thread::Builder::new()
                .name(format!("instance {number}"))
                .stack_size(limits::HANDLER_THREAD_STACK_BYTES)
                .spawn_scoped(scope, move || work(attempt, &waiting));
            match spawned {
                Ok(_) => threads += 1,
                Err(e) => tracing::warn!("a thread for another instance does not start: {e}"),
            }
        }
        let is_first = Cell::new(attempt.record.checkpoint.position == attempt.record.spec.after);
        let kept =
            attempt.pool.keeps_owners().then(|| RefCell::new((Owners::new(limits::KEPT_OWNERS), Streams::default())));
        Some(Sharing { shares, threads, hash: RandomState::with_seeds(1, 2, 3, 4), is_first, kept })
    }

    /// Whether every row is known by the stream that touched it first.
    pub(super) fn keeps_owners(&self) -> bool {
        self.kept.is_some()
    }

    /// Handles `chunk` in parts; `None` where it is to be handled in one call instead.
    pub(super) fn handle(&self, attempt: &Attempt, chunk: &Chunk, rows: impl Fn() -> ChunkRows) -> Option<Outcome> {
        let parts = self.split(attempt, chunk)?;
        let (streams, chunks): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.stream, part.chunk)).unzip();
        let handled = self.handle_all(attempt, chunks, &rows)?;
        let met = match &self.kept {
            Some(kept) => {
                let (owners, known) = &mut *kept.borrow_mut();
                let numbers: Vec<_> = streams.iter().flatten().map(|stream| known.number(stream)).collect();
                meet(owners, &numbers, &handled, true).map_err(|breach| said(attempt, &breach, &known.names))
            }
            None => {
                let numbers: Vec<_> = (0..streams.len()).collect();
                let met = meet(&mut Owners::new(usize::MAX), &numbers, &handled, false);
                met.map_err(|breach| {
                    self.stream_by_stream(attempt, chunk, &rows).unwrap_or_else(|| said(attempt, &breach, &[]))
                })
            }
        };
        Some(match met {
            Ok(()) => {
                let writes = handled.into_iter().flat_map(|part| part.outcome.writes).collect();
                Outcome { handled: chunk.len(), writes, failure: None, memory_bytes: 0 }
            }
            Err(failure) => Outcome { handled: 0, writes: Vec::new(), failure: Some(failure), memory_bytes: 0 },
        })
    }

    /// Which two streams it is that meet in this chunk; `None` where they do not when each is by itself.
    fn stream_by_stream(
        &self,
        attempt: &Attempt,
        chunk: &Chunk,
        rows: &impl Fn() -> ChunkRows,
    ) -> Option<EventFailure> {
        let (names, chunks): (Vec<_>, Vec<_>) =
            by_stream(chunk)?.into_iter().filter_map(|part| Some((part.stream?, part.chunk))).unzip();
        let handled = self.handle_all(attempt, chunks, rows)?;
        let numbers: Vec<_> = (0..names.len()).collect();
        let breach = meet(&mut Owners::new(usize::MAX), &numbers, &handled, false).err()?;
        Some(said(attempt, &breach, &names))
    }

    /// The parts in which a chunk is to be handled; `None` where in one call.
    fn split(&self, attempt: &Attempt, chunk: &Chunk) -> Option<Vec<Part>> {
        if self.kept.is_some() {
            return by_stream(chunk);
        }
        let is_first = self.is_first.take() && chunk.len() <= limits::CHECKED_EVENTS;
        let instances = attempt.pool.share().min(self.threads + 1);
        let parts = if is_first {
            by_stream(chunk)?
        } else if is_checked(chunk.position(0)) {
            self.by_hash(chunk, instances.max(limits::CHECKED_PARTS))?
        } else if chunk.len() >= limits::SHARED_EVENTS && instances > 1 {
            self.by_hash(chunk, instances)?
        } else {
            return None;
        };
        (parts.len() > 1).then_some(parts)
    }

    fn by_hash(&self, chunk: &Chunk, parts: usize) -> Option<Vec<Part>> {
        let mut chunks: Vec<Chunk> = (0..parts).map(|_| Chunk::new(chunk.through)).collect();
        for index in 0..chunk.len() {
            let stream = unspool_frame::Event::stream_of(chunk.encoded(index))?;
            let part = (self.hash.hash_one(stream) % parts as u64) as usize;
            chunks[part].push(chunk.encoded(index), chunk.position(index));
        }
        chunks.retain(|chunk| !chunk.is_empty());
        Some(chunks.into_iter().map(|chunk| Part { stream: None, chunk }).collect())
    }

    /// Handles all parts, and waits for all, so that none works on an older view while the next chunk is handled; `None` where
    /// one of them did not succeed. The panic of another thread goes on on this one: it is no failure of a part, and the scope
    /// would report it only once the attempt had ended.
    fn handle_all(&self, attempt: &Attempt, chunks: Vec<Chunk>, rows: &impl Fn() -> ChunkRows) -> Option<Vec<Handled>> {
        let parts = chunks.len();
        let at_once = attempt.pool.share().clamp(1, self.threads + 1).min(parts);
        let mut shares: Vec<Vec<_>> = (0..at_once).map(|_| Vec::new()).collect();
        for (number, chunk) in chunks.into_iter().enumerate() {
            shares[number % at_once].push((number, chunk, rows()));
        }
        let (done, outcomes) = channel();
        let own = shares.pop()?;
        let mut sent = 0;
        for parts in shares {
            self.shares.send(Share { parts, done: done.clone() }).ok()?;
            sent += 1;
        }
        drop(done);
        let mut all = handle_share(attempt, own);
        let others: Vec<_> = outcomes.iter().take(sent).collect();
        if others.len() < sent {
            return None;
        }
        for other in others {
            all.extend(other.unwrap_or_else(|panic| panics::go_on(panic)));
        }
        all.sort_unstable_by_key(|(number, _)| *number);
        let handled: Option<Vec<_>> = all.into_iter().map(|(_, handled)| handled).collect();
        handled.filter(|handled| handled.len() == parts)
    }
}

fn work(attempt: &Attempt, waiting: &Mutex<Receiver<Share>>) {
    yield_if_low(attempt.record.spec.options.priority());
    loop {
        let share = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Share { parts, done }) = share else { return };
        if done.send(panics::caught(|| handle_share(attempt, parts))).is_err() {
            return;
        }
    }
}

/// Handles parts one after another, up to the first that fails.
fn handle_share(attempt: &Attempt, parts: Parts) -> Done {
    let mut all = Vec::with_capacity(parts.len());
    for (number, chunk, rows) in parts {
        let (rows, looked) = rows.noting();
        let outcome = instance::call(attempt, &chunk, rows).ok().filter(|outcome| outcome.failure.is_none());
        let looked = std::mem::take(&mut *looked.lock().unwrap_or_else(PoisonError::into_inner));
        let failed = outcome.is_none();
        all.push((number, outcome.map(|outcome| Handled { outcome, looked })));
        if failed {
            break;
        }
    }
    all
}

/// A part for each stream.
fn by_stream(chunk: &Chunk) -> Option<Vec<Part>> {
    let (mut streams, mut parts) = (Streams::default(), Vec::new());
    for index in 0..chunk.len() {
        let stream = std::str::from_utf8(unspool_frame::Event::stream_of(chunk.encoded(index))?).ok()?;
        let number = streams.number(stream);
        if number == parts.len() {
            parts.push(Part { stream: Some(stream.to_owned()), chunk: Chunk::new(chunk.through) });
        }
        parts[number].chunk.push(chunk.encoded(index), chunk.position(index));
    }
    Some(parts)
}

/// Whether the call that begins here is one of those that are checked. Positions of calls may be multiples of anything.
fn is_checked(position: Position) -> bool {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (position.minor ^ position.major.rotate_left(32)).wrapping_mul(ODD) >> 32;
    mixed.is_multiple_of(limits::CHECKED_CALLS)
}

/// Adds to `owners` what the parts with these `numbers` have touched: first what was scanned, then what was written, then what
/// was read.
fn meet(owners: &mut Owners, numbers: &[usize], handled: &[Handled], remembers: bool) -> Result<(), Breach> {
    let parts = || numbers.iter().copied().zip(handled);
    parts().for_each(|(number, part)| owners.scanned(number, &part.looked));
    for (number, part) in parts() {
        for RowWrite { table, key, .. } in &part.outcome.writes {
            owners.written(number, *table, key)?;
        }
    }
    parts().try_for_each(|(number, part)| owners.read(number, &part.looked, remembers))
}

/// The failure of a projection that is not what it declares. No event is at fault.
fn said(attempt: &Attempt, breach: &Breach, streams: &[String]) -> EventFailure {
    let Breach { table, key, how, owners } = breach;
    let table = attempt.record.tables.get(*table).map_or("", String::as_str);
    let key: String = key.chars().take(100).collect();
    let key = key.escape_debug();
    let name = |number: usize| streams.get(number).map_or("another", String::as_str);
    let (one, other) = (name(owners.0), name(owners.1));
    let what = match how {
        Meeting::Written => format!("two streams write the row {key} of table {table}, {one} and {other}"),
        Meeting::Read => format!("stream {one} reads the row {key} of table {table}, which stream {other} writes"),
        Meeting::Scanned(prefix) => format!(
            "stream {one} scans table {table} by the prefix \"{}\", where stream {other} writes the row {key}",
            prefix.escape_debug()
        ),
    };
    let message = format!(
        "the projection declares that it is partitioned by stream, but {what}: remove `partitioning: Stream`, or key the row by \
         stream"
    );
    let details = [("table", table), ("key", &key.to_string()), ("stream", one), ("other stream", other)];
    EventFailure {
        details: details.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        stream: Some(one.to_owned()),
        plugin_digest: Some(attempt.plugin.digest().to_owned()),
        ..EventFailure::permanent(FailureKind::BadOutput, message)
    }
}
