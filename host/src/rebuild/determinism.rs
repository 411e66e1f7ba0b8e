//! Whether a plugin's rows depend on anything but its events: it runs several times over the same history, each time in
//! another manner, in a store of its own that is thrown away.

use super::{
    RebuildError,
    apart::{Apart, nothing_compared},
    compare::{RowDifference, compare},
    host::Host,
    prepared::attempt_start,
    supervisor::{Options, Supervisor},
};
use crate::{
    disk::DiskError,
    limits,
    plugin::Plugin,
    source::Source,
    store::{DataDir, NewRebuild, OnError, Purpose, RebuildOptions, RebuildRecord, RebuildSpec, Store, StoreError},
    vocabulary::{Matcher, Partitioning, Position, Status, now_ms, work},
};
use serde::Serialize;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// What checking a plugin for determinism found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeterminismReport {
    /// What the plugin describes.
    pub projection_name: String,
    /// The plugin.
    pub plugin_digest: String,
    /// Its events in the history.
    pub events: u64,
    /// The manners in which it ran; the first is what the others are compared with.
    pub runs: Vec<Run>,
    /// Where the first run that differs does so; absent where none does.
    pub difference: Option<Divergence>,
}

/// One run over the history.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The manner.
    pub manner: String,
    /// The digest of its rows.
    pub digest: String,
    /// Its events that could not be handled, with those of their streams behind them.
    pub parked: u64,
    /// Whether rows and parked events are those of the first run.
    pub same: bool,
}

/// Where two runs part.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// The manner in which it shows.
    pub manner: String,
    /// Up to the event before this one, both runs come to the same rows.
    pub event_id: Option<String>,
    /// Its position.
    pub position: Position,
    /// The first rows that differ up to there: `expected` is what the first run has.
    pub first: Vec<RowDifference>,
    /// Why there are no rows to compare, where a run ended before its end: two streams touch a row of a projection that says that it
    /// is partitioned by stream.
    pub problem: Option<String>,
}

/// A manner of going through a history.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Chunks of this many events.
    Chunks(u32),
    /// The same again: every chunk meets an instance in place of one that was thrown away.
    Again(u32),
    /// Chunks of this many events, with a host that dies in the middle, and another that goes on.
    Crash(u32),
    /// So many instances, which handle streams side by side.
    Instances(usize),
    /// Each stream by itself: none may touch a row that another writes.
    Streams(u32),
}

impl std::fmt::Display for Manner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Manner::Chunks(1) => f.write_str("one event at a time"),
            Manner::Chunks(size) => write!(f, "chunks of {size}"),
            Manner::Again(size) => write!(f, "chunks of {size}, again"),
            Manner::Crash(size) => write!(f, "chunks of {size}, with a crash in the middle"),
            Manner::Instances(instances) => write!(f, "streams side by side on {instances} instances"),
            Manner::Streams(_) => f.write_str("each stream by itself"),
        }
    }
}

impl Divergence {
    /// A manner that did not come to its end, as others did.
    fn failed(manner: Manner, to: Position, problem: String) -> Divergence {
        Divergence {
            manner: manner.to_string(),
            event_id: None,
            position: to,
            first: Vec::new(),
            problem: Some(problem),
        }
    }
}

