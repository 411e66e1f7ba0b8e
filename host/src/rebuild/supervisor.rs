//! Carries out what the state machine says, for all projections of a host.

use super::{Answer, Effect, Input, RebuildError, State, attempts::Attempts, step};
use crate::{
    limits,
    pipeline::{Committer, InstancePool, Published, Stop},
    plugin::{Engine, Plugin},
    source::{Located, Source, file::FileSources, log::EventLog},
    store::{AttemptStart, NewRebuild, Priority, ProjectionRecord, RebuildRecord, Store},
    vocabulary::{Description, EventFailure, Matcher, Position, Progress, Status, now_ms, percent},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

/// What a host is told when it starts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A line for `sh -c` that gets every failure as JSON on its standard input.
    pub alert: Option<String>,
}

/// What a trigger asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// The projection.
    pub name: String,
    /// `log` (the default) or `file:PATH`. An unfinished rebuild keeps its own.
    pub source: Option<String>,
    /// The first event, by id; from the first of the source where absent.
    pub from: Option<String>,
    /// The last event, by id or position; up to the source's ceiling where absent.
    pub to: Option<String>,
    /// Start anew, giving up what an unfinished rebuild has done.
    pub restart: bool,
    /// Events per chunk; the projection's own where absent.
    pub chunk_size: Option<u32>,
    /// How much the rebuild yields; low where absent.
    pub priority: Option<Priority>,
    /// Events per second that it may handle at most; as many as it can where absent.
    pub rate_limit: Option<u32>,
    /// Leave readers where they are when it completes.
    pub no_promote: bool,
}

/// The answer to a trigger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum TriggerAnswer {
    /// A new rebuild.
    Started {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
    },
    /// It is running anyway.
    AlreadyRunning {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
    },
    /// It goes on from its checkpoint.
    Resumed {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
        /// The last event that had been handled; absent where there was none.
        from_event_id: Option<String>,
    },
}

/// The answer to a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum CancelAnswer {
    /// Given up.
    Cancelled,
    /// There has been no rebuild.
    NotFound,
    /// It is over already.
    NotRunning,
}

/// What a trigger would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The projection.
    pub projection_name: String,
    /// `started`, `resumed` or `already_running`.
    pub would_be: String,
    /// Where the events come from.
    pub source: String,
    /// It begins behind this position.
    pub after: serde_json::Value,
    /// It ends here.
    pub target: serde_json::Value,
    /// Matching events between the two.
    pub events: u64,
    /// Events per chunk.
    pub chunk_size: u32,
    /// The plugin that handles them.
    pub plugin_digest: String,
    /// Whether readers are switched when it completes.
    pub promotes: bool,
}

/// What a swap changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapReport {
    /// The projection.
    pub projection_name: String,
    /// The plugin before.
    pub from_digest: String,
    /// The plugin now.
    pub to_digest: String,
    /// The state version before and now.
    pub versions: (u32, u32),
    /// Whether an unfinished rebuild can go on with it.
    pub same_shape: bool,
    /// What the operator does next.
    pub next: String,
}

/// What all rebuilds of a host share.
pub(super) struct Host {
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) pool: InstancePool,
    pub(super) alert: Option<String>,
    log: EventLog,
    files: FileSources,
    engine: Engine,
    running: Mutex<HashMap<String, Running>>,
    ended: Condvar,
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

/// A cheap handle to all rebuilds of a host.
#[derive(Clone)]
pub struct Supervisor {
    host: Arc<Host>,
}

impl Supervisor {
    /// Takes charge of `store`. Rebuilds that an earlier host left running are paused; those are named in the answer.
    ///
    /// # Errors
    /// When the store cannot be written, or the system gives no thread.
    pub fn start(
        store: Store,
        log: EventLog,
        files: FileSources,
        engine: Engine,
        options: Options,
    ) -> Result<(Supervisor, Vec<String>), RebuildError> {
        let interrupted = store.recover_interrupted(now_ms())?.into_iter().map(|(name, _)| name).collect();
        files.prune(&store.unfinished_histories()?)?;
        let host = Host {
            committer: Committer::start(store.clone())?,
            pool: InstancePool::new(),
            alert: options.alert,
            store,
            log,
            files,
            engine,
            running: Mutex::default(),
            ended: Condvar::new(),
            lost: Mutex::default(),
            commands: Mutex::default(),
        };
        Ok((Supervisor { host: Arc::new(host) }, interrupted))
    }

