//! Retrying parked events: each stream from its first parked event on, in order, until one fails again.

use super::{
    RebuildError, Refusal, prepared::same_shape, same_history::Accept, same_history::refuse_other_history,
    supervisor::Supervisor,
};
use crate::{
    crash, limits,
    pipeline::{Redriven, redrive},
    plugin::Plugin,
    source::Source,
    store::{Generation, ParkedEvent, RebuildRecord, Store},
    vocabulary::{EventFailure, Partitioning, Position, Status},
};
use serde::Serialize;
use std::sync::Arc;

/// What retrying parked events came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryReport {
    /// The projection.
    pub projection_name: String,
    /// The generation they were parked in.
    pub generation: u64,
    /// Events that have been handled now.
    pub handled: u64,
    /// Events that have been forgotten now.
    pub discarded: u64,
    /// Events that are still parked.
    pub parked: u64,
    /// Why, for the first streams that stopped again.
    pub failures: Vec<EventFailure>,
}

/// Failures that a report shows.
const SHOWN: usize = 10;

impl Supervisor {
    /// Handles the parked events of the latest rebuild of `name` with the plugin in place; of one `stream` alone, where
    /// that is given.
    ///
    /// # Errors
    /// When it is running or has none parked, or the plugin in place has another shape; and where the projection is not
    /// partitioned by stream: then later events of other streams have been applied already, and only `out_of_order` makes
    /// it do so.
    pub fn retry(&self, name: &str, stream: Option<&str>, out_of_order: bool) -> Result<RetryReport, RebuildError> {
        self.host.compile(name);
        let _turn = self.host.command(name)?;
        let record = self.parked_in(name, stream)?;
        let plugin = self.host.plugin(self.host.store.projection(name)?.digest())?;
        if !same_shape(&record, plugin.description()) {
            return Err(RebuildError::Refused { name: name.to_owned(), refusal: Refusal::OtherShape });
        }
        if plugin.description().partitioning != Partitioning::Stream && !out_of_order {
            return Err(RebuildError::NotPossible(format!(
                "{name} is not partitioned by stream: events of other streams that came later have been applied already, and the \
                 rows would differ from those of a run that never failed; the plain way is unspool rebuild {name} --restart with \
                 the fixed plugin, or add --out-of-order"
            )));
        }
        let generation = self.host.store.generation(name, record.generation)?;
        let claimed = self.host.store.claim(name, record.generation)?;
        let mut report =
            RetryReport { projection_name: name.to_owned(), generation: record.generation, ..RetryReport::default() };
        let source = || {
            let source = self.host.source(&record.spec.source)?;
            refuse_other_history(source.as_ref(), &record, &Accept::default())?;
            Ok(source)
        };
        let redrive = Redrive { store: &self.host.store, plugin: &plugin, record: &claimed, source: &source };
        redrive.run(&generation, stream, &mut report)?;
        self.seal_again(name, record.generation, &generation, &mut report)?;
        Ok(report)
    }

    /// Forgets parked events of the latest rebuild of `name`: of one `stream`, or all. They are then never applied.
    ///
    /// # Errors
    /// When it is running or has none parked.
    pub fn discard(&self, name: &str, stream: Option<&str>) -> Result<RetryReport, RebuildError> {
        let _turn = self.host.command(name)?;
        let record = self.parked_in(name, stream)?;
        let installed = self.host.store.projection(name)?;
        let generation = self.host.store.generation(name, record.generation)?;
        let claimed = self.host.store.claim(name, record.generation)?;
        let mut report =
            RetryReport { projection_name: name.to_owned(), generation: record.generation, ..RetryReport::default() };
        let wanted = |event: &ParkedEvent| stream.is_none_or(|stream| event.stream == stream);
        loop {
            let page = self.host.store.parked(
                &generation,
                stream.map(|s| (s, Position::START)),
                limits::RETRY_EVENTS,
                limits::CHUNK_BYTES,
            )?;
            let page: Vec<_> = page.into_iter().filter(wanted).collect();
            if page.is_empty() {
                break;
            }
            report.discarded += page.len() as u64;
            let unparked = page.into_iter().map(|event| (event.stream, event.position)).collect();
            redrive::unpark(&self.host.store, &claimed, installed.digest(), unparked)?;
            crash::point("discard.page");
        }
        self.seal_again(name, record.generation, &generation, &mut report)?;
        Ok(report)
    }

