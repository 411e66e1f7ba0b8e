//! What all rebuilds of a host share, and the list of what runs in it, each on a thread of its own or on its caller's.

mod command_lock;
pub(super) mod follower_key;

use super::{Answer, Effect, Input, Options, RebuildError, State, alerts::Alerts, step};
use crate::{
    limits,
    pipeline::{Committer, InstancePool, Published, Stop},
    plugin::{Engine, Plugin},
    settings::{self, Settings},
    source::{Source, Sources},
    store::{Purpose, RebuildRecord, Store},
    vocabulary::{Description, EventFailure, Status, Waiting, ms_since, now_ms, work},
};
use follower_key::of_key;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a caller that waits for the end of a rebuild polls its progress.
const LOOK: Duration = Duration::from_millis(100);

/// How often to poll while operators are told of alerts.
const ALERT_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What all rebuilds of a host share.
pub(super) struct Host {
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) pool: InstancePool,
    pub(super) alerts: Alerts,
    settings: Option<PathBuf>,
    pub(super) sources: Sources,
    pub(super) engine: Engine,
    work: Mutex<Work>,
    /// Notified of every change of [`Host::work`].
    changed: Condvar,
    /// The newest run of each rebuild, kept after its end for what only the host knows of it.
    runs: Mutex<HashMap<String, Arc<Published>>>,
    /// Failures that the store would not take.
    lost: Mutex<HashMap<String, EventFailure>>,
    /// The host ends: nothing begins any more.
    closing: Arc<AtomicBool>,
    /// It stays, so that followers may work in it: it serves, or a command waits for them.
    follows: AtomicBool,
}

/// What runs in a host.
#[derive(Default)]
struct Work {
    /// Attempts by key: the projection for a rebuild, the checkpoint for a shadow build.
    running: HashMap<String, Running>,
    /// Projections that a command is changing: one command at a time for each. Reading progress does not wait for it. Of a
    /// long one, what it is.
    in_hand: HashMap<String, Option<&'static str>>,
    /// Rebuilds that are to go on and cannot yet, since what they need is away.
    wanted: HashMap<String, Waiting>,
    /// Projections whose generations are not brought forward for a moment, and how many ask for that.
    held: HashMap<String, usize>,
    /// How often anything of this has changed, or an attempt has come to wait: what who watches is to hear at once.
    changes: u64,
}

struct Running {
    stop: Stop,
    published: Arc<Published>,
    projection: String,
    purpose: Purpose,
}

impl Running {
    fn new(record: &RebuildRecord, purpose: Purpose) -> Running {
        Running {
            stop: Stop::default(),
            published: Arc::new(Published::new(record)),
            projection: record.checkpoint.projection_name.clone(),
            purpose,
        }
    }
}

