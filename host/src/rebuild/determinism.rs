//! Whether a plugin's rows depend on anything but its events: it runs several times over the same history, each time in
//! another run mode, in a throwaway store of its own.

use super::{
    RebuildError,
    bench::{Bench, RunMode},
    compare::{RowDifference, compare},
    shadow::nothing_compared,
    supervisor::Supervisor,
};
use crate::{
    limits,
    store::{RebuildOptions, RebuildRecord},
    vocabulary::{Matcher, Partitioning, Position},
};
use schemars::JsonSchema;
use serde::Serialize;

/// What checking a plugin for determinism found.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeterminismReport {
    /// What the plugin describes.
    pub projection_name: String,
    /// The plugin.
    pub plugin_digest: String,
    /// Its events in the history.
    pub events: u64,
    /// The run modes, one by one; the others are compared with the first.
    pub runs: Vec<Run>,
    /// Where the first run that differs does so; absent where none does.
    pub difference: Option<Divergence>,
}

/// One run over the history.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The run mode.
    pub manner: String,
    /// The digest of its rows.
    pub digest: String,
    /// Its events that could not be handled, with the later ones of their streams.
    pub parked: u64,
    /// Whether rows and dead letters are those of the first run.
    pub same: bool,
}

/// Where two runs diverge.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Divergence {
    /// The run mode in which it shows.
    pub manner: String,
    /// Up to the event before this one, both runs come to the same rows.
    pub event_id: Option<String>,
    /// Its position.
    pub position: Position,
    /// The first rows that differ up to there: `expected` is what the first run has.
    pub first: Vec<RowDifference>,
    /// Why there are no rows to compare, where a run ended early: two streams touch a row of a projection that declares that
    /// it is partitioned by stream.
    pub problem: Option<String>,
}

impl Divergence {
    /// A run mode that did not finish, although others did.
    fn failed(mode: RunMode, to: Position, problem: String) -> Divergence {
        Divergence { manner: mode.to_string(), event_id: None, position: to, first: Vec::new(), problem: Some(problem) }
    }
}

impl Supervisor {
    /// Runs the plugin in `component` over all of `source` in several run modes, and compares the rows. The store of this
    /// host is not touched.
    ///
    /// # Errors
    /// When the plugin is not accepted, the source cannot be read, or a run does not finish.
    pub fn verify_plugin(&self, component: &[u8], source: &str) -> Result<DeterminismReport, RebuildError> {
        let plugin = self.host.engine.load(component)?;
        let history = self.host.source(source)?;
        let dir = tempfile::tempdir()?;
        let usual = RebuildOptions::default().chunk_size_of(plugin.description());
        let mut bench = Bench::open(&self.host, dir.path(), (source, history), plugin)?;
        let name = bench.plugin.description().name.clone();
        bench.supervisor.install(component, None)?;
        let to = bench.source.ceiling()?;
        let matcher = Matcher::new(&bench.plugin.description().event_types);
        let mut report = DeterminismReport {
            projection_name: name,
            plugin_digest: bench.plugin.digest().to_owned(),
            events: 0,
            runs: Vec::new(),
            difference: None,
        };
        // A plugin that breaks its declaration may do so in any run; where each stream is by itself it is found for certain.
        let is_partitioned = bench.plugin.description().partitioning == Partitioning::Stream;
        let by_streams = match is_partitioned.then(|| bench.run(RunMode::Streams(usual), to)).transpose() {
            Err(e) if breach(&e) => {
                (report.events, _) = bench.walk(&matcher, Position::START, to, u64::MAX)?;
                report.difference = Some(Divergence::failed(RunMode::Streams(usual), to, e.to_string()));
                return Ok(report);
            }
            by_streams => by_streams?,
        };
        let first = bench.run(RunMode::Chunks(usual), to)?;
        report.events = first.passed();
        if report.events == 0 {
            return Err(nothing_compared(&report.projection_name, source));
        }
        report.runs.push(result(&bench, RunMode::Chunks(usual), &first, &first)?);
        if let Some(record) = by_streams {
            report.runs.push(result(&bench, RunMode::Streams(usual), &record, &first)?);
            bench.drop(&record)?;
        }
        let others = [1, 7, 5000].into_iter().filter(|size| *size != usual).map(RunMode::Chunks);
        let instances = INSTANCES.iter().filter(|_| is_partitioned).map(|instances| RunMode::Instances(*instances));
        for mode in others.chain([RunMode::Again(usual), RunMode::Crash(usual)]).chain(instances) {
            let record = match bench.run(mode, to) {
                Err(e) if breach(&e) => {
                    report.difference.get_or_insert(Divergence::failed(mode, to, e.to_string()));
                    break;
                }
                run => run?,
            };
            let run = result(&bench, mode, &record, &first)?;
            let differs = !run.same;
            report.runs.push(run);
            bench.drop(&record)?;
            if differs && report.difference.is_none() {
                report.difference = Some(divergence(&mut bench, RunMode::Chunks(usual), mode, &matcher, to)?);
            }
        }
        Ok(report)
    }
}

