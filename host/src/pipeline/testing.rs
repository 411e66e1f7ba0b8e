//! What the tests of the pipeline put around an attempt: a plugin, a source and a disk that behave as scripted. The store is
//! the real one.

use super::{
    attempt::Attempt, committer::Committer, overlay::ChunkRows, pool::InstancePool, projection::Projection,
    published::Published, stop::Stop, tally::Tally,
};
use crate::{
    disk::StorageBackend,
    plugin::{CallError, Outcome, RowWrite},
    source::{Reader, Source, SourceError},
    store::{
        AttemptStart, Generation, NewRebuild, ParkedEvent, Priority, Purpose, RebuildOptions, RebuildRecord,
        RebuildSpec, Store,
    },
    vocabulary::{Description, EventBlock, EventFailure, FailureKind, Matcher, Partitioning, Position, ReadRows, Scan},
};
use bytes::Bytes;
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use unspool_frame::{Chunk, Complexity, Event, TableDescription};

/// A store in memory, and what its attempts share.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) disk: Arc<Disk>,
    pub(super) committer: Committer,
    pub(super) pool: InstancePool,
}

impl World {
    pub(super) fn new() -> World {
        let disk = Arc::new(Disk::default());
        let store = Store::open_on(Backend { memory: redb::backends::InMemoryBackend::new(), disk: disk.clone() });
        let store = store.unwrap();
        World { committer: Committer::start(store.clone()).unwrap(), pool: InstancePool::new(1, 1), disk, store }
    }

    /// A new generation of the projection `name`, claimed, over as many events as `history` has.
    pub(super) fn begin(&self, name: &str, history: &History, options: RebuildOptions) -> RebuildRecord {
        begin(&self.store, name, history.ids.len() as u64, options)
    }

    /// An attempt that leads to the end of `history`, and does not wait between tries.
    pub(super) fn attempt(&self, record: RebuildRecord, history: &Arc<History>, plugin: &Arc<Fake>) -> Attempt {
        Attempt {
            source: history.clone(),
            matcher: Matcher::All,
            plugin: plugin.clone(),
            store: self.store.clone(),
            committer: self.committer.clone(),
            pool: self.pool.clone(),
            stop: plugin.stop.clone(),
            published: Arc::new(Published::new(&record)),
            completes: true,
            follows: false,
            end: None,
            retry: None,
            touched: None,
            observed: None,
            recent: None,
            tally: Some(Tally::default()),
            backoff: |_| Duration::ZERO,
            record,
        }
    }

    /// The record as the store has it.
    pub(super) fn now(&self, record: &RebuildRecord) -> RebuildRecord {
        self.store.rebuild(&record.checkpoint.projection_name, record.generation).unwrap()
    }

    /// The keys of its rows, which are the ids of the events that wrote them.
    pub(super) fn rows(&self, record: &RebuildRecord) -> String {
        let rows = self.store.current_rows(&Generation::of(record)).unwrap().scan(0, Scan::ALL).unwrap();
        rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
    }

    /// What it has set aside, by stream.
    pub(super) fn parked(&self, record: &RebuildRecord) -> Vec<ParkedEvent> {
        self.store.parked(&Generation::of(record), None, usize::MAX, usize::MAX).unwrap()
    }
}

/// A generation of the projection `name`, whose table is `rows`, claimed to handle so many events.
pub(super) fn begin(store: &Store, name: &str, events: u64, options: RebuildOptions) -> RebuildRecord {
    let description = Description {
        name: name.to_owned(),
        version: 1,
        event_types: vec!["*".to_owned()],
        tables: vec![TableDescription { name: "rows".to_owned() }],
        complexity: Complexity::default(),
        chunk_size: options.chunk_size,
        partitioning: Partitioning::default(),
    };
    store.install(&description, "digest", b"component", "install", 0).unwrap();
    let spec = RebuildSpec {
        source: "log".to_owned(),
        source_identity: "history".to_owned(),
        after: Position::START,
        to: None,
        purpose: Purpose::Rebuild,
        label: None,
        segments: Vec::new(),
        // Or this thread would be of low priority from the first attempt on.
        options: RebuildOptions { priority: Some(Priority::Normal), ..options },
    };
    let record =
        store.create_generation(name, NewRebuild { spec, shape: None, into: None, indexes: Vec::new() }, 0).unwrap();
    let (target, total_events) = (Position::number(events), Some(events));
    let start = AttemptStart { target, total_events, ..AttemptStart::again(&record) };
    store.begin_attempt(name, record.generation, &start).unwrap()
}

/// Events by their ids, at positions from 1 on. The first letter of an id is its stream.
#[derive(Default)]
pub(super) struct History {
    pub(super) ids: Vec<String>,
    /// The bytes of each payload.
    pub(super) payload: usize,
    /// Reading this event panics.
    pub(super) panics_at: Option<&'static str>,
}

