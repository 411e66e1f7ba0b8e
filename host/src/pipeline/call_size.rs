//! How many events one call of the plugin handles.
//!
//! A row that many events of a call touch is read, decoded, encoded and checked once, which makes large calls fast. But what
//! a call does counts only at its end, and its rows must fit into one instance. So a rebuild begins with calls of one chunk,
//! and takes more of them at once as long as calls are short. How much is handled at once never changes a result.

use crate::{limits, store::RebuildRecord};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// The handlers learn, the reader cuts accordingly.
pub(super) struct CallSize {
    least: usize,
    most: AtomicUsize,
    events: AtomicUsize,
}

impl CallSize {
    pub(super) fn new(record: &RebuildRecord) -> CallSize {
        let least = record.chunk_size.max(1) as usize;
        let most = least.saturating_mul(record.spec.options.chunks_per_call().max(1) as usize);
        // What a rate limit allows is spread over the second.
        let most = record.spec.options.rate_limit.map_or(most, |rate| most.min(rate as usize / 4)).max(least);
        CallSize { least, most: AtomicUsize::new(most), events: AtomicUsize::new(least) }
    }

    /// Events of a call that is cut now.
    pub(super) fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// More than this was too much.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Takes into account that a call of `events` events took `time` of the processor.
    pub(super) fn learn(&self, events: usize, time: Duration) {
        let (now, most) = (self.events(), self.most());
        if events >= now && time < limits::CALL_SHORT {
            self.events.store((now * 2).min(most), Ordering::Relaxed);
        } else if events >= now && time > limits::CALL_LONG {
            self.events.store((now / 2).max(self.least).min(most), Ordering::Relaxed);
        }
    }

    /// Takes into account that `events` events did not succeed in one call, and did in smaller ones.
    pub(super) fn was_too_much(&self, events: usize) {
        let half = (events / 2).max(1);
        self.most.fetch_min(half, Ordering::Relaxed);
        self.events.fetch_min(half, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(least: usize, most: usize) -> CallSize {
        CallSize { least, most: AtomicUsize::new(most), events: AtomicUsize::new(least) }
    }

    #[test]
    fn short_calls_grow_and_long_ones_shrink_within_bounds() {
        let size = size(500, 8000);
        for expected in [500, 1000, 2000, 4000, 8000, 8000] {
            assert_eq!(size.events(), expected);
            size.learn(size.events(), Duration::ZERO);
        }
        // The rest of a history says nothing about a whole call.
        size.learn(10, Duration::ZERO);
        assert_eq!(size.events(), 8000);
        for expected in [4000, 2000, 1000, 500, 500] {
            size.learn(size.events(), Duration::from_secs(1));
            assert_eq!(size.events(), expected);
        }
    }

    #[test]
    fn what_was_too_much_is_not_tried_again() {
        let size = size(500, 8000);
        size.was_too_much(600);
        for _ in 0..5 {
            size.learn(size.events(), Duration::ZERO);
            assert_eq!((size.events(), size.most()), (300, 300));
        }
        size.was_too_much(1);
        assert_eq!((size.events(), size.most()), (1, 1));
    }
}
