//! What has changed in live generations, for those who watch them: the newest of it, with the bounds of
//! [`limits::CHANGES_BYTES`].
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `changes` | (projection, number) | a [`LoggedChange`] without its rows, MessagePack; its rows, a write frame (see [`unspool_frame::WriteFrame`]) |
//! | `change_logs` | projection | [`Extent`], MessagePack |
//!
//! An entry is written by the transaction that makes the change. Numbers go up by one, and none is used twice.

use super::{
    records::RebuildRecord,
    tables::{decode, encode, owner_in},
};
use crate::{Store, changes::RowChanges, error::StoreError};
use bytes::Bytes;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};
use unspool_frame::{Write, WriteFrame, Writes};
use unspool_vocabulary::{Position, limits, now_ms};

/// An entry as it is stored: without its rows, and its rows.
type Stored<'a> = (&'a [u8], &'a [u8]);

/// See above.
pub(crate) const CHANGES: TableDefinition<'_, (&str, u64), Stored<'static>> = TableDefinition::new("changes");
/// See above.
pub(crate) const CHANGE_LOGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("change_logs");

/// What one commit has changed in what readers of a projection see.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedChange {
    /// The live generation, after the change.
    pub generation: u64,
    /// Up to where the history is in it.
    pub position: Position,
    /// When this was noted, in milliseconds since 1970.
    pub at: i64,
    /// Commits that the database which has the rows has taken by then.
    commits: u64,
    /// What has changed.
    pub what: Changed,
    #[serde(skip)]
    rows: Bytes,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Changed {
    /// Rows of it: [`LoggedChange::rows`].
    Rows,
    /// Another generation is live: before it, that one, which stood there.
    Promoted {
        /// The generation that was live before, and where it stood; absent where none was.
        from: Option<(u64, Position)>,
    },
    /// Rows of it, which are not known: too many in one commit, or a database has it from a host that ended before it noted them.
    Unknown,
}

/// A row that was changed: its table, its key, and its document, which is absent where the row was deleted.
pub type ChangedRow = (String, String, Option<Bytes>);

/// How much a log has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Extent {
    /// Bytes of its entries.
    bytes: u64,
    /// The number of the newest entry.
    newest: u64,
    /// The number of the newest promotion.
    promotion: u64,
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The number of the newest entry; 0 where there is none.
    pub number: u64,
    /// Its time; 0 where there is none.
    pub at: i64,
    /// The number of the newest promotion; 0 where there is none.
    pub promotion: u64,
}

impl LoggedChange {
    fn of(record: &RebuildRecord, what: Changed) -> LoggedChange {
        LoggedChange {
            generation: record.generation,
            position: record.checkpoint.position,
            at: now_ms(),
            commits: record.external.as_ref().map_or(0, |external| external.commits),
            what,
            rows: Bytes::new(),
        }
    }

    /// The rows that were changed, each once, in the order of their tables and keys.
    ///
    /// # Errors
    /// When the entry is damaged.
    pub fn rows(&self) -> Result<Vec<ChangedRow>, StoreError> {
        let broken = |e: &dyn std::fmt::Display| StoreError::damaged(format!("an entry of changes: {e}"));
        if self.what != Changed::Rows {
            return Ok(Vec::new());
        }
        let row = |row: Result<Write<'_>, _>| {
            let Write { table, key, document } = row.map_err(|e| broken(&e))?;
            Ok((table.to_owned(), key.to_owned(), document.map(|document| self.rows.slice_ref(document))))
        };
        Writes::new(&self.rows).map_err(|e| broken(&e))?.map(row).collect()
    }
}

/// Notes what a commit has changed in the generation of `record`, where readers see that.
pub(crate) fn note_rows(
    write: &WriteTransaction,
    record: &RebuildRecord,
    rows: &Arc<RowChanges>,
) -> Result<(), StoreError> {
    if rows.is_empty() || !is_live(write, record)? {
        return Ok(());
    }
    let mut change = LoggedChange::of(record, Changed::Rows);
    if rows.bytes() as u64 > limits::CHANGES_BYTES / 4 {
        change.what = Changed::Unknown;
        return append(write, record, &change);
    }
    let mut frame = WriteFrame::with_capacity(rows.bytes());
    for (table, rows) in record.tables.iter().zip(RowChanges::sorted(std::slice::from_ref(rows))) {
        for row in rows {
            let key = std::str::from_utf8(&row.key).map_err(|_| StoreError::damaged("a row key is not UTF-8"))?;
            frame.add(&Write { table, key, document: row.document.as_deref() });
        }
    }
    change.rows = frame.finish().into();
    append(write, record, &change)
}

