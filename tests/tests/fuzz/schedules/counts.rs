//! What schedules came to: whether what they are for has happened at all.

use std::sync::atomic::{AtomicU64, Ordering};

/// What all schedules together came to.
#[derive(Debug, Default)]
pub struct Counts {
    pub steps: AtomicU64,
    pub crashes: AtomicU64,
    /// Crashes in the middle of a rebuild, with some of it durable.
    pub crashes_midway: AtomicU64,
    pub pauses: AtomicU64,
    /// Pauses with some events handled and some not.
    pub pauses_midway: AtomicU64,
    pub swaps: AtomicU64,
    pub verified: AtomicU64,
    pub completed: AtomicU64,
}

/// Counts one more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counts {
    /// Asserts that what schedules are for has happened.
    pub fn assert_telling(&self, schedules: u64) {
        for (what, counter) in [
            ("pauses midway", &self.pauses_midway),
            ("crashes midway", &self.crashes_midway),
            ("swaps", &self.swaps),
            ("verifications", &self.verified),
        ] {
            let times = counter.load(Ordering::Relaxed);
            assert!(times >= schedules / 50, "{times} {what} in {schedules} schedules are too few to tell");
        }
    }
}
