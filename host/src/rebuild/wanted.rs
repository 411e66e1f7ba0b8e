//! What the last host was ended in the middle of is resumed by the next one that serves, as soon as what it needs is there.

use super::{RebuildError, host::Host, supervisor::Supervisor};
use crate::{
    limits,
    store::RebuildRecord,
    vocabulary::{EventFailure, FailureKind, Status, Waiting, ms_since, now_ms},
};
use std::{
    sync::{
        Arc, Weak,
        mpsc::{self, Sender},
    },
    time::Duration,
};

impl Supervisor {
    /// Resumes what an earlier host was ended in the middle of: in the background, and as soon as what it needs is there,
    /// however long that takes. What can go on at once does so before this returns.
    ///
    /// # Errors
    /// When the store cannot be read, or the system gives no thread; what cannot be resumed is logged.
    pub fn resume_interrupted(&self) -> Result<(), RebuildError> {
        self.host.follows();
        let (tried, all_tried) = mpsc::channel::<()>();
        for record in self.host.store.interrupted()? {
            go_on(&self.host, record, tried.clone())?;
        }
        drop(tried);
        for projection in self.host.store.projections()? {
            self.host.begin_followers(&projection.description.name);
        }
        // Nothing is sent: what it waits for is that the other ends go.
        let _over = all_tried.recv_timeout(limits::RECOVERY_WAIT);
        Ok(())
    }
}

/// Lets the rebuild of `record` go on, on a thread of its own: its source or the database with its rows may be away for as
/// long as it takes. `tried` goes when it has been tried once.
fn go_on(host: &Arc<Host>, record: RebuildRecord, tried: Sender<()>) -> Result<(), RebuildError> {
    let name = record.checkpoint.projection_name.clone();
    // From here on the host is not idle.
    host.note_wanted(&name, Some(waiting(FailureKind::Other, now_ms(), 0, "it is about to go on".to_owned())));
    let weak = Arc::downgrade(host);
    let spawned = std::thread::Builder::new().name(format!("wanted {name}")).spawn(move || {
        try_until_it_does(&weak, &record, tried);
        if let Some(host) = weak.upgrade() {
            host.note_wanted(&record.checkpoint.projection_name, None);
        }
    });
    if let Err(e) = spawned {
        host.note_wanted(&name, None);
        return Err(e.into());
    }
    Ok(())
}

fn try_until_it_does(host: &Weak<Host>, record: &RebuildRecord, tried: Sender<()>) {
    let name = record.checkpoint.projection_name.as_str();
    let (since, mut tries, mut first) = (now_ms(), 0, Some(tried));
    loop {
        let Some(host) = host.upgrade() else { return };
        // An operator may have resumed, paused or cancelled it meanwhile.
        match host.store.rebuild(name, record.generation) {
            Ok(now) if now.is_wanted() => {}
            _ => return,
        }
        match resume(&host, record) {
            Ok(()) => return tracing::info!(projection = name, "resumed: the last host ended while it was running"),
            Err(_) if host.is_closing() => return,
            // It would be the same the next time.
            Err(RebuildError::OtherHistory { message, remedy }) => {
                let failure = EventFailure::permanent(FailureKind::Source, message).with_remedy(remedy);
                return give_up(&host, record, failure);
            }
            Err(e) => match e.passing() {
                None => return tracing::error!(projection = name, "not resumed: {e}"),
                Some(kind) => {
                    tries += 1;
                    tracing::warn!(projection = name, tries, "it goes on as soon as it can: {e}");
                    host.note_wanted(name, Some(waiting(kind, since, tries, e.to_string())));
                }
            },
        }
        drop(first.take());
        let pause = limits::backoff(tries).min(LONGEST_PAUSE);
        if !host.pause(pause) {
            return;
        }
    }
}

/// Leaves it failed, and alerts the operator.
fn give_up(host: &Host, record: &RebuildRecord, failure: EventFailure) {
    let (name, position) = (record.checkpoint.projection_name.as_str(), record.checkpoint.position);
    if let Err(e) = host.store.set_status(name, record.generation, Status::Failed, Some(failure.clone()), now_ms()) {
        tracing::error!(projection = name, "its end could not be noted: {e}");
    }
    host.alerts.failed(name, record.generation, position, &failure);
}

/// Between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What does not answer is found out before the command lock is taken, so that an operator's commands do not wait for it.
fn resume(host: &Arc<Host>, record: &RebuildRecord) -> Result<(), RebuildError> {
    host.source(&record.spec.source)?;
    host.store.reach_external(record)?;
    let supervisor = Supervisor { host: host.clone() };
    supervisor.resume(&record.checkpoint.projection_name).map(drop)
}

fn waiting(kind: FailureKind, since: i64, tries: u32, error: String) -> Waiting {
    Waiting { kind, since, ms: ms_since(since), tries, error }
}