    /// The latest rebuild of `name`, which has parked events (of `stream`, where that is given).
    fn parked_in(&self, name: &str, stream: Option<&str>) -> Result<RebuildRecord, RebuildError> {
        let Some(record) = self.host.store.latest_rebuild(name)? else {
            return Err(RebuildError::NotFound(format!(
                "{name} has never been rebuilt: unspool rebuild {name} starts"
            )));
        };
        if record.status() == Status::Running {
            return Err(RebuildError::NotPossible(format!("{name} is being rebuilt; wait for its end, or pause it")));
        }
        self.host.store.refuse_misfit(name, Some(record.generation), None)?;
        if record.parked == 0 {
            return Err(RebuildError::NotFound(format!("{} has no parked events", record.checkpoint_id())));
        }
        if let Some(stream) = stream {
            let generation = self.host.store.generation(name, record.generation)?;
            let first = self.host.store.parked(&generation, Some((stream, Position::START)), 1, 1)?;
            if first.first().is_none_or(|event| event.stream != stream) {
                return Err(RebuildError::NotFound(format!(
                    "stream {stream} has no parked events in {}; see unspool dead-letters list {name}",
                    record.checkpoint_id()
                )));
            }
        }
        Ok(record)
    }

    fn seal_again(
        &self,
        name: &str,
        number: u64,
        generation: &Generation,
        report: &mut RetryReport,
    ) -> Result<(), RebuildError> {
        let record = self.host.store.rebuild(name, number)?;
        report.parked = record.parked;
        if record.status() == Status::Completed {
            self.host.store.seal(name, number, self.host.store.digest(generation)?)?;
        }
        Ok(())
    }
}

/// Retries everything that `record`, built from `source`, has parked, in whatever order.
pub(super) fn run(
    store: &Store,
    plugin: &Plugin,
    record: &RebuildRecord,
    source: &Arc<dyn Source>,
) -> Result<RetryReport, RebuildError> {
    let name = &record.checkpoint.projection_name;
    let generation = store.generation(name, record.generation)?;
    let claimed = store.claim(name, record.generation)?;
    let mut report = RetryReport::default();
    let redrive = Redrive { store, plugin, record: &claimed, source: &|| Ok(source.clone()) };
    redrive.run(&generation, None, &mut report)?;
    Ok(report)
}

/// What parked events are retried with.
struct Redrive<'a> {
    store: &'a Store,
    plugin: &'a Plugin,
    record: &'a RebuildRecord,
    /// Opens their source, where one has to be read again.
    source: &'a dyn Fn() -> Result<Arc<dyn Source>, RebuildError>,
}

impl Redrive<'_> {
    /// Goes from stream to stream, and within each through its events in order, a page at a time.
    fn run(&self, generation: &Generation, only: Option<&str>, report: &mut RetryReport) -> Result<(), RebuildError> {
        let Redrive { store, plugin, record, .. } = self;
        let mut streams: Vec<String> = store.parked_streams(generation)?.into_iter().collect();
        streams.sort_unstable();
        let mut source = None;
        for stream in streams.iter().filter(|stream| only.is_none_or(|only| only == *stream)) {
            loop {
                let from = Some((stream.as_str(), Position::START));
                let mut page = store.parked(generation, from, limits::RETRY_EVENTS, limits::CHUNK_BYTES)?;
                page.retain(|event| event.stream == *stream);
                if page.is_empty() {
                    break;
                }
                if page.iter().any(|event| event.unreadable) {
                    let source: &Arc<dyn Source> = match &source {
                        Some(source) => source,
                        None => source.insert((self.source)()?),
                    };
                    redrive::read_again(source.as_ref(), &record.checkpoint.projection_name, &mut page)?;
                }
                let Redriven { handled, failure } = redrive::page(store, plugin, record, generation, &page)?;
                crash::point("retry.page");
                report.handled += handled as u64;
                if let Some(failure) = failure {
                    if report.failures.len() < SHOWN {
                        report.failures.push(failure);
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}
