//! What all rebuilds of a host share, and the threads on which they run.

use super::{Answer, Effect, Input, Options, RebuildError, State, attempts::Attempts, step};
use crate::{
    limits,
    pipeline::{Committer, InstancePool, Published, Stop},
    plugin::{Engine, Plugin},
    settings::{self, Settings},
    source::{Source, Sources},
    store::{RebuildRecord, Store},
    vocabulary::{Description, EventFailure, Status},
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

/// What all rebuilds of a host share.
pub(super) struct Host {
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) pool: InstancePool,
    pub(super) alert: Option<String>,
    settings: Option<PathBuf>,
    pub(super) sources: Sources,
    pub(super) engine: Engine,
    /// Attempts by key: the projection for a rebuild, the checkpoint for what is built apart.
    running: Mutex<HashMap<String, Running>>,
    ended: Condvar,
    /// The newest run of each rebuild, kept after its end for what only the host knows of it.
    runs: Mutex<HashMap<String, Arc<Published>>>,
    /// Failures that the store would not take.
    lost: Mutex<HashMap<String, EventFailure>>,
    /// Held while one command changes what runs. Commands are rare; reading progress does not take it.
    commands: Mutex<()>,
}

struct Running {
    stop: Stop,
    published: Arc<Published>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub(super) fn new(store: Store, sources: Sources, engine: Engine, options: Options) -> std::io::Result<Host> {
        let pool = InstancePool::new(options.places, options.instances);
        Ok(Host {
            committer: Committer::start(store.clone())?,
            pool: if options.keep_owners { pool.keeping_owners() } else { pool },
            alert: options.alert,
            settings: options.settings,
            store,
            sources,
            engine,
            running: Mutex::default(),
            ended: Condvar::new(),
            runs: Mutex::default(),
            lost: Mutex::default(),
            commands: Mutex::default(),
        })
    }

    /// Takes the turn of one command.
    pub(super) fn command(&self) -> MutexGuard<'_, ()> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of what runs.
    pub(super) fn running_keys(&self) -> Vec<String> {
        self.running().keys().cloned().collect()
    }

    pub(super) fn is_running(&self, key: &str) -> bool {
        self.running().contains_key(key)
    }

    /// What is published of the running attempt `key`.
    pub(super) fn published(&self, key: &str) -> Option<Arc<Published>> {
        self.running().get(key).map(|running| running.published.clone())
    }