impl History {
    /// The events with these ids, separated by blanks.
    pub(super) fn of(ids: &str) -> History {
        History { ids: ids.split(' ').map(str::to_owned).collect(), payload: 1, ..History::default() }
    }
}

impl Source for History {
    fn identity(&self) -> &str {
        "history"
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        Ok(Position::number(self.ids.len() as u64))
    }

    fn read(&self, _: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        let range = (1..).zip(&self.ids).filter(|(number, _)| (after.minor + 1..=through.minor).contains(number));
        let ids = range.map(|(number, id)| (number, id.clone())).collect::<Vec<_>>().into_iter();
        Ok(Box::new(Blocks { ids, payload: self.payload, panics_at: self.panics_at, block: EventBlock::default() }))
    }
}

/// A block for each event.
struct Blocks {
    ids: std::vec::IntoIter<(u64, String)>,
    payload: usize,
    panics_at: Option<&'static str>,
    block: EventBlock,
}

impl Reader for Blocks {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        let Some((position, id)) = self.ids.next() else { return Ok(None) };
        assert_ne!(Some(id.as_str()), self.panics_at, "the source is broken");
        let event = Event {
            position,
            id: &id,
            stream: &id[..1],
            kind: "Fine",
            timestamp: 0,
            schema_version: 1,
            data: &vec![0xc0; self.payload],
            metadata: &[0xc0],
        };
        let mut frame = Vec::new();
        event.encode(&mut frame);
        self.block.clear();
        self.block.push(&frame, Position::number(position), None);
        Ok(Some(&self.block))
    }
}

/// What a plugin does with an event.
pub(super) enum Does {
    /// Writes the row that has its id.
    Writes,
    /// Refuses it.
    Fails,
    /// Fails for a reason that may pass.
    FailsForNow,
    /// Ends the call as a whole.
    Traps,
}

/// What a plugin does with an event, by its id and the number of events in the call.
type Rule = dyn Fn(&str, usize) -> Does + Send + Sync;

/// A plugin that does with an event what the test wants.
pub(super) struct Fake {
    pub(super) stop: Stop,
    pub(super) partitioning: Partitioning,
    pub(super) does: Box<Rule>,
    pub(super) calls: Mutex<Vec<String>>,
}

impl Fake {
    pub(super) fn new(does: impl Fn(&str, usize) -> Does + Send + Sync + 'static) -> Fake {
        Fake {
            stop: Stop::default(),
            partitioning: Partitioning::default(),
            does: Box::new(does),
            calls: Mutex::default(),
        }
    }

    /// The calls so far: the ids of the events of each.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Projection for Fake {
    fn digest(&self) -> &str {
        "digest"
    }

    fn partitioning(&self) -> Partitioning {
        self.partitioning
    }

    fn handle(&self, chunk: &[u8], rows: ChunkRows, stop: &Arc<AtomicBool>) -> Result<Outcome, CallError> {
        let ids: Vec<String> = Chunk::new(chunk).unwrap().map(|event| event.unwrap().id.to_owned()).collect();
        self.calls.lock().unwrap().push(ids.join(" "));
        if stop.load(Ordering::SeqCst) {
            return Err(CallError::Stopped);
        }
        let mut writes = Vec::new();
        for (handled, id) in ids.iter().enumerate() {
            let failure = match (self.does)(id, ids.len()) {
                Does::Writes => {
                    // An event is never handled again once its row can be read.
                    assert_eq!(rows.get(0, id), Ok(None), "{id} is handled twice");
                    writes.push(RowWrite {
                        table: 0,
                        key: Bytes::from(id.clone()),
                        document: Some(Bytes::from_static(b"\xc0")),
                    });
                    continue;
                }
                Does::Fails => EventFailure::permanent(FailureKind::Handler, "no"),
                Does::FailsForNow => EventFailure::transient(FailureKind::Handler, "not now"),
                Does::Traps => return Err(CallError::Failed(EventFailure::permanent(FailureKind::Trap, "trapped"))),
            };
            return Ok(Outcome { handled, writes, failure: Some(failure), memory_bytes: 0 });
        }
        Ok(Outcome { handled: ids.len(), writes, failure: None, memory_bytes: 0 })
    }
}

/// What a disk does from now on, and what it has done.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) fails: AtomicBool,
    pub(super) panics: AtomicBool,
    pub(super) syncs: AtomicUsize,
}

#[derive(Debug)]
struct Backend {
    memory: redb::backends::InMemoryBackend,
    disk: Arc<Disk>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        assert!(!self.disk.panics.load(Ordering::SeqCst), "the disk is broken");
        match self.disk.fails.load(Ordering::SeqCst) {
            true => Err(io::Error::other("the disk fails")),
            false => self.memory.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}
