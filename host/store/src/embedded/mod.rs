//! Rows of generations that live in the store. Nothing outside knows that there is a journal.
//!
//! | file | what it has |
//! |---|---|
//! | `tables` | rows in their tables: read and written |
//! | `packed` | documents as tables have them |
//! | `journal` | rows that are durable, and not in their tables yet, on the disk |
//! | `memtable` | the same in memory |
//!
//! While an attempt is under way its commits go to the journal and the memtable. A *flush* brings them from there into the
//! tables, a part at a time, between commits ([`Embedded::flush`]); the last commit of an attempt brings all that is left. Rows
//! are read from the tables through what is not flushed. Whoever claims the generation next, and whoever opens a store after a
//! kill, finds the journal and brings it into the tables first ([`Embedded::recover`]).

pub(super) mod journal;
mod memtable;
pub(super) mod packed;
pub(super) mod tables;
#[cfg(test)]
mod tests;

pub(super) use memtable::Flush;

use super::{
    catalog::RebuildRecord,
    changes::RowChanges,
    commit::Commit,
    error::StoreError,
    rows::{Generation, RowSnapshot},
};
use journal::{journal_table, journal_table_name};
use memtable::{Memtables, Unflushed};
use redb::{ReadTransaction, ReadableTable, TableError, WriteTransaction};
use std::sync::Arc;
use tables::{StoredRows, write_rows};
use unspool_vocabulary::{Layered, Status, crash};

/// The rows of all generations that live in the store, with what of them is in memory.
#[derive(Default)]
pub(super) struct Embedded {
    memtables: Memtables,
}

/// What a transaction has written, for when it is done.
pub(super) struct Written {
    projection: String,
    generation: u64,
    attempt: u64,
    /// The number that it has in the journal, and the rows; absent where they are in their tables.
    journaled: Option<(u64, Arc<RowChanges>)>,
}

impl Embedded {
    /// The rows of `generation` as `read` sees them.
    pub(super) fn snapshot(&self, read: &ReadTransaction, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        let older = StoredRows::open(read, generation)?;
        let Generation { projection, number, tables, .. } = generation;
        let name = journal_table_name(projection, *number);
        let newer = match read.open_table(journal_table(&name)) {
            Ok(journal) => self.unflushed(&journal, projection, *number, tables)?,
            Err(TableError::TableDoesNotExist(_)) => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        Ok(if newer.is_empty() { Arc::new(older) } else { Arc::new(Layered { newer: Unflushed(newer), older }) })
    }

    /// What a journal has, oldest first: from memory where it is there, otherwise from the journal.
    fn unflushed(
        &self,
        journal: &impl ReadableTable<(u64, u32), &'static [u8]>,
        projection: &str,
        generation: u64,
        tables: &[String],
    ) -> Result<Vec<Arc<RowChanges>>, StoreError> {
        let Some((first, last)) = journal::commits(journal)? else { return Ok(Vec::new()) };
        if let Some(rows) = self.memtables.rows(projection, generation, first, last) {
            return Ok(rows);
        }
        Ok(vec![journal::read(journal, &journal_table_name(projection, generation), tables)?])
    }

    /// Takes all that `record` has in its journal out of it.
    fn drain(&self, write: &WriteTransaction, record: &RebuildRecord) -> Result<Vec<Arc<RowChanges>>, StoreError> {
        let (projection, generation) = (record.checkpoint.projection_name.as_str(), record.generation);
        let name = journal_table_name(projection, generation);
        let rows = self.unflushed(&write.open_table(journal_table(&name))?, projection, generation, &record.tables)?;
        journal::forget(write, projection, generation)?;
        Ok(rows)
    }

    /// Writes the rows of `commit`: into the journal, as long as others follow in the same attempt; otherwise all that is there
    /// goes into the tables. [`Embedded::committed`] follows once the transaction is done.
    pub(super) fn write(
        &self,
        write: &WriteTransaction,
        record: &RebuildRecord,
        commit: &Commit,
    ) -> Result<Written, StoreError> {
        let journaled = if commit.last || commit.checkpoint.status != Status::Running {
            let mut rows = self.drain(write, record)?;
            rows.push(commit.rows.clone());
            write_rows(write, record, &RowChanges::sorted(&rows))?;
            None
        } else {
            let projection = &record.checkpoint.projection_name;
            let newest = self.memtables.newest(projection, record.generation, record.attempt);
            Some((journal::append(write, record, newest, &commit.rows)?, commit.rows.clone()))
        };
        Ok(Written {
            projection: record.checkpoint.projection_name.clone(),
            generation: record.generation,
            attempt: record.attempt,
            journaled,
        })
    }

    /// The transaction that has written this is done.
    pub(super) fn committed(&self, written: Written) {
        let Written { projection, generation, attempt, journaled } = written;
        match journaled {
            // Without rows it has left nothing in the journal.
            Some((number, rows)) if !rows.is_empty() => {
                self.memtables.push(&projection, generation, attempt, number, rows);
            }
            Some(_) => {}
            None => self.memtables.forget(&projection, generation),
        }
    }

    /// Brings what a generation has in its journal into its tables. [`Embedded::forget`] follows once the transaction is done.
    pub(super) fn recover(&self, write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
        let rows = self.drain(write, record)?;
        if !rows.is_empty() {
            write_rows(write, record, &RowChanges::sorted(&rows))?;
            crash::point("journal.recovered");
        }
        Ok(())
    }

    /// Drops what is in memory of a generation that has no journal any more.
    pub(super) fn forget(&self, projection: &str, generation: u64) {
        self.memtables.forget(projection, generation);
    }

    /// Drops the rows of a generation. [`Embedded::forget`] follows once the transaction is done.
    pub(super) fn drop_rows(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
        journal::forget(write, &record.checkpoint.projection_name, record.generation)?;
        tables::drop_rows(write, record)
    }

    /// Bytes of a generation's rows that are in memory until they are in their tables.
    pub(super) fn unflushed_bytes(&self, generation: &Generation) -> usize {
        self.memtables.bytes(generation)
    }

    /// Whether a part of a flush should be done.
    pub(super) fn wants_flush(&self, generation: &Generation) -> bool {
        self.memtables.wants_flush(generation)
    }

    /// The flush of a generation; `None` where there is nothing to do. It is sorted here, before anyone waits for the write lock.
    pub(super) fn take_flush(&self, generation: &Generation) -> Option<Flush> {
        self.memtables.take_flush(generation)
    }

    /// Brings a part of a flush into the tables; `false` where its rows are in no journal any more. [`Embedded::flushed`] follows
    /// once the transaction is done. It need not be durable: until the next one is, the journal has the rows.
    pub(super) fn flush(
        &self,
        write: &WriteTransaction,
        record: &RebuildRecord,
        flush: &mut Flush,
    ) -> Result<bool, StoreError> {
        let name = journal_table_name(&record.checkpoint.projection_name, record.generation);
        let mut journal = write.open_table(journal_table(&name))?;
        let there = journal::commits(&journal)?;
        if !there.is_some_and(|(first, last)| first == flush.first && last >= flush.through) {
            return Ok(false);
        }
        write_rows(write, record, &flush.next())?;
        if flush.is_done() {
            journal::forget_through(&mut journal, flush.through)?;
        }
        Ok(true)
    }

    /// The transaction with a part of `flush` is done.
    pub(super) fn flushed(&self, generation: &Generation, flush: Flush) {
        self.memtables.flushed(generation, flush);
    }
}
