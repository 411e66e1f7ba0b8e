//! The redb files of a data directory: how they are opened, and what can be wrong with them.
//!
//! They stand on pages with checksums (see `pages.rs`). Both carry a table `meta` with the version of their layout under
//! `format`. A file without it is not ours; one of a newer version is refused, not guessed at.

mod front;
mod geometry;
mod pages;
mod plain;
mod read_only;
mod shared;

use front::Look;
use pages::{LookAgain, Pages};
use read_only::ReadOnly;
use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction, backends::FileBackend};
use shared::Shared;
use std::{
    fs::{File, TryLockError},
    io,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use unspool_vocabulary::{crash, private, work};

/// What a file of ours may be stored on instead of a file of the system: reads, writes and syncs of bytes at offsets.
pub use redb::StorageBackend;

/// Facts about a file: name -> bytes.
pub const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT: &str = "format";

/// The file of a data directory that names what is kept there.
pub const KEPT: &str = "kept";

/// A file that cannot do what was requested.
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
    #[error("{0}; nothing was repaired: restore a copy, or build anew in another data directory")]
    Damaged(String),
    /// A file in which something was is missing or empty.
    #[error(
        "{0} is missing or empty, and the data directory had one; nothing was made in its place: restore a copy \
         (to begin with an empty one instead, take its name out of {kept} in that directory)",
        kept = KEPT
    )]
    Gone(PathBuf),
    /// A commit did not reach the disk.
    #[error("the store could not write: {0}; nothing of this commit was kept: check the space left on its disk")]
    Write(String),
}

impl DiskError {
    fn opening(path: &Path, error: redb::DatabaseError) -> DiskError {
        use redb::{DatabaseError, StorageError};
        let error = match error {
            DatabaseError::Storage(StorageError::Io(e)) => match e.downcast::<DiskError>() {
                Ok(ours) => return ours,
                Err(e) => DatabaseError::Storage(StorageError::Io(e)),
            },
            other => other,
        };
        match error {
            DatabaseError::DatabaseAlreadyOpen => DiskError::InUse(path.to_owned()),
            DatabaseError::UpgradeRequired(_) => DiskError::Foreign(path.to_owned()),
            // Bytes that are no redb file at all.
            DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::InvalidData => {
                DiskError::Foreign(path.to_owned())
            }
            DatabaseError::Storage(StorageError::Io(source)) => DiskError::Io { path: path.to_owned(), source },
            other => damaged(format!("{} is damaged: {other}", path.display())),
        }
    }
}

impl From<redb::Error> for DiskError {
    fn from(error: redb::Error) -> DiskError {
        let error = match error {
            redb::Error::Io(e) => match e.downcast::<DiskError>() {
                Ok(ours) => return ours,
                Err(e) => redb::Error::Io(e),
            },
            redb::Error::PreviousIo => return what_failed_before(),
            other => other,
        };
        match error {
            redb::Error::Io(_) | redb::Error::ValueTooLarge(_) => DiskError::Write(error.to_string()),
            other => DiskError::Damaged(format!("the store is damaged: {other}")),
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

/// The first failure of an open file.
struct Failed {
    /// Which of the open files: two may have one name.
    opening: u64,
    what: String,
    /// It is damaged; otherwise the system refused to read or write.
    damaged: bool,
}

/// What has failed first of each file. redb reads and writes nothing more of a file of which anything could not be read or
/// written, and does not repeat why, nor which file it was.
static FAILED: Mutex<Vec<Failed>> = Mutex::new(Vec::new());

/// Records what redb gets to know only once, until the file is closed.
fn note_failure(opening: u64, file: &Path, error: &io::Error) {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if error.get_ref().is_some_and(|e| e.is::<LookAgain>()) || failed.iter().any(|failed| failed.opening == opening) {
        return;
    }
    let damage = error.get_ref().and_then(|e| e.downcast_ref::<DiskError>()).and_then(|e| match e {
        DiskError::Damaged(what) => Some(what.clone()),
        _ => None,
    });
    let (what, damaged) = match damage {
        Some(what) => (what, true),
        None => (format!("{}: {error}", file.display()), false),
    };
    failed.push(Failed { opening, what, damaged });
}

/// Forgets what failed in a file that is closed.
fn forget_failure(opening: u64) {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).retain(|failed| failed.opening != opening);
}

fn what_failed_before() -> DiskError {
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    let what: Vec<&str> = failed.iter().map(|failed| failed.what.as_str()).collect();
    let what = match what[..] {
        [] => redb::Error::PreviousIo.to_string(),
        [one] => one.to_owned(),
        _ => format!("of these one was met before, and that file is not used any more: {}", what.join("; ")),
    };
    if failed.iter().any(|failed| failed.damaged) { DiskError::Damaged(what) } else { DiskError::Write(what) }
}

/// Something is not as it was written.
fn damaged(what: String) -> DiskError {
    tracing::debug!("{what}");
    DiskError::Damaged(what)
}

/// An open file: a redb database on pages whose checksums every read tests.
pub struct Checked {
    db: Database,
    pages: Arc<Pages>,
    /// See [`Shared::counted`].
    counted: Arc<AtomicBool>,
}

impl Deref for Checked {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.db
    }
}

impl DerefMut for Checked {
    fn deref_mut(&mut self) -> &mut Database {
        &mut self.db
    }
}

impl Checked {
    /// Reads every page, and says which are not as they were written. Others may read and write meanwhile.
    pub fn check_pages(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.pages.check().inspect_err(|_| self.pages.give_up()).map_err(redb::StorageError::from)?)
    }

