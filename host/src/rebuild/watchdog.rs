//! Watches that rebuilds move: one that stands still while it is behind is logged, and ended where it lasts.

use super::host::Host;
use crate::{
    limits,
    pipeline::Published,
    store::RebuildRecord,
    vocabulary::{EventFailure, FailureKind, Status, now_ms},
};
use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

/// How often it looks.
const GLANCE: Duration = Duration::from_secs(1);

/// How long `record` may stand still: longer where a rate limit makes a chunk take long.
fn patience(record: &RebuildRecord, base: Duration) -> Duration {
    let chunk = record
        .rate_limit
        .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(f64::from(record.chunk_size) / f64::from(rate.max(1))));
    base + chunk * 2
}

/// Whether the rebuild of `record` stands still while it is behind.
pub(super) fn is_stalled(record: &RebuildRecord, published: &Published) -> bool {
    published.position() < record.target && published.still_for() > patience(record, limits::STALL)
}

/// Starts the thread. It ends with the host.
pub(super) fn start(host: &Arc<Host>) -> std::io::Result<()> {
    let host = Arc::downgrade(host);
    std::thread::Builder::new().name("watchdog".into()).spawn(move || watch(&host))?;
    Ok(())
}

fn watch(host: &Weak<Host>) {
    let mut known = HashSet::new();
    loop {
        std::thread::sleep(GLANCE);
        let Some(host) = host.upgrade() else { return };
        for key in host.running_keys() {
            look(&host, &key, &mut known);
        }
    }
}

fn look(host: &Host, name: &str, known: &mut HashSet<String>) {
    let Some(published) = host.published(name) else { return };
    // What is built apart is waited for by who asked for it; only rebuilds are watched.
    let Ok(Some(record)) = host.store.latest_rebuild(name) else { return };
    if record.status() != Status::Running || !is_stalled(&record, &published) {
        known.remove(name);
        return;
    }
    let still = published.still_for();
    if known.insert(name.to_owned()) {
        let position = published.position();
        tracing::error!(
            projection = name,
            "stalled: at position {position} for {} s, behind {}",
            still.as_secs(),
            record.target
        );
    }
    if still > patience(&record, limits::STALL_END) {
        let message = format!("it has not moved from position {} for {} s", published.position(), still.as_secs());
        let failure = EventFailure::permanent(FailureKind::Other, message);
        tracing::error!(projection = name, "ended: {}", failure.message);
        // The attempt number moves on first: whatever the stuck thread still commits is refused.
        if let Err(e) = host.store.settle(name, record.generation, Status::Failed, Some(failure), now_ms()) {
            tracing::error!(projection = name, "its end could not be noted: {e}");
        }
        host.abandon(name);
    }
}