/// Notes that rows of the live generation, which is that of `record`, have changed, and that it is not known which.
pub(crate) fn note_unknown(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    append(write, record, &LoggedChange::of(record, Changed::Unknown))
}

/// Notes that the generation of `record` is live from now on, and `before` was.
pub(crate) fn note_promotion(
    write: &WriteTransaction,
    record: &RebuildRecord,
    before: Option<&RebuildRecord>,
) -> Result<(), StoreError> {
    let from = before.map(|before| (before.generation, before.checkpoint.position));
    append(write, record, &LoggedChange::of(record, Changed::Promoted { from }))
}

/// Whether readers see the generation of `record`.
pub(crate) fn is_live(write: &WriteTransaction, record: &RebuildRecord) -> Result<bool, StoreError> {
    Ok(owner_in(write, &record.checkpoint.projection_name)?.live == Some(record.generation))
}

/// Appends an entry, and lets go of the oldest ones beyond what is kept.
fn append(write: &WriteTransaction, record: &RebuildRecord, change: &LoggedChange) -> Result<(), StoreError> {
    let projection = record.checkpoint.projection_name.as_str();
    let (mut log, mut logs) = (write.open_table(CHANGES)?, write.open_table(CHANGE_LOGS)?);
    let extent = logs.get(projection)?.map(|extent| decode(projection, extent.value())).transpose()?;
    let mut extent: Extent = extent.unwrap_or_default();
    let head = encode(change)?;
    extent.newest += 1;
    extent.bytes += bytes_of((&head, &change.rows));
    if matches!(change.what, Changed::Promoted { .. }) {
        extent.promotion = extent.newest;
    }
    log.insert((projection, extent.newest), (head.as_slice(), &change.rows[..]))?;
    while extent.bytes > limits::CHANGES_BYTES {
        let oldest = match log.range((projection, 0)..(projection, extent.newest))?.next() {
            Some(entry) => {
                let (key, value) = entry?;
                extent.bytes = extent.bytes.saturating_sub(bytes_of(value.value()));
                key.value().1
            }
            None => break,
        };
        log.remove((projection, oldest))?;
    }
    logs.insert(projection, encode(&extent)?.as_slice())?;
    Ok(())
}

/// What an entry takes up, with its place in a table.
fn bytes_of((head, rows): Stored<'_>) -> u64 {
    (head.len() + rows.len() + 64) as u64
}

/// A log that was never written to is empty.
fn absent<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read_entry(projection: &str, (head, rows): Stored<'_>) -> Result<LoggedChange, StoreError> {
    let change: LoggedChange = decode(projection, head)?;
    Ok(LoggedChange { rows: Bytes::copy_from_slice(rows), ..change })
}

/// Where the log of `projection` ends, as `read` sees it.
pub(crate) fn end_at(read: &ReadTransaction, projection: &str) -> Result<LogEnd, StoreError> {
    let Some(logs) = absent(read.open_table(CHANGE_LOGS))? else {
        return Ok(LogEnd { number: 0, at: 0, promotion: 0 });
    };
    let extent = logs.get(projection)?.map(|extent| decode(projection, extent.value())).transpose()?;
    let Extent { newest, promotion, .. } = extent.unwrap_or_default();
    let at = change_at(read, projection, newest)?.map_or(0, |change| change.at);
    Ok(LogEnd { number: newest, at, promotion })
}

fn change_at(read: &ReadTransaction, projection: &str, number: u64) -> Result<Option<LoggedChange>, StoreError> {
    let Some(log) = absent(read.open_table(CHANGES))? else { return Ok(None) };
    log.get((projection, number))?.map(|entry| read_entry(projection, entry.value())).transpose()
}