    /// Has redb test everything that is in use, and says whether that fits together.
    pub fn check_tables(&mut self) -> Result<bool, redb::DatabaseError> {
        self.counting("checking its tables", |db| db.check_integrity())
    }

    /// Has redb give the space that is free in the file back to the disk, and says whether there was any.
    pub fn compact(&mut self) -> Result<bool, redb::CompactionError> {
        self.counting("compacting", |db| db.compact())
    }

    /// Does what redb does at one go. How much of that there is, is not known before; what is said of it are the pages of the file that
    /// it reads and writes.
    fn counting<T>(&mut self, what: &str, work: impl FnOnce(&mut Database) -> T) -> T {
        work::begin(what, "pages", None);
        self.counted.store(true, Ordering::Relaxed);
        let done = work(&mut self.db);
        self.counted.store(false, Ordering::Relaxed);
        done
    }
}

/// How often a file is looked at again that another process changes between the look and the lock.
const LOOKS: usize = 5;

/// What a kind of file has in it.
pub struct Layout {
    /// The version that is written.
    pub format: u32,
    /// Makes the tables of a new file.
    pub create: fn(&WriteTransaction) -> Result<(), DiskError>,
    /// Brings a file of an earlier version into this one; `false` where it does not know that version.
    pub migrate: fn(&WriteTransaction, u32) -> Result<bool, DiskError>,
}

/// Opens the file at `path`, or creates it. A file that was written without checksums is rewritten with them, one of an
/// earlier layout is migrated to this one. Where `known` says that something was in it, it is not recreated.
pub fn open(path: &Path, layout: &Layout, cache_bytes: usize, known: bool) -> Result<Checked, DiskError> {
    let io_error = |source| DiskError::Io { path: path.to_owned(), source };
    let boot = front::boot();
    for _ in 0..LOOKS {
        if known && !path.try_exists().map_err(io_error)? {
            return Err(DiskError::Gone(path.to_owned()));
        }
        let file = private::open_or_make(path).map_err(io_error)?;
        let file = FileBackend::new(file).map_err(|e| DiskError::opening(path, e))?;
        let look = front::look(&file, boot).map_err(io_error)?;
        match look {
            Look::Empty if known => return Err(DiskError::Gone(path.to_owned())),
            Look::Plain => plain::rewrite(path, layout.format, cache_bytes)?,
            look => match open_pages(Pages::new(file, path, boot, look), look, path, cache_bytes)? {
                Some(opened) => return ready(opened, path, layout, known),
                None => continue,
            },
        }
    }
    Err(DiskError::InUse(path.to_owned()))
}

/// Opens the file at `path` to read it. Nothing is written to it: what redb records and repairs in a file that it opens is
/// kept in memory. Others may read it at the same time. Only a file that was written without checksums is rewritten first.
pub fn open_to_read(path: &Path, layout: &Layout, cache_bytes: usize, known: bool) -> Result<Checked, DiskError> {
    let io_error = |source| DiskError::Io { path: path.to_owned(), source };
    let file = match private::options().read(true).open(path) {
        Err(e) if known && e.kind() == io::ErrorKind::NotFound => return Err(DiskError::Gone(path.to_owned())),
        file => file.map_err(io_error)?,
    };
    let file = ReadOnly::new(file).map_err(|e| match e {
        TryLockError::WouldBlock => DiskError::InUse(path.to_owned()),
        TryLockError::Error(e) => io_error(e),
    })?;
    let boot = front::boot();
    let look = match front::look(&file, boot).map_err(io_error)? {
        Look::Empty if known => return Err(DiskError::Gone(path.to_owned())),
        Look::Plain => {
            drop(file);
            return open(path, layout, cache_bytes, known);
        }
        look => look,
    };
    match open_pages(Pages::new(file, path, boot, look), look, path, cache_bytes)? {
        Some(opened) => ready(opened, path, layout, known),
        None => Err(DiskError::InUse(path.to_owned())),
    }
}

