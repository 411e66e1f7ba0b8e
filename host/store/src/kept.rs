//! What a data directory is known to keep: a file that is missing or empty is not recreated where something was in it.

use super::{Store, data_dir::DataDir, error::StoreError};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use unspool_disk::{DiskError, KEPT};
use unspool_vocabulary::Position;

const HEAD: &str = "# What unspool keeps here. A file that is named and missing is not made anew: take its name out to begin with an \
                    empty one.\n";

impl DataDir {
    fn kept_file(&self) -> PathBuf {
        self.path().join(KEPT)
    }

    /// Whether `file` of this directory was there before; `None` where nothing is recorded.
    ///
    /// # Errors
    /// When the note cannot be read.
    pub fn keeps(&self, file: &Path) -> Result<Option<bool>, DiskError> {
        let name = file.file_name().and_then(|name| name.to_str());
        Ok(self.kept()?.map(|kept| kept.iter().any(|kept| Some(kept.as_str()) == name)))
    }

    fn kept(&self) -> Result<Option<Vec<String>>, DiskError> {
        let path = self.kept_file();
        match fs::read_to_string(&path) {
            Ok(text) => self.names(&text).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(self.unclear()),
            Err(source) => Err(DiskError::Io { path, source }),
        }
    }

    /// What the note names. A name that was taken out is one thing, a note that was changed by chance another.
    fn names(&self, text: &str) -> Result<Vec<String>, DiskError> {
        let known = [self.store_file(), self.log_file()];
        let is_known = |line: &str| known.iter().any(|file| file.file_name().is_some_and(|name| name == line));
        let Some(rest) = text.strip_prefix(HEAD) else { return Err(self.unclear()) };
        let names = rest.lines().filter(|line| !line.is_empty());
        names.map(|line| if is_known(line) { Ok(line.to_owned()) } else { Err(self.unclear()) }).collect()
    }

    fn unclear(&self) -> DiskError {
        let path = self.kept_file();
        DiskError::Damaged(format!(
            "{} is not as it was written (remove it, if store.redb and log.redb are right)",
            path.display()
        ))
    }

    /// Notes that the store and the log are kept here.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn note_kept(&self) -> Result<(), DiskError> {
        let names = [self.store_file(), self.log_file()];
        let names = names.iter().filter_map(|file| file.file_name()?.to_str());
        let mut kept = self.kept()?.unwrap_or_default();
        let before = kept.len();
        for name in names {
            if !kept.iter().any(|kept| kept == name) {
                kept.push(name.to_owned());
            }
        }
        if kept.len() == before {
            return Ok(());
        }
        let (path, draft) = (self.kept_file(), self.path().join(format!("{KEPT}.draft")));
        let write = || {
            let mut options = File::options();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            writeln!(file, "{HEAD}{}", kept.join("\n"))?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().map_err(|source| DiskError::Io { path, source })
    }
}

impl Store {
    /// Whether a generation was built from events of the embedded log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_built_from_the_log(&self) -> Result<bool, StoreError> {
        let rebuilds = self.all_rebuilds()?;
        Ok(rebuilds.iter().any(|record| record.spec.source == "log" && record.checkpoint.position > Position::START))
    }
}
