//! Rows that a follower has committed lately, kept from one of its short attempts to the next: what changed lately changes again soon,
//! and a database is asked for each row that is not at hand.
//!
//! They hold as long as nobody else changes the generation: whoever does claims it, which shows by the number of the next attempt. A
//! follower that begins reads those of which the log of changes says that they were changed last.

use crate::{limits, store::RowChanges, vocabulary::Known};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of one generation as they were committed last. Clones share them.
#[derive(Clone, Default)]
pub struct Recent {
    rows: Arc<Mutex<Rows>>,
}

/// The older half is dropped when the younger one is full; what is asked for in the meantime moves to the younger.
#[derive(Default)]
struct Rows {
    young: RowChanges,
    old: RowChanges,
}

impl Rows {
    fn put(&mut self, table: usize, key: Bytes, document: Option<Bytes>) {
        if self.young.bytes() >= limits::RECENT_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.put(table, key, document);
    }
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is known any more.
    pub fn forget(&self) {
        *self.lock() = Rows::default();
    }

    /// Takes rows of a table as they are now; of the first of them as many as there is room for.
    pub fn learn<'a>(&self, table: usize, now: impl Iterator<Item = (&'a str, Option<Bytes>)>) {
        let mut rows = self.lock();
        for (key, document) in now {
            if rows.young.bytes() >= limits::RECENT_BYTES / 2 {
                return;
            }
            rows.put(table, Bytes::copy_from_slice(key.as_bytes()), document);
        }
    }

    /// Takes rows that have been committed, in `tables` tables. They are copied: a slice would hold all of its frame in memory.
    pub(super) fn committed(&self, changed: &RowChanges, tables: usize) {
        let mut rows = self.lock();
        for table in 0..tables {
            for (key, document) in changed.table(table) {
                let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
                rows.put(table, copy(key), document.as_ref().map(copy));
            }
        }
    }

    /// What is known of a row.
    pub(super) fn get(&self, table: usize, key: &str) -> Known {
        let mut rows = self.lock();
        if let Some(document) = rows.young.get(table, key) {
            return Some(document.clone());
        }
        let document = rows.old.get(table, key)?.clone();
        rows.put(table, Bytes::copy_from_slice(key.as_bytes()), document.clone());
        Some(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, document: Option<Vec<u8>>) -> RowChanges {
        let mut rows = RowChanges::default();
        rows.put(1, Bytes::copy_from_slice(key.as_bytes()), document.map(Bytes::from));
        rows
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let recent = Recent::default();
        assert_eq!(recent.get(1, "asked"), None);
        recent.committed(&one("asked", Some(vec![1])), 2);
        recent.committed(&one("deleted", None), 2);
        assert_eq!(recent.get(1, "deleted"), Some(None));
        let large = || Some(vec![0; limits::RECENT_BYTES / 8]);
        for number in 0..40 {
            recent.committed(&one(&format!("large {number}"), large()), 2);
            assert_eq!(recent.get(1, "asked"), Some(Some(Bytes::from_static(&[1]))), "{number}");
            assert_eq!(recent.get(0, "asked"), None);
        }
        assert_eq!(recent.get(1, "large 0"), None);
        assert_eq!(recent.get(1, "deleted"), None);
        assert!(recent.get(1, "large 39").is_some());
        recent.committed(&one("asked", Some(vec![2])), 2);
        assert_eq!(recent.get(1, "asked"), Some(Some(Bytes::from_static(&[2]))));
        recent.forget();
        assert_eq!(recent.get(1, "asked"), None);
    }
}
