//! What operators see of rebuilds: what the store holds, and what the host knows beyond that.

use super::{
    RebuildError,
    host::Host,
    orphaned::{as_left, is_orphan},
    supervisor::Supervisor,
    watchdog::is_stalled,
};
use crate::{
    limits,
    store::{ProjectionRecord, RebuildRecord, Store},
    vocabulary::{Checkpoint, Lag, LiveGeneration, Progress, Status, Waiting, ms_since, percent},
};

/// Rebuilds as operators see them. Reading them starts nothing and writes nothing.
pub struct Overview<'a> {
    store: &'a Store,
    /// The host that works on them; `None` where none does.
    host: Option<&'a Host>,
}

impl Supervisor {
    /// The rebuilds of this host.
    pub fn overview(&self) -> Overview<'_> {
        Overview { store: &self.host.store, host: Some(&self.host) }
    }

    /// See [`Overview::progress`].
    ///
    /// # Errors
    /// As [`Overview::progress`].
    pub fn progress(&self, name: &str) -> Result<Option<Progress>, RebuildError> {
        self.overview().progress(name)
    }
}

impl Overview<'_> {
    /// The rebuilds in a store on which nobody works: what a crashed host orphaned is shown as the next one will recover it.
    pub fn at_rest(store: &Store) -> Overview<'_> {
        Overview { store, host: None }
    }

    /// The progress of the latest rebuild of `name`; `None` where there has been none.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be read.
    pub fn progress(&self, name: &str) -> Result<Option<Progress>, RebuildError> {
        let owner = self.store.projection(name)?;
        let Some(latest) = self.store.latest_rebuild(name)? else { return Ok(None) };
        let live = match owner.live {
            Some(live) if live != latest.generation => Some(self.rebuild(name, live)?),
            _ => None,
        };
        Ok(Some(progress_of(self.host, &owner, self.seen(latest), live)))
    }

    /// The progress of the latest rebuild of every projection that has one; of those that are not over, unless `all`:
    /// running, paused, interrupted, failed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Progress>, RebuildError> {
        let mut list = Vec::new();
        for projection in self.store.projections()? {
            if let Some(progress) = self.progress(&projection.description.name)?
                && (all || !matches!(progress.status, Status::Completed | Status::Cancelled))
            {
                list.push(progress);
            }
        }
        Ok(list)
    }

    /// The record of a generation.
    ///
    /// # Errors
    /// When there is none, or only what a host left that was killed in the middle of a shadow build; or the store cannot be
    /// read.
    pub fn rebuild(&self, name: &str, generation: u64) -> Result<RebuildRecord, RebuildError> {
        let record = self.store.rebuild(name, generation)?;
        if self.host.is_none() && is_orphan(&record) {
            return Err(RebuildError::NotFound(format!(
                "generation {generation} of {name} was not complete when the host ended that built it: nothing is read from it, and \
                 the next command that changes something drops it; see unspool model generations {name}"
            )));
        }
        Ok(self.seen(record))
    }

    /// The records of all generations of `name` that are kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rebuilds(&self, name: &str) -> Result<Vec<RebuildRecord>, RebuildError> {
        let records = self.store.rebuilds(name)?.into_iter();
        Ok(records.filter(|record| self.host.is_some() || !is_orphan(record)).map(|record| self.seen(record)).collect())
    }

    fn seen(&self, record: RebuildRecord) -> RebuildRecord {
        if self.host.is_some() { record } else { as_left(record) }
    }
}

