//! Where events go that are refused, as they are, so that they can be mended and imported.

use super::Reason;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A new file for what is refused. It comes into being with the first of it, and goes when this does, unless it is kept.
pub struct Aside {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    file: Option<BufWriter<File>>,
    count: u64,
    kept: bool,
}

impl Aside {
    /// Sets aside into a file at `path`, which must not be there yet.
    ///
    /// # Errors
    /// When it is.
    pub fn new(path: &Path) -> Result<Aside, String> {
        if path.symlink_metadata().is_ok() {
            return Err(format!(
                "{} is there already; name a new file for the lines that are set aside",
                path.display()
            ));
        }
        Ok(Aside { path: path.to_owned(), inner: Mutex::default() })
    }

    /// How many events or lines have been set aside.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Sets aside one event or line, which `write` writes.
    pub(super) fn put_with(&self, write: impl FnOnce(&mut dyn Write) -> Result<(), Reason>) -> Result<(), Reason> {
        let mut inner = self.lock();
        let mut file = match inner.file.take() {
            Some(file) => file,
            None => BufWriter::new(File::create_new(&self.path).map_err(|e| self.refused(&e))?),
        };
        let written = write(&mut file);
        inner.file = Some(file);
        inner.count += 1;
        written
    }

    /// Sets aside one event as it is written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, raw: &[u8]) -> Result<(), Reason> {
        self.put_with(|file| file.write_all(raw).map_err(|e| self.refused(&e)))
    }

    /// Makes what was set aside durable, and keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self) -> Result<(), Reason> {
        let mut inner = self.lock();
        if let Some(file) = &mut inner.file {
            file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|e| self.refused(&e))?;
        }
        inner.kept = true;
        Ok(())
    }

    fn refused(&self, error: &std::io::Error) -> Reason {
        Reason::Refused(format!("{} cannot be written: {error}", self.path.display()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let inner = self.lock();
        if inner.file.is_some() && !inner.kept {
            // Nothing of the file was imported: what was set aside of it is in the file itself.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
