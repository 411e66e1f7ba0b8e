//! Rows that are durable in a journal and not in their tables yet, as they are in memory.
//!
//! A memtable is what one attempt has put into the journal, decoded. It is trusted only as far as the journal says the same
//! in the transaction at hand: a transaction that sees other commits there reads them from the journal itself. So nothing has
//! to be changed in memory and on the disk at the same moment.

use crate::{
    changes::{RowChange, RowChanges},
    rows::Generation,
};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use unspool_vocabulary::{Known, NewerRows, limits};

/// The memtables of all generations that are being built.
#[derive(Default)]
pub(super) struct Memtables(Mutex<Vec<Memtable>>);

/// The journal of one generation, as one attempt has written it.
struct Memtable {
    projection: String,
    generation: u64,
    attempt: u64,
    /// The rows of its commits by their numbers, oldest first; commits without rows are not among them.
    commits: Vec<(u64, Arc<RowChanges>)>,
    /// The number of the newest of all its commits, also of those that are not here any more.
    newest: u64,
    flush: Flushing,
}

enum Flushing {
    /// Nothing is on its way into tables.
    Idle,
    /// More of it is to follow.
    Between(Flush),
    /// A thread works on it.
    Busy,
}

impl Memtable {
    fn bytes(&self) -> usize {
        self.commits.iter().map(|(_, rows)| rows.bytes()).sum()
    }

    fn is_of(&self, projection: &str, generation: u64) -> bool {
        self.generation == generation && self.projection == projection
    }
}

impl Memtables {
    fn lock(&self) -> MutexGuard<'_, Vec<Memtable>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commit number `number` of an attempt is in the journal.
    pub(super) fn push(&self, projection: &str, generation: u64, attempt: u64, number: u64, rows: Arc<RowChanges>) {
        let mut tables = self.lock();
        tables.retain(|table| !table.is_of(projection, generation) || table.attempt == attempt);
        if let Some(table) = tables.iter_mut().find(|table| table.is_of(projection, generation)) {
            table.newest = number;
            return table.commits.push((number, rows));
        }
        tables.push(Memtable {
            projection: projection.to_owned(),
            generation,
            attempt,
            commits: vec![(number, rows)],
            newest: number,
            flush: Flushing::Idle,
        });
    }

    /// The number of the newest commit of an attempt; 0 where it has none.
    pub(super) fn newest(&self, projection: &str, generation: u64, attempt: u64) -> u64 {
        let tables = self.lock();
        let mut tables = tables.iter().filter(|table| table.is_of(projection, generation) && table.attempt == attempt);
        tables.next().map_or(0, |table| table.newest)
    }

    /// Its journal is gone.
    pub(super) fn forget(&self, projection: &str, generation: u64) {
        self.lock().retain(|table| !table.is_of(projection, generation));
    }

    /// The rows of the commits from number `first` to `last`, oldest first, where all of them are in memory.
    pub(super) fn rows(
        &self,
        projection: &str,
        generation: u64,
        first: u64,
        last: u64,
    ) -> Option<Vec<Arc<RowChanges>>> {
        let tables = self.lock();
        let commits = &tables.iter().find(|table| table.is_of(projection, generation))?.commits;
        let from = commits.binary_search_by_key(&first, |(number, _)| *number).ok()?;
        let through = commits.binary_search_by_key(&last, |(number, _)| *number).ok()?;
        Some(commits.get(from..=through)?.iter().map(|(_, rows)| rows.clone()).collect())
    }

    /// Bytes of a generation's rows.
    pub(super) fn bytes(&self, generation: &Generation) -> usize {
        let tables = self.lock();
        tables.iter().find(|table| table.is_of(&generation.projection, generation.number)).map_or(0, Memtable::bytes)
    }

    /// Whether a flush is worthwhile, or has begun.
    pub(super) fn wants_flush(&self, generation: &Generation) -> bool {
        let tables = self.lock();
        let table = tables.iter().find(|table| table.is_of(&generation.projection, generation.number));
        table.is_some_and(|table| match table.flush {
            Flushing::Idle => table.bytes() >= limits::FLUSH_BYTES,
            Flushing::Between(_) => true,
            Flushing::Busy => false,
        })
    }

    /// The flush of a generation, to be gone on with; `None` where there is nothing to do. Whoever has it gives it back by
    /// [`Memtables::flushed`].
    pub(super) fn take_flush(&self, generation: &Generation) -> Option<Flush> {
        let (attempt, commits) = {
            let mut tables = self.lock();
            let own = |table: &&mut Memtable| table.is_of(&generation.projection, generation.number);
            let table = tables.iter_mut().find(own).filter(|table| !table.commits.is_empty())?;
            match std::mem::replace(&mut table.flush, Flushing::Busy) {
                Flushing::Between(flush) => return Some(flush),
                Flushing::Busy => return None,
                Flushing::Idle => (table.attempt, table.commits.clone()),
            }
        };
        let (first, through) = (commits.first()?.0, commits.last()?.0);
        let commits: Vec<_> = commits.into_iter().map(|(_, rows)| rows).collect();
        let tables = RowChanges::sorted(&commits).into_iter().map(Vec::into_iter).collect();
        Some(Flush { attempt, first, through, tables })
    }

    /// A part of a flush is done, and seen by whoever reads from now on.
    pub(super) fn flushed(&self, generation: &Generation, flush: Flush) {
        let mut tables = self.lock();
        let own = |table: &&mut Memtable| {
            table.is_of(&generation.projection, generation.number) && table.attempt == flush.attempt
        };
        let Some(table) = tables.iter_mut().find(own) else { return };
        table.flush = if flush.is_done() {
            table.commits.retain(|(number, _)| *number > flush.through);
            Flushing::Idle
        } else {
            Flushing::Between(flush)
        };
    }
}

/// The rows of some commits on their way into their tables.
pub(crate) struct Flush {
    /// The attempt that committed them.
    pub(super) attempt: u64,
    /// The numbers of the first and the last of the commits.
    pub(super) first: u64,
    pub(super) through: u64,
    tables: Vec<std::vec::IntoIter<RowChange>>,
}

impl Flush {
    /// The next rows, as many as one transaction takes.
    pub(super) fn next(&mut self) -> Vec<Vec<RowChange>> {
        let mut room = limits::FLUSH_ROWS;
        let mut some = |rows: &mut std::vec::IntoIter<RowChange>| {
            let some: Vec<_> = rows.by_ref().take(room).collect();
            room -= some.len();
            some
        };
        self.tables.iter_mut().map(&mut some).collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.tables.iter().all(|rows| rows.len() == 0)
    }
}

/// The rows of commits, oldest first, read as newer than those in tables.
pub(super) struct Unflushed(pub(super) Vec<Arc<RowChanges>>);

impl NewerRows for Unflushed {
    fn known(&self, table: usize, keys: &[&str]) -> Vec<Known> {
        let newest = |key: &&str| self.0.iter().rev().find_map(|rows| rows.get(table, key)).cloned();
        keys.iter().map(newest).collect()
    }

    fn changes(&self, table: usize, within: &dyn Fn(&str) -> bool) -> Vec<(String, Option<Bytes>)> {
        self.0.iter().flat_map(|rows| rows.within(table, within)).collect()
    }
}
