//! The one function that moves checkpoints.

use super::{
    BuiltRange, ParkedEvent, REBUILDS, RebuildRecord, Store, StoreError, decode, encode, journal,
    packed::Packing,
    readers::{promote_in, switch_in},
    rows::row_table,
};
use crate::{
    crash,
    disk::DiskError,
    vocabulary::{Checkpoint, Position, StageReport, Status},
};
use bytes::Bytes;
use redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A row put or deleted.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// The row's key: UTF-8.
    pub key: Bytes,
    /// Its document; `None` deletes it.
    pub document: Option<Bytes>,
}

/// Everything that one rebuild has finished since its last commit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The generation that is being built.
    pub generation: u64,
    /// The attempt that did the work.
    pub attempt: u64,
    /// The plugin that did it.
    pub plugin_digest: String,
    /// Where it stands now, and what it is doing.
    pub checkpoint: Checkpoint,
    /// Transient failures met since the last commit.
    pub retries: u64,
    /// Time worked since the last commit, in milliseconds.
    pub active_ms: u64,
    /// The changed rows, for each table of the rebuild: each key once, in ascending order.
    #[serde(skip)]
    pub rows: Vec<Vec<RowChange>>,
    /// Where the rows are only appended to the journal of the generation: the number of this commit, greater than any before
    /// in this attempt. Otherwise they go into their tables, and the journal is dropped: the rows are those of all commits
    /// that are still in it, too.
    #[serde(skip)]
    pub journal: Option<u64>,
    /// Events set aside, whether for the first time or again.
    pub parked: Vec<ParkedEvent>,
    /// Events that are no longer set aside: stream and position.
    pub unparked: Vec<(String, Position)>,
    /// How many of those were not handled.
    pub discarded: u64,
    /// Where the time went so far.
    pub stages: StageReport,
}

impl Store {
    /// Makes the work of any number of rebuilds durable: rows, checkpoints, and the promotion of those that complete, in
    /// one transaction. When it returns an error, nothing of it was kept, and the attempts it belongs to must start
    /// again from what the store holds.
    ///
    /// Of a rebuild whose rows live in a database, that database has its own transaction first, with rows, checkpoint and
    /// promotion, and the store follows it. After an error it may be that the database alone has the commit: who claims the
    /// generation next, has it then.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another attempt has taken over; [`StoreError::Disk`] where the disk refuses;
    /// [`StoreError::Postgres`] where a database does, or cannot be reached.
    pub fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut switched = None;
        for commit in commits {
            self.commit_at_home(commit)?;
        }
        crash::point("commit.before");
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(|e| DiskError::Write(e.to_string()))?;
        for commit in commits {
            let record = fenced_record(&write.open_table(REBUILDS)?, commit)?;
            if advance(&write, record, commit)? {
                switched = Some(commit.checkpoint.projection_name.as_str());
            }
        }
        crash::point("commit.written");
        write.commit()?;
        crash::point("commit.after");
        if let Some(projection) = switched
            && let Err(e) = self.finish_switch(projection)
        {
            tracing::error!(projection, "readers are not switched yet: {e}");
        }
        Ok(())
    }

    /// Commits to the database in which the rows live, where they do.
    fn commit_at_home(&self, commit: &Commit) -> Result<(), StoreError> {
        let read = self.db.begin_read()?;
        let record = fenced_record(&read.open_table(REBUILDS)?, commit)?;
        let Some(home) = &record.home else { return Ok(()) };
        let mut after = record.clone();
        after.parked = parked_after(&read, commit, record.parked)?;
        drop(read);
        follow(&mut after, commit);
        let promote = after.is_ready() && !record.is_ready() && after.spec.options.promotes();
        self.homes.open(&home.into)?.commit(&record, home, commit, promote)
    }
}

/// Takes over what `commit` did: all of it where the rows live in the store, all but the rows where a database has them.
/// Says whether readers are to be switched by [`Store::finish_switch`].
pub(super) fn advance(
    write: &WriteTransaction,
    mut record: RebuildRecord,
    commit: &Commit,
) -> Result<bool, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let was_ready = record.is_ready();
    match &mut record.home {
        None => match commit.journal {
            Some(number) => journal::append(write, &record, number, &commit.rows)?,
            None => {
                write_rows(write, &record, &commit.rows)?;
                journal::forget(write, projection, commit.generation)?;
            }
        },
        Some(home) => home.commits += 1,
    }
    record.parked = change_parked(write, projection, commit, record.parked)?;
    follow(&mut record, commit);
    write.open_table(REBUILDS)?.insert((projection, commit.generation), encode(&record)?.as_slice())?;
    // Once: whoever switches readers elsewhere afterwards means it.
    if !(record.is_ready() && !was_ready && record.spec.options.promotes()) {
        return Ok(false);
    }
    match record.home {
        // Their database has switched them with the same commit.
        Some(_) => promote_in(write, projection, commit.generation).map(|()| false),
        None => switch_in(write, projection, commit.generation),
    }
}

