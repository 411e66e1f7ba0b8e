//! Dead letters: events set aside in the transaction that moves the checkpoint over them (see `commit.rs`), read in pages.

use super::{
    records::ParkedEvent,
    tables::{decode, encode},
};
use crate::{Store, commit::Commit, error::StoreError, rows::Generation};
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use std::collections::{BTreeSet, HashSet};
use unspool_vocabulary::{Position, crash};

type Table = ReadOnlyTable<(&'static str, u64, u64), &'static [u8]>;

impl Store {
    /// The table of this name; `None` where there never was a dead letter.
    fn parked_in(&self, name: &str) -> Result<Option<Table>, StoreError> {
        match self.db.begin_read()?.open_table(parked_table(name)) {
            Ok(table) => Ok(Some(table)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Dead letters of a generation after `after`, in the order of streams and within a stream of positions: up to
    /// `limit` of them and about `max_bytes`, but at least one where there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn parked(
        &self,
        generation: &Generation,
        after: Option<(&str, Position)>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let name = parked_table_name(&generation.projection, generation.number);
        let Some(table) = self.parked_in(&name)? else { return Ok(Vec::new()) };
        let (stream, position) = after.unwrap_or(("", Position::START));
        let from = (stream, position.major, position.minor);
        let (mut page, mut bytes) = (Vec::new(), 0);
        for entry in table.range(from..)? {
            let (key, value) = entry?;
            if after.is_some() && key.value() == from {
                continue;
            }
            bytes += value.value().len();
            if page.len() >= limit || (bytes > max_bytes && !page.is_empty()) {
                break;
            }
            page.push(decode(&name, value.value())?);
        }
        Ok(page)
    }

    /// Where the dead letters of a generation stand: position and stream, in no order.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn parked_keys(&self, generation: &Generation) -> Result<Vec<(Position, String)>, StoreError> {
        let name = parked_table_name(&generation.projection, generation.number);
        let Some(table) = self.parked_in(&name)? else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for entry in table.range::<(&str, u64, u64)>(..)? {
            let key = entry?.0;
            let (stream, major, minor) = key.value();
            keys.push((Position { major, minor }, stream.to_owned()));
        }
        Ok(keys)
    }

    /// The dead letters at `keys`, as far as they are still there: up to about `max_bytes`, but at least one; and how many of
    /// the keys that were.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn parked_at(
        &self,
        generation: &Generation,
        keys: &[&(Position, String)],
        max_bytes: usize,
    ) -> Result<(Vec<ParkedEvent>, usize), StoreError> {
        let name = parked_table_name(&generation.projection, generation.number);
        let Some(table) = self.parked_in(&name)? else { return Ok((Vec::new(), keys.len())) };
        let (mut events, mut bytes) = (Vec::new(), 0);
        for (number, (position, stream)) in keys.iter().enumerate() {
            let Some(value) = table.get((stream.as_str(), position.major, position.minor))? else { continue };
            bytes += value.value().len();
            if bytes > max_bytes && !events.is_empty() {
                return Ok((events, number));
            }
            events.push(decode(&name, value.value())?);
        }
        Ok((events, keys.len()))
    }

    /// The streams that have dead letters in a generation.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn parked_streams(&self, generation: &Generation) -> Result<HashSet<String>, StoreError> {
        let name = parked_table_name(&generation.projection, generation.number);
        let Some(table) = self.parked_in(&name)? else { return Ok(HashSet::new()) };
        let mut streams = HashSet::new();
        for entry in table.range::<(&str, u64, u64)>(..)? {
            let (key, _) = entry?;
            let stream = key.value().0;
            if !streams.contains(stream) {
                streams.insert(stream.to_owned());
            }
        }
        Ok(streams)
    }
}

/// How many dead letters there are once `commit` has been applied.
pub(crate) fn parked_after(read: &ReadTransaction, commit: &Commit, before: u64) -> Result<u64, StoreError> {
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
pub(crate) fn change_parked(write: &WriteTransaction, commit: &Commit, parked_before: u64) -> Result<u64, StoreError> {
    if commit.parked.is_empty() && commit.unparked.is_empty() {
        return Ok(parked_before);
    }
    let name = parked_table_name(&commit.checkpoint.projection_name, commit.generation);
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

/// Drops the dead letters of a generation that is dropped.
pub(crate) fn forget(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    write.delete_table(parked_table(&parked_table_name(projection, generation)))?;
    Ok(())
}

/// The redb table that holds the dead letters of one generation.
pub(crate) fn parked_table_name(projection: &str, generation: u64) -> String {
    format!("parked/{projection}/{generation}")
}

/// Its type: (stream, position) to [`ParkedEvent`].
pub(crate) fn parked_table(name: &str) -> TableDefinition<'_, (&'static str, u64, u64), &'static [u8]> {
    TableDefinition::new(name)
}
