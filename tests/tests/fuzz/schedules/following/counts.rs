//! What schedules came to: whether what they are for has happened at all.

use std::sync::atomic::{AtomicU64, Ordering};

/// What all schedules together came to.
#[derive(Debug, Default)]
pub struct Counts {
    pub crashes: AtomicU64,
    /// Crashes while the live generation was behind the history, and followed.
    pub crashes_midway: AtomicU64,
    pub followed: AtomicU64,
    pub unfollowed: AtomicU64,
    pub caught_up: AtomicU64,
    /// Candidates that were built beside a generation that was followed.
    pub beside: AtomicU64,
    pub promoted: AtomicU64,
    pub rolled_back: AtomicU64,
    pub taken_back: AtomicU64,
    pub verified: AtomicU64,
    pub repaired: AtomicU64,
    pub retried: AtomicU64,
    pub swaps: AtomicU64,
    pub failed: AtomicU64,
    /// Reads that were compared with the fold.
    pub compared: AtomicU64,
}

impl Counts {
    /// Asserts that what schedules are for has happened.
    pub fn assert_telling(&self, schedules: u64) {
        for (what, counter, at_least) in [
            ("crashes midway", &self.crashes_midway, schedules / 20),
            ("followed", &self.followed, schedules / 4),
            ("unfollowed", &self.unfollowed, schedules / 10),
            ("caught up", &self.caught_up, schedules / 10),
            ("rebuilt beside", &self.beside, schedules / 10),
            ("promoted by hand", &self.promoted, schedules / 20),
            ("rolled back", &self.rolled_back, schedules / 20),
            ("taken back, and told so", &self.taken_back, schedules / 100),
            ("verified", &self.verified, schedules / 20),
            ("repaired", &self.repaired, schedules / 100),
            ("dead letters retried", &self.retried, schedules / 100),
            ("swapped", &self.swaps, schedules / 10),
            ("failed to follow", &self.failed, schedules / 100),
            ("compared with the fold", &self.compared, schedules * 5),
        ] {
            let times = counter.load(Ordering::Relaxed);
            assert!(times >= at_least, "{what} {times} times in {schedules} schedules: too few to tell");
        }
    }
}