    /// Starts, resumes, or leaves running.
    ///
    /// # Errors
    /// When something that is named does not exist, the source cannot be read, or it is not possible as things are.
    pub fn trigger(&self, trigger: &Trigger) -> Result<TriggerAnswer, RebuildError> {
        let _command = self.host.command();
        let (input, prepared) = self.prepare(trigger)?;
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        self.carry_out(prepared, effects, answer)
    }

    /// What [`Supervisor::trigger`] would do; nothing is changed.
    ///
    /// # Errors
    /// As [`Supervisor::trigger`].
    pub fn plan(&self, trigger: &Trigger) -> Result<Plan, RebuildError> {
        let (input, prepared) = self.prepare(trigger)?;
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        let new = prepared.new_rebuild();
        let anew = effects.contains(&Effect::CreateGeneration);
        let kept = prepared.latest.as_ref().filter(|_| !anew);
        let after = kept.map_or(new.after, |record| record.checkpoint.position);
        let source = &prepared.source;
        let target = target(source.as_ref(), kept.map_or(new.to, |record| record.to))?;
        let matcher = Matcher::new(&prepared.owner.description.event_types);
        Ok(Plan {
            would_be: match answer {
                Answer::Resumed => "resumed",
                Answer::AlreadyRunning => "already_running",
                _ => "started",
            }
            .to_owned(),
            source: kept.map_or(new.source, |record| record.source.clone()),
            after: after.to_json(),
            target: target.to_json(),
            events: source.count(&matcher, after, target)?,
            chunk_size: new.chunk_size,
            plugin_digest: prepared.owner.digest().to_owned(),
            promotes: kept.map_or(new.promote, |record| record.promote),
            projection_name: prepared.name,
        })
    }

    /// Lets an unfinished rebuild go on from its checkpoint.
    ///
    /// # Errors
    /// When there is nothing to resume, or as [`Supervisor::trigger`].
    pub fn resume(&self, name: &str) -> Result<TriggerAnswer, RebuildError> {
        let _command = self.host.command();
        let (_, prepared) = self.prepare(&Trigger { name: name.to_owned(), ..Trigger::default() })?;
        let input = Input::Resume { same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(name, &prepared.latest, input)?;
        self.carry_out(prepared, effects, answer)
    }

    /// Stops a rebuild so that it can go on later. Durable when this returns.
    ///
    /// # Errors
    /// When it is not running.
    pub fn pause(&self, name: &str) -> Result<(), RebuildError> {
        let _command = self.host.command();
        let latest = self.host.store.latest_rebuild(name)?;
        let (_, effects) = self.host.decide(name, &latest, Input::Pause)?;
        self.host.stop(name, effects);
        Ok(())
    }

    /// Gives a rebuild up. Durable when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn cancel(&self, name: &str) -> Result<CancelAnswer, RebuildError> {
        let _command = self.host.command();
        let latest = match self.host.store.latest_rebuild(name) {
            Err(crate::store::StoreError::NotFound(_)) => return Ok(CancelAnswer::NotFound),
            latest => latest?,
        };
        let (answer, effects) = self.host.decide(name, &latest, Input::Cancel)?;
        self.host.stop(name, effects);
        if let (Some(record), Some(Effect::Settle(status))) = (latest, effects.first()) {
            self.host.store.settle(name, record.generation, *status, None, now_ms())?;
        }
        Ok(match answer {
            Answer::NotFound => CancelAnswer::NotFound,
            Answer::NotRunning => CancelAnswer::NotRunning,
            _ => CancelAnswer::Cancelled,
        })
    }

