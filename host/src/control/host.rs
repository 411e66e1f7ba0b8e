//! Everything that the owner of a data directory has open.

use super::{Access, ControlError, Door, ErrorKind, Request};
use crate::{
    disk::DiskError,
    limits,
    plugin::{Engine, EngineOptions},
    rebuild::{AlertRoute, Options, Overview, RebuildError, Supervisor},
    settings,
    source::{SourceError, Sources, file::FileSources, log::EventLog},
    store::{DataDir, Store},
    vocabulary::Status,
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What a host is given when it starts.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// See [`Options::alerts`].
    pub alerts: Option<Vec<AlertRoute>>,
    /// Bytes that one plugin instance may use; [`limits::GUEST_MEMORY_BYTES`] by default.
    pub memory_bytes: usize,
    /// See [`Options::instances`].
    pub instances: usize,
    /// Processor time that one chunk may take; [`limits::GUEST_CPU_TIME`] by default.
    pub cpu_time: Duration,
    /// See [`EngineOptions::compiler`].
    pub compiler: Option<PathBuf>,
    /// The file with the settings; `unspool.toml` in the data directory where absent.
    pub settings: Option<PathBuf>,
}

impl HostOptions {
    fn settings_in(&self, dir: &DataDir) -> PathBuf {
        self.settings.clone().unwrap_or_else(|| dir.path().join(settings::FILE))
    }
}

impl Default for HostOptions {
    fn default() -> Self {
        HostOptions {
            alerts: None,
            memory_bytes: limits::GUEST_MEMORY_BYTES,
            instances: limits::instances_of_one(),
            cpu_time: limits::GUEST_CPU_TIME,
            compiler: None,
            settings: None,
        }
    }
}

/// How the names of copies begin and end, in the data directory, that commands make of what a host cannot open.
pub const IMPORT_COPY: (&str, &str) = ("import-", ".draft");

/// An open data directory. Clones share it.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    dir: DataDir,
    store: Store,
    /// Or why it cannot be read: what was built from it is there all the same.
    log: Result<EventLog, ControlError>,
    files: FileSources,
    sources: Sources,
    /// The most that a request may do with it.
    access: Access,
    options: HostOptions,
    /// Raised when the host ends.
    closing: Arc<AtomicBool>,
    /// Made when the first request needs it: most commands only read.
    supervisor: OnceLock<Result<Supervisor, ControlError>>,
    door: Door,
}

impl Host {
    /// Opens the data directory at `path`, or makes one.
    ///
    /// # Errors
    /// When it is in use, not ours, damaged, of a newer format, or cannot be written.
    pub fn open(path: &Path, options: HostOptions) -> Result<Host, ControlError> {
        Host::open_for(path, options, Access::Begin)
    }

