//! A store that is thrown away, and the modes in which a plugin goes through a history in it.

use super::{
    Options, RebuildError, attempts, host::Host, prepared::attempt_start, shadow::Shadow, supervisor::Supervisor,
};
use crate::{
    disk::DiskError,
    limits,
    plugin::Plugin,
    source::{Source, SourceError},
    store::{DataDir, NewRebuild, OnError, Purpose, RebuildOptions, RebuildRecord, RebuildSpec, Store, StoreError},
    vocabulary::{Matcher, Position, Status, now_ms, work},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A mode of going through a history.
#[derive(Debug, Clone, Copy)]
pub(super) enum RunMode {
    /// Chunks of this many events.
    Chunks(u32),
    /// The same again: every chunk meets a fresh instance instead of the one that was thrown away.
    Again(u32),
    /// Chunks of this many events, with a host that dies in the middle, and another that goes on.
    Crash(u32),
    /// So many instances, which handle streams side by side.
    Instances(usize),
    /// Each stream by itself: none may touch a row that another writes.
    Streams(u32),
}

impl std::fmt::Display for RunMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunMode::Chunks(1) => f.write_str("one event at a time"),
            RunMode::Chunks(size) => write!(f, "chunks of {size}"),
            RunMode::Again(size) => write!(f, "chunks of {size}, again"),
            RunMode::Crash(size) => write!(f, "chunks of {size}, with a crash in the middle"),
            RunMode::Instances(instances) => write!(f, "streams side by side on {instances} instances"),
            RunMode::Streams(_) => f.write_str("each stream by itself"),
        }
    }
}

/// Events of a chunk that several instances share.
const INSTANCES_CHUNK: u32 = 2 * limits::SHARED_EVENTS as u32;

/// A supervisor of its own, on a store that is thrown away.
pub(super) struct Bench<'a> {
    host: &'a Host,
    dir: &'a Path,
    source_name: String,
    pub(super) source: Arc<dyn Source>,
    pub(super) plugin: Plugin,
    pub(super) supervisor: Supervisor,
}

