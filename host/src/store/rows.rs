//! Reading the rows of a generation.

use super::{
    RowDigest, Store, StoreError,
    commit::row_table_name,
    home::HomeRows,
    journal::{Journaled, newer_rows},
    packed::Packing,
};
use crate::vocabulary::{Canonical, work};
use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use std::borrow::Cow;

/// Bytes that a digest takes up at once.
const DIGEST_BYTES: usize = 128 << 10;

/// Names one generation of one projection, and its tables.
#[derive(Debug, Clone)]
pub struct Generation {
    /// The projection.
    pub projection: String,
    /// The generation's number.
    pub number: u64,
    /// Its tables, in the order of the description.
    pub tables: Vec<String>,
    /// The database in which its rows live; they are in the store where absent.
    pub into: Option<String>,
}

/// Is shown a row: its key and its document.
pub(super) type ShowRow<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), StoreError>;

/// The committed rows of one generation, wherever they live.
pub(super) trait CommittedRows: Send + Sync {
    /// See [`RowSnapshot::get_many`].
    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// See [`RowSnapshot::scan`].
    fn scan(
        &self,
        table: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<(String, Bytes)>, StoreError>;

    /// Shows every row of a table, in key order.
    fn each(&self, table: usize, show: ShowRow<'_>) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let page = self.scan(table, "", after.as_deref(), usize::MAX, crate::limits::SCAN_BYTES)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            page.iter().try_for_each(|(key, document)| show(key, document))?;
        }
    }

    /// See [`RowSnapshot::len`].
    fn len(&self, table: usize) -> Result<u64, StoreError>;
}

pub(super) fn row_table(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

/// The committed rows of one generation as they were when this was taken. Pages that it sees are not reused while it
/// lives: hold it for a chunk or a request, not for a rebuild.
pub struct RowSnapshot {
    rows: Box<dyn CommittedRows>,
}

/// The rows of a generation that lives in the store.
struct StoredRows {
    /// One for each table of the generation; `None` while a table has never been written.
    tables: Vec<Option<RowTable>>,
}

struct RowTable {
    name: String,
    rows: ReadOnlyTable<&'static str, &'static [u8]>,
    packing: Packing,
}

impl RowTable {
    /// See [`RowSnapshot::scan`].
    fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
        page: &mut Vec<(String, Bytes)>,
    ) -> Result<(), StoreError> {
        let from = after.map_or(prefix, |after| after.max(prefix));
        let mut bytes = 0;
        for row in self.rows.range(from..)? {
            let (key, stored) = row?;
            let key = key.value();
            if after.is_some_and(|after| key <= after) {
                continue;
            }
            if !key.starts_with(prefix) || page.len() >= limit {
                break;
            }
            let document = self.document(stored.value())?;
            bytes += key.len() + document.len();
            if bytes > max_bytes && !page.is_empty() {
                break;
            }
            page.push((key.to_owned(), document));
        }
        Ok(())
    }

    /// Says of damage where it is in the table: at this key, or behind it.
    fn damaged(&self, key: Option<&str>, error: StoreError) -> StoreError {
        error.reading(format_args!("{} at or behind {}", self.name, key.unwrap_or("its beginning")))
    }

    fn document(&self, stored: &[u8]) -> Result<Bytes, StoreError> {
        Ok(match self.packing.unpack(stored)? {
            Cow::Borrowed(document) => Bytes::copy_from_slice(document),
            Cow::Owned(document) => Bytes::from(document),
        })
    }
}

impl Store {
    /// The committed rows of `generation` as they are now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => RowSnapshot::open(&self.db.begin_read()?, generation),
            Some(into) => {
                let rows = HomeRows::snapshot(self.homes.open(into)?, generation)?;
                Ok(RowSnapshot { rows: Box::new(rows) })
            }
        }
    }

    /// The rows of `generation` for the attempt that builds it: those in tables, at least as new as they are now. It has
    /// everything newer in its overlay, and may hold this for as long as it runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => {
                let rows = StoredRows::open(&self.db.begin_read()?, generation)?;
                Ok(RowSnapshot { rows: Box::new(rows) })
            }
            Some(into) => {
                let rows = HomeRows::newest(self.homes.open(into)?, generation);
                Ok(RowSnapshot { rows: Box::new(rows) })
            }
        }
    }

    /// The digest of the rows of `generation` as they are now (see [`RowSnapshot::digest`]).
    ///
    /// # Errors
    /// When the store cannot be read, or a document in it is damaged.
    pub fn digest(&self, generation: &Generation) -> Result<RowDigest, StoreError> {
        let sealed = self.rebuild(&generation.projection, generation.number).ok().and_then(|record| record.sealed);
        work::begin("reading rows for their digest", "rows", sealed.map(|sealed| sealed.rows));
        self.rows(generation)?.digest(generation)
    }
}

