//! Watches that rebuilds and followers move: one that stalls while it is behind is ended where that lasts. What only shows while a host
//! works is entered into the outbox of alerts: that something stands still, or is behind, and that this is over.

mod conditions;

use super::host::{Host, follower_key::of_key};
use crate::{
    limits,
    pipeline::Published,
    store::RebuildRecord,
    vocabulary::{EventFailure, FailureKind, Position, Status, Waiting, now_ms},
};
use conditions::Conditions;
use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How often it looks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Where it looks so much later than it should, the whole host was suspended, and no rebuild is to blame.
const SUSPENDED: Duration = Duration::from_secs(5);

/// The verdict on a rebuild that has stood still for some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is where it should be, or has not stood still for long.
    Fine,
    /// It should have moved by now.
    Stalled,
    /// It will not recover.
    Lost,
}

/// Judges a rebuild that has been at `position` for `still`, on its way to `target`. Its rate limit makes a chunk take
/// `chunk` at least.
fn judge(position: Position, target: Position, chunk: Duration, still: Duration) -> Verdict {
    let allowed = |base: Duration| base + chunk * 2;
    if position >= target || still <= allowed(limits::STALL) {
        Verdict::Fine
    } else if still <= allowed(limits::STALL_END) {
        Verdict::Stalled
    } else {
        Verdict::Lost
    }
}

/// How long a chunk takes at the rate limit; no time at all without one.
fn chunk_time(chunk_size: u32, rate_limit: Option<u32>) -> Duration {
    rate_limit.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(f64::from(chunk_size) / f64::from(rate.max(1))))
}

fn verdict(record: &RebuildRecord, published: &Published) -> Verdict {
    let chunk = chunk_time(record.chunk_size, record.spec.options.rate_limit);
    judge(published.position(), record.target, chunk, published.still_for())
}

/// Whether the rebuild of `record`, which runs, stands still while it is behind.
pub(super) fn is_stalled(record: &RebuildRecord, published: &Published) -> bool {
    verdict(record, published) != Verdict::Fine
}

/// Starts the thread. It ends with the host.
pub(super) fn start(host: &Arc<Host>) -> std::io::Result<()> {
    let host = Arc::downgrade(host);
    std::thread::Builder::new().name("watchdog".into()).spawn(move || watch(&host))?;
    Ok(())
}

/// For how long the host itself was stopped (SIGSTOP, a debugger, a machine that slept), where two looks are `between` apart.
fn suspended(between: Duration) -> Duration {
    let late = between.saturating_sub(POLL_INTERVAL);
    if late > SUSPENDED { late } else { Duration::ZERO }
}

fn watch(host: &Weak<Host>) {
    let mut conditions = None;
    let mut last = Instant::now();
    loop {
        std::thread::sleep(POLL_INTERVAL);
        let Some(host) = host.upgrade() else { return };
        let running = host.running_keys();
        let suspended = suspended(last.elapsed());
        last = Instant::now();
        if suspended > Duration::ZERO {
            tracing::warn!("this host was stopped for {} s", suspended.as_secs());
        }
        for published in running.iter().filter_map(|key| host.published(key)) {
            published.forgive(suspended);
        }
        let conditions = conditions.get_or_insert_with(|| Conditions::known(&host));
        let keys: HashSet<String> = running.into_iter().chain(host.wanted_keys()).collect();
        let watched: Vec<(String, Watched)> =
            keys.into_iter().filter_map(|key| Watched::of(&host, &key).map(|watched| (key, watched))).collect();
        conditions.look(&host, &watched);
        for (key, watched) in &watched {
            end_lost(&host, key, watched);
        }
    }
}

/// What a key of the host stands for.
struct Watched {
    name: String,
    record: RebuildRecord,
    /// It brings a complete generation forward; it is a rebuild otherwise.
    follows: bool,
}

impl Watched {
    /// `None` where there is no such rebuild or generation. What is built as a shadow is waited for by who asked for it.
    fn of(host: &Host, key: &str) -> Option<Watched> {
        let (name, record) = match of_key(key) {
            Some((name, generation)) => (name, host.store.rebuild(name, generation).ok()?),
            None => (key, host.store.latest_rebuild(key).ok()??),
        };
        Some(Watched { name: name.to_owned(), record, follows: of_key(key).is_some() })
    }

