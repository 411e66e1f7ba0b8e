//! The one function that moves checkpoints.

use super::{
    BuiltRange, PROJECTIONS, ParkedEvent, ProjectionRecord, REBUILDS, RebuildRecord, Store, StoreError, decode, encode,
    packed::Packing, rows::row_table,
};
use crate::{
    crash,
    disk::DiskError,
    vocabulary::{Checkpoint, Position, StageReport, Status},
};
use bytes::Bytes;
use redb::{Durability, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

/// A row put or deleted.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// The row's key: UTF-8.
    pub key: Bytes,
    /// Its document; `None` deletes it.
    pub document: Option<Bytes>,
}

/// Everything that one rebuild has finished since its last commit.
#[derive(Debug)]
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
    pub rows: Vec<Vec<RowChange>>,
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
    /// # Errors
    /// [`StoreError::Fenced`] where another attempt has taken over; [`StoreError::Disk`] where the disk refuses.
    pub fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        crash::point("commit.before");
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(|e| DiskError::Write(e.to_string()))?;
        for commit in commits {
            apply(&write, commit)?;
        }
        crash::point("commit.written");
        write.commit()?;
        crash::point("commit.after");
        Ok(())
    }
}

fn apply(write: &WriteTransaction, commit: &Commit) -> Result<(), StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let mut record = fenced_record(write, commit)?;
    let was_ready = record.is_ready();
    for (name, changes) in record.tables.iter().zip(&commit.rows) {
        if changes.is_empty() {
            continue;
        }
        let name = row_table_name(projection, commit.generation, name);
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
    record.parked = change_parked(write, projection, commit, record.parked)?;
    // A digest that was taken of other rows than these says nothing of them.
    record.sealed = None;
    record.discarded += commit.discarded;
    extend_ranges(&mut record, commit);
    record.stages = commit.stages.clone();
    record.checkpoint = commit.checkpoint.clone();
    record.retries += commit.retries;
    record.active_ms += commit.active_ms;
    if record.status() != Status::Running {
        record.ended_at = Some(commit.checkpoint.checkpointed_at);
    }
    write.open_table(REBUILDS)?.insert((projection, commit.generation), encode(&record)?.as_slice())?;
    // Once: whoever switches readers elsewhere afterwards means it.
    if record.is_ready() && !was_ready && record.promote {
        promote_in(write, projection, commit.generation)?;
    }
    Ok(())
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
fn fenced_record(write: &WriteTransaction, commit: &Commit) -> Result<RebuildRecord, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let fenced = || StoreError::Fenced { projection: projection.to_owned(), generation: commit.generation };
    let rebuilds = write.open_table(REBUILDS)?;
    let stored = rebuilds.get((projection, commit.generation))?.ok_or_else(fenced)?;
    let record: RebuildRecord = decode(projection, stored.value())?;
    let open = record.status() == Status::Running || record.status() == commit.checkpoint.status;
    let held = record.attempt == commit.attempt && open;
    if held && record.checkpoint.position <= commit.checkpoint.position { Ok(record) } else { Err(fenced()) }
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

/// Switches readers of `projection` to `generation`; the one they saw stays for rollback.
pub(super) fn promote_in(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    let mut projections = write.open_table(PROJECTIONS)?;
    let mut record: ProjectionRecord = match projections.get(projection)? {
        Some(stored) => decode(projection, stored.value())?,
        None => return Err(StoreError::NotFound(format!("no projection is named {projection}"))),
    };
    if record.live != Some(generation) {
        record.previous = record.live.replace(generation);
        projections.insert(projection, encode(&record)?.as_slice())?;
        crash::point("promote.written");
    }
    Ok(())
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