/// [`open`] over a `backend`, which errors call `name`.
pub fn open_on(
    backend: impl StorageBackend,
    name: &Path,
    layout: &Layout,
    cache_bytes: usize,
) -> Result<Checked, DiskError> {
    let look = front::look(&backend, None).map_err(|source| DiskError::Io { path: name.to_owned(), source })?;
    match open_pages(Pages::new(backend, name, None, look), look, name, cache_bytes)? {
        Some(opened) => ready(opened, name, layout, false),
        None => Err(DiskError::InUse(name.to_owned())),
    }
}

/// `None` where the file has changed since it was looked at.
fn open_pages(pages: Pages, look: Look, path: &Path, cache_bytes: usize) -> Result<Option<Checked>, DiskError> {
    let pages = Arc::new(pages);
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(look == Look::Unsynced);
    let counted = Arc::<AtomicBool>::default();
    let backend = Shared { pages: pages.clone(), counted: counted.clone() };
    // While nothing is known of the pages, redb may meet what it does not expect.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend)));
    let opened = opened.map_err(|_| damaged(format!("{} is damaged: its pages make no sense", path.display())))?;
    match opened {
        Ok(db) => {
            pages.adopt().inspect_err(|_| pages.give_up()).map_err(redb::StorageError::from)?;
            Ok(Some(Checked { db, pages, counted }))
        }
        Err(redb::DatabaseError::Storage(redb::StorageError::Io(e)))
            if e.get_ref().is_some_and(|e| e.is::<LookAgain>()) =>
        {
            Ok(None)
        }
        Err(e) => Err(DiskError::opening(path, e)),
    }
}

/// What redb sees of the file at `path`: for tests, which change what is stored behind the product's back.
///
/// # Errors
/// When it cannot be opened.
pub fn backend(path: &Path) -> Result<impl StorageBackend, DiskError> {
    let io_error = |source| DiskError::Io { path: path.to_owned(), source };
    let file = File::options().read(true).write(true).open(path).map_err(io_error)?;
    let file = FileBackend::new(file).map_err(|e| DiskError::opening(path, e))?;
    let boot = front::boot();
    let look = front::look(&file, boot).map_err(io_error)?;
    Ok(Pages::new(file, path, boot, look))
}

/// The version of the layout of its tables; `None` where there is no table yet.
fn format_of(db: &Database, path: &Path) -> Result<Option<u32>, DiskError> {
    match db.begin_read()?.open_table(META) {
        Ok(meta) => match meta.get(FORMAT)? {
            Some(value) => Ok(Some(value.value().try_into().map_or(u32::MAX, u32::from_le_bytes))),
            None => Err(DiskError::Foreign(path.to_owned())),
        },
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn ready(db: Checked, path: &Path, layout: &Layout, known: bool) -> Result<Checked, DiskError> {
    let format = layout.format.to_le_bytes();
    match format_of(&db, path)? {
        Some(found) if found == layout.format => {}
        Some(found) => {
            let write = db.begin_write()?;
            if found > layout.format || !(layout.migrate)(&write, found)? {
                return Err(DiskError::Format { path: path.to_owned(), found, known: layout.format });
            }
            write.open_table(META)?.insert(FORMAT, format.as_slice())?;
            crash::point("file.migrated");
            write.commit()?;
            tracing::info!("{} has been brought from format {found} to {}", path.display(), layout.format);
        }
        None if known => return Err(DiskError::Gone(path.to_owned())),
        None => {
            crash::point("file.empty");
            let write = db.begin_write()?;
            if write.list_tables()?.next().is_some() {
                return Err(DiskError::Foreign(path.to_owned()));
            }
            write.open_table(META)?.insert(FORMAT, format.as_slice())?;
            (layout.create)(&write)?;
            crash::point("file.tables-written");
            write.commit()?;
            crash::point("file.made");
        }
    }
    Ok(db)
}
