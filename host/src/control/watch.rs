//! Rebuilds that are watched: one request, and an answer that goes on until they end.

use super::{ControlError, Host, Response, Row, Sink, response::Answer};
use crate::{
    rebuild::Supervisor,
    vocabulary::{Position, Progress, Status},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How often numbers that move are reported at most. What has begun, waits or has ended is reported at once.
pub(super) const NUMBERS: Duration = Duration::from_millis(200);

/// How often the same is reported again: the times in it go on, and a watcher that has gone is noticed by it.
const AGAIN: Duration = Duration::from_secs(1);

/// What was reported last of a rebuild.
struct Said {
    at: Instant,
    status: Status,
    news: u64,
    numbers: (Position, u64, u64, u64),
}

impl Host {
    /// Gives the progress of `names` whenever that changes, until none of them runs; then how each ended.
    pub(super) fn watch(&self, names: &[String], sink: &mut Sink<'_>) -> Answer {
        let supervisor = self.supervisor()?;
        let mut said = HashMap::new();
        loop {
            // Counted before anything is looked at: the wait below ends at once for what happens meanwhile.
            let news = supervisor.news();
            let idle = supervisor.wait_idle(Some(names), Duration::ZERO);
            let latest = progress_of(supervisor, names)?;
            if idle && latest.iter().all(|progress| progress.status != Status::Running) {
                return Ok(Response::Ended(latest));
            }
            for progress in latest {
                if is_due(&mut said, &progress, news) && !sink(Row::Rebuild(Box::new(progress))) {
                    return Ok(Response::Nothing);
                }
            }
            supervisor.wait_for_news(news, NUMBERS);
        }
    }
}

fn progress_of(supervisor: &Supervisor, names: &[String]) -> Result<Vec<Progress>, ControlError> {
    let mut latest = Vec::new();
    for name in names {
        latest.extend(supervisor.progress(name)?);
    }
    Ok(latest)
}

/// Whether `progress` has more than was reported last, or that is long ago; then it is what was reported last.
fn is_due(said: &mut HashMap<String, Said>, progress: &Progress, news: u64) -> bool {
    let numbers = (progress.position, progress.events_processed, progress.parked, progress.retries);
    let now = Said { at: Instant::now(), status: progress.status, news, numbers };
    let same = |last: &Said| (last.status, last.news, last.numbers) == (now.status, now.news, now.numbers);
    if said.get(&progress.projection_name).is_some_and(|last| same(last) && now.at - last.at < AGAIN) {
        return false;
    }
    said.insert(progress.projection_name.clone(), now);
    true
}
