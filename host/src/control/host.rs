//! Everything that the owner of a data directory has open.

use super::ControlError;
use crate::{
    limits,
    plugin::{Engine, EngineOptions},
    rebuild::{Options, Supervisor},
    source::{Sources, file::FileSources, log::EventLog},
    store::{DataDir, Store},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
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

/// A data directory in hand. Clones share it.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    dir: DataDir,
    store: Store,
    log: EventLog,
    options: HostOptions,
    /// Made when the first request needs it: most commands only read.
    supervisor: OnceLock<Result<Supervisor, ControlError>>,
}

impl Host {
    /// Opens the data directory at `path`, or makes one.
    ///
    /// # Errors
    /// When it is in use, not ours, damaged, of a newer format, or cannot be written.
    pub fn open(path: &Path, options: HostOptions) -> Result<Host, ControlError> {
        let dir = DataDir::open(path)?;
        let store = Store::open(&dir)?;
        let log = EventLog::open(&dir.log_file(), "the event log")?;
        Ok(Host { inner: Arc::new(Inner { dir, store, log, options, supervisor: OnceLock::new() }) })
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
            let Inner { dir, store, log, options, .. } = &*self.inner;
            let engine = Engine::new(EngineOptions {
                cache_dir: Some(dir.compiled_dir()),
                memory_bytes: options.memory_bytes,
                cpu_time: options.cpu_time,
                compiler: options.compiler.clone(),
            })
            .map_err(|e| ControlError::failed(e.to_string()))?;
            let settings = Some(dir.path().to_owned());
            let options =
                Options { alert: options.alert.clone(), instances: options.instances, settings, ..Options::default() };
            let files = FileSources::new(dir.files_dir());
            files.prune(&store.unfinished_histories()?).map_err(|e| ControlError::failed(e.to_string()))?;
            let sources = Sources::new(log.clone(), files, dir.path().to_owned());
            Ok(Supervisor::start(store.clone(), sources, engine, options)?)
        });
        started.as_ref().map_err(Clone::clone)
    }

    /// The rebuilds, where any request has needed them yet.
    pub fn started_supervisor(&self) -> Option<&Supervisor> {
        self.inner.supervisor.get()?.as_ref().ok()
    }

    /// Lets the rebuilds that the last host left running when it ended go on.
    ///
    /// # Errors
    /// When the engine does not start, or the store cannot be read.
    pub fn resume_interrupted(&self) -> Result<(), ControlError> {
        Ok(self.supervisor()?.resume_interrupted()?)
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn log(&self) -> &EventLog {
        &self.inner.log
    }
}
