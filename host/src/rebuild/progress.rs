//! What operators see of rebuilds: what the store holds, and what the host knows beyond that.

use super::{RebuildError, host::Host, supervisor::Supervisor, watchdog::is_stalled};
use crate::{
    store::RebuildRecord,
    vocabulary::{Lag, Progress, Status, now_ms, percent},
};

impl Supervisor {
    /// The progress of the latest rebuild of `name`; `None` where there has been none.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be read.
    pub fn progress(&self, name: &str) -> Result<Option<Progress>, RebuildError> {
        Ok(self.host.store.latest_rebuild(name)?.map(|record| progress_of(&self.host, name, record)))
    }

    /// The progress of the latest rebuild of every projection that has one; only of running ones, unless `all`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Progress>, RebuildError> {
        let mut list = Vec::new();
        for projection in self.host.store.projections()? {
            if let Some(progress) = self.progress(&projection.description.name)?
                && (all || progress.status == Status::Running)
            {
                list.push(progress);
            }
        }
        Ok(list)
    }
}

fn progress_of(host: &Host, name: &str, record: RebuildRecord) -> Progress {
    let running = host.published(name).filter(|_| record.status() == Status::Running);
    let (mut checkpoint, retries, parked) = match &running {
        Some(published) => published.checkpoint(),
        None => (record.checkpoint.clone(), record.retries, record.parked),
    };
    if let Some(failure) = host.lost(name).filter(|_| running.is_none() && checkpoint.status == Status::Running) {
        checkpoint.status = Status::Failed;
        checkpoint.error = Some(failure);
    }
    let rate = match &running {
        Some(published) => published.rate(),
        None if record.active_ms > 0 => checkpoint.events_processed as f64 * 1000.0 / record.active_ms as f64,
        None => 0.0,
    };
    let done = checkpoint.events_processed + parked + record.discarded;
    let left = record.total_events.saturating_sub(done);
    let last_run = host.last_run(name).filter(|run| run.generation() == record.generation);
    Progress {
        projection_name: name.to_owned(),
        status: checkpoint.status,
        checkpoint_id: record.checkpoint_id(),
        events_processed: checkpoint.events_processed,
        total_events: record.total_events,
        percent_complete: percent(done, record.total_events),
        estimated_remaining_ms: match checkpoint.status {
            Status::Completed => Some(0),
            Status::Running if rate > 0.0 => Some((left as f64 * 1000.0 / rate) as u64),
            _ => None,
        },
        started_at: record.started_at,
        events_per_second: rate,
        last_event_id: checkpoint.last_event_id,
        position: checkpoint.position,
        retries,
        parked,
        allow_parked: record.allow_parked,
        follow: record.follow.then(|| Lag {
            events: left,
            ms: match checkpoint.last_event_timestamp {
                Some(last) if left > 0 => now_ms().saturating_sub(last).max(0).unsigned_abs(),
                _ => 0,
            },
        }),
        waiting: host.waiting(name).filter(|_| record.is_wanted()),
        stalled: running.is_some_and(|published| is_stalled(&record, &published)),
        stages: last_run.map_or(record.stages, |run| run.stages().report()),
        error: checkpoint.error.as_ref().map(ToString::to_string),
        failure: checkpoint.error,
    }
}