    /// Checks a plugin and puts it in place of the current one. A running rebuild takes it up between two chunks.
    ///
    /// # Errors
    /// When the plugin is not accepted or belongs to another projection, or a running rebuild cannot go on with it.
    pub fn swap(&self, name: &str, component: &[u8], how: &str) -> Result<SwapReport, RebuildError> {
        let _command = self.host.command();
        let plugin = self.host.engine.load(component)?;
        let description = plugin.description().clone();
        if description.name != name {
            return Err(RebuildError::Usage(format!(
                "the plugin describes projection {}, not {name}; swap that one, or install this plugin",
                description.name
            )));
        }
        let before = self.host.store.projection(name)?;
        let latest = self.host.store.latest_rebuild(name)?;
        let fits = latest.as_ref().is_none_or(|record| same_shape(record, &description));
        refuse_silent_shape_change(&before.description, &description)?;
        let (_, effects) = self.host.decide(name, &latest, Input::Swap { same_shape: fits })?;
        self.host.stop(name, effects);
        self.host.store.install(&description, plugin.digest(), component, how, now_ms())?;
        if effects.contains(&Effect::Begin)
            && let Some(record) = latest.clone()
        {
            let source = self.host.source(&record.source)?;
            let start = attempt_start(source.as_ref(), &record, &description, &Trigger::default())?;
            self.begin(name, record.generation, source, plugin.clone(), &start)?;
        }
        Ok(SwapReport {
            projection_name: name.to_owned(),
            from_digest: before.digest().to_owned(),
            to_digest: plugin.digest().to_owned(),
            versions: (before.description.version, description.version),
            same_shape: fits,
            next: next_after_swap(name, latest.as_ref().map(RebuildRecord::status), fits),
        })
    }

    /// Checks a plugin and registers its projection.
    ///
    /// # Errors
    /// When the plugin is not accepted, or its projection is installed with another plugin: that is a swap.
    pub fn install(&self, component: &[u8]) -> Result<(Description, String, bool), RebuildError> {
        let _command = self.host.command();
        let plugin = self.host.engine.load(component)?;
        let description = plugin.description().clone();
        let known = self.host.store.projections()?.into_iter().find(|known| known.description.name == description.name);
        if let Some(known) = known.filter(|known| known.digest() != plugin.digest()) {
            return Err(RebuildError::Usage(format!(
                "{} is installed with another plugin ({}); unspool plugin swap {} FILE replaces it",
                description.name,
                short(known.digest()),
                description.name
            )));
        }
        let new = self.host.store.install(&description, plugin.digest(), component, "install", now_ms())?;
        Ok((description, plugin.digest().to_owned(), new))
    }

    /// The progress of the latest rebuild of `name`; `None` where there has been none.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be read.
    pub fn progress(&self, name: &str) -> Result<Option<Progress>, RebuildError> {
        Ok(self.host.store.latest_rebuild(name)?.map(|record| self.host.progress_of(name, record)))
    }

