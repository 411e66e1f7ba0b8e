//! Retrying dead letters, in the order of their history: each stream until one of its events fails again.

use super::{
    RebuildError, Refusal,
    attempts::{max_retries, refused},
    prepared::same_shape,
    same_history::Accept,
    same_history::refuse_other_history,
    supervisor::Supervisor,
};
use crate::{
    crash, limits,
    pipeline::{self, Attempt, DeadLetters, Ended, Origin, Retry, amend},
    plugin::Plugin,
    source::{Source, SourceError},
    store::{Generation, ParkedEvent, RebuildRecord},
    vocabulary::{EventFailure, Matcher, Partitioning, Position, Status, work},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Arc, time::Instant};

/// The outcome of retrying dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryReport {
    /// The projection.
    pub projection_name: String,
    /// The generation that they belong to.
    pub generation: u64,
    /// Events that have been handled now.
    pub handled: u64,
    /// Events that have been discarded now.
    pub discarded: u64,
    /// Dead letters that are left.
    pub parked: u64,
    /// Why, for the first streams that stopped again.
    pub failures: Vec<EventFailure>,
}

impl Supervisor {
    /// Handles the dead letters of the latest rebuild of `name` with the installed plugin; of one `stream` alone, where that
    /// is given.
    ///
    /// # Errors
    /// When it is running or has no dead letters, or the installed plugin has another shape; and where the projection is not
    /// partitioned by stream: then later events of other streams have been applied already, and only `out_of_order` makes
    /// it do so.
    pub fn retry(&self, name: &str, stream: Option<&str>, out_of_order: bool) -> Result<RetryReport, RebuildError> {
        self.host.compile(name);
        let _lock = self.host.long_command(name, "a retry of dead letters")?;
        let _held = self.host.hold_followers(name);
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
        let (host, built) = (self.host.clone(), record.clone());
        let origin: Origin = Arc::new(move || {
            let source = host.sources.open(&built.spec.source)?;
            let same = refuse_other_history(source.as_ref(), &built, &Accept::default());
            same.map_err(|e| match e {
                RebuildError::Source(e) => e,
                other => SourceError::permanent(other.to_string()),
            })?;
            Ok(source)
        });
        self.handle_again(&generation, stream, &claimed, &plugin, origin, &mut report)?;
        self.refresh_digest(name, record.generation, &generation, &mut report)?;
        Ok(report)
    }

    /// Discards dead letters of the latest rebuild of `name`: of one `stream`, or all. They are then never applied.
    ///
    /// # Errors
    /// When it is running or has no dead letters.
    pub fn discard(&self, name: &str, stream: Option<&str>) -> Result<RetryReport, RebuildError> {
        let _lock = self.host.long_command(name, "a discard of dead letters")?;
        let _held = self.host.hold_followers(name);
        let record = self.parked_in(name, stream)?;
        let installed = self.host.store.projection(name)?;
        let generation = self.host.store.generation(name, record.generation)?;
        let claimed = self.host.store.claim(name, record.generation)?;
        let mut report =
            RetryReport { projection_name: name.to_owned(), generation: record.generation, ..RetryReport::default() };
        let wanted = |event: &ParkedEvent| stream.is_none_or(|stream| event.stream == stream);
        work::begin("discarding dead letters", "events", Some(record.parked).filter(|_| stream.is_none()));
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
            work::reach(report.discarded);
            let unparked = page.into_iter().map(|event| (event.stream, event.position)).collect();
            amend::unpark(&self.host.store, &claimed, installed.digest(), unparked)?;
            crash::point("discard.page");
        }
        self.refresh_digest(name, record.generation, &generation, &mut report)?;
        Ok(report)
    }

    /// The latest rebuild of `name`, which has dead letters (of `stream`, where that is given).
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
            return Err(RebuildError::NotFound(format!("{} has no dead letters", record.checkpoint_id())));
        }
        if let Some(stream) = stream {
            let generation = self.host.store.generation(name, record.generation)?;
            let first = self.host.store.parked(&generation, Some((stream, Position::START)), 1, 1)?;
            if first.first().is_none_or(|event| event.stream != stream) {
                return Err(RebuildError::NotFound(format!(
                    "stream {stream} has no dead letters in {}; see unspool dead-letters list {name}",
                    record.checkpoint_id()
                )));
            }
        }
        Ok(record)
    }

    fn refresh_digest(
        &self,
        name: &str,
        number: u64,
        generation: &Generation,
        report: &mut RetryReport,
    ) -> Result<(), RebuildError> {
        let record = self.host.store.rebuild(name, number)?;
        report.parked = record.parked;
        if record.status() == Status::Completed && !record.is_followed() {
            self.host.store.record_digest(name, number, self.host.store.digest(generation)?)?;
        }
        Ok(())
    }
}