    /// Whether it is to move.
    fn is_at_work(&self) -> bool {
        if self.follows { self.record.is_followed() } else { self.record.status() == Status::Running }
    }

    /// Why it waits; `None` where it does not. Nobody knows of a follower that stands aside for a moment.
    fn waiting(&self, host: &Host, key: &str) -> Option<Option<Waiting>> {
        match host.published(key) {
            Some(published) => Some(published.waiting()),
            None if self.follows && self.record.is_followed() => None,
            None => Some(host.waiting(key)),
        }
    }

    /// Ends it in the store: whatever its thread, which is stuck, still commits is refused.
    fn fail(&self, host: &Host, failure: EventFailure) {
        let (name, generation) = (&self.name, self.record.generation);
        let noted = match self.follows {
            true => host.store.fail_following(name, generation, failure, now_ms()),
            false => host.store.set_status(name, generation, Status::Failed, Some(failure), now_ms()),
        };
        if let Err(e) = noted {
            tracing::error!(projection = name, "its end could not be noted: {e}");
        }
    }
}

/// Ends what will not recover.
fn end_lost(host: &Host, key: &str, watched: &Watched) {
    let Some(published) = host.published(key) else { return };
    let (name, record) = (&watched.name, &watched.record);
    // One that waits is not stuck: it tries again, and says itself when it gives up.
    let lost = verdict(record, &published) == Verdict::Lost && published.waiting().is_none();
    if !watched.is_at_work() || !lost {
        return;
    }
    let (position, seconds) = (published.position(), published.still_for().as_secs());
    let message = format!("it has not moved from position {position} for {seconds} s");
    let failure = EventFailure::permanent(FailureKind::Other, message);
    watched.fail(host, failure.clone());
    host.abandon(key);
    host.alerts.failed(name, record.generation, position, &failure);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn judged(position: u64, chunk: Duration, still: Duration) -> Verdict {
        judge(Position::number(position), Position::number(1_000), chunk, still)
    }

    #[test]
    fn a_rebuild_that_is_behind_and_stands_still_is_stalled_and_then_lost() {
        for (still, expected) in [
            (Duration::ZERO, Verdict::Fine),
            (limits::STALL, Verdict::Fine),
            (limits::STALL + SECOND, Verdict::Stalled),
            (limits::STALL_END, Verdict::Stalled),
            (limits::STALL_END + SECOND, Verdict::Lost),
        ] {
            assert_eq!(judged(999, Duration::ZERO, still), expected, "{still:?}");
        }
    }

    /// What a machine that slept for an hour did not do in that time is no stall; a look that comes a little late is a look.
    #[test]
    fn time_in_which_the_host_itself_was_stopped_is_not_counted() {
        assert_eq!(suspended(POLL_INTERVAL), Duration::ZERO);
        assert_eq!(suspended(POLL_INTERVAL + SUSPENDED), Duration::ZERO);
        assert_eq!(suspended(POLL_INTERVAL + 3_600 * SECOND), 3_600 * SECOND);
    }

    #[test]
    fn one_that_has_arrived_is_left_alone() {
        assert_eq!(judged(1_000, Duration::ZERO, Duration::MAX), Verdict::Fine);
    }

    /// At one event a second a chunk of 500 takes more than eight minutes: that is no stall.
    #[test]
    fn a_rate_limit_makes_it_patient() {
        let chunk = chunk_time(500, Some(1));
        assert_eq!(judged(1, chunk, limits::STALL + 1_000 * SECOND), Verdict::Fine);
        assert_eq!(judged(1, chunk, limits::STALL + 1_001 * SECOND), Verdict::Stalled);
        assert_eq!(judged(1, chunk, limits::STALL_END + 1_001 * SECOND), Verdict::Lost);
        assert_eq!(chunk_time(500, None), Duration::ZERO);
        assert_eq!(chunk_time(500, Some(0)), 500 * SECOND, "a limit of nothing is one of one");
    }
}
