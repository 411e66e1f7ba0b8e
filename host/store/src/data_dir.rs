//! The data directory: one per host, private to its owner.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use unspool_disk::DiskError;
use unspool_vocabulary::private;

/// A data directory that is ours or was empty.
///
/// | entry | what it is |
/// |---|---|
/// | `store.redb` | plugins, checkpoints, rows |
/// | `log.redb` | the embedded event log |
/// | `kept` | which of the two there have been: they are not recreated when they are missing |
/// | `files/` | event files that are sources, indexed: a cache, made again when missing |
/// | `unspool.toml` | what operators have set: named sources, databases of read models |
/// | `compiled/` | compiled plugins: a cache, may be deleted at any time |
/// | `control.sock` | the socket of the running host |
/// | `host.log` | what a detached host says |
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// A directory with any of these was made for us.
const OURS: [&str; 4] = ["store.redb", "log.redb", unspool_disk::KEPT, unspool_vocabulary::settings::FILE];

/// What others must not write to, nor replace.
const ENTRIES: [&str; 8] = [
    "store.redb",
    "log.redb",
    unspool_disk::KEPT,
    unspool_vocabulary::settings::FILE,
    "control.sock",
    "host.log",
    "files",
    "compiled",
];

impl DataDir {
    /// Refuses a directory that others own or may write to, or in which they do so to what is ours: whoever asks a host there,
    /// or opens it, could be shown anything. A directory that does not exist is fine.
    ///
    /// # Errors
    /// Says whose it is, or what others may do, and how to change that.
    pub fn refuse_foreign(path: &Path) -> Result<(), DiskError> {
        private::refuse_foreign_dir(path)?;
        Ok(ENTRIES.iter().try_for_each(|name| private::refuse_foreign_entry(path, name))?)
    }

    /// Uses `path`; creates it, readable by its owner only, where it does not exist.
    ///
    /// # Errors
    /// When it cannot be created or read, holds files but no store of ours, or is not its owner's alone.
    pub fn open(path: &Path) -> Result<DataDir, DiskError> {
        let io_error = |source| DiskError::Io { path: path.to_owned(), source };
        DataDir::refuse_foreign(path)?;
        match fs::read_dir(path) {
            Ok(entries) => {
                let names: Vec<_> =
                    entries.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>().map_err(io_error)?;
                // An operator may set things before the first start.
                let only_settings = names.iter().all(|name| name == unspool_vocabulary::settings::FILE);
                if !only_settings && !names.iter().any(|name| OURS.iter().any(|ours| name == ours)) {
                    return Err(DiskError::Foreign(path.to_owned()));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                private::make_dir(path).map_err(io_error)?;
            }
            Err(e) => return Err(io_error(e)),
        }
        Ok(DataDir(path.to_owned()))
    }

    /// The directory at `path`, in which a store is.
    ///
    /// # Errors
    /// [`DiskError::Missing`] where there is none; otherwise as [`DataDir::open`].
    pub fn existing(path: &Path) -> Result<DataDir, DiskError> {
        let dir = DataDir(path.to_owned());
        match dir.store_file().try_exists() {
            Ok(true) => DataDir::open(path),
            Ok(false) if !path.exists() => Err(DiskError::Missing(path.to_owned())),
            Ok(false) if dir.keeps(&dir.store_file())? == Some(true) => Err(DiskError::Gone(dir.store_file())),
            // Somebody else's, or nobody's yet.
            Ok(false) => DataDir::open(path).and(Err(DiskError::Missing(path.to_owned()))),
            Err(source) => Err(DiskError::Io { path: path.to_owned(), source }),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where plugins, checkpoints and rows are.
    pub fn store_file(&self) -> PathBuf {
        self.0.join("store.redb")
    }

    /// Where the embedded event log is.
    pub fn log_file(&self) -> PathBuf {
        self.0.join("log.redb")
    }

    /// Where event files that are sources are indexed.
    pub fn files_dir(&self) -> PathBuf {
        self.0.join("files")
    }

    /// Where compiled plugins are cached.
    pub fn compiled_dir(&self) -> PathBuf {
        self.0.join("compiled")
    }

    /// Where a running host listens.
    pub fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// What a detached host says.
    pub fn host_log(&self) -> PathBuf {
        self.0.join("host.log")
    }
}
