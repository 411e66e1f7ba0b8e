//! Changed rows, on their way from the pipeline into whatever keeps them.

use ahash::AHashMap;
use bytes::Bytes;
use std::sync::Arc;

/// A row put or deleted.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// The row's key: UTF-8.
    pub key: Bytes,
    /// Its document; `None` deletes it.
    pub document: Option<Bytes>,
}

/// Changed rows of a generation: of each of its tables each row once, as it was left last.
#[derive(Debug, Clone, Default)]
pub struct RowChanges {
    tables: Vec<AHashMap<Bytes, Option<Bytes>>>,
    bytes: usize,
}

// Called for each row by another crate: inlined there.
impl RowChanges {
    /// Changes a row of table number `table`; without a document it is deleted.
    #[inline]
    pub fn put(&mut self, table: usize, key: Bytes, document: Option<Bytes>) {
        if self.tables.len() <= table {
            self.tables.resize_with(table + 1, AHashMap::new);
        }
        self.bytes += key.len() + document.as_ref().map_or(0, Bytes::len);
        self.tables[table].insert(key, document);
    }

    /// What is known of a row: `None` where it is not among the changed ones.
    #[inline]
    pub fn get(&self, table: usize, key: &str) -> Option<&Option<Bytes>> {
        self.tables.get(table)?.get(key.as_bytes())
    }

    /// The changed rows of a table, in no order.
    #[inline]
    pub fn table(&self, table: usize) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        self.tables.get(table).into_iter().flatten()
    }

    /// The changed rows of a table whose keys are `within`, in no order.
    pub fn within(&self, table: usize, within: &dyn Fn(&str) -> bool) -> impl Iterator<Item = (String, Option<Bytes>)> {
        let key = move |key| std::str::from_utf8(key).ok().filter(|key| within(key));
        self.table(table).filter_map(move |(at, document)| Some((key(at)?.to_owned(), document.clone())))
    }

    /// How many rows are changed.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|rows| rows.len()).sum()
    }

    /// Whether no row is changed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|rows| rows.is_empty())
    }

    /// What they may hold in memory: the write frames that they are slices of. A row that is changed again still holds on to
    /// the frame of its first key.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows of `layers`, oldest first, for each table: each key once, in ascending order.
    pub fn sorted(layers: &[Arc<RowChanges>]) -> Vec<Vec<RowChange>> {
        let tables = layers.iter().map(|layer| layer.tables.len()).max().unwrap_or(0);
        let sorted = |table: usize| {
            let mut newest: AHashMap<&Bytes, &Option<Bytes>> = AHashMap::new();
            let mut rows: Vec<_> = match layers {
                [only] => only.table(table).map(|(key, document)| (first_bytes(key), key, document)).collect(),
                _ => {
                    newest.extend(layers.iter().flat_map(|layer| layer.table(table)));
                    newest.into_iter().map(|(key, document)| (first_bytes(key), key, document)).collect()
                }
            };
            rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
            let change = |(_, key, document): (u64, &Bytes, &Option<Bytes>)| RowChange {
                key: key.clone(),
                document: document.clone(),
            };
            rows.into_iter().map(change).collect()
        };
        (0..tables).map(sorted).collect()
    }
}

/// By table, as [`RowChanges::sorted`] gives them.
impl From<Vec<Vec<RowChange>>> for RowChanges {
    fn from(tables: Vec<Vec<RowChange>>) -> RowChanges {
        let mut changes = RowChanges::default();
        for (table, rows) in tables.into_iter().enumerate() {
            rows.into_iter().for_each(|row| changes.put(table, row.key, row.document));
        }
        changes
    }
}

/// The first bytes of a key, which decide most comparisons where it stands.
fn first_bytes(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let len = key.len().min(8);
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}