/// The newest entry that is in rows of which the database says that they are those after `commits` commits to `generation`;
/// `None` where another generation has been live since.
pub(crate) fn entry_of_commit(
    read: &ReadTransaction,
    projection: &str,
    generation: u64,
    commits: u64,
) -> Result<Option<LogEnd>, StoreError> {
    let end = end_at(read, projection)?;
    let Some(log) = absent(read.open_table(CHANGES))? else { return Ok(Some(end)) };
    for entry in log.range((projection, 0)..=(projection, end.number))?.rev() {
        let (key, entry) = entry?;
        let change: LoggedChange = decode(projection, entry.value().0)?;
        if change.generation != generation {
            return Ok(None);
        }
        if change.commits <= commits || matches!(change.what, Changed::Promoted { .. }) {
            return Ok(Some(LogEnd { number: key.value().1, at: change.at, promotion: end.promotion }));
        }
    }
    // All of it came later; what came before is not there any more.
    Ok(if end.number == 0 { Some(end) } else { None })
}

impl Store {
    /// Where the log of what readers of `projection` see ends.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn changes_end(&self, projection: &str) -> Result<LogEnd, StoreError> {
        end_at(&self.db.begin_read()?, projection)
    }

    /// The entry `number` of that log; `None` where it is not kept, or there is none yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn change(&self, projection: &str, number: u64) -> Result<Option<LoggedChange>, StoreError> {
        change_at(&self.db.begin_read()?, projection, number)
    }

    /// The table and key of the rows that readers of `projection` have seen change last, the newest first, each once: at most
    /// `most`, and as many as made up `max_bytes`. What they are now is for their generation to say.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn keys_changed_last(
        &self,
        projection: &str,
        most: usize,
        max_bytes: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let Some(log) = absent(self.db.begin_read()?.open_table(CHANGES))? else { return Ok(Vec::new()) };
        let (mut seen, mut keys, mut bytes) = (HashSet::new(), Vec::new(), 0);
        for entry in log.range((projection, 0)..=(projection, u64::MAX))?.rev() {
            for (table, key, document) in read_entry(projection, entry?.1.value())?.rows()? {
                if keys.len() == most || bytes >= max_bytes {
                    return Ok(keys);
                }
                if seen.insert((table.clone(), key.clone())) {
                    bytes += key.len() + document.map_or(0, |document| document.len());
                    keys.push((table, key));
                }
            }
        }
        Ok(keys)
    }

    /// The oldest entry after `number` that is kept, and its number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn change_after(&self, projection: &str, number: u64) -> Result<Option<(u64, LoggedChange)>, StoreError> {
        let read = self.db.begin_read()?;
        let Some(log) = absent(read.open_table(CHANGES))? else { return Ok(None) };
        let after = (projection, number.saturating_add(1))..=(projection, u64::MAX);
        let Some(entry) = log.range(after)?.next() else { return Ok(None) };
        let (key, entry): (_, _) = entry.map_err(|e: StorageError| e)?;
        Ok(Some((key.value().1, read_entry(projection, entry.value())?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::Purpose,
        testing::{install_orders, new_generation},
    };

    #[test]
    fn rows_that_were_changed_last_are_named_once_whatever_came_in_between() {
        let store = Store::open_on(redb::backends::InMemoryBackend::new()).unwrap();
        install_orders(&store);
        let record = store.create_generation("orders", new_generation(Purpose::Rebuild), 0).unwrap();
        let log = |what: Changed, keys: &[&str]| {
            let mut frame = WriteFrame::with_capacity(64);
            keys.iter().for_each(|key| frame.add(&Write { table: "rows", key, document: Some(b"nine byte") }));
            let rows = if what == Changed::Rows { frame.finish().into() } else { Bytes::new() };
            let write = store.db.begin_write().unwrap();
            append(&write, &record, &LoggedChange { rows, ..LoggedChange::of(&record, what) }).unwrap();
            write.commit().unwrap();
        };
        let last = |most: usize, bytes: usize| -> String {
            let keys = store.keys_changed_last("orders", most, bytes).unwrap();
            assert!(keys.iter().all(|(table, _)| table == "rows"));
            keys.into_iter().map(|(_, key)| key).collect()
        };
        assert_eq!(last(9, 1_000), "");
        log(Changed::Rows, &["a", "b"]);
        log(Changed::Unknown, &[]);
        log(Changed::Rows, &["a", "c"]);
        log(Changed::Promoted { from: None }, &[]);
        log(Changed::Rows, &["d"]);
        assert_eq!(last(9, 1_000), "dacb");
        assert_eq!(last(3, 1_000), "dac");
        assert_eq!(last(9, 11), "da");
    }
}
