//! Tells operators what is in the outbox of the store, each route on a thread of its own: whatever becomes of a receiver, rebuilds go on
//! as they are, and so do the other routes.
//!
//! | file | what it does |
//! |---|---|
//! | `route` | whom to tell, as settings say it |
//! | `message` | what is said, in each of the formats |
//! | `command`, `webhook` | how it gets there |

mod command;
mod message;
mod route;
#[cfg(feature = "http")]
mod webhook;

pub use route::AlertRoute;

use crate::{
    limits,
    store::{Alert, AlertCause, DueAlert, Phase, RouteRecord, Store},
    vocabulary::{AlertKind, EventFailure, Position, now_ms},
};
use message::Message;
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The target of the log lines that say that a rebuild has failed.
pub const FAILURES: &str = "failures";

/// How often it looks whether there is anything to tell.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The pause after the first try that has failed; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Alerts that the store did not take, and that wait for a route.
const UNSTORED: usize = 64;

/// Nothing has been looked at yet.
const NEVER: u64 = u64::MAX;

/// Who tells operators.
pub(super) struct Alerts {
    outbox: Arc<Outbox>,
    bell: Arc<Bell>,
}

struct Outbox {
    store: Store,
    routes: Vec<Worked>,
}

/// A route, and how far the thread is that works on it.
struct Worked {
    route: AlertRoute,
    /// The number of the newest change whose messages have been tried.
    looked: AtomicU64,
    /// Alerts that the store did not take.
    unstored: Mutex<VecDeque<Alert>>,
}

