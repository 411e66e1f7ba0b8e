//! Ending an attempt from outside.

use crate::vocabulary::{
    Status,
    act::{self, Act},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a waiting attempt checks whether it is to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Ends an attempt from outside, and decides in which status it is left.
#[derive(Clone, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
    /// On whose behalf it was raised, or the attempt works in the first place; the host's own where absent.
    by: Arc<Mutex<Option<Arc<Act>>>>,
}

impl Stop {
    /// For an attempt that works on behalf of whom this thread does.
    pub fn of_request() -> Stop {
        let stop = Stop::default();
        stop.note_by();
        stop
    }

    fn note_by(&self) {
        if let Some(act) = act::current() {
            *self.by.lock().unwrap_or_else(PoisonError::into_inner) = Some(act);
        }
    }

    /// On whose behalf its attempt works from here on; `None` where that is the host itself.
    pub(super) fn by(&self) -> Option<Arc<Act>> {
        self.by.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves the rebuild paused.
    pub fn pause(&self) {
        self.note_by();
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Leaves the rebuild cancelled.
    pub fn cancel(&self) {
        self.note_by();
        self.cancelled.store(true, Ordering::SeqCst);
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Whether the attempt should end.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// The flag itself, for a running guest to be interrupted by.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.raised
    }

    /// The status in which the rebuild is left.
    pub fn status(&self) -> Status {
        if self.cancelled.load(Ordering::SeqCst) { Status::Cancelled } else { Status::Paused }
    }

    /// Waits until then; `false`, and at once, where it is raised.
    pub fn wait_until(&self, until: Instant) -> bool {
        while !self.is_raised() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(POLL_INTERVAL.min(left));
        }
        false
    }
}
