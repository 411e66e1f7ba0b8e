//! Runs the attempts of one rebuild, one after another, until it ends.

use super::{alert, supervisor::Host};
use crate::{
    limits,
    pipeline::{self, Attempt, Ended, Published, Stop},
    plugin::Plugin,
    source::Source,
    store::{AttemptStart, RebuildRecord},
    vocabulary::{EventFailure, Matcher, Status, now_ms},
};
use std::{sync::Arc, time::Duration};

/// What every attempt of a rebuild has in common.
pub(super) struct Attempts {
    pub(super) host: Arc<Host>,
    pub(super) source: Arc<dyn Source>,
    pub(super) plugin: Plugin,
    pub(super) stop: Stop,
    pub(super) published: Arc<Published>,
}

impl Attempts {
    /// Works on `record`, claimed already, until the rebuild ends; the store then says how.
    pub(super) fn run(&self, mut record: RebuildRecord) {
        let mut tries = 1;
        loop {
            let reached = self.published.position();
            let failure = match pipeline::run(self.attempt(record.clone())) {
                Ended::Completed | Ended::Stopped(_) => return,
                Ended::Failed(failure) => return self.report(&record, &failure),
                Ended::Lost(failure) => return self.lost(&record, failure),
                Ended::Interrupted(failure) => failure,
            };
            tries = if self.published.position() > reached { 1 } else { tries + 1 };
            if tries > limits::TRANSIENT_TRIES {
                return self.give_up(&record, EventFailure { transient: false, ..failure });
            }
            tracing::warn!(projection = self.name(&record), tries, "retrying: {failure}");
            if !self.pause_before_try(tries) {
                return self.settle(&record, self.stopped_as(), None);
            }
            record = match self.begin_again(&record) {
                Ok(record) => record,
                Err(failure) => return self.lost(&record, failure),
            };
        }
    }

    fn attempt(&self, record: RebuildRecord) -> Attempt {
        Attempt {
            record,
            source: self.source.clone(),
            matcher: Matcher::new(&self.plugin.description().event_types),
            plugin: self.plugin.clone(),
            store: self.host.store.clone(),
            committer: self.host.committer.clone(),
            pool: self.host.pool.clone(),
            stop: self.stop.clone(),
            published: self.published.clone(),
        }
    }

    fn begin_again(&self, record: &RebuildRecord) -> Result<RebuildRecord, EventFailure> {
        let start = AttemptStart {
            target: record.target,
            total_events: record.total_events,
            chunk_size: record.chunk_size,
            priority: record.priority,
            rate_limit: record.rate_limit,
        };
        let claimed = self.host.store.begin_attempt(self.name(record), record.generation, &start);
        claimed.map_err(|e| EventFailure::permanent(crate::vocabulary::FailureKind::Store, e.to_string()))
    }

    /// The store refused a commit. What it holds is right, only older; it is asked to note the failure, which it may
    /// refuse too (a full disk): then it still says `running`, and the next host to open it leaves the rebuild paused.
    fn lost(&self, record: &RebuildRecord, failure: EventFailure) {
        self.host.note_lost(self.name(record), failure.clone());
        self.give_up(record, failure);
    }

    fn give_up(&self, record: &RebuildRecord, failure: EventFailure) {
        self.settle(record, Status::Failed, Some(failure.clone()));
        self.report(record, &failure);
    }

    fn settle(&self, record: &RebuildRecord, status: Status, error: Option<EventFailure>) {
        if let Err(e) = self.host.store.settle(self.name(record), record.generation, status, error, now_ms()) {
            tracing::error!(projection = self.name(record), "its end could not be noted: {e}");
        }
    }

    fn report(&self, record: &RebuildRecord, failure: &EventFailure) {
        let report = alert::describe(self.name(record), &record.checkpoint_id(), self.published.position(), failure);
        alert::raise(self.host.alert.as_deref(), self.name(record), &report);
    }

    fn stopped_as(&self) -> Status {
        self.stop.status()
    }

    /// `false` where the stop was raised meanwhile.
    fn pause_before_try(&self, tries: u32) -> bool {
        let pause = limits::TRANSIENT_BACKOFF * 2u32.saturating_pow(tries.saturating_sub(2));
        let steps = pause.as_millis() / 10;
        (0..steps.max(1)).all(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !self.stop.is_raised()
        })
    }

    fn name<'r>(&self, record: &'r RebuildRecord) -> &'r str {
        &record.checkpoint.projection_name
    }
}