    /// The progress of the latest rebuild of every projection that has one; only of unfinished ones, unless `all`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self, all: bool) -> Result<Vec<Progress>, RebuildError> {
        let mut list = Vec::new();
        for projection in self.host.store.projections()? {
            if let Some(progress) = self.progress(&projection.description.name)?
                && (all || progress.status == Status::Running)
            {
                list.push(progress);
            }
        }
        Ok(list)
    }

    /// Resumes what an earlier host left running when it ended.
    pub fn resume_interrupted(&self, names: &[String]) {
        for name in names {
            match self.resume(name) {
                Ok(_) => tracing::info!(projection = name, "resumed: the last host ended while it was running"),
                Err(e) => tracing::error!(projection = name, "not resumed: {e}"),
            }
        }
    }

    /// Waits until none of `names` is running (`None`: nothing at all), or `timeout` has passed; `true` in the first case.
    pub fn wait_idle(&self, names: Option<&[String]>, timeout: std::time::Duration) -> bool {
        let busy = |running: &mut HashMap<String, Running>| match names {
            Some(names) => names.iter().any(|name| running.contains_key(name)),
            None => !running.is_empty(),
        };
        let running = self.host.running();
        let waited = self.host.ended.wait_timeout_while(running, timeout, busy);
        if busy(&mut waited.unwrap_or_else(PoisonError::into_inner).0) {
            return false;
        }
        // A command in hand may stop an attempt only to begin another, as a swap does.
        let _command = self.host.command();
        !busy(&mut self.host.running())
    }

    /// Pauses everything that runs. Durable when this returns.
    pub fn shut_down(&self) {
        let names: Vec<_> = self.host.running().keys().cloned().collect();
        for name in &names {
            if let Some(running) = self.host.running().get(name) {
                running.stop.pause();
            }
        }
        for name in &names {
            if let Err(e) = self.pause(name) {
                tracing::debug!(projection = name, "not paused: {e}");
            }
        }
    }

    fn prepare(&self, trigger: &Trigger) -> Result<(Input, Prepared), RebuildError> {
        let name = trigger.name.as_str();
        let owner = self.host.store.projection(name)?;
        let latest = self.host.store.latest_rebuild(name)?;
        let unfinished = latest.as_ref().filter(|record| matches!(record.status(), Status::Paused | Status::Failed));
        let goes_on = unfinished.filter(|_| !trigger.restart);
        if goes_on.is_some() && (trigger.from.is_some() || trigger.to.is_some() || trigger.source.is_some()) {
            return Err(RebuildError::Usage(format!(
                "{name} has an unfinished rebuild, which goes on with its own source and range; \
                 add --restart to start anew, or leave out --source, --from and --to to resume"
            )));
        }
        let source_name = match (goes_on, &trigger.source) {
            (Some(record), _) => record.source.clone(),
            (None, Some(source)) => source.clone(),
            (None, None) => "log".to_owned(),
        };
        let source = self.host.source(&source_name)?;
        let mut prepared = Prepared {
            name: name.to_owned(),
            source,
            owner,
            latest,
            trigger: trigger.clone(),
            source_name,
            after: Position::START,
            to: None,
        };
        if let Some(id) = &trigger.from {
            prepared.after = prepared.locate(id)?.before;
        }
        if let Some(to) = &trigger.to {
            prepared.to = Some(prepared.locate_or_position(to)?);
        }
        let input = Input::Trigger { restart: trigger.restart, same_shape: prepared.same_shape() };
        Ok((input, prepared))
    }

    fn carry_out(&self, prepared: Prepared, effects: &[Effect], answer: Answer) -> Result<TriggerAnswer, RebuildError> {
        let name = prepared.name.clone();
        let already = || prepared.latest.as_ref().map_or_else(String::new, RebuildRecord::checkpoint_id);
        if answer == Answer::AlreadyRunning {
            return Ok(TriggerAnswer::AlreadyRunning { projection_name: name, checkpoint_id: already() });
        }
        // Everything that can fail for reasons of the operator's comes before anything is changed.
        let plugin = self.host.engine.load(&self.host.store.component(prepared.owner.digest())?)?;
        let new = prepared.new_rebuild();
        let anew = effects.contains(&Effect::CreateGeneration);
        prepared.source.ceiling()?;
        let record = match prepared.latest.clone() {
            Some(record) if !anew => record,
            _ => self.host.store.create_generation(&name, new, now_ms())?,
        };
        let trigger = &prepared.trigger;
        let source = prepared.source.clone();
        let start = attempt_start(source.as_ref(), &record, plugin.description(), trigger)?;
        self.begin(&name, record.generation, source, plugin, &start)?;
        let checkpoint_id = record.checkpoint_id();
        Ok(match answer {
            Answer::Resumed => TriggerAnswer::Resumed {
                projection_name: name,
                checkpoint_id,
                from_event_id: record.checkpoint.last_event_id,
            },
            _ => TriggerAnswer::Started { projection_name: name, checkpoint_id },
        })
    }

    fn begin(
        &self,
        name: &str,
        generation: u64,
        source: Arc<dyn Source>,
        plugin: Plugin,
        start: &AttemptStart,
    ) -> Result<(), RebuildError> {
        let record = self.host.store.begin_attempt(name, generation, start)?;
        self.host.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let (stop, published) = (Stop::default(), Arc::new(Published::new(&record)));
        let attempts =
            Attempts { host: self.host.clone(), source, plugin, stop: stop.clone(), published: published.clone() };
        // The entry comes first, so that the thread finds it when it ends.
        self.host.running().insert(name.to_owned(), Running { stop, published, thread: None });
        let name = name.to_owned();
        let spawned = std::thread::Builder::new()
            .name(format!("rebuild {name}"))
            .stack_size(limits::HANDLER_THREAD_STACK_BYTES)
            .spawn({
                let name = name.clone();
                move || {
                    let guard = RemoveWhenDone { host: attempts.host.clone(), name };
                    attempts.run(record);
                    drop(guard);
                }
            });
        match spawned {
            Ok(thread) => {
                if let Some(running) = self.host.running().get_mut(&name) {
                    running.thread = Some(thread);
                }
                Ok(())
            }
            Err(e) => {
                self.host.running().remove(&name);
                self.host.store.settle(&name, generation, Status::Paused, None, now_ms())?;
                Err(e.into())
            }
        }
    }
}

