//! Rows in their tables.

use super::packed::Packing;
use crate::{catalog::RebuildRecord, changes::RowChange, error::StoreError, rows::Generation};
use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, TableDefinition, WriteTransaction};
use std::borrow::Cow;
use unspool_vocabulary::{Page, ReadRows, Scan, ShowRow, crash};

/// The redb table that holds the rows of one table of one generation.
pub(crate) fn row_table_name(projection: &str, generation: u64, table: &str) -> String {
    format!("rows/{projection}/{generation}/{table}")
}

/// Its type: row key to packed document.
pub(crate) fn row_table(name: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

/// The rows of a generation that lives in the store.
pub(super) struct StoredRows {
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

    /// Says where in the table the damage is: at this key, or after it.
    fn damaged(&self, key: Option<&str>, error: StoreError) -> StoreError {
        error.reading(format_args!("{} at or after {}", self.name, key.unwrap_or("its beginning")))
    }

    fn document(&self, stored: &[u8]) -> Result<Bytes, StoreError> {
        Ok(match self.packing.unpack(stored)? {
            Cow::Borrowed(document) => Bytes::copy_from_slice(document),
            Cow::Owned(document) => Bytes::from(document),
        })
    }
}

fn open_rows(read: &ReadTransaction, name: &str) -> Result<Option<RowTable>, StoreError> {
    match read.open_table(row_table(name)) {
        Ok(rows) => Ok(Some(RowTable { name: name.to_owned(), rows, packing: Packing::of(read, name)? })),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl StoredRows {
    pub(super) fn open(read: &ReadTransaction, generation: &Generation) -> Result<StoredRows, StoreError> {
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

/// Puts rows into their tables.
pub(super) fn write_rows(
    write: &WriteTransaction,
    record: &RebuildRecord,
    rows: &[Vec<RowChange>],
) -> Result<(), StoreError> {
    let projection = record.checkpoint.projection_name.as_str();
    for (name, changes) in record.tables.iter().zip(rows) {
        if changes.is_empty() {
            continue;
        }
        let name = row_table_name(projection, record.generation, name);
        let sample = changes.iter().find_map(|change| change.document.as_ref());
        let packing = Packing::for_writing(write, &name, sample)?;
        let mut table = write.open_table(row_table(&name))?;
        let mut space = Vec::new();
        for change in changes {
            let key = std::str::from_utf8(&change.key).map_err(|_| StoreError::damaged("a row key is not UTF-8"))?;
            match &change.document {
                Some(document) => drop(table.insert(key, packing.pack(document, &mut space))?),
                None => drop(table.remove(key)?),
            }
        }
    }
    crash::point("commit.rows-written");
    Ok(())
}

/// Drops the tables of a generation.
pub(super) fn drop_rows(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    for table in &record.tables {
        let name = row_table_name(&record.checkpoint.projection_name, record.generation, table);
        write.delete_table(row_table(&name))?;
        Packing::forget(write, &name)?;
    }
    Ok(())
}
