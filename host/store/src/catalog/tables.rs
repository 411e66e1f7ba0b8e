//! The tables of records. What a change depends on is read in the transaction that makes it: others change the same records
//! meanwhile.

use super::{
    activity,
    records::{ProjectionRecord, RebuildRecord},
};
use crate::error::StoreError;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

/// Digest to the bytes of a component.
pub(crate) const COMPONENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("components");
/// Projection to [`ProjectionRecord`].
pub(crate) const PROJECTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("projections");
/// Projection and generation to [`RebuildRecord`].
pub(crate) const REBUILDS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("rebuilds");

pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(record).map_err(|e| StoreError::damaged(format!("a record does not encode: {e}")))
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|e| StoreError::damaged(format!("the record of {what} does not decode: {e}")))
}

pub(crate) fn owner_in(write: &WriteTransaction, projection: &str) -> Result<ProjectionRecord, StoreError> {
    match write.open_table(PROJECTIONS)?.get(projection)? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(StoreError::NotFound(format!("no projection is named {projection}"))),
    }
}

/// Writes the record of a projection, and notes what that changes.
pub(crate) fn put_owner(write: &WriteTransaction, owner: &ProjectionRecord) -> Result<(), StoreError> {
    let name = owner.description.name.as_str();
    let before = match write.open_table(PROJECTIONS)?.insert(name, encode(owner)?.as_slice())? {
        Some(stored) => Some(decode(name, stored.value())?),
        None => None,
    };
    activity::note_owner(write, before.as_ref(), owner)
}

pub(crate) fn record_in(
    write: &WriteTransaction,
    projection: &str,
    generation: u64,
) -> Result<RebuildRecord, StoreError> {
    match write.open_table(REBUILDS)?.get((projection, generation))? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(no_generation(projection, generation)),
    }
}

/// The projection as `read` sees it.
pub(crate) fn owner_at(read: &ReadTransaction, projection: &str) -> Result<ProjectionRecord, StoreError> {
    match read.open_table(PROJECTIONS)?.get(projection)? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(StoreError::NotFound(format!("no projection is named {projection}"))),
    }
}

/// The record as `read` sees it.
pub(crate) fn record_at(
    read: &ReadTransaction,
    projection: &str,
    generation: u64,
) -> Result<RebuildRecord, StoreError> {
    match read.open_table(REBUILDS)?.get((projection, generation))? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(no_generation(projection, generation)),
    }
}

/// Writes the record of a rebuild, and notes what that changes.
pub(crate) fn put_record(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let key = (record.checkpoint.projection_name.as_str(), record.generation);
    let before = match write.open_table(REBUILDS)?.insert(key, encode(record)?.as_slice())? {
        Some(stored) => Some(decode(key.0, stored.value())?),
        None => None,
    };
    activity::note_record(write, before.as_ref(), record)
}

pub(crate) fn rebuilds_in(write: &WriteTransaction, projection: &str) -> Result<Vec<RebuildRecord>, StoreError> {
    let table = write.open_table(REBUILDS)?;
    let mut records = Vec::new();
    for entry in table.range((projection, 0)..=(projection, u64::MAX))? {
        records.push(decode(projection, entry?.1.value())?);
    }
    Ok(records)
}

pub(crate) fn no_generation(projection: &str, generation: u64) -> StoreError {
    StoreError::NotFound(format!(
        "{projection} has no generation {generation}; see unspool model generations {projection}"
    ))
}
