//! Rows of generations that live in the store.
//!
//! | file | what it has |
//! |---|---|
//! | `tables` | rows in their tables: read and written |
//! | `packed` | documents as tables have them |
//! | `journal` | rows that are durable, and not in their tables yet |

pub(super) mod journal;
pub(super) mod packed;
pub(super) mod tables;

use super::{
    catalog::RebuildRecord,
    commit::Commit,
    error::StoreError,
    rows::{Generation, RowSnapshot},
};
use crate::vocabulary::Layered;
use redb::{ReadTransaction, WriteTransaction};
use std::sync::Arc;
use tables::StoredRows;

/// The rows of `generation` as `read` sees them.
pub(super) fn snapshot(read: &ReadTransaction, generation: &Generation) -> Result<RowSnapshot, StoreError> {
    let older = StoredRows::open(read, generation)?;
    Ok(match journal::newer_rows(read, generation)? {
        Some(newer) => Arc::new(Layered { newer, older }),
        None => Arc::new(older),
    })
}

/// The rows of `generation` that are in their tables.
pub(super) fn in_tables(read: &ReadTransaction, generation: &Generation) -> Result<RowSnapshot, StoreError> {
    Ok(Arc::new(StoredRows::open(read, generation)?))
}

/// Drops the rows of a generation.
pub(super) fn drop_rows(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    journal::forget(write, &record.checkpoint.projection_name, record.generation)?;
    tables::drop_rows(write, record)
}

/// Writes the rows of `commit`.
pub(super) fn write(write: &WriteTransaction, record: &RebuildRecord, commit: &Commit) -> Result<(), StoreError> {
    if let Some(number) = commit.journal {
        return journal::append(write, record, number, &commit.rows);
    }
    tables::write_rows(write, record, &commit.rows)?;
    journal::forget(write, &record.checkpoint.projection_name, record.generation)
}

/// Brings what a generation has in its journal into its tables.
pub(super) fn recover(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    journal::recover(write, record)
}
