//! Which rows the calls of attempts touch, for callers that replace them in another generation afterwards.

use super::owners::Looked;
use crate::plugin::RowWrite;
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A row: its table, and its key.
pub type Row = (usize, Bytes);

/// What calls have touched so far: also those that failed, so that a row in it may not have been changed after all. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct Touched(Arc<Mutex<TouchedRows>>);

/// Rows that have been touched, each once.
#[derive(Debug, Default)]
pub struct TouchedRows {
    /// Those that were written or deleted.
    pub written: BTreeSet<Row>,
    /// Those that were looked for, whether they are there or not, or that a scan gave.
    pub looked_for: BTreeSet<Row>,
    /// Tables, and the prefixes by which they were scanned.
    pub scanned: BTreeSet<(usize, String)>,
}

impl Touched {
    pub(super) fn looked(&self, looked: &Looked) {
        let mut rows = self.rows();
        for (table, key) in looked.rows() {
            rows.looked_for.insert((table, Bytes::copy_from_slice(key.as_bytes())));
        }
        rows.scanned.extend(looked.scans().map(|(table, prefix)| (table, prefix.to_owned())));
    }

    pub(super) fn written(&self, writes: &[RowWrite]) {
        // A key of its own: that of a write is a slice of everything that its call wrote.
        self.rows().written.extend(writes.iter().map(|write| (write.table, Bytes::copy_from_slice(&write.key))));
    }

    /// The rows, once no attempt adds to them any more.
    pub fn take(&self) -> TouchedRows {
        std::mem::take(&mut *self.rows())
    }

    fn rows(&self) -> MutexGuard<'_, TouchedRows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