impl<'a> Bench<'a> {
    pub(super) fn open(
        host: &'a Host,
        dir: &'a Path,
        (source_name, source): (&str, Arc<dyn Source>),
        plugin: Plugin,
    ) -> Result<Bench<'a>, RebuildError> {
        let supervisor = open(host, dir, alone())?;
        Ok(Bench { host, dir, source_name: source_name.to_owned(), source, plugin, supervisor })
    }

    pub(super) fn store(&self) -> &Store {
        &self.supervisor.host.store
    }

    pub(super) fn name(&self) -> &str {
        &self.plugin.description().name
    }

    /// Builds a generation up to `to`.
    pub(super) fn run(&mut self, mode: RunMode, to: Position) -> Result<RebuildRecord, RebuildError> {
        let (options, size) = match mode {
            RunMode::Chunks(size) | RunMode::Again(size) => return self.build(size, to),
            RunMode::Crash(size) => return self.run_with_a_crash(size, to),
            RunMode::Instances(instances) => (Options { instances, ..alone() }, INSTANCES_CHUNK),
            RunMode::Streams(size) => (Options { keep_owners: true, ..alone() }, size),
        };
        self.reopen(options)?;
        let built = self.build(size, to);
        self.reopen(alone())?;
        built
    }

    fn build(&self, size: u32, to: Position) -> Result<RebuildRecord, RebuildError> {
        self.supervisor.build_shadow(
            self.name(),
            Shadow {
                source: self.source.clone(),
                found_in: None,
                source_name: self.source_name.clone(),
                plugin: self.plugin.clone(),
                segments: Vec::new(),
                into: None,
                indexes: Vec::new(),
                touched: None,
                observed: None,
                after: Position::START,
                to,
                chunk_size: Some(size),
                on_error: OnError::Park,
                // Kept when the store is opened again; scratch generations are not.
                purpose: Purpose::AsOf,
                label: None,
            },
        )
    }

    /// Builds the first half, leaves the store as a host does that dies there, and lets another one go on.
    fn run_with_a_crash(&mut self, size: u32, to: Position) -> Result<RebuildRecord, RebuildError> {
        let (name, description) = (self.name().to_owned(), self.plugin.description().clone());
        let matcher = Matcher::new(&description.event_types);
        let (events, _) = self.walk(&matcher, Position::START, to, u64::MAX)?;
        let (_, middle) = self.walk(&matcher, Position::START, to, events / 2)?;
        work::begin(format!("building {name}"), "events", Some(events));
        let spec = RebuildSpec {
            source: self.source_name.clone(),
            source_identity: self.source.identity().to_owned(),
            after: Position::START,
            to: Some(to),
            purpose: Purpose::Rebuild,
            label: None,
            segments: Vec::new(),
            options: RebuildOptions {
                chunk_size: Some(size),
                no_promote: true,
                on_error: Some(OnError::Park),
                allow_parked: true,
                ..RebuildOptions::default()
            },
        };
        let half = RebuildSpec { to: Some(middle), ..spec.clone() };
        let start = attempt_start(self.source.as_ref(), &description, &half, Position::START, 0)?;
        let new = NewRebuild { spec, shape: None, into: None, indexes: Vec::new() };
        let generation = self.store().create_generation(&name, new, now_ms())?.generation;
        let record = self.store().begin_attempt(&name, generation, &start)?;
        let source = self.source.clone();
        attempts::begin(&self.supervisor.host, &name, record, source, self.plugin.clone(), None, None)?;
        self.supervisor.host.wait_for_end(&name);
        self.completed(&name, generation)?;
        self.store().set_status(&name, generation, Status::Running, None, now_ms())?;
        self.reopen(alone())?;
        self.supervisor.resume(&name)?;
        self.supervisor.host.wait_for_end(&name);
        self.completed(&name, generation)
    }

    fn completed(&self, name: &str, generation: u64) -> Result<RebuildRecord, RebuildError> {
        let record = self.store().rebuild(name, generation)?;
        match (&record.checkpoint.error, record.status()) {
            (_, Status::Completed) => Ok(record),
            (Some(failure), _) => Err(RebuildError::NotBuilt {
                message: format!("{name} could not be run: {failure}"),
                failure: record.checkpoint.error.clone().map(Box::new),
            }),
            (None, status) => Err(RebuildError::NotBuilt {
                message: format!("{name} could not be run: it was {status}"),
                failure: None,
            }),
        }
    }

    /// Closes the store, and opens it again.
    fn reopen(&mut self, options: Options) -> Result<(), RebuildError> {
        // An empty store elsewhere stands in meanwhile: there is one supervisor at any time.
        let elsewhere = tempfile::tempdir()?;
        let stand_in = open(self.host, elsewhere.path(), alone())?;
        drop(std::mem::replace(&mut self.supervisor, stand_in));
        self.supervisor = open(self.host, self.dir, options)?;
        Ok(())
    }

    pub(super) fn drop(&self, record: &RebuildRecord) -> Result<(), RebuildError> {
        Ok(self.store().drop_generation(self.name(), record.generation)?)
    }

    /// Reads up to `events` matching events of a range: how many there are, and where the last of them stands. Not every source
    /// counts, or is read backwards.
    pub(super) fn walk(
        &self,
        matcher: &Matcher,
        after: Position,
        through: Position,
        events: u64,
    ) -> Result<(u64, Position), SourceError> {
        let mut reader = self.source.read(matcher, after, through)?;
        let (mut passed, mut last) = (0, after);
        while passed < events
            && let Some(block) = reader.next()?
        {
            let wanted = usize::try_from(events - passed).unwrap_or(usize::MAX).min(block.ends.len());
            passed += wanted as u64;
            last = wanted.checked_sub(1).map_or(last, |index| block.ends[index].1);
        }
        Ok((passed, last))
    }
}

/// One instance at a time: what other runs are compared with is in order.
fn alone() -> Options {
    Options { instances: 1, ..Options::default() }
}

/// A supervisor on the store in `dir`, which may be released only after a moment.
fn open(host: &Host, dir: &Path, options: Options) -> Result<Supervisor, RebuildError> {
    const LET_GO: Duration = Duration::from_secs(5);
    let data = DataDir::open(dir).map_err(StoreError::from)?;
    let until = Instant::now() + LET_GO;
    let store = loop {
        match Store::open(&data) {
            Err(StoreError::Disk(DiskError::InUse(_))) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => break opened?,
        }
    };
    Supervisor::start(store, host.sources.clone(), host.engine.clone(), options)
}
