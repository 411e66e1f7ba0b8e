//! What is kept: installed plugins, rebuilds with their checkpoints, and the rows of every generation, in one redb file.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`: the version of this layout, 4 bytes little-endian; `place`: its directory (see `location.rs`) |
//! | `components` | plugin digest | the component's bytes |
//! | `projections` | projection | [`ProjectionRecord`], MessagePack |
//! | `rebuilds` | (projection, generation) | [`RebuildRecord`], MessagePack |
//! | `rows/PROJECTION/GENERATION/TABLE` | row key | the row's document, MessagePack, packed (see `packed.rs`) |
//! | `dictionaries` | row table | what its documents are packed against |
//! | `journal/PROJECTION/GENERATION` | (commit, frame) | rows that are not in their tables yet (see `journal.rs`) |
//! | `parked/PROJECTION/GENERATION` | (stream, position) | [`ParkedEvent`], MessagePack |
//!
//! The rows of a generation may live in a PostgreSQL database instead (see `home/`); its record is here all the same.
//!
//! [`Store::commit`] is the only function that moves a checkpoint. It does so in the transaction that writes the rows.

mod at_home;
mod commit;
mod data_dir;
mod error;
mod fit;
mod generations;
mod home;
mod journal;
mod kept;
mod location;
mod maintenance;
pub mod merged;
mod migrate;
mod options;
mod packed;
mod parked;
mod readers;
mod records;
mod registry;
mod rows;

pub use commit::{Commit, RowChange};
pub use data_dir::DataDir;
pub use error::StoreError;
pub use generations::{AttemptStart, NewRebuild};
pub use home::{Home, homely};
pub use journal::Settled;
pub use location::Adopted;
pub use maintenance::{CheckReport, compact};
pub use options::{RebuildOptions, RebuildSpec};
pub use readers::Allow;
pub use records::{
    BuiltRange, Install, OnError, ParkedEvent, Priority, ProjectionRecord, Purpose, RebuildRecord, RowDigest, Segment,
};
pub use rows::{Generation, RowSnapshot};

use crate::disk::{self, Checked, DiskError, Layout};
use home::Homes;
use redb::{TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use std::{path::Path, sync::Arc};

/// The layout above. A store of an earlier one is migrated, of a newer one refused.
const LAYOUT: Layout = Layout { format: 2, create: create_tables, migrate: migrate::migrate };

const COMPONENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("components");
const PROJECTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("projections");
const REBUILDS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("rebuilds");

/// A handle to the store. Clones share the file.
#[derive(Clone)]
pub struct Store {
    db: Arc<Checked>,
    homes: Arc<Homes>,
    location: Arc<location::Whereabouts>,
}

impl Store {
    /// Opens the store of `dir`, or creates an empty one.
    ///
    /// # Errors
    /// When the file is in use, foreign, damaged, of a newer format, or cannot be written.
    pub fn open(dir: &DataDir) -> Result<Store, StoreError> {
        let db = disk::open(
            &dir.store_file(),
            &LAYOUT,
            crate::limits::STORE_CACHE_BYTES,
            dir.keeps(&dir.store_file())?.unwrap_or(false),
        )?;
        let mut store = Store::over(db)?;
        store.location = Arc::new(store.find_location(dir)?);
        Ok(store)
    }

    /// Opens the store of `dir` to read it: nothing is written to the file, and rows that a host left in a journal are read there.
    ///
    /// # Errors
    /// As [`Store::open`]; and where there is none.
    pub fn open_to_read(dir: &DataDir) -> Result<Store, StoreError> {
        let kept = dir.keeps(&dir.store_file())?.unwrap_or(false);
        let db = disk::open_to_read(&dir.store_file(), &LAYOUT, crate::limits::STORE_CACHE_BYTES, kept)?;
        let mut store = Store { db: Arc::new(db), homes: Arc::default(), location: Arc::default() };
        store.location = Arc::new(store.find_location(dir)?);
        Ok(store)
    }

    /// [`Store::open`] over `backend` instead of a file: over one that keeps its bytes elsewhere, or one that fails.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(backend: impl disk::StorageBackend) -> Result<Store, StoreError> {
        let name = Path::new("the store's backend");
        let db = disk::open_on(backend, name, &LAYOUT, crate::limits::STORE_CACHE_BYTES)?;
        Store::over(db)
    }

    fn over(db: Checked) -> Result<Store, StoreError> {
        let store = Store { db: Arc::new(db), homes: Arc::default(), location: Arc::default() };
        // Not a reason to refuse everything else: whoever claims such a rebuild tries again, and says what is wrong.
        if let Err(e) = store.recover_journals() {
            tracing::warn!("the last rows of a rebuild that was killed stay in its journal for now: {e}");
        }
        Ok(store)
    }
}

fn create_tables(write: &WriteTransaction) -> Result<(), DiskError> {
    write.open_table(COMPONENTS)?;
    write.open_table(PROJECTIONS)?;
    write.open_table(REBUILDS)?;
    Ok(())
}

fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec_named(record).map_err(|e| StoreError::damaged(format!("a record does not encode: {e}")))
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(bytes).map_err(|e| StoreError::damaged(format!("the record of {what} does not decode: {e}")))
}