/// Whether a run ended because two streams met in a row; anything else says nothing about the plugin.
fn breach(error: &RebuildError) -> bool {
    matches!(error, RebuildError::NotBuilt { failure: Some(failure), .. } if failure.is_breach())
}

/// Instances that a projection which is partitioned by stream is tried with, beside one.
const INSTANCES: [usize; 2] = [2, limits::POOL_INSTANCES];

fn result(
    bench: &Bench<'_>,
    mode: RunMode,
    record: &RebuildRecord,
    first: &RebuildRecord,
) -> Result<Run, RebuildError> {
    let generation = |record: &RebuildRecord| bench.store().generation(bench.name(), record.generation);
    let digest = bench.store().digest(&generation(record)?)?;
    let same = digest == bench.store().digest(&generation(first)?)? && record.parked == first.parked;
    Ok(Run { manner: mode.to_string(), digest: digest.digest, parked: record.parked, same })
}

/// Bisects the history for the first event up to which two run modes differ while they agree before it.
fn divergence(
    bench: &mut Bench<'_>,
    usual: RunMode,
    mode: RunMode,
    matcher: &Matcher,
    to: Position,
) -> Result<Divergence, RebuildError> {
    let (mut agree, mut differ) = (Position::START, to);
    loop {
        let (between, _) = bench.walk(matcher, agree, differ, u64::MAX)?;
        if between <= 1 {
            break;
        }
        let (_, middle) = bench.walk(matcher, agree, differ, between.div_ceil(2))?;
        if rows_that_differ(bench, usual, mode, middle)?.is_some() {
            differ = middle;
        } else {
            agree = middle;
        }
    }
    let mut event = None;
    let mut reader = bench.source.read(matcher, agree, differ)?;
    while let Some(block) = reader.next()? {
        if let Some((_, position)) = block.ends.first() {
            let id = unspool_frame::Event::decode(&mut &block.bytes[..]).map(|event| event.id.to_owned());
            event = Some((id.ok(), *position));
            break;
        }
    }
    let (event_id, position) = event.unwrap_or((None, differ));
    let first = rows_that_differ(bench, usual, mode, differ)?.unwrap_or_default();
    Ok(Divergence { manner: mode.to_string(), event_id, position, first, problem: None })
}

/// The rows in which the two run modes differ up to `to`: `None` where they agree, in their dead letters too.
fn rows_that_differ(
    bench: &mut Bench<'_>,
    usual: RunMode,
    mode: RunMode,
    to: Position,
) -> Result<Option<Vec<RowDifference>>, RebuildError> {
    let (one, other) = (bench.run(usual, to)?, bench.run(mode, to)?);
    let generation = |record: &RebuildRecord| bench.store().generation(bench.name(), record.generation);
    let comparison = compare(bench.store(), &generation(&one)?, &generation(&other)?)?;
    let differs = comparison.differs() || one.parked != other.parked;
    bench.drop(&one)?;
    bench.drop(&other)?;
    Ok(differs.then_some(comparison.first))
}
