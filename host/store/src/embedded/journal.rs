//! Rows that are durable, and not in their tables yet, as they are on the disk.
//!
//! A commit into the tables writes every page that it touches, and on a large read model a few thousand rows touch as many
//! pages. A rebuild that is under way appends its rows to a journal instead, which costs what the rows are; they are brought
//! into their tables now and then, many at once.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `journal/PROJECTION/GENERATION` | (number of the commit, number of the frame) | a write frame (see [`unspool_frame::WriteFrame`]) |
//!
//! A commit's number has the number of its attempt in its upper half, so that no two commits of a generation ever have the same:
//! the numbers tell what is in memory from what a transaction sees.
//! Applying a journal more than once changes nothing, as long as it is applied whole and in its order.

use crate::{catalog::RebuildRecord, changes::RowChanges, error::StoreError};
use bytes::Bytes;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use std::sync::Arc;
use unspool_frame::{Write, WriteFrame, Writes};
use unspool_vocabulary::{crash, limits};

const PREFIX: &str = "journal/";

/// The redb table that holds the journal of one generation.
pub(crate) fn journal_table_name(projection: &str, generation: u64) -> String {
    format!("{PREFIX}{projection}/{generation}")
}

pub(crate) fn is_journal(table: &str) -> bool {
    table.starts_with(PREFIX)
}

/// Its type.
pub(crate) fn journal_table(name: &str) -> TableDefinition<'_, (u64, u32), &'static [u8]> {
    TableDefinition::new(name)
}

/// Appends the rows of a commit of `record`'s attempt, the one before which had the number `newest`; returns its number.
pub(super) fn append(
    write: &WriteTransaction,
    record: &RebuildRecord,
    newest: u64,
    rows: &RowChanges,
) -> Result<u64, StoreError> {
    let name = journal_table_name(&record.checkpoint.projection_name, record.generation);
    let mut journal = write.open_table(journal_table(&name))?;
    let last = journal.last()?.map_or(0, |(key, _)| key.value().0);
    let number = last.max(newest).max(record.attempt << 32) + 1;
    let (mut frame, mut bytes, mut frames) = (WriteFrame::with_capacity(limits::JOURNAL_FRAME_BYTES), 0, 0);
    let mut is_open = false;
    let mut close = |frame: &mut WriteFrame| {
        let full = std::mem::replace(frame, WriteFrame::with_capacity(limits::JOURNAL_FRAME_BYTES));
        frames += 1;
        journal.insert((number, frames), full.finish().as_slice()).map(drop)
    };
    for (index, table) in record.tables.iter().enumerate() {
        for (key, document) in rows.table(index) {
            let key = std::str::from_utf8(key).map_err(|_| StoreError::damaged("a row key is not UTF-8"))?;
            frame.add(&Write { table, key, document: document.as_deref() });
            bytes += key.len() + document.as_ref().map_or(0, Bytes::len);
            is_open = true;
            if bytes >= limits::JOURNAL_FRAME_BYTES {
                close(&mut frame)?;
                (bytes, is_open) = (0, false);
            }
        }
    }
    if is_open {
        close(&mut frame)?;
    }
    crash::point("journal.written");
    Ok(number)
}

/// The numbers of the first and the last commit in a journal; `None` where it is empty.
pub(super) fn commits(
    journal: &impl ReadableTable<(u64, u32), &'static [u8]>,
) -> Result<Option<(u64, u64)>, StoreError> {
    let (first, last) = (journal.first()?, journal.last()?);
    Ok(first.zip(last).map(|((first, _), (last, _))| (first.value().0, last.value().0)))
}

/// Reads the journal called `name` of a generation with these tables.
pub(super) fn read(
    journal: &impl ReadableTable<(u64, u32), &'static [u8]>,
    name: &str,
    tables: &[String],
) -> Result<Arc<RowChanges>, StoreError> {
    let broken = |problem: String| StoreError::damaged(format!("{name}: {problem}"));
    let mut rows = RowChanges::default();
    for entry in journal.iter()? {
        let frame = Bytes::copy_from_slice(entry?.1.value());
        for row in Writes::new(&frame).map_err(|e| broken(e.to_string()))? {
            let row = row.map_err(|e| broken(e.to_string()))?;
            let table = tables.iter().position(|table| table == row.table);
            let table = table.ok_or_else(|| broken(format!("the generation has no table {}", row.table)))?;
            let document = row.document.map(|document| frame.slice_ref(document));
            rows.put(table, frame.slice_ref(row.key.as_bytes()), document);
        }
    }
    Ok(Arc::new(rows))
}

/// Drops the frames of the commits up to `number`: their rows are in their tables.
pub(super) fn forget_through(
    journal: &mut redb::Table<'_, (u64, u32), &'static [u8]>,
    number: u64,
) -> Result<(), StoreError> {
    Ok(journal.retain_in(..=(number, u32::MAX), |_, _| false)?)
}

/// Drops the whole journal of a generation: its rows are in their tables, or not wanted.
pub(super) fn forget(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    write.delete_table(journal_table(&journal_table_name(projection, generation)))?;
    Ok(())
}