    /// What was published last of the rebuild of `name`, whether it runs or has ended in this host.
    pub(super) fn last_run(&self, name: &str) -> Option<Arc<Published>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Keeps a failure that the store may not have taken.
    pub(super) fn note_lost(&self, name: &str, failure: EventFailure) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), failure);
    }

    pub(super) fn lost(&self, name: &str) -> Option<EventFailure> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The source as `--source` names it.
    pub(super) fn source(&self, name: &str) -> Result<Arc<dyn Source>, RebuildError> {
        Ok(self.sources.open(name)?)
    }

    /// What `unspool.toml` says of a projection now.
    pub(super) fn settings(&self, description: &Description) -> Result<settings::Projection, RebuildError> {
        let Some(dir) = &self.settings else { return Ok(settings::Projection::default()) };
        let tables: Vec<&str> = description.tables.iter().map(|table| table.name.as_str()).collect();
        let read = Settings::read(dir).and_then(|settings| settings.projection(&description.name, &tables));
        read.map_err(|e| RebuildError::Usage(e.to_string()))
    }

    /// The plugin with this digest.
    pub(super) fn plugin(&self, digest: &str) -> Result<Plugin, RebuildError> {
        Ok(self.engine.load(&self.store.component(digest)?)?)
    }

    /// Compiles the plugin of `name` where that has to be done again, before a command about it takes its turn: others do not wait
    /// for that. What is wrong with it shows when it is loaded.
    pub(super) fn compile(&self, name: &str) {
        let plugin = self.store.projection(name).map_err(RebuildError::from);
        if let Err(e) = plugin.and_then(|projection| self.plugin(projection.digest())) {
            tracing::debug!(projection = name, "not compiled ahead: {e}");
        }
    }

    /// What follows from `input` for the latest rebuild of `name`.
    pub(super) fn decide(
        &self,
        name: &str,
        latest: &Option<RebuildRecord>,
        input: Input,
    ) -> Result<(Answer, &'static [Effect]), RebuildError> {
        // The store says `running` a moment longer than the thread runs, or longer still where it refused the end.
        let state = match latest {
            None => State::Absent,
            Some(record) if record.status() == Status::Running && !self.is_running(name) => {
                let now = self.store.rebuild(name, record.generation).map(|now| now.status());
                State::Present(now.ok().filter(|status| *status != Status::Running).unwrap_or(Status::Paused))
            }
            Some(record) => State::Present(record.status()),
        };
        let decided = step(state, input).map_err(|refusal| RebuildError::Refused { name: name.to_owned(), refusal });
        decided.map(|(_, answer, effects)| (answer, effects))
    }

    /// Ends the running attempt where the effects say so, and waits until its end is durable.
    pub(super) fn stop(&self, key: &str, effects: &[Effect]) {
        let Some(Effect::Stop(status)) = effects.first() else { return };
        let thread = {
            let mut running = self.running();
            let Some(running) = running.get_mut(key) else { return };
            if *status == Status::Cancelled {
                running.stop.cancel()
            } else {
                running.stop.pause()
            }
            running.thread.take()
        };
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(rebuild = key, "its thread ended by a panic");
        }
    }

    /// Raises the stop of everything that runs, without waiting.
    pub(super) fn pause_all(&self) {
        self.running().values().for_each(|running| running.stop.pause());
    }

    /// Ends an attempt that does not come to its end by itself. Its thread may be stuck: it is not waited for, and
    /// whatever it still commits is refused.
    pub(super) fn abandon(&self, key: &str) {
        if let Some(running) = self.running().remove(key) {
            running.stop.pause();
        }
        self.ended.notify_all();
    }

    /// Works on `record`, claimed already, on a thread of its own.
    pub(super) fn begin(
        self: &Arc<Host>,
        key: &str,
        record: RebuildRecord,
        source: Arc<dyn Source>,
        plugin: Plugin,
    ) -> Result<(), RebuildError> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let (stop, published) = (Stop::default(), Arc::new(Published::new(&record)));
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), published.clone());
        // A database that is slow or away makes nobody else's commits wait.
        let committer = match &record.home {
            Some(_) => Committer::start(self.store.clone())?,
            None => self.committer.clone(),
        };
        let attempts = Attempts {
            host: self.clone(),
            source,
            plugin,
            stop: stop.clone(),
            published: published.clone(),
            committer,
        };
        // The entry comes first, so that the thread finds it when it ends.
        self.running().insert(key.to_owned(), Running { stop, published: published.clone(), thread: None });
        let spawned = std::thread::Builder::new()
            .name(format!("rebuild {key}"))
            .stack_size(limits::HANDLER_THREAD_STACK_BYTES)
            .spawn({
                let (host, key) = (self.clone(), key.to_owned());
                move || {
                    let _leave = Leave { host, key, published: attempts.published.clone() };
                    attempts.run(record);
                }
            });
        let thread = spawned.inspect_err(|_| drop(self.running().remove(key)))?;
        // The thread may have ended already.
        if let Some(running) = self.running().get_mut(key).filter(|running| Arc::ptr_eq(&running.published, &published))
        {
            running.thread = Some(thread);
        }
        Ok(())
    }

    /// Waits until nothing of `keys` is running (`None`: nothing at all), or `timeout` has passed; `true` in the first
    /// case.
    pub(super) fn wait_idle(&self, keys: Option<&[String]>, timeout: std::time::Duration) -> bool {
        let busy = |running: &mut HashMap<String, Running>| match keys {
            Some(keys) => keys.iter().any(|key| running.contains_key(key)),
            None => !running.is_empty(),
        };
        let waited = self.ended.wait_timeout_while(self.running(), timeout, busy);
        if busy(&mut waited.unwrap_or_else(PoisonError::into_inner).0) {
            return false;
        }
        // A command in hand may stop an attempt only to begin another, as a swap does.
        let _command = self.command();
        !busy(&mut self.running())
    }

    /// Waits until `key` is not running. For who holds the command's turn.
    pub(super) fn wait_for_end(&self, key: &str) {
        let waited = self.ended.wait_while(self.running(), |running| running.contains_key(key));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Takes an attempt off the list when its thread ends, however it ends; never another one that has taken its place.
struct Leave {
    host: Arc<Host>,
    key: String,
    published: Arc<Published>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut running = self.host.running();
        if running.get(&self.key).is_some_and(|running| Arc::ptr_eq(&running.published, &self.published)) {
            running.remove(&self.key);
        }
        drop(running);
        self.host.ended.notify_all();
    }
}
