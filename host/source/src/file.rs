//! Event files as sources. A file is checked as a whole and indexed into a log of its own before anything reads it, so
//! that a rebuild from it resumes, counts and filters like any other, in flat memory, and a bad line is refused before
//! the rebuild begins.

use super::{
    SourceError,
    event_file::{EventFile, FileOptions},
    log::EventLog,
};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use unspool_disk::DiskError;
use unspool_vocabulary::{crash, work};

/// The indexed files of a data directory, under `DIGEST.redb` each: BLAKE3 of the file's content, and of how it is read where
/// that is given. An index that is missing is built again; one that was only begun has another name and is rebuilt.
#[derive(Clone)]
pub struct FileSources {
    dir: PathBuf,
    /// No index is made, and none is written to.
    only_reads: bool,
    open: Arc<Mutex<Open>>,
}

/// Open indexes. A redb file can be open once only.
#[derive(Default)]
struct Open {
    logs: HashMap<Stamp, EventLog>,
    /// One lock for each digest: whatever builds or opens an index holds it, and nothing else waits meanwhile.
    turns: HashMap<String, Arc<Mutex<()>>>,
}

impl Open {
    /// The same content under another name or time is the same history.
    fn of(&self, digest: &str) -> Option<EventLog> {
        self.logs.values().find(|log| super::Source::identity(*log) == digest).cloned()
    }
}

/// Tells a file from what it was before, without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
    options: FileOptions,
}

impl FileSources {
    /// Keeps indexes in `dir`, which is created when it is needed.
    pub fn new(dir: PathBuf) -> FileSources {
        FileSources { dir, only_reads: false, open: Arc::default() }
    }

    /// Reads the indexes in `dir`: none is made, and none is written to.
    pub fn to_read(dir: PathBuf) -> FileSources {
        FileSources { only_reads: true, ..FileSources::new(dir) }
    }

    /// The history in the event file at `path`, read as `options` say. Read in another way it is another history.
    ///
    /// # Errors
    /// When it cannot be read or is not an event file (with its line and the reason), or there is no room for its index.
    pub fn open(&self, path: &Path, options: &FileOptions) -> Result<EventLog, SourceError> {
        let refuse = |e: io::Error| SourceError::permanent(format!("{}: {e}", path.display()));
        let metadata = fs::metadata(path).map_err(refuse)?;
        if !metadata.is_file() {
            return Err(SourceError::permanent(format!(
                "{} is not a regular file, and could not be read again to resume: import it into the log instead",
                path.display()
            )));
        }
        let modified = metadata.modified().map_err(refuse)?;
        let stamp = Stamp { path: path.to_owned(), bytes: metadata.len(), modified, options: options.clone() };
        if let Some(log) = self.state().logs.get(&stamp) {
            return Ok(log.clone());
        }
        let digest = digest(path, options).map_err(refuse)?;
        let turn = self.turn(&digest);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.state().of(&digest);
        let log = match known {
            Some(log) => log,
            None => self.index(path, options, &digest)?,
        };
        self.state().logs.insert(stamp, log.clone());
        Ok(log)
    }

    fn state(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, digest: &str) -> Arc<Mutex<()>> {
        self.state().turns.entry(digest.to_owned()).or_default().clone()
    }

    /// Removes the indexes of all histories but `kept`, by identity. For a host that starts: none is open yet.
    ///
    /// # Errors
    /// When the directory cannot be read or a file not be removed.
    pub fn prune(&self, kept: &[String]) -> io::Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let is_kept = path.file_stem().is_some_and(|stem| kept.iter().any(|identity| stem == identity.as_str()));
            if !is_kept {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Checks the indexes that there are, and says what does not fit together, in words.
    ///
    /// # Errors
    /// When the directory or an index cannot be read.
    pub fn check(&self) -> Result<Vec<String>, SourceError> {
        let refuse = |e: io::Error| SourceError::permanent(format!("{}: {e}", self.dir.display()));
        let mut problems = Vec::new();
        if !self.dir.exists() {
            return Ok(problems);
        }
        for entry in fs::read_dir(&self.dir).map_err(refuse)? {
            let path = entry.map_err(refuse)?.path();
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            let (Some(digest), true) = (digest, path.extension().is_some_and(|kind| kind == "redb")) else {
                continue;
            };
            let turn = self.turn(digest);
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            let known = self.state().of(digest);
            let opened = match known {
                Some(log) => Ok(log),
                None if self.only_reads => EventLog::open_to_read(&path, &path.display().to_string(), true),
                None => EventLog::open_kept(&path, &path.display().to_string(), true),
            };
            match opened {
                Ok(log) => problems.extend(log.check()?),
                Err(e) => problems.push(e.to_string()),
            }
        }
        Ok(problems)
    }

    fn index(&self, path: &Path, options: &FileOptions, digest: &str) -> Result<EventLog, SourceError> {
        let refuse = |e: io::Error| SourceError::permanent(format!("{}: {e}", self.dir.display()));
        if self.only_reads {
            let (ready, name) = (self.dir.join(format!("{digest}.redb")), path.display().to_string());
            let opened = EventLog::index_to_read(&ready, &name, true, Some(digest));
            return opened.map_err(|e| SourceError::permanent(e.to_string()));
        }
        unspool_vocabulary::private::make_dir(&self.dir).map_err(refuse)?;
        let (ready, draft) = (self.dir.join(format!("{digest}.redb")), self.dir.join(format!("{digest}.draft")));
        let open = |at: &Path| {
            let opened = EventLog::open_as(at, &path.display().to_string(), false, Some(digest));
            opened.map_err(|e| SourceError::permanent(e.to_string()))
        };
        if ready.exists() {
            match EventLog::open_as(&ready, &path.display().to_string(), true, Some(digest)) {
                // It is made of the file, which is there.
                Err(e @ (DiskError::Damaged(_) | DiskError::Gone(_))) => {
                    tracing::warn!("the index of {} is made again: {e}", path.display());
                    fs::remove_file(&ready).map_err(refuse)?;
                }
                opened => return opened.map_err(|e| SourceError::permanent(e.to_string())),
            }
        }
        if draft.exists() {
            fs::remove_file(&draft).map_err(refuse)?;
        }
        let mut file = EventFile::open(path)?.with(options.clone());
        work::begin(format!("indexing {}", path.display()), "bytes", file.bytes_total());
        let imported =
            open(&draft).and_then(|log| log.import(&mut file, &mut |progress| work::reach(progress.bytes_read)));
        if let Err(e) = imported {
            drop(fs::remove_file(&draft));
            return Err(e);
        }
        crash::point("file-index.draft");
        fs::rename(&draft, &ready).map_err(refuse)?;
        crash::point("file-index.ready");
        open(&ready)
    }
}

fn digest(path: &Path, options: &FileOptions) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    if !options.is_default() {
        let content = hasher.finalize();
        hasher = blake3::Hasher::new();
        hasher.update(format!("{content}?{options}").as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}
