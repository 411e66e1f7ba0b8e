//! The two redb files of a data directory: how they are opened, and what can be wrong with them.
//!
//! Both carry a table `meta` with the version of their layout under `format`. A file without it is not ours; one of a
//! newer version is refused, not guessed at.

use crate::{crash, private};
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What a file of ours may stand on instead of a file of the system: reads, writes and syncs of bytes at offsets.
pub use redb::StorageBackend;

/// Facts about a file: name -> bytes.
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT: &str = "format";

/// A file that cannot do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has it open.
    #[error("{0} is in use by another process; stop it, or let it do the work (it answers the same commands)")]
    InUse(PathBuf),
    /// Not one of ours.
    #[error("{0} does not belong to unspool; name another data directory with --data, or an empty one to start anew")]
    Foreign(PathBuf),
    /// There is none.
    #[error(
        "there is no data directory at {0}; name another one with --data, or begin one with unspool events import FILE or \
         unspool plugin install FILE"
    )]
    Missing(PathBuf),
    /// Others own it or may write to it.
    #[error(transparent)]
    NotPrivate(#[from] private::NotPrivate),
    /// Written by another version of this program.
    #[error("{path} has format {found}; this program knows format {known}: use the unspool that wrote it")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that this program knows.
        known: u32,
    },
    /// The file system refuses.
    #[error("{path}: {source}; check its permissions and the space left on its disk")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was read is not what was written.
    #[error("the store is damaged: {0}; nothing was repaired: restore a copy, or rebuild into a new data directory")]
    Damaged(String),
    /// A commit did not reach the disk.
    #[error("the store could not write: {0}; nothing of this commit was kept: check the space left on its disk")]
    Write(String),
}

impl DiskError {
    fn opening(path: &Path, error: redb::DatabaseError) -> DiskError {
        use redb::{DatabaseError, StorageError};
        match error {
            DatabaseError::DatabaseAlreadyOpen => DiskError::InUse(path.to_owned()),
            DatabaseError::UpgradeRequired(_) => DiskError::Foreign(path.to_owned()),
            // Bytes that are no redb file at all.
            DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::InvalidData => {
                DiskError::Foreign(path.to_owned())
            }
            DatabaseError::Storage(StorageError::Io(source)) => DiskError::Io { path: path.to_owned(), source },
            other => DiskError::Damaged(format!("{}: {other}", path.display())),
        }
    }
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> DiskError {
        match error {
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::ValueTooLarge(_) => {
                DiskError::Write(error.to_string())
            }
            other => DiskError::Damaged(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for DiskError {
            fn from(error: $error) -> DiskError {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

/// The header of a redb file.
const HEADER_BYTES: usize = 320;

/// What redb writes first, and last while it makes a file.
const MAGIC_BYTES: usize = 9;

/// More than a file has before anything is stored in it.
const UNBORN_BYTES: u64 = 16 << 20;

/// Empties a file whose maker was killed before it wrote the magic number: redb refuses it as foreign for ever. It is told
/// by having no magic number and nothing but zeros behind its header, so that there is nothing in it to lose. The lock
/// keeps out a maker that is still at it.
fn empty_if_unborn(path: &Path) -> io::Result<bool> {
    let mut file = File::options().read(true).write(true).open(path)?;
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    if file.metadata()?.len() > UNBORN_BYTES {
        return Ok(false);
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let Some((header, rest)) = content.split_at_checked(HEADER_BYTES) else { return Ok(false) };
    let unborn = header.iter().take(MAGIC_BYTES).chain(rest).all(|byte| *byte == 0);
    if unborn {
        file.set_len(0)?;
    }
    Ok(unborn)
}

/// Opens the file at `path` with layout `format`, or creates it: `create` then makes its tables.
pub(crate) fn open(
    path: &Path,
    format: u32,
    cache_bytes: usize,
    create: impl FnOnce(&WriteTransaction) -> Result<(), DiskError>,
) -> Result<Database, DiskError> {
    let create_or_open = || {
        let file = private::open_or_make(path).map_err(|source| DiskError::Io { path: path.to_owned(), source })?;
        let opened = redb::backends::FileBackend::new(file)
            .and_then(|file| redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(file));
        opened.map_err(|e| DiskError::opening(path, e))
    };
    let db = match create_or_open() {
        Err(DiskError::Foreign(_)) if empty_if_unborn(path).unwrap_or(false) => create_or_open()?,
        opened => opened?,
    };
    ready(db, path, format, create)
}

/// [`open`] over a `backend`, which errors call `name`.
pub(crate) fn open_on(
    backend: impl StorageBackend,
    name: &Path,
    format: u32,
    cache_bytes: usize,
    create: impl FnOnce(&WriteTransaction) -> Result<(), DiskError>,
) -> Result<Database, DiskError> {
    let opened = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(backend);
    ready(opened.map_err(|e| DiskError::opening(name, e))?, name, format, create)
}

fn ready(
    db: Database,
    path: &Path,
    format: u32,
    create: impl FnOnce(&WriteTransaction) -> Result<(), DiskError>,
) -> Result<Database, DiskError> {
    let found = match db.begin_read()?.open_table(META) {
        Ok(meta) => match meta.get(FORMAT)? {
            Some(value) => Some(value.value().try_into().map_or(u32::MAX, u32::from_le_bytes)),
            None => return Err(DiskError::Foreign(path.to_owned())),
        },
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(e) => return Err(e.into()),
    };
    match found {
        Some(found) if found == format => {}
        Some(found) => return Err(DiskError::Format { path: path.to_owned(), found, known: format }),
        None => {
            crash::point("file.empty");
            let write = db.begin_write()?;
            if write.list_tables()?.next().is_some() {
                return Err(DiskError::Foreign(path.to_owned()));
            }
            write.open_table(META)?.insert(FORMAT, format.to_le_bytes().as_slice())?;
            create(&write)?;
            crash::point("file.tables-written");
            write.commit()?;
            crash::point("file.made");
        }
    }
    Ok(db)
}
