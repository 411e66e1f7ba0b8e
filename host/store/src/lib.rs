//! What is kept: installed plugins, rebuilds with their checkpoints, and the rows of every generation, in one redb file.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`: the version of this layout, 4 bytes little-endian; `place`: its directory (see `location.rs`) |
//! | `components` | plugin digest | the component's bytes |
//! | `projections` | projection | [`ProjectionRecord`], MessagePack |
//! | `rebuilds` | (projection, generation) | [`RebuildRecord`], MessagePack |
//! | `rows/PROJECTION/GENERATION/TABLE` | row key | the row's document, MessagePack, packed (see `embedded/packed.rs`) |
//! | `dictionaries` | row table | what its documents are packed against |
//! | `journal/PROJECTION/GENERATION` | (commit, frame) | rows that are not in their tables yet (see `embedded/journal.rs`) |
//! | `parked/PROJECTION/GENERATION` | (stream, position) | [`ParkedEvent`], MessagePack |
//! | `alerts`, `alerts_firing`, `alert_routes`, `alert_extent` | | what operators are to be told of (see `catalog/alerts.rs`) |
//! | `changes`, `change_logs` | (projection, number), projection | what has changed in live generations (see `catalog/change_log.rs`) |
//!
//! The rows of a generation may live in a database instead (see `postgres/`); its record is here all the same.
//!
//! | folder or file | what it has |
//! |---|---|
//! | `catalog` | records of projections and generations, promotion, dead letters |
//! | `embedded` | rows that live in the store |
//! | `external`, `databases` | what a database with rows must do, and which there are |
//! | `postgres` | PostgreSQL as one |
//! | `coordinator` | keeps catalog and rows in step, wherever they live: commit, claim, switch. It alone knows both |
//! | `commit`, `changes`, `rows` | what is put in, and how rows are read |
//! | `fit`, `location`, `kept`, `data_dir` | whether files and databases belong together |
//! | `maintenance` | backup, check, compaction |
//!
//! [`Store::commit`] and [`Store::begin_attempt`], where a database is one commit ahead, are the only ones that move a
//! checkpoint, both by one function (`coordinator/commit.rs`). It does so in the transaction that writes the rows.

// Without a kind of database what all of them have in common is not used.
#![cfg_attr(not(feature = "postgres"), allow(dead_code))]

mod catalog;
mod changes;
mod commit;
mod coordinator;
mod data_dir;
mod databases;
mod embedded;
mod error;
mod external;
mod fit;
mod kept;
mod location;
mod maintenance;
#[cfg(feature = "postgres")]
mod postgres;
mod rows;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;

pub use catalog::{
    ActivityFilter, Alert, AlertCause, Allow, AttemptStart, BuiltRange, Changed, ChangedRow, CheckedActivity, DueAlert,
    Entry, External, Following, HashedEntry, Install, LogEnd, LoggedChange, NewRebuild, NextAlert, OnError, Outcome,
    ParkedEvent, Phase, Priority, ProjectionRecord, Purpose, RebuildOptions, RebuildRecord, RebuildSpec,
    RecordedChange, RouteRecord, RowDigest, Segment, Tried, Verification,
};
pub use changes::{RowChange, RowChanges};
pub use commit::Commit;
pub use coordinator::CaughtUp;
pub use data_dir::DataDir;
pub use error::StoreError;
pub use location::Adopted;
pub use maintenance::{CheckReport, compact};
pub use rows::{Generation, LiveRows, RowSnapshot};

use catalog::{
    migrate,
    tables::{COMPONENTS, PROJECTIONS, REBUILDS},
};
use databases::Databases;
use embedded::Embedded;
use redb::WriteTransaction;
use std::{path::Path, sync::Arc};
use unspool_disk::{self as disk, Checked, DiskError, Layout};

/// The layout above. A store of an earlier one is migrated, of a newer one refused.
const LAYOUT: Layout = Layout { format: 3, create: create_tables, migrate: migrate::migrate };

/// A handle to the store. Clones share the file.
#[derive(Clone)]
pub struct Store {
    db: Arc<Checked>,
    embedded: Arc<Embedded>,
    databases: Arc<Databases>,
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
            unspool_vocabulary::limits::STORE_CACHE_BYTES,
            dir.keeps(&dir.store_file())?.unwrap_or(false),
        )?;
        let mut store = Store::over(db)?;
        store.location = Arc::new(store.find_location(dir)?);
        Ok(store)
    }

    /// Opens the store of `dir` to read it: nothing is written to the file, and rows that a host left in a journal are read
    /// there.
    ///
    /// # Errors
    /// As [`Store::open`]; and where there is none.
    pub fn open_to_read(dir: &DataDir) -> Result<Store, StoreError> {
        let kept = dir.keeps(&dir.store_file())?.unwrap_or(false);
        let db = disk::open_to_read(&dir.store_file(), &LAYOUT, unspool_vocabulary::limits::STORE_CACHE_BYTES, kept)?;
        let mut store = Store::of(db);
        store.location = Arc::new(store.find_location(dir)?);
        Ok(store)
    }

    /// [`Store::open`] over `backend` instead of a file: over one that keeps its bytes elsewhere, or one that fails.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(backend: impl disk::StorageBackend) -> Result<Store, StoreError> {
        let name = Path::new("the store's backend");
        let db = disk::open_on(backend, name, &LAYOUT, unspool_vocabulary::limits::STORE_CACHE_BYTES)?;
        Store::over(db)
    }

    fn of(db: Checked) -> Store {
        Store { db: Arc::new(db), embedded: Arc::default(), databases: Arc::default(), location: Arc::default() }
    }

    fn over(db: Checked) -> Result<Store, StoreError> {
        let store = Store::of(db);
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
