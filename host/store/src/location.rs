//! In which directory a store is: so that a copy of it can be told from its original.
//!
//! Copies share the names by which databases know their read models: two that are both used would switch readers under each
//! other, and drop each other's rows. So a store records where it is, under `place` in `meta`. One that finds itself
//! elsewhere changes nothing in a database until an operator has made the read models there its own. Rows in the store itself
//! are each copy's own anyway.

use super::{
    Store,
    catalog::{
        ProjectionRecord,
        tables::{PROJECTIONS, decode, encode, owner_in, put_owner, put_record, rebuilds_in},
    },
    data_dir::DataDir,
    error::StoreError,
};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Mutex, PoisonError},
};
use unspool_disk::{DiskError, META};

const PLACE: &str = "place";

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Location {
    path: String,
    device: u64,
    inode: u64,
}

impl Location {
    fn of(dir: &Path) -> Result<Location, StoreError> {
        let io_error = |source| DiskError::Io { path: dir.to_owned(), source };
        let path = fs::canonicalize(dir).map_err(io_error)?.to_string_lossy().into_owned();
        let metadata = fs::metadata(dir).map_err(io_error)?;
        Ok(Location { path, device: metadata.dev(), inode: metadata.ino() })
    }

    /// A directory that was renamed, or whose file system has come back under another number, is the same.
    fn is(&self, other: &Location) -> bool {
        self.inode == other.inode && (self.device == other.device || self.path == other.path)
    }
}

/// Where the store is, and where it was.
#[derive(Default)]
pub(super) struct Whereabouts {
    here: Option<Location>,
    /// The directory of which this one is a copy.
    original: Mutex<Option<Location>>,
}

impl Whereabouts {
    fn original(&self) -> std::sync::MutexGuard<'_, Option<Location>> {
        self.original.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What made the read models in databases a directory's own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// The directory whose they are from now on.
    pub path: String,
    /// The one whose they were; absent where that is the same.
    pub original: Option<String>,
    /// Projections with rows in a database.
    pub projections: Vec<String>,
}

impl Store {
    /// Finds out whether this is the directory in which the store was before. One that was nowhere yet is here from now on.
    pub(super) fn find_location(&self, dir: &DataDir) -> Result<Whereabouts, StoreError> {
        let here = Location::of(dir.path())?;
        let noted = noted(&self.db.begin_read()?)?;
        let original = match noted {
            Some(location) if !location.is(&here) => Some(location),
            Some(location) if location == here => None,
            _ => {
                let write = self.db.begin_write()?;
                note(&write, &here)?;
                write.commit()?;
                None
            }
        };
        Ok(Whereabouts { here: Some(here), original: Mutex::new(original) })
    }

    /// The directory of which this one is a copy, or from which it was moved; `None` where it is where it was.
    pub fn original(&self) -> Option<String> {
        self.location.original().as_ref().map(|location| location.path.clone())
    }

    /// Refuses to change anything in a database from a copy. One of whose projections no database knows is no copy of
    /// anything there: it is where it is from now on.
    pub(super) fn refuse_copy(&self) -> Result<(), StoreError> {
        let Some(original) = self.original() else { return Ok(()) };
        if self.projections()?.iter().any(|projection| projection.owner.is_some()) {
            return Err(StoreError::Refused(copy_of(&original)));
        }
        if let Some(here) = &self.location.here {
            let write = self.db.begin_write()?;
            note(&write, here)?;
            write.commit()?;
        }
        *self.location.original() = None;
        Ok(())
    }

    /// Makes the read models in databases this directory's own: after it was moved or restored, and where the one before is
    /// not used any more. That one, where there still is one, is refused there from now on. May be done twice.
    ///
    /// # Errors
    /// When a database cannot be reached, or its read models belong to yet another directory.
    pub fn adopt_databases(&self) -> Result<Adopted, StoreError> {
        let Some(here) = self.location.here.clone() else {
            return Err(StoreError::Refused("this store is in no directory".to_owned()));
        };
        let original = self.original();
        let mut adopted = Adopted { path: here.path.clone(), original: original.clone(), projections: Vec::new() };
        if original.is_none() {
            return Ok(adopted);
        }
        let mut owners = Vec::new();
        for projection in self.projections()? {
            let name = &projection.description.name;
            let Some(old) = projection.owner.as_ref() else { continue };
            // The same each time: it may be that a database has it already.
            let new = blake3::hash(format!("{old}\n{}\n{}\n{}", here.path, here.device, here.inode).as_bytes());
            let new = new.to_hex()[..32].to_owned();
            let mut databases: Vec<String> = self
                .rebuilds(name)?
                .into_iter()
                .filter_map(|record| record.external)
                .map(|external| external.into)
                .collect();
            databases.dedup();
            for into in databases {
                self.databases.open(&into)?.hand_over(name, old, &new)?;
            }
            owners.push((name.clone(), new));
        }
        let write = self.db.begin_write()?;
        for (name, new) in owners {
            let mut owner = owner_in(&write, &name)?;
            owner.owner = Some(new.clone());
            put_owner(&write, &owner)?;
            for mut record in rebuilds_in(&write, &name)? {
                let Some(external) = &mut record.external else { continue };
                external.owner.clone_from(&new);
                put_record(&write, &record)?;
            }
            adopted.projections.push(name);
        }
        note(&write, &here)?;
        write.commit()?;
        *self.location.original() = None;
        Ok(adopted)
    }
}

/// What is to be said of a copy whose read models live in a database.
pub(super) fn copy_of(original: &str) -> String {
    format!(
        "this data directory is a copy of {original}, or was moved from there, and its read models in PostgreSQL belong to that \
         one: nothing is changed there from here. Where that one is gone or is not used any more, unspool store adopt makes them \
         this one's"
    )
}

fn noted(read: &ReadTransaction) -> Result<Option<Location>, StoreError> {
    let meta = read.open_table(META)?;
    meta.get(PLACE)?.map(|location| decode("its location", location.value())).transpose()
}

fn note(write: &WriteTransaction, location: &Location) -> Result<(), StoreError> {
    write.open_table(META)?.insert(PLACE, encode(location)?.as_slice())?;
    Ok(())
}

/// Lets a backup know of which directory it is one, where databases know that directory.
pub(super) fn copy_location(read: &ReadTransaction, write: &WriteTransaction) -> Result<(), StoreError> {
    let Some(location) = noted(read)? else { return Ok(()) };
    for entry in read.open_table(PROJECTIONS)?.iter()? {
        let (name, record) = entry?;
        let projection: ProjectionRecord = decode(name.value(), record.value())?;
        if projection.owner.is_some() {
            return note(write, &location);
        }
    }
    Ok(())
}
