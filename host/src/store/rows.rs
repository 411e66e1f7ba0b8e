//! Reading the rows of a generation.

use super::{
    RowDigest, Store, StoreError, commit::row_table_name, home::HomeRows, journal::newer_rows, packed::Packing,
};
use crate::vocabulary::{Canonical, Layered, Page, ReadRows, Scan, ShowRow};
use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition};
use std::{borrow::Cow, sync::Arc};

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

pub(super) fn row_table(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

/// The committed rows of one generation as they were when this was taken, wherever they live. Pages that it sees are not
/// reused while it lives: hold it for a chunk or a request, not for a rebuild.
pub type RowSnapshot = Arc<dyn ReadRows<Error = StoreError> + Send + Sync>;

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
    /// Adds the rows of `scan` to `page`, as far as they can be read.
    fn scan(&self, scan: Scan<'_>, page: &mut Page) -> Result<(), StoreError> {
        let from = scan.after.map_or(scan.prefix, |after| after.max(scan.prefix));
        let mut bytes = 0;
        for row in self.rows.range(from..)? {
            let (key, stored) = row?;
            let key = key.value();
            if scan.after.is_some_and(|after| key <= after) {
                continue;
            }
            if !key.starts_with(scan.prefix) || page.len() >= scan.limit {
                break;
            }
            let document = self.document(stored.value())?;
            bytes += key.len() + document.len();
            if bytes > scan.max_bytes && !page.is_empty() {
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
            None => snapshot(&self.db.begin_read()?, generation),
            Some(into) => Ok(Arc::new(HomeRows::snapshot(self.homes.open(into)?, generation)?)),
        }
    }

    /// The rows of `generation` for the attempt that builds it: those in tables, at least as new as they are now. It has
    /// everything newer in its overlay, and may hold this for as long as it runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => Ok(Arc::new(StoredRows::open(&self.db.begin_read()?, generation)?)),
            Some(into) => Ok(Arc::new(HomeRows::newest(self.homes.open(into)?, generation))),
        }
    }

    /// The digest of the rows of `generation` as they are now (see [`digest`]).
    ///
    /// # Errors
    /// When the store cannot be read, or a document in it is damaged.
    pub fn digest(&self, generation: &Generation) -> Result<RowDigest, StoreError> {
        digest(&self.rows(generation)?, generation)
    }
}

fn open_rows(read: &ReadTransaction, name: &str) -> Result<Option<RowTable>, StoreError> {
    match read.open_table(row_table(name)) {
        Ok(rows) => Ok(Some(RowTable { name: name.to_owned(), rows, packing: Packing::of(read, name)? })),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The rows of `generation`, which lives in the store, as `read` sees them.
pub(super) fn snapshot(read: &ReadTransaction, generation: &Generation) -> Result<RowSnapshot, StoreError> {
    let older = StoredRows::open(read, generation)?;
    Ok(match newer_rows(read, generation)? {
        Some(newer) => Arc::new(Layered { newer, older }),
        None => Arc::new(older),
    })
}

/// The digest of the rows, which are those of `generation`: BLAKE3 over, for each table in order of its name, the name and every
/// row's key and canonical document in key order, each behind its length (8 bytes, little-endian). Chunk sizes,
/// pauses, crashes and the plugin's way to write a map leave no trace in it.
///
/// # Errors
/// When the store cannot be read, or a document in it is damaged.
pub(super) fn digest(rows: &RowSnapshot, generation: &Generation) -> Result<RowDigest, StoreError> {
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
        rows.each(index, &mut |key, document| {
            let canonical = canonical.of(document).map_err(|e| {
                StoreError::damaged(format!("{}/{} row {key}: {e}", generation.projection, generation.tables[index]))
            })?;
            part(key.as_bytes());
            part(canonical);
            count += 1;
            Ok(())
        })?;
    }
    hasher.update(&gathered);
    Ok(RowDigest { digest: hasher.finalize().to_hex().to_string(), rows: count })
}

impl StoredRows {
    fn open(read: &ReadTransaction, generation: &Generation) -> Result<StoredRows, StoreError> {
        let open = |table: &String| open_rows(read, &row_table_name(&generation.projection, generation.number, table));
        Ok(StoredRows { tables: generation.tables.iter().map(open).collect::<Result<_, _>>()? })
    }
}

impl ReadRows for StoredRows {
    type Error = StoreError;

    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let Some(Some(table)) = self.tables.get(table) else { return Ok(vec![None; keys.len()]) };
        let get = |key: &str| table.rows.get(key)?.map(|stored| table.document(stored.value())).transpose();
        keys.iter().map(|key| get(key).map_err(|e| table.damaged(Some(key), e))).collect()
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, StoreError> {
        let Some(Some(table)) = self.tables.get(table) else { return Ok(Page::new()) };
        let mut page = Page::new();
        let scanned = table.scan(scan, &mut page);
        scanned.map_err(|e| table.damaged(page.last().map(|(key, _)| key.as_str()).or(scan.after), e))?;
        Ok(page)
    }

    fn each(&self, table: usize, show: ShowRow<'_, StoreError>) -> Result<(), StoreError> {
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
}
