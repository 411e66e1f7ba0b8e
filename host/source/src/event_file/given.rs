//! An event, in whatever form it was given.

use super::time::{Time, with_time};
use unspool_vocabulary::Event;

/// An event as a form gives it.
pub(super) struct Given {
    pub(super) event: Event,
    /// The position that the file gives it.
    pub(super) position: Option<u64>,
    /// Whether it is a CloudEvent, whose id is unique within its source only.
    pub(super) cloud: bool,
    /// Its metadata without the time that was kept in them; absent where none was.
    pub(super) without_time: Option<Vec<u8>>,
}

impl Given {
    /// The event with the time that was kept in its metadata, where there is room for it.
    pub(super) fn keeping(mut self, time: Time) -> Given {
        if let Some(kept) = time.kept
            && let Some(with_time) = with_time(&self.event.metadata, &kept)
        {
            self.without_time = Some(std::mem::replace(&mut self.event.metadata, with_time));
        }
        self
    }
}