impl Supervisor {
    /// Runs the plugin in `component` over all of `source` in several manners, and compares the rows. The store of this
    /// host is not touched.
    ///
    /// # Errors
    /// When the plugin is not accepted, the source cannot be read, or a run does not come to its end.
    pub fn verify_plugin(&self, component: &[u8], source: &str) -> Result<DeterminismReport, RebuildError> {
        let plugin = self.host.engine.load(component)?;
        let history = self.host.source(source)?;
        let dir = tempfile::tempdir()?;
        let usual = RebuildOptions::default().chunk_size_of(plugin.description());
        let mut bench = Bench::open(&self.host, dir.path(), (source, history), plugin)?;
        let name = bench.plugin.description().name.clone();
        bench.supervisor.install(component)?;
        let to = bench.source.ceiling()?;
        let matcher = Matcher::new(&bench.plugin.description().event_types);
        let mut report = DeterminismReport {
            projection_name: name,
            plugin_digest: bench.plugin.digest().to_owned(),
            events: bench.source.count(&matcher, Position::START, to)?,
            runs: Vec::new(),
            difference: None,
        };
        if report.events == 0 {
            return Err(nothing_compared(&report.projection_name, source));
        }
        // Whoever breaks its word may do so in any run; where each stream is by itself it is found for certain.
        let is_partitioned = bench.plugin.description().partitioning == Partitioning::Stream;
        let by_streams = match is_partitioned.then(|| bench.run(Manner::Streams(usual), to)).transpose() {
            Err(e) if breach(&e) => {
                report.difference = Some(Divergence::failed(Manner::Streams(usual), to, e.to_string()));
                return Ok(report);
            }
            by_streams => by_streams?,
        };
        let first = bench.run(Manner::Chunks(usual), to)?;
        report.runs.push(bench.result(Manner::Chunks(usual), &first, &first)?);
        if let Some(record) = by_streams {
            report.runs.push(bench.result(Manner::Streams(usual), &record, &first)?);
            bench.drop(&record)?;
        }
        let others = [1, 7, 5000].into_iter().filter(|size| *size != usual).map(Manner::Chunks);
        let instances = INSTANCES.iter().filter(|_| is_partitioned).map(|instances| Manner::Instances(*instances));
        for manner in others.chain([Manner::Again(usual), Manner::Crash(usual)]).chain(instances) {
            let record = match bench.run(manner, to) {
                Err(e) if breach(&e) => {
                    report.difference.get_or_insert(Divergence::failed(manner, to, e.to_string()));
                    break;
                }
                run => run?,
            };
            let run = bench.result(manner, &record, &first)?;
            let differs = !run.same;
            report.runs.push(run);
            bench.drop(&record)?;
            if differs && report.difference.is_none() {
                report.difference = Some(bench.divergence(Manner::Chunks(usual), manner, &matcher, to)?);
            }
        }
        Ok(report)
    }
}

/// Whether a run ended because two streams met in a row; anything else says nothing of the plugin.
fn breach(error: &RebuildError) -> bool {
    matches!(error, RebuildError::Apart { failure: Some(failure), .. } if failure.is_breach())
}

/// Events of a chunk that several instances share.
const INSTANCES_CHUNK: u32 = 2 * limits::SHARED_EVENTS as u32;

/// Instances that a projection which is partitioned by stream is tried with, beside one.
const INSTANCES: [usize; 2] = [2, limits::POOL_INSTANCES];

/// A supervisor of its own, on a store that is thrown away.
struct Bench<'a> {
    host: &'a Host,
    dir: &'a Path,
    source_name: String,
    source: Arc<dyn Source>,
    plugin: Plugin,
    supervisor: Supervisor,
}

