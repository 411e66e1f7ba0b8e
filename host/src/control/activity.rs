//! Requests about the record of activity.

use super::{ControlError, Host, Response, Row, Sink, response::Answer};
use crate::store::{ActivityFilter, HashedEntry};

/// Entries that are read at a time.
const PAGE: usize = 500;

impl Host {
    /// Gives the entries that are wanted, the oldest first: the newest `last` of those with a number below `before`, or all of them.
    pub(super) fn activity(
        &self,
        filter: &ActivityFilter,
        before: Option<u64>,
        last: Option<u64>,
        sink: &mut Sink<'_>,
    ) -> Answer {
        if let Some(name) = &filter.projection {
            self.store().projection(name)?;
        }
        let mut after = match last {
            Some(0) => return Ok(Response::Nothing),
            None => 0,
            Some(last) => self.before_newest(filter, before, usize::try_from(last).unwrap_or(usize::MAX))?,
        };
        loop {
            let page = self.store().activity_after(filter, after, PAGE)?;
            let Some(newest) = page.last() else { return Ok(Response::Nothing) };
            after = newest.entry.seq;
            for entry in page {
                let over = before.is_some_and(|before| entry.entry.seq >= before);
                if over || !sink(Row::Activity(Box::new(entry))) {
                    return Ok(Response::Nothing);
                }
            }
        }
    }

    /// The newest entries that are wanted, the newest first, up to `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_activity(&self, filter: &ActivityFilter, limit: usize) -> Result<Vec<HashedEntry>, ControlError> {
        Ok(self.store().activity_before(filter, None, limit)?)
    }

    /// The number of the newest entry; 0 where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_activity_number(&self) -> Result<u64, ControlError> {
        Ok(self.store().newest_activity()?)
    }

    /// Entries with a number above `after`, the oldest first, up to `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn activity_since(&self, after: u64, limit: usize) -> Result<Vec<HashedEntry>, ControlError> {
        Ok(self.store().activity_after(&ActivityFilter::default(), after, limit)?)
    }

    /// The number before that of the oldest of the newest `last` entries that are wanted.
    fn before_newest(
        &self,
        filter: &ActivityFilter,
        mut before: Option<u64>,
        last: usize,
    ) -> Result<u64, ControlError> {
        let mut left = last;
        loop {
            let page = self.store().activity_before(filter, before, left.min(PAGE))?;
            left -= page.len();
            let Some(oldest) = page.last() else { return Ok(before.map_or(0, |before| before.saturating_sub(1))) };
            before = Some(oldest.entry.seq);
            if left == 0 {
                return Ok(oldest.entry.seq - 1);
            }
        }
    }
}