    /// Opens the data directory at `path` for what is wanted of it. One that is only read may be read by others as well.
    ///
    /// # Errors
    /// As [`Host::open`]; and where there is none, unless one is to be made.
    pub fn open_for(path: &Path, options: HostOptions, wanted: Access) -> Result<Host, ControlError> {
        let dir = if wanted == Access::Begin { DataDir::open(path)? } else { DataDir::existing(path)? };
        let reads = wanted == Access::Read;
        let store = if reads { Store::open_to_read(&dir)? } else { Store::open(&dir)? };
        if reads && is_known_elsewhere(&store)? {
            drop(store);
            let host = Host::open_for(path, options, Access::Change)?;
            host.supervisor()?;
            return Ok(host);
        }
        if wanted >= Access::Change {
            remove_copies(&dir);
        }
        let (log_file, name) = (dir.log_file(), "the event log");
        let kept = match dir.keeps(&log_file)? {
            Some(kept) => kept,
            None => store.is_built_from_the_log()?,
        };
        // An empty log stands in for one that is missing: nothing may be built on that.
        let is_missing = wanted <= Access::Examine && !kept && !log_file.exists();
        let opened = match (is_missing, reads) {
            (true, _) => EventLog::empty(name),
            (false, true) => EventLog::open_to_read(&log_file, name, kept),
            (false, false) => EventLog::open_kept(&log_file, name, kept),
        };
        let log = match opened {
            Err(e @ (DiskError::Damaged(_) | DiskError::Gone(_))) => Err(ControlError::from(e)),
            opened => Ok(opened?),
        };
        let access = match wanted {
            Access::Read => Access::Read,
            _ if is_missing => Access::Examine,
            _ => Access::Begin,
        };
        if access == Access::Begin {
            dir.note_kept()?;
        }
        let files = if reads { FileSources::to_read(dir.files_dir()) } else { FileSources::new(dir.files_dir()) };
        let named = log.clone().map_err(|e| SourceError::permanent(e.message));
        let sources = Sources::new(named, files.clone(), options.settings_in(&dir));
        let (closing, supervisor, door) = (Arc::default(), OnceLock::new(), Door::default());
        let inner = Inner { dir, store, log, files, sources, access, options, closing, supervisor, door };
        Ok(Host { inner: Arc::new(inner) })
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
            let Inner { dir, store, files, sources, options, closing, .. } = &*self.inner;
            let engine = Engine::new(EngineOptions {
                cache_dir: Some(dir.compiled_dir()),
                memory_bytes: options.memory_bytes,
                cpu_time: options.cpu_time,
                compiler: options.compiler.clone(),
            })
            .map_err(|e| ControlError::failed(e.to_string()))?;
            let settings = Some(options.settings_in(dir));
            let options = Options {
                alerts: options.alerts.clone(),
                instances: options.instances,
                settings,
                closing: closing.clone(),
                ..Options::default()
            };
            files.prune(&store.histories()?).map_err(|e| ControlError::failed(e.to_string()))?;
            Ok(Supervisor::start(store.clone(), sources.clone(), engine, options)?)
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

    /// Resumes the rebuilds that were running when the last host ended.
    ///
    /// # Errors
    /// When the engine does not start, or the store cannot be read.
    pub fn resume_interrupted(&self) -> Result<(), ControlError> {
        Ok(self.supervisor()?.resume_interrupted()?)
    }

    /// What `look` sees of the rebuilds, as they are: looking starts nothing that would work on them.
    pub(super) fn overview<T>(
        &self,
        look: impl Fn(Overview<'_>) -> Result<T, RebuildError>,
    ) -> Result<T, ControlError> {
        if self.started_supervisor().is_none() {
            let seen = look(Overview::at_rest(self.store()));
            if self.started_supervisor().is_none() {
                return Ok(seen?);
            }
        }
        // It may have been started meanwhile, and what was seen at rest may run.
        let running = self.started_supervisor().map_or_else(|| Overview::at_rest(self.store()), Supervisor::overview);
        Ok(look(running)?)
    }

    /// Whether nothing is written to the data directory, so that others may read it at the same time, and nobody changes it.
    pub fn only_reads(&self) -> bool {
        self.inner.access == Access::Read
    }

    /// Whether it takes commands: its store is open, what was interrupted has been taken up, and it does not end.
    pub fn is_ready(&self) -> bool {
        !self.is_closing() && self.started_supervisor().is_some() && self.store().newest_activity().is_ok()
    }

    /// Bytes of its files, and those that are free.
    pub fn disk(&self) -> serde_json::Value {
        let bytes = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len()).ok();
        let free = rustix::fs::statvfs(self.dir().path()).map(|disk| disk.f_bavail * disk.f_frsize).ok();
        serde_json::json!({
            "storeBytes": bytes(&self.dir().store_file()),
            "logBytes": bytes(&self.dir().log_file()),
            "freeBytes": free,
        })
    }

    /// Bytes that one plugin instance may use.
    pub fn memory_bytes(&self) -> usize {
        self.inner.options.memory_bytes
    }

    /// Instances that handle chunks of one projection at the same time.
    pub fn instances(&self) -> usize {
        self.inner.options.instances
    }

    /// With what it was started.
    pub fn settings(&self) -> serde_json::Value {
        let options = &self.inner.options;
        serde_json::json!({
            "memoryBytes": options.memory_bytes,
            "instances": options.instances,
            "settings": options.settings_in(self.dir()),
        })
    }

    /// Who is told of what goes wrong.
    pub(super) fn alerts(&self) -> &[AlertRoute] {
        self.inner.options.alerts.as_deref().unwrap_or_default()
    }

    /// Where it answers browsers.
    pub fn door(&self) -> &Door {
        &self.inner.door
    }

    /// Whether it ends.
    pub(super) fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::SeqCst)
    }

    /// Refuses what this host must not do.
    pub(super) fn may(&self, request: &Request) -> Result<(), ControlError> {
        if request.access() > self.inner.access {
            let message =
                "another command reads this data directory, in which log.redb is missing; try again when it is over";
            return Err(ControlError::new(ErrorKind::InUse, message));
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

    /// The histories that rebuilds are built from.
    pub(super) fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    pub(super) fn files(&self) -> &FileSources {
        &self.inner.files
    }
}

/// Removes the copies of commands that were killed while they made one. A running command holds a lock on its own.
fn remove_copies(dir: &DataDir) {
    let (prefix, suffix) = IMPORT_COPY;
    let is_copy = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
    for entry in std::fs::read_dir(dir.path()).into_iter().flatten().flatten() {
        let is_left = |path: &Path| std::fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok());
        if entry.file_name().to_str().is_some_and(is_copy)
            && is_left(&entry.path())
            && let Err(e) = std::fs::remove_file(entry.path())
        {
            tracing::warn!("{} cannot be removed: {e}", entry.path().display());
        }
    }
}

/// Whether a host was killed while it built rows in a database: only the database knows the last commit and the live
/// generation. It is queried before either is reported, as it is by a request that changes something.
fn is_known_elsewhere(store: &Store) -> Result<bool, ControlError> {
    let mut records = store.all_rebuilds()?.into_iter();
    Ok(records.any(|record| (record.status() == Status::Running || record.is_followed()) && record.external.is_some()))
}