/// What a commit makes of the record, but for parked events, which are counted where they are kept.
fn follow(record: &mut RebuildRecord, commit: &Commit) {
    // A digest that was taken of other rows than these says nothing of them.
    record.sealed = None;
    record.discarded += commit.discarded;
    extend_ranges(record, commit);
    record.stages = commit.stages.clone();
    record.checkpoint = commit.checkpoint.clone();
    record.retries += commit.retries;
    record.active_ms += commit.active_ms;
    if record.status() != Status::Running {
        record.ended_at = Some(commit.checkpoint.checkpointed_at);
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

/// How many events are parked once `commit` has been taken over.
fn parked_after(read: &ReadTransaction, commit: &Commit, before: u64) -> Result<u64, StoreError> {
    if commit.parked.is_empty() && commit.unparked.is_empty() {
        return Ok(before);
    }
    let name = parked_table_name(&commit.checkpoint.projection_name, commit.generation);
    let table = match read.open_table(parked_table(&name)) {
        Ok(table) => Some(table),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(e) => return Err(e.into()),
    };
    let added: BTreeSet<_> = commit.parked.iter().map(|event| (event.stream.as_str(), event.position)).collect();
    let removed: BTreeSet<_> = commit.unparked.iter().map(|(stream, position)| (stream.as_str(), *position)).collect();
    let mut there = 0;
    for (stream, position) in added.union(&removed) {
        if let Some(table) = &table {
            there += u64::from(table.get((*stream, position.major, position.minor))?.is_some());
        }
    }
    Ok(before - there + added.difference(&removed).count() as u64)
}

/// Sets events aside and takes others back; returns how many are set aside now. Parking the same event twice keeps the
/// later reason.
fn change_parked(
    write: &WriteTransaction,
    projection: &str,
    commit: &Commit,
    parked_before: u64,
) -> Result<u64, StoreError> {
    if commit.parked.is_empty() && commit.unparked.is_empty() {
        return Ok(parked_before);
    }
    let name = parked_table_name(projection, commit.generation);
    let mut table = write.open_table(parked_table(&name))?;
    for event in &commit.parked {
        let key = (event.stream.as_str(), event.position.major, event.position.minor);
        table.insert(key, encode(event)?.as_slice())?;
    }
    for (stream, position) in &commit.unparked {
        table.remove((stream.as_str(), position.major, position.minor))?;
    }
    crash::point(if commit.unparked.is_empty() { "park.written" } else { "unpark.written" });
    Ok(table.len()?)
}

/// The stored record, provided that `commit` comes from the attempt that holds the claim and does not move backwards. An
/// attempt has one last commit; what changes a rebuild that has ended claims it anew, and leaves it in its status.
fn fenced_record(
    rebuilds: &impl ReadableTable<(&'static str, u64), &'static [u8]>,
    commit: &Commit,
) -> Result<RebuildRecord, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let fenced = || fenced(projection, commit.generation);
    let stored = rebuilds.get((projection, commit.generation))?.ok_or_else(fenced)?;
    let record: RebuildRecord = decode(projection, stored.value())?;
    let open = record.status() == Status::Running || record.status() == commit.checkpoint.status;
    let held = record.attempt == commit.attempt && open;
    if held && record.checkpoint.position <= commit.checkpoint.position { Ok(record) } else { Err(fenced()) }
}

pub(super) fn fenced(projection: &str, generation: u64) -> StoreError {
    StoreError::Fenced { projection: projection.to_owned(), generation }
}

fn extend_ranges(record: &mut RebuildRecord, commit: &Commit) {
    let through = commit.checkpoint.position;
    if through == record.checkpoint.position {
        return;
    }
    match record.ranges.last_mut() {
        Some(last) if last.plugin_digest == commit.plugin_digest && last.chunk_size == record.chunk_size => {
            last.through = through;
        }
        _ => record.ranges.push(BuiltRange {
            plugin_digest: commit.plugin_digest.clone(),
            after: record.checkpoint.position,
            through,
            chunk_size: record.chunk_size,
        }),
    }
}

/// The redb table that holds the parked events of one generation.
pub(super) fn parked_table_name(projection: &str, generation: u64) -> String {
    format!("parked/{projection}/{generation}")
}

/// Its type: (stream, position) to [`ParkedEvent`].
pub(super) fn parked_table(name: &str) -> TableDefinition<'_, (&'static str, u64, u64), &'static [u8]> {
    TableDefinition::new(name)
}

/// The redb table that holds the rows of one table of one generation.
pub(super) fn row_table_name(projection: &str, generation: u64, table: &str) -> String {
    format!("rows/{projection}/{generation}/{table}")
}
