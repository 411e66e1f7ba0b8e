//! Where a table reads rows that it has not seen in this chunk.

use crate::key_map::KeyMap;
use std::cell::RefCell;
use std::rc::Rc;
use unspool_frame::{FrameError, Writes};

/// The rows of a projection's tables as they are before the chunk: what the imports `get-many` and `scan` answer.
///
/// In a plugin the host implements it, natively a [`MemoryRows`].
pub trait Rows {
    /// Calls `each` with the index of every key and its document, in the order of `keys`; `None` where there is no row.
    fn read(&self, table: &str, keys: &[&str], each: &mut dyn FnMut(usize, Option<&[u8]>));

    /// Up to `limit` rows of `table` whose key starts with `prefix` and is greater than `after`, ascending by the bytes of
    /// their keys. Fewer than `limit` do not mean the end; none do.
    fn scan(&self, table: &str, prefix: &str, after: Option<&str>, limit: u32) -> Vec<(String, Vec<u8>)>;
}

/// Rows in memory, for tests and measurements. Clones share the rows.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    tables: Rc<RefCell<Vec<(String, Documents)>>>,
}

/// A deleted row stays as `None`.
type Documents = KeyMap<Option<Vec<u8>>>;

impl MemoryRows {
    /// No rows at all.
    #[must_use]
    pub fn new() -> MemoryRows {
        MemoryRows::default()
    }

    /// Applies a write frame, write by write.
    ///
    /// # Errors
    /// When the frame does not follow its layout; the writes before the broken one are applied.
    pub fn apply(&self, frame: &[u8]) -> Result<(), FrameError> {
        let mut tables = self.tables.borrow_mut();
        for write in Writes::new(frame)? {
            let write = write?;
            let table = match tables.iter().position(|(name, _)| name == write.table) {
                Some(at) => at,
                None => {
                    tables.push((write.table.to_owned(), Documents::default()));
                    tables.len() - 1
                }
            };
            let documents = &mut tables[table].1;
            match (documents.find(write.key), write.document) {
                (Some(at), Some(document)) => {
                    let old = documents.value_mut(at).get_or_insert_default();
                    old.clear();
                    old.extend_from_slice(document);
                }
                (Some(at), None) => *documents.value_mut(at) = None,
                (None, document) => {
                    documents.add(write.key, document.map(<[u8]>::to_vec));
                }
            }
        }
        Ok(())
    }

    /// The document of one row.
    #[must_use]
    pub fn get(&self, table: &str, key: &str) -> Option<Vec<u8>> {
        let mut found = None;
        self.read(table, &[key], &mut |_, document| found = document.map(<[u8]>::to_vec));
        found
    }

    /// All rows of a table, ascending by the bytes of their keys.
    #[must_use]
    pub fn table(&self, table: &str) -> Vec<(String, Vec<u8>)> {
        self.scan(table, "", None, u32::MAX)
    }

    /// The tables that something was written to, in the order in which that happened first.
    #[must_use]
    pub fn table_names(&self) -> Vec<String> {
        self.tables.borrow().iter().map(|(name, _)| name.clone()).collect()
    }

    fn with<T>(&self, table: &str, look: impl FnOnce(&Documents) -> T) -> Option<T> {
        let tables = self.tables.borrow();
        tables.iter().find(|(name, _)| name == table).map(|(_, documents)| look(documents))
    }
}

impl Rows for MemoryRows {
    fn read(&self, table: &str, keys: &[&str], each: &mut dyn FnMut(usize, Option<&[u8]>)) {
        let found = self.with(table, |documents| {
            for (n, key) in keys.iter().enumerate() {
                each(n, documents.find(key).and_then(|at| documents.value(at).as_deref()));
            }
        });
        if found.is_none() {
            (0..keys.len()).for_each(|n| each(n, None));
        }
    }

    fn scan(&self, table: &str, prefix: &str, after: Option<&str>, limit: u32) -> Vec<(String, Vec<u8>)> {
        let rows = self.with(table, |documents| {
            let rows = documents.iter().filter_map(|(key, document)| Some((key, document.as_ref()?)));
            let rows = rows.filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| *key > after));
            let mut rows: Vec<_> = rows.map(|(key, document)| (key.to_owned(), document.clone())).collect();
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            rows.truncate(limit as usize);
            rows
        });
        rows.unwrap_or_default()
    }
}
