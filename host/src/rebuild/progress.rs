//! What operators see of rebuilds: what the store holds, and what the host knows beyond that.

use super::{
    RebuildError,
    host::{Host, follower_key::key},
    orphaned::{as_left, is_orphan},
    supervisor::Supervisor,
    watchdog::is_stalled,
};
use crate::{
    limits,
    store::{ProjectionRecord, RebuildRecord, Store},
    vocabulary::{
        Checkpoint, EventFailure, FollowState, Lag, LiveGeneration, Progress, Status, Waiting, ms_since, percent,
    },
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
    /// running, paused, interrupted, failed, or followed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Progress>, RebuildError> {
        let mut list = Vec::new();
        for projection in self.store.projections()? {
            if let Some(progress) = self.progress(&projection.description.name)?
                && (all
                    || progress.following.is_some()
                    || !matches!(progress.status, Status::Completed | Status::Cancelled))
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
    let following = Following::of(host, live.as_ref().unwrap_or(&record)).or_else(|| Following::of(host, &record));
    // What is followed has gone on since it was complete.
    let own = following.as_ref().filter(|following| following.generation == record.generation);
    let (mut checkpoint, retries, parked) = match (&running, own) {
        (Some(published), _) => published.checkpoint(),
        (None, Some(own)) => {
            (Checkpoint { status: record.status(), ..own.checkpoint.clone() }, own.retries, own.parked)
        }
        (None, None) => (record.checkpoint.clone(), record.retries, record.parked),
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
    let waiting = match waiting {
        // It is complete, and waits for the database in which readers are switched.
        None if running.is_none() => host.and_then(|host| host.published(name)?.waiting()),
        waiting => waiting,
    };
    let waiting = waiting.or_else(|| following.as_ref()?.waiting.clone());
    let stalled = running.as_ref().is_some_and(|published| {
        let lost = waiting.as_ref().is_some_and(|waiting| u128::from(waiting.ms) > limits::STALL.as_millis());
        lost || is_stalled(&record, published)
    }) || following.as_ref().is_some_and(|following| following.stalled);
    let stands_still = stalled || waiting.is_some();
    let rate = match (&running, own.and_then(|own| own.rate)) {
        (Some(_), _) | (None, Some(_)) if stands_still => 0.0,
        (Some(published), _) => published.rate(),
        (None, Some(rate)) => rate,
        (None, None) if record.active_ms > 0 => checkpoint.events_processed as f64 * 1000.0 / record.active_ms as f64,
        (None, None) => 0.0,
    };
    let done = checkpoint.events_processed + parked + record.discarded;
    // Where nobody has counted, no event is known to be left.
    let left = record.total_events.map(|total| total.saturating_sub(done));
    let last_run = host.and_then(|host| host.last_run(name)).filter(|run| run.generation() == record.generation);
    let failed = following.as_ref().and_then(|following| following.error.clone());
    let failure = checkpoint.error.clone().or_else(|| failed.clone());
    Progress {
        projection_name: name.to_owned(),
        status,
        interrupted: record.is_wanted() && status == Status::Paused,
        checkpoint_id: record.checkpoint_id(),
        generation: record.generation,
        live_generation: owner.live,
        live: live.as_ref().map(|live| seen(live, following.as_ref())),
        source: record.spec.source.clone(),
        events_processed: checkpoint.events_processed,
        total_events: record.total_events,
        percent_complete: record.total_events.map(|total| percent(done, total, status == Status::Completed)),
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
        following: following.as_ref().map(|following| following.state),
        stale_since: following.as_ref().and_then(|following| following.stale_since),
        follow: following.as_ref().map(|following| following.lag),
        last_contact_at: following.as_ref().map(|following| following.contact),
        last_contact_ms: following.as_ref().map(|following| ms_since(following.contact)),
        stalled,
        stages: last_run.map_or_else(|| record.stages.clone(), |run| run.stages().report()),
        error: match &failure {
            Some(failure) => Some(failure.to_string()),
            None => waiting.as_ref().map(|waiting| waiting.error.clone()),
        },
        next: next(&record, &checkpoint, parked, waiting.as_ref(), failed.as_ref()),
        waiting,
        failure,
    }
}

/// The generation that is kept up to date, as it stands.
struct Following {
    generation: u64,
    state: FollowState,
    checkpoint: Checkpoint,
    retries: u64,
    parked: u64,
    lag: Lag,
    /// When it last heard from its history, in milliseconds since 1970.
    contact: i64,
    /// Events per second lately; absent while nobody works on it.
    rate: Option<f64>,
    /// See `Progress::stale_since`.
    stale_since: Option<i64>,
    waiting: Option<Waiting>,
    stalled: bool,
    error: Option<EventFailure>,
}

impl Following {
    fn of(host: Option<&Host>, record: &RebuildRecord) -> Option<Following> {
        let stored = record.following.as_ref()?;
        let key = key(&record.checkpoint.projection_name, record.generation);
        let running = host.and_then(|host| host.published(&key));
        let (checkpoint, retries, parked) = match &running {
            Some(published) => published.checkpoint(),
            None => (record.checkpoint.clone(), record.retries, record.parked),
        };
        let waiting = running.as_ref().and_then(|published| published.waiting());
        let contact = running.as_ref().map_or(checkpoint.checkpointed_at, |published| published.contact());
        let done = checkpoint.events_processed + parked + record.discarded;
        let left = record.total_events.map(|total| total.saturating_sub(done));
        // Where nobody has counted, it is known whether it has come to its target.
        let arrived = left.map_or(checkpoint.position >= record.target, |left| left == 0);
        // What may have come since it last heard from its history, nobody knows.
        let hears = running.is_some()
            && waiting.is_none()
            && (!arrived || u128::from(ms_since(contact)) <= limits::CONTACT.as_millis());
        let failed = stored.state == FollowState::Failed;
        let lost = waiting.as_ref().is_some_and(|waiting| u128::from(waiting.ms) > limits::STALL.as_millis());
        let stalled = lost || running.as_ref().is_some_and(|published| is_stalled(record, published));
        Some(Following {
            generation: record.generation,
            state: stored.state,
            lag: Lag {
                events: left.or(arrived.then_some(0)).filter(|_| hears),
                ms: match arrived {
                    true => hears.then_some(0),
                    false => checkpoint.last_event_timestamp.filter(|_| hears).map(ms_since),
                },
            },
            contact,
            rate: running.as_ref().map(|published| published.rate()),
            stale_since: match (&waiting, &running) {
                _ if failed => Some(stored.since),
                (Some(waiting), _) => Some(waiting.since),
                (None, Some(_)) => None,
                (None, None) => Some(checkpoint.checkpointed_at),
            },
            checkpoint,
            retries,
            parked,
            waiting,
            stalled,
            error: stored.error.clone(),
        })
    }
}

fn seen(live: &RebuildRecord, following: Option<&Following>) -> LiveGeneration {
    let checkpoint = following.filter(|following| following.generation == live.generation).map(|now| &now.checkpoint);
    let checkpoint = checkpoint.unwrap_or(&live.checkpoint);
    LiveGeneration {
        generation: live.generation,
        status: live.status(),
        position: checkpoint.position,
        events: checkpoint.events_processed,
        parked: live.parked,
        follows: live.is_followed(),
        source: live.spec.source.clone(),
        failure: live.following.as_ref().and_then(|following| following.error.clone()),
    }
}

/// What an operator does so that the rebuild goes on, or is promoted; `None` where there is nothing to do.
fn next(
    record: &RebuildRecord,
    checkpoint: &Checkpoint,
    parked: u64,
    waiting: Option<&Waiting>,
    failed: Option<&EventFailure>,
) -> Option<String> {
    let name = &checkpoint.projection_name;
    let resume = format!("`unspool resume {name}`");
    if let (Status::Completed, Some(failure)) = (checkpoint.status, failed) {
        return Some(failure.advice_to_follow(name, record.external.is_some()));
    }
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
        (Status::Completed, _) if waiting.is_some() => {
            format!("it tries again by itself; `unspool unfollow {name}` stops that until `unspool follow {name}`")
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