impl Supervisor {
    /// Retries all dead letters of `record`, built from `source`, in whatever order.
    pub(super) fn retry_all(
        &self,
        plugin: &Plugin,
        record: &RebuildRecord,
        source: &Arc<dyn Source>,
    ) -> Result<RetryReport, RebuildError> {
        let name = &record.checkpoint.projection_name;
        let generation = self.host.store.generation(name, record.generation)?;
        let claimed = self.host.store.claim(name, record.generation)?;
        let mut report = RetryReport::default();
        let source = source.clone();
        let origin: Origin = Arc::new(move || Ok(source.clone()));
        self.handle_again(&generation, None, &claimed, plugin, origin, &mut report)?;
        Ok(report)
    }

    /// Handles the dead letters of a generation, of one stream `only` where that is given: an attempt like any other, and another one
    /// where it ends for a transient reason, as often as a rebuild tries again.
    fn handle_again(
        &self,
        generation: &Generation,
        only: Option<&str>,
        claimed: &RebuildRecord,
        plugin: &Plugin,
        origin: Origin,
        report: &mut RetryReport,
    ) -> Result<(), RebuildError> {
        let (host, name) = (&self.host, &generation.projection);
        let key = format!("{}, its dead letters", claimed.checkpoint_id());
        let committer = host.committer_for(claimed)?;
        let ended = host.work_on(key, claimed, |stop, published| -> Result<Ended, RebuildError> {
            let (mut record, mut tries) = (claimed.clone(), 1);
            loop {
                let letters = DeadLetters::new(&host.store, generation, only, origin.clone())?;
                let left = host.store.parked_keys(generation)?;
                let left = left.iter().filter(|(_, stream)| only.is_none_or(|only| only == stream)).count();
                work::begin("handling dead letters", "events", Some(left as u64));
                let retry = Retry::default();
                let ended = pipeline::run(Attempt {
                    record: record.clone(),
                    source: Arc::new(letters),
                    matcher: Matcher::All,
                    plugin: Arc::new(plugin.clone()),
                    store: host.store.clone(),
                    committer: committer.clone(),
                    pool: host.pool.clone(),
                    stop: stop.clone(),
                    published: published.clone(),
                    completes: false,
                    follows: false,
                    end: None,
                    retry: Some(retry.clone()),
                    touched: None,
                    observed: None,
                    recent: None,
                    tally: None,
                    backoff: limits::backoff,
                });
                // What failed before is among what was tried now.
                report.failures = retry.failures();
                let Ended::Interrupted(mut failure) = ended else { return Ok(ended) };
                let now = host.store.rebuild(name, generation.number)?;
                tries = if now.parked < record.parked { 1 } else { tries + 1 };
                // Claimed again: what the last try may still commit is refused.
                record = loop {
                    if !failure.transient || tries > max_retries(&failure) {
                        return Ok(Ended::Interrupted(failure.given_up(tries - 1)));
                    }
                    tracing::warn!(projection = name, tries = tries - 1, "retrying dead letters: {failure}");
                    work::begin(format!("trying again, since {failure}"), "", None);
                    if !stop.wait_until(Instant::now() + limits::backoff(tries - 1)) {
                        return Ok(Ended::Stopped(stop.status()));
                    }
                    match host.store.claim(name, generation.number) {
                        Ok(record) => break record,
                        Err(e) => (failure, tries) = (refused(e), tries + 1),
                    }
                };
            }
        })??;
        let now = host.store.rebuild(name, generation.number)?;
        report.handled += claimed.parked - now.parked;
        let stopped = |failure: Option<EventFailure>| RebuildError::NotBuilt {
            message: format!(
                "not all dead letters of {name} were tried: {}; {} were handled before, and are dead letters no more",
                failure.as_ref().map_or_else(|| "the host ends".to_owned(), ToString::to_string),
                report.handled
            ),
            failure: failure.map(Box::new),
        };
        match ended {
            Ended::Completed => Ok(()),
            Ended::Stopped(_) => Err(stopped(None)),
            Ended::Failed(failure) | Ended::Interrupted(failure) | Ended::Lost(failure) => Err(stopped(Some(failure))),
        }
    }
}
