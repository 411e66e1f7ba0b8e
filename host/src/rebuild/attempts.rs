//! Runs the attempts of one rebuild, one after another, until it ends.

use super::{Effect, Input, State, alert, host::Host, step};
use crate::{
    crash, limits,
    pipeline::{self, Attempt, Committer, Ended, Published, Stop},
    plugin::Plugin,
    source::Source,
    store::{AttemptStart, Purpose, RebuildRecord},
    vocabulary::{EventFailure, FailureKind, Matcher, Status, now_ms},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What every attempt of a rebuild has in common.
pub(super) struct Attempts {
    pub(super) host: Arc<Host>,
    pub(super) source: Arc<dyn Source>,
    /// The current plugin; parts of the rebuild may belong to earlier ones.
    pub(super) plugin: Plugin,
    pub(super) stop: Stop,
    pub(super) published: Arc<Published>,
    pub(super) committer: Committer,
}

impl Attempts {
    /// Works on `record`, claimed already, until the rebuild ends; the store then says how.
    pub(super) fn run(&self, mut record: RebuildRecord) {
        let mut tries = 1;
        loop {
            let reached = self.published.position();
            let (attempt, completes) = match self.attempt(record.clone()) {
                Ok(attempt) => attempt,
                Err(failure) => return self.give_up(&record, failure),
            };
            match pipeline::run(attempt) {
                Ended::Completed if completes => return self.completed(&record),
                // A part is done; the next one goes on.
                Ended::Completed => {}
                Ended::Stopped(_) => return,
                Ended::Failed(failure) => return self.failed(&record, &failure),
                Ended::Lost(failure) => return self.lost(&record, failure),
                Ended::Interrupted(failure) => {
                    tries = if self.published.position() > reached { 1 } else { tries + 1 };
                    if tries > most_tries(&failure) {
                        return self.give_up(&record, EventFailure { transient: false, ..failure });
                    }
                    tracing::warn!(projection = self.name(&record), tries, "retrying: {failure}");
                    if !self.pause_before_try(tries - 1) {
                        return self.settle(&record, self.stop.status(), None);
                    }
                }
            }
            record = loop {
                match self.begin_again(&record) {
                    Ok(record) => break record,
                    Err(failure) if failure.transient && tries < most_tries(&failure) => {
                        tries += 1;
                        tracing::warn!(projection = self.name(&record), tries, "retrying: {failure}");
                        if !self.pause_before_try(tries - 1) {
                            return self.settle(&record, self.stop.status(), None);
                        }
                    }
                    Err(failure) => return self.lost(&record, EventFailure { transient: false, ..failure }),
                }
            };
            // The last commit was made after all.
            if record.status() == Status::Completed {
                return self.completed(&record);
            }
        }
    }

    /// The next attempt, and whether it completes the rebuild: one that ends where another plugin's part does, does not.
    fn attempt(&self, mut record: RebuildRecord) -> Result<(Attempt, bool), EventFailure> {
        let part = record.segments.iter().find(|part| part.through > record.checkpoint.position);
        let (plugin, completes) = match part.cloned() {
            Some(part) => {
                let completes = part.through >= record.target;
                record.target = part.through.min(record.target);
                let plugin = self.host.plugin(&part.plugin_digest);
                (plugin.map_err(|e| EventFailure::permanent(FailureKind::Plugin, e.to_string()))?, completes)
            }
            None => (self.plugin.clone(), true),
        };
        let attempt = Attempt {
            record,
            source: self.source.clone(),
            matcher: Matcher::new(&plugin.description().event_types),
            plugin,
            store: self.host.store.clone(),
            committer: self.committer.clone(),
            pool: self.host.pool.clone(),
            stop: self.stop.clone(),
            published: self.published.clone(),
            completes,
        };
        Ok((attempt, completes))
    }

    fn begin_again(&self, record: &RebuildRecord) -> Result<RebuildRecord, EventFailure> {
        let start = AttemptStart {
            target: record.target,
            total_events: record.total_events,
            chunk_size: record.chunk_size,
            chunks_per_call: record.chunks_per_call,
            priority: record.priority,
            rate_limit: record.rate_limit,
            promote: record.promote,
            on_error: record.on_error,
            allow_parked: record.allow_parked,
        };
        let claimed = self.host.store.begin_attempt(self.name(record), record.generation, &start);
        claimed.map_err(|e| EventFailure {
            transient: e.is_transient(),
            ..EventFailure::permanent(FailureKind::Store, e.to_string())
        })
    }

    /// Takes the digest of what was built, for its receipt. The rows are complete and durable already.
    fn completed(&self, record: &RebuildRecord) {
        self.effects(Input::TargetReached);
        crash::point("seal.before");
        let name = self.name(record);
        let sealed = self.host.store.generation(name, record.generation).and_then(|generation| {
            let digest = self.host.store.digest(&generation)?;
            self.host.store.seal(name, record.generation, digest)
        });
        if let Err(e) = sealed {
            tracing::error!(projection = name, "the digest for its receipt cannot be taken: {e}");
        }
    }

    /// Whoever asked for something built apart waits for it, and is told.
    fn failed(&self, record: &RebuildRecord, failure: &EventFailure) {
        if record.purpose != Purpose::Rebuild {
            return;
        }
        if self.effects(Input::EventFailed).contains(&Effect::Alert) {
            let name = self.name(record);
            let report = alert::describe(name, &record.checkpoint_id(), self.published.position(), failure);
            alert::raise(self.host.alert.as_deref(), name, &report);
        }
    }

    fn effects(&self, news: Input) -> &'static [Effect] {
        step(State::Present(Status::Running), news).map_or(&[], |(_, _, effects)| effects)
    }

    /// The store refused a commit. What it holds is right, only older; it is asked to note the failure, which it may
    /// refuse too (a full disk): then it still says `running`, and the next host to open it leaves the rebuild paused.
    fn lost(&self, record: &RebuildRecord, failure: EventFailure) {
        if record.purpose == Purpose::Rebuild {
            self.host.note_lost(self.name(record), failure.clone());
        }
        self.give_up(record, failure);
    }

    fn give_up(&self, record: &RebuildRecord, failure: EventFailure) {
        self.settle(record, Status::Failed, Some(failure.clone()));
        self.failed(record, &failure);
    }

    /// Settles the rebuild, unless another attempt has taken it over.
    fn settle(&self, record: &RebuildRecord, status: Status, error: Option<EventFailure>) {
        let name = self.name(record);
        let ours = self.host.store.rebuild(name, record.generation).is_ok_and(|now| now.attempt == record.attempt);
        if !ours {
            return;
        }
        if let Err(e) = self.host.store.settle(name, record.generation, status, error, now_ms()) {
            tracing::error!(projection = name, "its end could not be noted: {e}");
        }
    }

    /// `false` where the stop was raised meanwhile.
    fn pause_before_try(&self, tries: u32) -> bool {
        let until = Instant::now() + limits::backoff(tries);
        while Instant::now() < until {
            if self.stop.is_raised() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        !self.stop.is_raised()
    }

    fn name<'r>(&self, record: &'r RebuildRecord) -> &'r str {
        &record.checkpoint.projection_name
    }
}

fn most_tries(failure: &EventFailure) -> u32 {
    if failure.kind == FailureKind::Store { limits::DATABASE_TRIES } else { limits::TRANSIENT_TRIES }
}
