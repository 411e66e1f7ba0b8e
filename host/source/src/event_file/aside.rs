//! Where events go that are refused, as they are, so that they can be corrected and imported.

use super::{EventFileError, Reason};
use std::{
    fmt::Display,
    fs::{File, Permissions},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tempfile::NamedTempFile;

/// A new file for what is refused. It is a draft beside its final path, begun with the first of it, until it is published; a
/// draft that is not goes with this: what was set aside is in the imported file itself.
pub struct Aside {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    draft: Option<BufWriter<NamedTempFile>>,
    count: u64,
}

impl Aside {
    /// Sets aside into a file at `path`, which must not be there yet.
    ///
    /// # Errors
    /// When it is, or its folder is not.
    pub fn new(path: &Path) -> Result<Aside, String> {
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} is there already; name a new file for the lines that are set aside",
                path.display()
            ));
        }
        let aside = Aside { path: path.to_owned(), inner: Mutex::default() };
        if !aside.folder().is_dir() {
            return Err(format!("{}: there is no such folder to set lines aside in", aside.folder().display()));
        }
        Ok(aside)
    }

    /// How many events or lines have been set aside.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Sets aside one event or line, which `write` writes.
    pub(super) fn put_with(&self, write: impl FnOnce(&mut dyn Write) -> Result<(), Reason>) -> Result<(), Reason> {
        let mut inner = self.lock();
        let mut draft = match inner.draft.take() {
            Some(draft) => draft,
            None => BufWriter::new(self.draft().map_err(Reason::unwritable)?),
        };
        let written = write(&mut draft);
        inner.draft = Some(draft);
        inner.count += 1;
        written
    }

    /// Sets aside one event as it is written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, raw: &[u8]) -> Result<(), EventFileError> {
        self.put_with(|file| file.write_all(raw).map_err(Reason::unwritable)).map_err(|reason| self.at_fault(reason))
    }

    /// Makes what was set aside durable. It has no name yet.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&self) -> Result<(), EventFileError> {
        let mut inner = self.lock();
        let Some(draft) = &mut inner.draft else { return Ok(()) };
        let synced = draft.flush().and_then(|()| draft.get_ref().as_file().sync_all());
        synced.map_err(|e| self.at_fault(Reason::unwritable(e)))
    }

    /// Gives what was set aside its name.
    ///
    /// # Errors
    /// When it cannot have it: says where it is instead.
    pub fn publish(&self) -> Result<(), EventFileError> {
        let Some(draft) = self.lock().draft.take() else { return Ok(()) };
        let refuse = |e: &dyn Display| self.at_fault(Reason::unwritable(e));
        let draft = draft.into_inner().map_err(|e| refuse(e.error()))?;
        if let Err(unnamed) = draft.persist_noclobber(&self.path) {
            let (error, draft) = (unnamed.error, unnamed.file.path().display().to_string());
            return Err(match unnamed.file.keep() {
                Ok(_) => refuse(&format!("{error}; all else is imported, and they are in {draft}")),
                Err(lost) => refuse(&format!("{error}; {lost}; all else is imported")),
            });
        }
        File::open(self.folder()).and_then(|folder| folder.sync_all()).map_err(|e| refuse(&e))
    }

    /// The error that has `reason` against this file.
    pub(super) fn at_fault(&self, reason: Reason) -> EventFileError {
        EventFileError::at(&self.path.display().to_string(), None, reason)
    }

    fn draft(&self) -> std::io::Result<NamedTempFile> {
        // Its rights are what the umask allows, as for any file that a command writes.
        let mut named = tempfile::Builder::new();
        named.prefix(".unspool-").suffix(".draft").permissions(Permissions::from_mode(0o666));
        named.tempfile_in(self.folder())
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