impl<'a> Bench<'a> {
    fn open(
        host: &'a Host,
        dir: &'a Path,
        (source_name, source): (&str, Arc<dyn Source>),
        plugin: Plugin,
    ) -> Result<Bench<'a>, RebuildError> {
        let supervisor = open(host, dir, alone())?;
        Ok(Bench { host, dir, source_name: source_name.to_owned(), source, plugin, supervisor })
    }

    fn store(&self) -> &Store {
        &self.supervisor.host.store
    }

    fn name(&self) -> &str {
        &self.plugin.description().name
    }

    /// Builds a generation up to `to`.
    fn run(&mut self, manner: Manner, to: Position) -> Result<RebuildRecord, RebuildError> {
        let (options, size) = match manner {
            Manner::Chunks(size) | Manner::Again(size) => return self.build(size, to),
            Manner::Crash(size) => return self.run_with_a_crash(size, to),
            Manner::Instances(instances) => (Options { instances, ..alone() }, INSTANCES_CHUNK),
            Manner::Streams(size) => (Options { keep_owners: true, ..alone() }, size),
        };
        self.reopen(options)?;
        let built = self.build(size, to);
        self.reopen(alone())?;
        built
    }

    fn build(&self, size: u32, to: Position) -> Result<RebuildRecord, RebuildError> {
        self.supervisor.build_apart(
            self.name(),
            Apart {
                source: self.source.clone(),
                source_name: self.source_name.clone(),
                plugin: self.plugin.clone(),
                segments: Vec::new(),
                into: None,
                indexes: Vec::new(),
                after: Position::START,
                to,
                chunk_size: Some(size),
                on_error: OnError::Park,
                // Kept when the store is opened again; what is scratch is not.
                purpose: Purpose::AsOf,
                label: None,
            },
        )
    }

    /// Builds the first half, leaves the store as a host does that dies there, and lets another one go on.
    fn run_with_a_crash(&mut self, size: u32, to: Position) -> Result<RebuildRecord, RebuildError> {
        let (name, description) = (self.name().to_owned(), self.plugin.description().clone());
        let matcher = Matcher::new(&description.event_types);
        let events = self.source.count(&matcher, Position::START, to)?;
        let middle = self.source.back(&matcher, to, events.div_ceil(2))?;
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
        let new = NewRebuild { spec, into: None, indexes: Vec::new() };
        let generation = self.store().create_generation(&name, new, now_ms())?.generation;
        let record = self.store().begin_attempt(&name, generation, &start)?;
        let source = self.source.clone();
        self.supervisor.host.begin(&name, record, source, self.plugin.clone())?;
        self.supervisor.host.wait_for_end(&name);
        self.completed(&name, generation)?;
        self.store().settle(&name, generation, Status::Running, None, now_ms())?;
        self.reopen(alone())?;
        self.supervisor.resume(&name)?;
        self.supervisor.host.wait_for_end(&name);
        self.completed(&name, generation)
    }

    fn completed(&self, name: &str, generation: u64) -> Result<RebuildRecord, RebuildError> {
        let record = self.store().rebuild(name, generation)?;
        match (&record.checkpoint.error, record.status()) {
            (_, Status::Completed) => Ok(record),
            (Some(failure), _) => Err(RebuildError::Apart {
                message: format!("{name} could not be run: {failure}"),
                failure: record.checkpoint.error.clone().map(Box::new),
            }),
            (None, status) => {
                Err(RebuildError::Apart { message: format!("{name} could not be run: it was {status}"), failure: None })
            }
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

    fn result(&self, manner: Manner, record: &RebuildRecord, first: &RebuildRecord) -> Result<Run, RebuildError> {
        let generation = |record: &RebuildRecord| self.store().generation(self.name(), record.generation);
        let digest = self.store().digest(&generation(record)?)?;
        let same = digest == self.store().digest(&generation(first)?)? && record.parked == first.parked;
        Ok(Run { manner: manner.to_string(), digest: digest.digest, parked: record.parked, same })
    }

    fn drop(&self, record: &RebuildRecord) -> Result<(), RebuildError> {
        Ok(self.store().drop_generation(self.name(), record.generation)?)
    }

    /// Halves the history until one event is left, up to which two manners differ while they agree before it.
    fn divergence(
        &mut self,
        usual: Manner,
        manner: Manner,
        matcher: &Matcher,
        to: Position,
    ) -> Result<Divergence, RebuildError> {
        let (mut agree, mut differ) = (Position::START, to);
        loop {
            let between = self.source.count(matcher, agree, differ)?;
            if between <= 1 {
                break;
            }
            let middle = self.source.back(matcher, differ, between / 2)?;
            if self.rows_that_differ(usual, manner, middle)?.is_some() {
                differ = middle;
            } else {
                agree = middle;
            }
        }
        let mut event = None;
        let mut reader = self.source.read(matcher, agree, differ)?;
        while let Some(block) = reader.next()? {
            if let Some((_, position)) = block.ends.first() {
                let id = unspool_frame::Event::decode(&mut &block.bytes[..]).map(|event| event.id.to_owned());
                event = Some((id.ok(), *position));
                break;
            }
        }
        let (event_id, position) = event.unwrap_or((None, differ));
        let first = self.rows_that_differ(usual, manner, differ)?.unwrap_or_default();
        Ok(Divergence { manner: manner.to_string(), event_id, position, first, problem: None })
    }

    /// The rows in which the two manners differ up to `to`: `None` where they agree, and in what they parked too.
    fn rows_that_differ(
        &mut self,
        usual: Manner,
        manner: Manner,
        to: Position,
    ) -> Result<Option<Vec<RowDifference>>, RebuildError> {
        let (one, other) = (self.run(usual, to)?, self.run(manner, to)?);
        let generation = |record: &RebuildRecord| self.store().generation(self.name(), record.generation);
        let comparison = compare(self.store(), &generation(&one)?, &generation(&other)?)?;
        let differs = comparison.differs() || one.parked != other.parked;
        self.drop(&one)?;
        self.drop(&other)?;
        Ok(differs.then_some(comparison.first))
    }
}

/// One instance at a time: what other runs are compared with is in order.
fn alone() -> Options {
    Options { instances: 1, ..Options::default() }
}

/// A supervisor on the store in `dir`, which may take a moment to be let go of.
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