impl Host {
    pub(super) fn new(
        store: Store,
        sources: Sources,
        engine: Engine,
        alerts: Alerts,
        options: Options,
    ) -> std::io::Result<Host> {
        let pool = InstancePool::new(options.permits, options.instances);
        Ok(Host {
            committer: Committer::start(store.clone())?,
            pool: if options.keep_owners { pool.keeping_owners() } else { pool },
            alerts,
            settings: options.settings,
            store,
            sources,
            engine,
            work: Mutex::default(),
            changed: Condvar::new(),
            runs: Mutex::default(),
            lost: Mutex::default(),
            closing: options.closing,
            follows: AtomicBool::new(false),
        })
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what goes on, and wakes who waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut Work) -> T) -> T {
        let mut work = self.work();
        let changed = change(&mut work);
        work.changes += 1;
        drop(work);
        self.changed.notify_all();
        changed
    }

    /// What is published of an attempt says more than numbers: who watches is woken.
    pub(super) fn has_news(&self) {
        self.change(|_| ());
    }

    /// How often there have been news.
    pub(super) fn news(&self) -> u64 {
        self.work().changes
    }

    /// Waits until there are other news than the first `known`, or `timeout` has passed.
    pub(super) fn wait_for_news(&self, known: u64, timeout: Duration) {
        drop(self.wait_while(timeout, |work| work.changes == known));
    }

    /// Waits while `busy` holds, for `timeout` at most.
    fn wait_while(&self, timeout: Duration, busy: impl Fn(&Work) -> bool) -> MutexGuard<'_, Work> {
        let waited = self.changed.wait_timeout_while(self.work(), timeout, |work| busy(work));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The keys of what runs.
    pub(super) fn running_keys(&self) -> Vec<String> {
        self.work().running.keys().cloned().collect()
    }

    pub(super) fn is_running(&self, key: &str) -> bool {
        self.work().running.contains_key(key)
    }

    /// What is published of the running attempt `key`.
    pub(super) fn published(&self, key: &str) -> Option<Arc<Published>> {
        self.work().running.get(key).map(|running| running.published.clone())
    }

    /// Whether the host ends.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Why a rebuild that is to go on does not yet.
    pub(super) fn waiting(&self, name: &str) -> Option<Waiting> {
        let waiting = self.work().wanted.get(name).cloned()?;
        Some(Waiting { ms: ms_since(waiting.since), ..waiting })
    }

    /// The rebuilds that are to go on and do not yet.
    pub(super) fn wanted_keys(&self) -> Vec<String> {
        self.work().wanted.keys().cloned().collect()
    }

    /// Notes that a rebuild is to go on, and what is in its way; `None`: nothing any more.
    pub(super) fn note_wanted(&self, name: &str, waiting: Option<Waiting>) {
        self.change(|work| match waiting {
            Some(waiting) => work.wanted.insert(name.to_owned(), waiting),
            None => work.wanted.remove(name),
        });
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

    /// What `unspool.toml` says about a projection now.
    pub(super) fn settings(&self, description: &Description) -> Result<settings::Projection, RebuildError> {
        let Some(file) = &self.settings else { return Ok(settings::Projection::default()) };
        let tables: Vec<&str> = description.tables.iter().map(|table| table.name.as_str()).collect();
        let read = Settings::read(file).and_then(|settings| settings.projection(&description.name, &tables));
        read.map_err(|e| RebuildError::Usage(e.to_string()))
    }

    /// The plugin with this digest.
    pub(super) fn plugin(&self, digest: &str) -> Result<Plugin, RebuildError> {
        Ok(self.engine.load(&self.store.component(digest)?)?)
    }

    /// Compiles the plugin of `name` where that has to be done again, before a command about it takes the command lock:
    /// others do not wait for that. What is wrong with it shows when it is loaded.
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
        // The store says `running` a little longer than the thread runs, or longer still where it refused the end.
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

    /// Ends the running attempt, and waits until its end is durable. One that does not finish within [`limits::STOP_WAIT`],
    /// because it waits for something that does not answer, is ended in the store alone.
    pub(super) fn stop(&self, key: &str, status: Status) {
        match self.work().running.get(key) {
            None => return,
            Some(running) if status == Status::Cancelled => running.stop.cancel(),
            Some(running) => running.stop.pause(),
        }
        if self.wait_while(limits::STOP_WAIT, |work| work.running.contains_key(key)).running.contains_key(key) {
            self.leave_behind(key, status);
        }
    }

    /// Ends everything that runs, within little more than [`limits::HOST_STOP`]. The rebuilds of `paused` are left as an
    /// operator's pause leaves them; all others are wanted: they go on when the next host serves, as after a kill.
    pub(super) fn close(&self, paused: &[String]) {
        let running: Vec<(String, u64, Purpose)> = {
            let work = self.work();
            self.closing.store(true, Ordering::SeqCst);
            let about =
                |running: &Running| (running.projection.clone(), running.published.generation(), running.purpose);
            work.running.values().map(about).collect()
        };
        for (name, generation, purpose) in running {
            if purpose == Purpose::Rebuild
                && !paused.contains(&name)
                && let Err(e) = self.store.want(&name, generation)
            {
                tracing::error!(projection = name, "it may stay paused when the next host serves: {e}");
            }
        }
        let followed = self.running_keys();
        self.work().running.values().for_each(|running| running.stop.pause());
        let left: Vec<String> =
            self.wait_while(limits::HOST_STOP, |work| !work.running.is_empty()).running.keys().cloned().collect();
        for key in left {
            self.leave_behind(&key, Status::Paused);
        }
        for (name, generation) in followed.iter().filter_map(|key| of_key(key)) {
            if let Err(e) = self.store.rest_following(name, generation) {
                tracing::error!(projection = name, "its end is taken for a crash when the next host serves: {e}");
            }
        }
        for name in paused {
            self.leave_unfollowed(name);
        }
    }

    /// Lets no generation of `name` be followed when the next host serves.
    pub(super) fn leave_unfollowed(&self, name: &str) {
        let left = self.store.rebuilds(name).and_then(|records| {
            let mut followed = records.iter().filter(|record| record.is_followed());
            followed.try_for_each(|record| self.store.set_following(name, record.generation, None).map(drop))
        });
        if let Err(e) = left {
            tracing::error!(projection = name, "it may be followed when the next host serves: {e}");
        }
    }

    /// Ends an attempt in the store whose thread does not finish: whatever that still commits is refused.
    fn leave_behind(&self, key: &str, status: Status) {
        let about = self.work().running.get(key).map(|left| (left.projection.clone(), left.published.generation()));
        let Some((projection, generation)) = about else { return };
        tracing::warn!(projection, "its thread does not finish, and it is left {status} without it");
        // One that follows is complete: what it still commits is refused by its attempt's number.
        let left = match of_key(key) {
            Some(_) => self.store.claim(&projection, generation),
            None => self.store.set_status_of_stuck(&projection, generation, status, now_ms()),
        };
        if let Err(e) = left {
            tracing::error!(projection, "its end could not be noted: {e}");
        }
        self.abandon(key);
    }

    /// Ends an attempt that does not finish by itself. Its thread may be stuck: nothing waits for it, and
    /// whatever it still commits is refused.
    pub(super) fn abandon(&self, key: &str) {
        if let Some(running) = self.change(|work| work.running.remove(key)) {
            running.stop.pause();
        }
    }

    /// What makes the work of `record` durable: a database that is slow or away makes no other rebuild's commits wait.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn committer_for(&self, record: &RebuildRecord) -> std::io::Result<Committer> {
        match &record.external {
            Some(_) => Committer::start(self.store.clone()),
            None => Ok(self.committer.clone()),
        }
    }

    /// Runs `work` on something of `record` on this thread; it is ended like any attempt when the host ends.
    ///
    /// # Errors
    /// When the host is ending.
    pub(super) fn work_on<T>(
        self: &Arc<Host>,
        key: String,
        record: &RebuildRecord,
        work: impl FnOnce(Stop, Arc<Published>) -> T,
    ) -> Result<T, RebuildError> {
        let running = Running { stop: Stop::of_request(), ..Running::new(record, Purpose::Scratch) };
        let entry = self.enter(key, running)?;
        Ok(work(entry.stop.clone(), entry.published.clone()))
    }

    /// Puts the newest run of the rebuild `key` on the list; what the host knew of the one before is forgotten.
    ///
    /// # Errors
    /// When the host is ending.
    pub(super) fn enter_rebuild(self: &Arc<Host>, key: &str, record: &RebuildRecord) -> Result<Entry, RebuildError> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let running = Running::new(record, record.spec.purpose);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), running.published.clone());
        self.enter(key.to_owned(), running)
    }

    /// Puts a follower of `record` on the list; `None` where one works, or they are held, or this host does not stay.
    pub(super) fn enter_follower(self: &Arc<Host>, key: String, record: &RebuildRecord) -> Option<Entry> {
        let running = Running::new(record, Purpose::Scratch);
        let (stop, published) = (running.stop.clone(), running.published.clone());
        {
            let mut work = self.work();
            if !self.stays() || work.running.contains_key(&key) || work.held.contains_key(&running.projection) {
                return None;
            }
            work.running.insert(key.clone(), running);
        }
        Some(Entry { host: self.clone(), key, stop, published })
    }

    /// Puts what runs on the list, unless the host ends.
    fn enter(self: &Arc<Host>, key: String, running: Running) -> Result<Entry, RebuildError> {
        let (stop, published) = (running.stop.clone(), running.published.clone());
        self.change(|work| {
            if self.is_closing() {
                return Err(RebuildError::NotPossible("the host is ending; try again in a moment".to_owned()));
            }
            work.running.insert(key.clone(), running);
            Ok(())
        })?;
        Ok(Entry { host: self.clone(), key, stop, published })
    }

    /// Lets followers work in this host from here on: it stays.
    pub(super) fn follows(&self) {
        self.follows.store(true, Ordering::SeqCst);
    }

    /// Whether followers may work in this host.
    pub(super) fn stays(&self) -> bool {
        self.follows.load(Ordering::SeqCst) && !self.is_closing()
    }

    /// Lets no follower of a projection begin, until that is [released](Host::release).
    pub(super) fn hold(&self, projection: &str) {
        *self.work().held.entry(projection.to_owned()).or_default() += 1;
    }

    /// Undoes one [`Host::hold`].
    pub(super) fn release(&self, projection: &str) {
        let mut work = self.work();
        if let Some(held) = work.held.get_mut(projection) {
            *held -= 1;
            if *held == 0 {
                work.held.remove(projection);
            }
        }
    }

    /// Waits until nothing of `keys` is running, nor a command about it under way (`None`: nothing at all, and nothing
    /// wanted, nor an alert under way), or `timeout` has passed; `true` in the first case. A command may stop an attempt only
    /// to begin another, as a swap does.
    pub(super) fn wait_idle(&self, keys: Option<&[String]>, timeout: Duration) -> bool {
        let busy = |work: &Work| match keys {
            Some(keys) => keys.iter().any(|key| work.running.contains_key(key) || work.in_hand.contains_key(key)),
            None => !(work.running.is_empty() && work.in_hand.is_empty() && work.wanted.is_empty()),
        };
        if busy(&self.wait_while(timeout, busy)) {
            return false;
        }
        if keys.is_none() && !self.alerts.are_told() {
            // So that a caller that asks again and again does not do so without a pause.
            std::thread::sleep(timeout.min(ALERT_POLL_INTERVAL));
            return self.alerts.are_told();
        }
        true
    }

    /// Waits until `key` is not running, and says meanwhile how many events it has handled.
    pub(super) fn wait_for_end(&self, key: &str) {
        self.wait_for_end_of(key, |published| published.checkpoint().0.events_processed);
    }

    /// Waits until `key` is not running, and says meanwhile `how_far` it is.
    pub(super) fn wait_for_end_of(&self, key: &str, mut how_far: impl FnMut(&Published) -> u64) {
        while let Some(published) = self.published(key) {
            work::reach(how_far(&published));
            drop(self.wait_while(LOOK, |work| work.running.contains_key(key)));
        }
    }

    /// Waits for `time`; `false` where the host ends meanwhile.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_closing() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
        }
        !self.is_closing()
    }
}

/// What is on the list under a key. It is taken off when this is dropped, which its thread does, however that ends; never one that has
/// replaced it.
pub(super) struct Entry {
    host: Arc<Host>,
    key: String,
    pub(super) stop: Stop,
    pub(super) published: Arc<Published>,
}

impl Entry {
    /// Has `work` done for it on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn spawn(self, thread: String, work: impl FnOnce() + Send + 'static) -> Result<(), RebuildError> {
        std::thread::Builder::new().name(thread).stack_size(limits::HANDLER_THREAD_STACK_BYTES).spawn(move || {
            let _entry = self;
            // What it has goes before the entry does: a caller that waits for the entry waits for all of it.
            work();
        })?;
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(rebuild = self.key, "its thread ended by a panic");
        }
        let ours = |running: &Running| Arc::ptr_eq(&running.published, &self.published);
        self.host.change(|work| {
            if work.running.get(&self.key).is_some_and(ours) {
                work.running.remove(&self.key);
            }
        });
    }
}
