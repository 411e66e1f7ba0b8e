//! Rows that are durable, and not in their tables yet.
//!
//! A commit into the tables writes every page that it touches, and on a large read model a few thousand rows touch as many
//! pages. A rebuild that nobody reads from yet appends its rows to a journal instead, which costs what the rows are, and
//! brings them into their tables now and then, many at once.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `journal/PROJECTION/GENERATION` | (number of the commit, number of the frame) | a write frame (see [`unspool_frame::WriteFrame`]) |
//!
//! The attempt that wrote a journal has its rows in memory. Others that read the generation read through its journal (see
//! [`newer_rows`]); whoever claims the generation after it, and whoever opens a store, brings the rows into their tables (see
//! [`recover`]). Doing so more than once changes nothing, as long as the journal is applied in its order.

use super::tables::write_rows;
use crate::{
    crash, limits,
    store::{
        catalog::RebuildRecord,
        error::StoreError,
        rows::{Generation, RowChange},
    },
    vocabulary::{Known, NewerRows},
};
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction};
use std::collections::BTreeMap;
use unspool_frame::{Write, WriteFrame, Writes};

const PREFIX: &str = "journal/";

/// The redb table that holds the journal of one generation.
pub(in crate::store) fn journal_table_name(projection: &str, generation: u64) -> String {
    format!("{PREFIX}{projection}/{generation}")
}

pub(in crate::store) fn is_journal(table: &str) -> bool {
    table.starts_with(PREFIX)
}

/// Its type.
pub(in crate::store) fn journal_table(name: &str) -> TableDefinition<'_, (u64, u32), &'static [u8]> {
    TableDefinition::new(name)
}

/// Appends the rows of commit number `number`.
pub(super) fn append(
    write: &WriteTransaction,
    record: &RebuildRecord,
    number: u64,
    rows: &[Vec<RowChange>],
) -> Result<(), StoreError> {
    let name = journal_table_name(&record.checkpoint.projection_name, record.generation);
    let mut journal = write.open_table(journal_table(&name))?;
    let (mut frame, mut bytes, mut frames) = (WriteFrame::with_capacity(limits::JOURNAL_FRAME_BYTES), 0, 0);
    let mut close = |frame: &mut WriteFrame| {
        let full = std::mem::replace(frame, WriteFrame::with_capacity(limits::JOURNAL_FRAME_BYTES));
        frames += 1;
        journal.insert((number, frames), full.finish().as_slice()).map(drop)
    };
    for (table, changes) in record.tables.iter().zip(rows) {
        for change in changes {
            let key = std::str::from_utf8(&change.key).map_err(|_| StoreError::damaged("a row key is not UTF-8"))?;
            frame.add(&Write { table, key, document: change.document.as_deref() });
            bytes += key.len() + change.document.as_ref().map_or(0, Bytes::len);
            if bytes >= limits::JOURNAL_FRAME_BYTES {
                close(&mut frame)?;
                bytes = 0;
            }
        }
    }
    if bytes > 0 {
        close(&mut frame)?;
    }
    crash::point("journal.written");
    Ok(())
}

/// Drops the whole journal of a generation: its rows are in their tables, or not wanted.
pub(super) fn forget(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    write.delete_table(journal_table(&journal_table_name(projection, generation)))?;
    Ok(())
}

/// The rows of a journal, for each table: the newest of each key.
pub(super) struct Rows(Vec<BTreeMap<Bytes, Option<Bytes>>>);

/// Reads the journal called `name` of a generation with these tables.
fn read(
    journal: &impl ReadableTable<(u64, u32), &'static [u8]>,
    name: &str,
    tables: &[String],
) -> Result<Rows, StoreError> {
    let broken = |problem: String| StoreError::damaged(format!("{name}: {problem}"));
    let mut rows = Rows(vec![BTreeMap::new(); tables.len()]);
    for entry in journal.iter()? {
        let frame = Bytes::copy_from_slice(entry?.1.value());
        for row in Writes::new(&frame).map_err(|e| broken(e.to_string()))? {
            let row = row.map_err(|e| broken(e.to_string()))?;
            let table = tables.iter().position(|table| table == row.table);
            let table = table.ok_or_else(|| broken(format!("the generation has no table {}", row.table)))?;
            let document = row.document.map(|document| frame.slice_ref(document));
            rows.0[table].insert(frame.slice_ref(row.key.as_bytes()), document);
        }
    }
    Ok(rows)
}

/// Brings what a generation has in its journal into its tables.
pub(in crate::store) fn recover(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let projection = record.checkpoint.projection_name.as_str();
    let name = journal_table_name(projection, record.generation);
    if !write.list_tables()?.any(|table| table.name() == name) {
        return Ok(());
    }
    let rows = read(&write.open_table(journal_table(&name))?, &name, &record.tables)?;
    let changes = |rows: BTreeMap<Bytes, Option<Bytes>>| {
        rows.into_iter().map(|(key, document)| RowChange { key, document }).collect::<Vec<_>>()
    };
    write_rows(write, record, &rows.0.into_iter().map(changes).collect::<Vec<_>>())?;
    forget(write, projection, record.generation)?;
    crash::point("journal.recovered");
    Ok(())
}

/// The rows in the journal of `generation`, as `transaction` sees them; `None` where it has no journal.
pub(super) fn newer_rows(transaction: &ReadTransaction, generation: &Generation) -> Result<Option<Rows>, StoreError> {
    let name = journal_table_name(&generation.projection, generation.number);
    match transaction.open_table(journal_table(&name)) {
        Ok(journal) => read(&journal, &name, &generation.tables).map(Some),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

impl NewerRows for Rows {
    fn known(&self, table: usize, keys: &[&str]) -> Vec<Known> {
        let rows = self.0.get(table);
        keys.iter().map(|key| rows.and_then(|rows| rows.get(key.as_bytes())).cloned()).collect()
    }

    fn changes(&self, table: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)> {
        let rows = self.0.get(table).into_iter().flatten();
        let key = |key| std::str::from_utf8(key).ok().filter(|key| within(key));
        rows.filter_map(|(at, document)| Some((key(at)?.to_owned(), document.clone()))).collect()
    }
}

/// Drops the frames of the commits up to `number`: their rows are in their tables.
pub(in crate::store) fn forget_through(
    write: &WriteTransaction,
    projection: &str,
    generation: u64,
    number: u64,
) -> Result<(), StoreError> {
    let mut journal = write.open_table(journal_table(&journal_table_name(projection, generation)))?;
    journal.retain_in(..=(number, u32::MAX), |_, _| false)?;
    Ok(())
}