fn open_rows(read: &ReadTransaction, name: &str) -> Result<Option<RowTable>, StoreError> {
    match read.open_table(row_table(name)) {
        Ok(rows) => Ok(Some(RowTable { name: name.to_owned(), rows, packing: Packing::of(read, name)? })),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl RowSnapshot {
    /// The rows of `generation` as `read` sees them.
    pub(super) fn open(read: &ReadTransaction, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        let tables = StoredRows::open(read, generation)?;
        Ok(RowSnapshot {
            rows: match newer_rows(read, generation)? {
                Some(newer) => Box::new(Journaled { newer, tables }),
                None => Box::new(tables),
            },
        })
    }

    /// The digest of the rows, which are those of `generation`: BLAKE3 over, for each table in order of its name, the name and every
    /// row's key and canonical document in key order, each behind its length (8 bytes, little-endian). Chunk sizes,
    /// pauses, crashes and the plugin's way to write a map leave no trace in it.
    ///
    /// # Errors
    /// When the store cannot be read, or a document in it is damaged.
    pub(super) fn digest(&self, generation: &Generation) -> Result<RowDigest, StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut order: Vec<usize> = (0..generation.tables.len()).collect();
        order.sort_by_key(|&index| &generation.tables[index]);
        // Gathered, because the hash is several times faster on long input.
        let mut gathered = Vec::with_capacity(DIGEST_BYTES);
        let mut part = |bytes: &[u8]| {
            gathered.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            gathered.extend_from_slice(bytes);
            if gathered.len() >= DIGEST_BYTES {
                hasher.update(&gathered);
                gathered.clear();
            }
        };
        let (mut count, mut canonical) = (0, Canonical::default());
        for index in order {
            part(generation.tables[index].as_bytes());
            self.rows.each(index, &mut |key, document| {
                let canonical = canonical.of(document).map_err(|e| {
                    StoreError::damaged(format!(
                        "{}/{} row {key}: {e}",
                        generation.projection, generation.tables[index]
                    ))
                })?;
                part(key.as_bytes());
                part(canonical);
                count += 1;
                work::advance(1);
                Ok(())
            })?;
        }
        hasher.update(&gathered);
        Ok(RowDigest { digest: hasher.finalize().to_hex().to_string(), rows: count })
    }

    /// The document of `key`, or `None` where there is no row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get(&self, table: usize, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.rows.get_many(table, &[key])?.pop().flatten())
    }

    /// The documents of `keys`, in their order; `None` where there is no row.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.rows.get_many(table, keys)
    }

    /// Rows whose key starts with `prefix` and is greater than `after`, in key order: up to `limit` of them and about
    /// `max_bytes`, but at least one where there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn scan(
        &self,
        table: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.rows.scan(table, prefix, after, limit, max_bytes)
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn len(&self, table: usize) -> Result<u64, StoreError> {
        self.rows.len(table)
    }
}

impl StoredRows {
    fn open(read: &ReadTransaction, generation: &Generation) -> Result<StoredRows, StoreError> {
        let open = |table: &String| open_rows(read, &row_table_name(&generation.projection, generation.number, table));
        Ok(StoredRows { tables: generation.tables.iter().map(open).collect::<Result<_, _>>()? })
    }
}

impl CommittedRows for StoredRows {
    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let Some(Some(table)) = self.tables.get(table) else { return Ok(vec![None; keys.len()]) };
        let get = |key: &str| table.rows.get(key)?.map(|stored| table.document(stored.value())).transpose();
        keys.iter().map(|key| get(key).map_err(|e| table.damaged(Some(key), e))).collect()
    }

    fn scan(
        &self,
        table: usize,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<(String, Bytes)>, StoreError> {
        let Some(Some(table)) = self.tables.get(table) else { return Ok(Vec::new()) };
        let mut page = Vec::new();
        let scanned = table.scan(prefix, after, limit, max_bytes, &mut page);
        scanned.map_err(|e| table.damaged(page.last().map(|(key, _)| key.as_str()).or(after), e))?;
        Ok(page)
    }

    fn each(&self, table: usize, show: ShowRow<'_>) -> Result<(), StoreError> {
        let Some(Some(table)) = self.tables.get(table) else { return Ok(()) };
        let mut last = String::new();
        for row in table.rows.range::<&str>(..).map_err(|e| table.damaged(None, e.into()))? {
            let (key, stored) = row.map_err(|e| table.damaged(Some(&last), e.into()))?;
            show(key.value(), &table.packing.unpack(stored.value())?)?;
            last.clear();
            last.push_str(key.value());
        }
        Ok(())
    }

    fn len(&self, table: usize) -> Result<u64, StoreError> {
        match self.tables.get(table) {
            Some(Some(table)) => Ok(table.rows.len()?),
            _ => Ok(0),
        }
    }
}