fn progress_of(
    host: Option<&Host>,
    owner: &ProjectionRecord,
    record: RebuildRecord,
    live: Option<RebuildRecord>,
) -> Progress {
    let name = owner.description.name.as_str();
    let running = host.and_then(|host| host.published(name)).filter(|_| record.status() == Status::Running);
    let (mut checkpoint, retries, parked) = match &running {
        Some(published) => published.checkpoint(),
        None => (record.checkpoint.clone(), record.retries, record.parked),
    };
    let lost = || host.and_then(|host| host.lost(name));
    if running.is_none()
        && checkpoint.status == Status::Running
        && let Some(failure) = lost()
    {
        checkpoint.status = Status::Failed;
        checkpoint.error = Some(failure);
    }
    let status = checkpoint.status;
    let waiting = match &running {
        Some(published) => published.waiting(),
        // Orphaned by the last host, it goes on as soon as what it needs is there.
        None => host.and_then(|host| host.waiting(name)).filter(|_| record.is_wanted()),
    };
    let stalled = running.as_ref().is_some_and(|published| {
        let lost = waiting.as_ref().is_some_and(|waiting| u128::from(waiting.ms) > limits::STALL.as_millis());
        lost || is_stalled(&record, published)
    });
    let stands_still = stalled || waiting.is_some();
    let rate = match &running {
        Some(_) if stands_still => 0.0,
        Some(published) => published.rate(),
        None if record.active_ms > 0 => checkpoint.events_processed as f64 * 1000.0 / record.active_ms as f64,
        None => 0.0,
    };
    let done = checkpoint.events_processed + parked + record.discarded;
    // Where events are not counted, it is not known how many are left, but whether it has reached its target is.
    let left = record.total_events.map(|total| total.saturating_sub(done));
    let arrived = left.map_or(checkpoint.position >= record.target, |left| left == 0);
    let last_run = host.and_then(|host| host.last_run(name)).filter(|run| run.generation() == record.generation);
    let contact = record.spec.options.follow.then(|| match &running {
        Some(published) => published.contact(),
        None => checkpoint.checkpointed_at,
    });
    let contact_ms = contact.map(ms_since);
    // What has been appended since it last heard from its history is not known.
    let hears = running.is_some()
        && waiting.is_none()
        && (!arrived || contact_ms.is_some_and(|ms| u128::from(ms) <= limits::CONTACT.as_millis()));
    let is_final = status == Status::Completed || (record.spec.options.follow && record.caught_up && hears);
    Progress {
        projection_name: name.to_owned(),
        status,
        interrupted: record.is_wanted() && status == Status::Paused,
        checkpoint_id: record.checkpoint_id(),
        generation: record.generation,
        live_generation: owner.live,
        live: live.as_ref().map(seen),
        source: record.spec.source.clone(),
        events_processed: checkpoint.events_processed,
        total_events: record.total_events,
        percent_complete: record.total_events.map(|total| percent(done, total, is_final)),
        estimated_remaining_ms: match status {
            Status::Completed => Some(0),
            Status::Running if rate > 0.0 => left.map(|left| (left as f64 * 1000.0 / rate) as u64),
            _ => None,
        },
        started_at: record.started_at,
        events_per_second: rate,
        last_event_id: checkpoint.last_event_id.clone(),
        position: checkpoint.position,
        retries,
        parked,
        allow_parked: record.spec.options.allow_parked,
        follow: record.spec.options.follow.then(|| Lag {
            events: left.or(arrived.then_some(0)).filter(|_| hears),
            ms: match arrived {
                true => hears.then_some(0),
                false => checkpoint.last_event_timestamp.filter(|_| hears).map(ms_since),
            },
        }),
        last_contact_at: contact,
        last_contact_ms: contact_ms,
        stalled,
        stages: last_run.map_or_else(|| record.stages.clone(), |run| run.stages().report()),
        error: match &checkpoint.error {
            Some(failure) => Some(failure.to_string()),
            None => waiting.as_ref().map(|waiting| waiting.error.clone()),
        },
        next: next(&record, &checkpoint, parked, waiting.as_ref()),
        waiting,
        failure: checkpoint.error,
    }
}

fn seen(live: &RebuildRecord) -> LiveGeneration {
    LiveGeneration {
        generation: live.generation,
        status: live.status(),
        position: live.checkpoint.position,
        events: live.checkpoint.events_processed,
        parked: live.parked,
        follows: live.spec.options.follow,
        source: live.spec.source.clone(),
    }
}

/// What an operator does so that the rebuild goes on, or is promoted; `None` where there is nothing to do.
fn next(record: &RebuildRecord, checkpoint: &Checkpoint, parked: u64, waiting: Option<&Waiting>) -> Option<String> {
    let name = &checkpoint.projection_name;
    let resume = format!("`unspool resume {name}`");
    Some(match (checkpoint.status, &checkpoint.error) {
        (Status::Failed, Some(failure)) => failure.advice(name, record.external.is_some()),
        (Status::Failed | Status::Paused, _) if !record.interrupted => format!("{resume} goes on from its checkpoint"),
        (Status::Failed | Status::Paused, _) if waiting.is_some() => {
            format!(
                "it goes on as soon as what it waits for is there; `unspool pause {name}` stops that until {resume}"
            )
        }
        (Status::Failed | Status::Paused, _) => {
            format!("its host ended in the middle of it: it goes on with the next `unspool serve`, or with {resume}")
        }
        (Status::Completed, _) if parked > 0 && !record.spec.options.allow_parked => format!(
            "see `unspool dead-letters list {name}`, and retry or discard them: this generation was not promoted; \
             `unspool model promote {name} {} --allow-parked` promotes it without these events",
            record.generation
        ),
        (Status::Completed, _) if parked > 0 => format!("see `unspool dead-letters list {name}`"),
        (Status::Cancelled, _) => format!("`unspool rebuild {name}` starts a new one"),
        (Status::Running, _) if waiting.is_some() => {
            format!("it tries again by itself; `unspool pause {name}` stops it until {resume}")
        }
        (Status::Completed | Status::Running, _) => return None,
    })
}