/// Takes a rebuild off the list when its thread ends, however it ends.
struct RemoveWhenDone {
    host: Arc<Host>,
    name: String,
}

impl Drop for RemoveWhenDone {
    fn drop(&mut self) {
        self.host.running().remove(&self.name);
        self.host.ended.notify_all();
    }
}

/// A trigger, with everything it names looked up.
struct Prepared {
    name: String,
    owner: ProjectionRecord,
    latest: Option<RebuildRecord>,
    trigger: Trigger,
    source: Arc<dyn Source>,
    source_name: String,
    after: Position,
    to: Option<Position>,
}

impl Prepared {
    fn locate(&self, id: &str) -> Result<Located, RebuildError> {
        let found = self.source.locate(id)?;
        found.ok_or_else(|| RebuildError::NotFound(format!("no event in {} has the id {id}", self.source_name)))
    }

    fn locate_or_position(&self, text: &str) -> Result<Position, RebuildError> {
        match (self.source.locate(text)?, text.parse()) {
            (None, Ok(number)) => Ok(Position::number(number)),
            _ => self.locate(text).map(|located| located.position),
        }
    }

    fn same_shape(&self) -> bool {
        self.latest.as_ref().is_none_or(|record| same_shape(record, &self.owner.description))
    }

    fn new_rebuild(&self) -> NewRebuild {
        NewRebuild {
            source: self.source_name.clone(),
            source_identity: self.source.identity().to_owned(),
            after: self.after,
            to: self.to,
            chunk_size: chunk_size(&self.owner.description, self.trigger.chunk_size),
            priority: self.trigger.priority.unwrap_or_default(),
            rate_limit: self.trigger.rate_limit,
            promote: !self.trigger.no_promote,
        }
    }
}

impl Host {
    fn command(&self) -> MutexGuard<'_, ()> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a failure that the store may not have taken.
    pub(super) fn note_lost(&self, name: &str, failure: EventFailure) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), failure);
    }

    fn decide(
        &self,
        name: &str,
        latest: &Option<RebuildRecord>,
        input: Input,
    ) -> Result<(Answer, &'static [Effect]), RebuildError> {
        // The store says `running` a moment longer than the thread runs, or longer still where it refused the end.
        let state = match latest {
            None => State::Absent,
            Some(record) if record.status() == Status::Running && !self.running().contains_key(name) => {
                State::Present(self.store.rebuild(name, record.generation).map_or(Status::Paused, |now| {
                    match now.status() {
                        Status::Running => Status::Paused,
                        settled => settled,
                    }
                }))
            }
            Some(record) => State::Present(record.status()),
        };
        let decided = step(state, input).map_err(|refusal| RebuildError::Refused { name: name.to_owned(), refusal });
        decided.map(|(_, answer, effects)| (answer, effects))
    }

    /// Ends the running attempt where the effects say so, and waits until its end is durable.
    fn stop(&self, name: &str, effects: &[Effect]) {
        let Some(Effect::Stop(status)) = effects.first() else { return };
        let thread = {
            let mut running = self.running();
            let Some(running) = running.get_mut(name) else { return };
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
            tracing::error!(projection = name, "the rebuild's thread ended by a panic");
        }
    }

    fn source(&self, name: &str) -> Result<Arc<dyn Source>, RebuildError> {
        match name.split_once(':') {
            None if name == "log" => Ok(Arc::new(self.log.clone())),
            Some(("file", path)) => Ok(Arc::new(self.files.open(Path::new(path))?)),
            _ => Err(RebuildError::Usage(format!("source {name} is not known; use log, or file:PATH"))),
        }
    }

    fn progress_of(&self, name: &str, record: RebuildRecord) -> Progress {
        let published = self.running().get(name).map(|running| running.published.clone());
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let (mut checkpoint, retries) = match &published {
            Some(published) if record.status() == Status::Running => published.checkpoint(),
            _ => (record.checkpoint.clone(), record.retries),
        };
        if let Some(failure) = lost.filter(|_| published.is_none() && checkpoint.status == Status::Running) {
            checkpoint.status = Status::Failed;
            checkpoint.error = Some(failure);
        }
        let rate = match &published {
            Some(published) => published.rate(),
            None if record.active_ms > 0 => checkpoint.events_processed as f64 * 1000.0 / record.active_ms as f64,
            None => 0.0,
        };
        let left = record.total_events.saturating_sub(checkpoint.events_processed);
        let estimate = match checkpoint.status {
            Status::Completed => Some(0),
            Status::Running if rate > 0.0 => Some((left as f64 * 1000.0 / rate) as u64),
            _ => None,
        };
        Progress {
            projection_name: name.to_owned(),
            status: checkpoint.status,
            checkpoint_id: record.checkpoint_id(),
            events_processed: checkpoint.events_processed,
            total_events: record.total_events,
            percent_complete: percent(checkpoint.events_processed, record.total_events),
            estimated_remaining_ms: estimate,
            started_at: record.started_at,
            events_per_second: rate,
            last_event_id: checkpoint.last_event_id,
            position: checkpoint.position.to_json(),
            retries,
            error: checkpoint.error.as_ref().map(ToString::to_string),
            failure: checkpoint.error,
        }
    }
}