/// Rung when the host ends.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    fn is_rung(&self) -> bool {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ringing.notify_all();
    }

    /// Waits for so long; `true` as soon as it is rung.
    fn wait(&self, time: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ringing.wait_timeout_while(rung, time, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Alerts {
    /// Tells `routes` what is in the outbox of `store`, also from before. `None`: what is there stays there.
    ///
    /// # Errors
    /// When the system gives no thread. A store that cannot be written is no reason not to start.
    pub(super) fn start(store: &Store, routes: Option<&[AlertRoute]>) -> io::Result<Alerts> {
        let records = routes.map(|routes| routes.iter().map(|route| (route.name().to_owned(), route.record())));
        if let Some(records) = records
            && let Err(e) = store.declare_alert_routes(&records.collect::<Vec<(String, RouteRecord)>>())
        {
            tracing::error!("alerts may not be told: {e}");
        }
        let worked = |route: &AlertRoute| Worked {
            route: route.clone(),
            looked: AtomicU64::new(NEVER),
            unstored: Mutex::default(),
        };
        let routes: Vec<Worked> = routes.unwrap_or_default().iter().map(worked).collect();
        let (outbox, bell) = (Arc::new(Outbox { store: store.clone(), routes }), Arc::<Bell>::default());
        for index in 0..outbox.routes.len() {
            let (outbox, bell) = (Arc::downgrade(&outbox), bell.clone());
            std::thread::Builder::new().name("alerts".into()).spawn(move || work(&outbox, index, &bell))?;
        }
        Ok(Alerts { outbox, bell })
    }

    /// A rebuild, or what follows it, has failed. The store has it in its outbox; where it did not take it, because it is what has
    /// failed, it is told all the same.
    pub(super) fn failed(&self, projection: &str, generation: u64, position: Position, failure: &EventFailure) {
        tracing::error!(target: FAILURES, projection, "rebuild failed: {failure}");
        let record = self.outbox.store.rebuild(projection, generation);
        let goes_on = |status| status == crate::vocabulary::Status::Running;
        if record.is_ok_and(|record| !goes_on(record.status()) && !record.is_followed()) {
            return;
        }
        let cause = AlertCause {
            message: failure.to_string(),
            generation: Some(generation),
            position,
            failure: Some(failure.clone()),
            waiting: None,
        };
        let alert = Alert::unstored(projection, AlertKind::Failed, cause);
        for worked in self.outbox.routes.iter().filter(|worked| worked.route.wants(AlertKind::Failed)) {
            let mut unstored = worked.unstored.lock().unwrap_or_else(PoisonError::into_inner);
            if unstored.len() < UNSTORED {
                unstored.push_back(alert.clone());
            }
        }
    }

    /// Whether everybody has been told, or could not be at the first try, or nobody waits for that.
    pub(super) fn are_told(&self) -> bool {
        if self.bell.is_rung() || self.outbox.routes.is_empty() {
            return true;
        }
        let Ok(changes) = self.outbox.store.alert_changes() else { return true };
        self.outbox.routes.iter().all(|worked| {
            let unstored = worked.unstored.lock().unwrap_or_else(PoisonError::into_inner);
            unstored.is_empty() && worked.looked.load(Ordering::SeqCst) == changes
        })
    }

    /// The host ends: what is being delivered is left to itself, and what is not goes on with the next host.
    pub(super) fn leave(&self) {
        self.bell.ring();
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a thread knows of its route.
#[derive(Default)]
struct Known {
    /// The number of the newest change when nothing was due any more.
    changes: Option<u64>,
    /// When something else is due, in milliseconds since 1970.
    later: Option<i64>,
    /// Tries in a row that have failed.
    failures: u32,
    /// No try before.
    pause: Option<Instant>,
}

/// What is to be told, and whether the store knows of it.
type Due = (DueAlert, bool);

/// Works on a route until the host ends. While a receiver is waited for, nothing of the store is held.
fn work(outbox: &Weak<Outbox>, index: usize, bell: &Bell) {
    let mut known = Known::default();
    while let Some(due) = outbox.upgrade().map(|outbox| outbox.next(index, &mut known)) {
        let Some((due, stored)) = due else {
            if bell.wait(POLL_INTERVAL) {
                return;
            }
            continue;
        };
        let Some(route) = outbox.upgrade().map(|outbox| outbox.routes[index].route.clone()) else { return };
        if bell.is_rung() {
            return;
        }
        let outcome = route.deliver(&Message::of(&due.alert, due.phase));
        let Some(outbox) = outbox.upgrade() else { return };
        outbox.note(index, &due, stored, outcome, &mut known);
    }
}

impl Outbox {
    /// What is to be told now on a route.
    fn next(&self, index: usize, known: &mut Known) -> Option<Due> {
        let worked = &self.routes[index];
        let unstored = worked.unstored.lock().unwrap_or_else(PoisonError::into_inner).front().cloned();
        let pauses = known.pause.is_some_and(|until| Instant::now() < until);
        if let Some(alert) = unstored.filter(|_| !pauses) {
            let since = alert.since;
            return Some((DueAlert { alert, phase: Phase::Firing, since }, false));
        }
        let changes = self.store.alert_changes().ok()?;
        let now = now_ms();
        if pauses {
            // It has been tried.
            worked.looked.store(changes, Ordering::SeqCst);
            return None;
        }
        if known.changes == Some(changes) && known.later.is_none_or(|later| later > now) {
            return None;
        }
        let next = match self.store.next_alert(worked.route.name(), now) {
            Ok(next) => next,
            Err(e) => {
                tracing::error!("what is to be told to {} cannot be read: {e}", worked.route.name());
                known.pause = Some(Instant::now() + limits::ALERT_PAUSE);
                return None;
            }
        };
        if let Some(due) = next.due {
            return Some((due, true));
        }
        (known.changes, known.later) = (Some(changes), next.later);
        worked.looked.store(changes, Ordering::SeqCst);
        None
    }

    /// Notes what became of a message, and when the next is tried.
    fn note(&self, index: usize, due: &DueAlert, stored: bool, outcome: Result<(), String>, known: &mut Known) {
        let worked = &self.routes[index];
        let (name, projection) = (worked.route.name(), &due.alert.projection);
        known.changes = None;
        match &outcome {
            Ok(()) => (known.failures, known.pause) = (0, None),
            Err(e) => {
                known.failures = known.failures.saturating_add(1);
                let pause = FIRST_PAUSE * 2_u32.pow((known.failures - 1).min(6));
                let pause = pause.min(limits::ALERT_PAUSE);
                known.pause = Some(Instant::now() + pause);
                tracing::warn!(projection, "{name} is not told, and is tried again in {} s: {e}", pause.as_secs());
            }
        }
        if !stored {
            // Once: whether it has arrived, nobody could note.
            worked.unstored.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            return;
        }
        match self.store.note_delivery(name, due, outcome, now_ms()) {
            Ok(false) => {}
            Ok(true) => tracing::error!(
                projection,
                "{name} is never told that it was {}: it could not be told for a day",
                due.alert.kind.name()
            ),
            Err(e) => {
                tracing::error!(projection, "{name} may be told again: what became of it cannot be noted: {e}");
                known.pause = Some(Instant::now() + limits::ALERT_PAUSE);
            }
        }
    }
}
