//! Everything that the owner of a data directory has open.

use super::{ControlError, ErrorKind, Request};
use crate::{
    disk::DiskError,
    limits,
    plugin::{Engine, EngineOptions},
    rebuild::{Options, Supervisor},
    source::{SourceError, Sources, file::FileSources, log::EventLog},
    store::{DataDir, Store},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What a host is told when it starts.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// See [`Options::alert`].
    pub alert: Option<String>,
    /// Bytes that one plugin instance may use; [`limits::GUEST_MEMORY_BYTES`] by default.
    pub memory_bytes: usize,
    /// See [`Options::instances`].
    pub instances: usize,
    /// Processor time that one chunk may take; [`limits::GUEST_CPU_TIME`] by default.
    pub cpu_time: Duration,
    /// See [`EngineOptions::compiler`].
    pub compiler: Option<PathBuf>,
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            alert: None,
            memory_bytes: limits::GUEST_MEMORY_BYTES,
            instances: limits::instances_of_one(),
            cpu_time: limits::GUEST_CPU_TIME,
            compiler: None,
        }
    }
}

/// What a command is to do with the data directory: only what begins something makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Read. Nothing is made, not even a file that is missing in it.
    Read,
    /// Change what is there.
    Change,
    /// Begin with an empty one, where there is none.
    Begin,
}

/// How the names of copies begin and end, in the data directory, that commands make of what a host cannot open.
pub const IMPORT_COPY: (&str, &str) = ("import-", ".draft");

/// A data directory in hand. Clones share it.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    dir: DataDir,
    store: Store,
    /// Or why it cannot be read: what was built from it is there all the same.
    log: Result<EventLog, ControlError>,
    /// The log is missing, and an empty one stands in for it: nothing may be built on that.
    only_reads: bool,
    files: FileSources,
    options: HostOptions,
    /// Raised when the host ends.
    closing: Arc<AtomicBool>,
    /// Made when the first request needs it: most commands only read.
    supervisor: OnceLock<Result<Supervisor, ControlError>>,
}

impl Host {
    /// Opens the data directory at `path`, or makes one.
    ///
    /// # Errors
    /// When it is in use, not ours, damaged, of a newer format, or cannot be written.
    pub fn open(path: &Path, options: HostOptions) -> Result<Host, ControlError> {
        Host::open_for(path, options, Use::Begin)
    }

    /// Opens the data directory at `path` for what is wanted of it.
    ///
    /// # Errors
    /// As [`Host::open`]; and where there is none, unless one is to be made.
    pub fn open_for(path: &Path, options: HostOptions, wanted: Use) -> Result<Host, ControlError> {
        let dir = if wanted == Use::Begin { DataDir::open(path)? } else { DataDir::existing(path)? };
        let store = Store::open(&dir)?;
        if wanted != Use::Read {
            remove_copies(&dir);
        }
        let kept = match dir.keeps(&dir.log_file())? {
            Some(kept) => kept,
            None => store.is_built_from_the_log()?,
        };
        let only_reads = wanted == Use::Read && !kept && !dir.log_file().exists();
        let log = match only_reads {
            true => Ok(EventLog::empty("the event log")?),
            false => match EventLog::open_kept(&dir.log_file(), "the event log", kept) {
                Err(e @ (DiskError::Damaged(_) | DiskError::Gone(_))) => Err(e.into()),
                opened => Ok(opened?),
            },
        };
        if !only_reads {
            dir.note_kept()?;
        }
        let files = FileSources::new(dir.files_dir());
        let closing = Arc::default();
        let supervisor = OnceLock::new();
        Ok(Host { inner: Arc::new(Inner { dir, store, log, only_reads, files, options, closing, supervisor }) })
    }

    /// The data directory.
    pub fn dir(&self) -> &DataDir {
        &self.inner.dir
    }

    /// The rebuilds.
    ///
    /// # Errors
    /// When the engine does not start.
    pub fn supervisor(&self) -> Result<&Supervisor, ControlError> {
        let started = self.inner.supervisor.get_or_init(|| {
            let Inner { dir, store, log, files, options, closing, .. } = &*self.inner;
            let engine = Engine::new(EngineOptions {
                cache_dir: Some(dir.compiled_dir()),
                memory_bytes: options.memory_bytes,
                cpu_time: options.cpu_time,
                compiler: options.compiler.clone(),
            })
            .map_err(|e| ControlError::failed(e.to_string()))?;
            let settings = Some(dir.path().to_owned());
            let options = Options {
                alert: options.alert.clone(),
                instances: options.instances,
                settings,
                closing: closing.clone(),
                ..Options::default()
            };
            files.prune(&store.histories()?).map_err(|e| ControlError::failed(e.to_string()))?;
            let log = log.clone().map_err(|e| SourceError::permanent(e.message));
            let sources = Sources::new(log, files.clone(), dir.path().to_owned());
            Ok(Supervisor::start(store.clone(), sources, engine, options)?)
        });
        started.as_ref().map_err(Clone::clone)
    }

    /// The rebuilds, where any request has needed them yet.
    pub fn started_supervisor(&self) -> Option<&Supervisor> {
        self.inner.supervisor.get()?.as_ref().ok()
    }

    /// Ends everything that runs, in bounded time, and lets nothing begin any more: see [`Supervisor::shut_down`].
    pub fn shut_down(&self, paused: &[String]) {
        // Where the supervisor is being made at this moment, it finds that it is not to begin anything.
        self.inner.closing.store(true, Ordering::SeqCst);
        if let Some(supervisor) = self.started_supervisor() {
            supervisor.shut_down(paused);
        }
    }

    /// Lets the rebuilds that the last host was ended in the middle of go on.
    ///
    /// # Errors
    /// When the engine does not start, or the store cannot be read.
    pub fn resume_interrupted(&self) -> Result<(), ControlError> {
        Ok(self.supervisor()?.resume_interrupted()?)
    }

    /// Refuses what this host must not do.
    pub(super) fn may(&self, request: &Request) -> Result<(), ControlError> {
        if self.inner.only_reads && !request.only_reads() {
            let message =
                "another command reads this data directory, in which log.redb is missing; try again when it is over";
            return Err(ControlError::not_possible(message).of_kind(ErrorKind::InUse));
        }
        Ok(())
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The embedded log.
    pub(super) fn log(&self) -> Result<&EventLog, ControlError> {
        self.inner.log.as_ref().map_err(Clone::clone)
    }

    pub(super) fn files(&self) -> &FileSources {
        &self.inner.files
    }
}

/// Removes the copies that commands have left which were killed while they made one. A command that lives holds a lock on its own.
fn remove_copies(dir: &DataDir) {
    let (prefix, suffix) = IMPORT_COPY;
    let is_copy = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
    for entry in std::fs::read_dir(dir.path()).into_iter().flatten().flatten() {
        let is_left = |path: &Path| std::fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok());
        if entry.file_name().to_str().is_some_and(is_copy)
            && is_left(&entry.path())
            && let Err(e) = std::fs::remove_file(entry.path())
        {
            tracing::warn!("{} is left: {e}", entry.path().display());
        }
    }
}
