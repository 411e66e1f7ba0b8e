//! Parked events: set aside in the transaction that moves the checkpoint over them (see `commit.rs`), read in pages.

use super::{
    Generation, ParkedEvent, Store, StoreError,
    commit::{parked_table, parked_table_name},
    decode,
};
use crate::vocabulary::Position;
use redb::{ReadOnlyTable, ReadableDatabase};
use std::collections::HashSet;

type Table = ReadOnlyTable<(&'static str, u64, u64), &'static [u8]>;

impl Store {
    /// The table of this name; `None` where nothing was ever parked.
    fn parked_in(&self, name: &str) -> Result<Option<Table>, StoreError> {
        match self.db.begin_read()?.open_table(parked_table(name)) {
            Ok(table) => Ok(Some(table)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Parked events of a generation behind `after`, in the order of streams and within a stream of positions: up to
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

    /// Where the parked events of a generation stand: position and stream, in no order.
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

    /// The parked events at `keys`, as far as they are there still: up to about `max_bytes`, but at least one; and how many of the keys
    /// that were.
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

    /// The streams that have parked events in a generation.
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