fn attempt_start(
    source: &dyn Source,
    record: &RebuildRecord,
    description: &Description,
    changed: &Trigger,
) -> Result<AttemptStart, RebuildError> {
    let other_history = |why: &str| {
        RebuildError::Usage(format!(
            "{} was built from another history than {} is now ({why}): rebuild --restart builds a new generation from it",
            record.checkpoint_id(),
            record.source
        ))
    };
    if record.source_identity != source.identity() {
        return Err(other_history("its content has changed"));
    }
    let target = target(source, record.to)?;
    if target < record.checkpoint.position {
        return Err(other_history(&format!("it ends at {target}, before {}", record.checkpoint.position)));
    }
    let matcher = Matcher::new(&description.event_types);
    let left = source.count(&matcher, record.checkpoint.position, target)?;
    Ok(AttemptStart {
        target,
        total_events: record.checkpoint.events_processed + left,
        chunk_size: changed.chunk_size.unwrap_or(record.chunk_size).max(1),
        priority: changed.priority.unwrap_or(record.priority),
        rate_limit: changed.rate_limit.or(record.rate_limit),
    })
}

fn target(source: &dyn Source, to: Option<Position>) -> Result<Position, RebuildError> {
    let ceiling = source.ceiling()?;
    Ok(to.map_or(ceiling, |to| to.min(ceiling)))
}

fn chunk_size(description: &Description, asked: Option<u32>) -> u32 {
    asked.or(description.chunk_size).unwrap_or_else(|| description.complexity.chunk_size()).max(1)
}

fn same_shape(record: &RebuildRecord, description: &Description) -> bool {
    let tables = description.tables.iter().map(|table| &table.name);
    record.state_version == description.version && record.tables.iter().eq(tables)
}

/// Tables are part of the state's shape: another set of them needs another version, or nobody would notice.
fn refuse_silent_shape_change(before: &Description, after: &Description) -> Result<(), RebuildError> {
    if before.version == after.version && before.tables != after.tables {
        return Err(RebuildError::Usage(format!(
            "this plugin has other tables than the one in place, but the same version {}; give it a new version",
            after.version
        )));
    }
    Ok(())
}

fn next_after_swap(name: &str, status: Option<Status>, same_shape: bool) -> String {
    match status {
        Some(Status::Running) => "the running rebuild goes on with it".to_owned(),
        Some(Status::Paused | Status::Failed) if same_shape => {
            format!("unspool resume {name} goes on from its checkpoint")
        }
        Some(Status::Paused | Status::Failed) => format!("unspool rebuild {name} --restart builds a new generation"),
        _ => format!("unspool rebuild {name} builds a new generation with it"),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
