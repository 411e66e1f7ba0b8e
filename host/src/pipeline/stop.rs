//! Ending an attempt from outside.

use crate::vocabulary::Status;
use std::{
    sync::{
        Arc,
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
}

impl Stop {
    /// Leaves the rebuild paused.
    pub fn pause(&self) {
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Leaves the rebuild cancelled.
    pub fn cancel(&self) {
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
