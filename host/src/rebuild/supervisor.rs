//! Commands about rebuilds: carries out what the state machine says.

use super::{
    Accept, Answer, Effect, Input, RebuildError, State,
    alert::Alerts,
    following::key,
    host::Host,
    orphaned::{crash_loop, is_orphan},
    perform::Means,
    step,
};
use crate::{
    crash, limits,
    plugin::Engine,
    source::Sources,
    store::{RebuildRecord, Store, StoreError},
    vocabulary::{Status, now_ms},
};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

/// What a host is given when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// A line for `sh -c` that gets every failure as JSON on its standard input.
    pub alert: Option<String>,
    /// Chunks that may be handled at the same time, over all rebuilds; [`limits::POOL_INSTANCES`] by default, and at most.
    pub permits: usize,
    /// Instances that work for one rebuild, where its projection is partitioned by stream; [`limits::instances_of_one`] by
    /// default.
    pub instances: usize,
    /// See [`crate::pipeline::InstancePool::keeping_owners`]; not by default.
    pub keep_owners: bool,
    /// The file with the settings, read each time something of it is needed; none by default.
    pub settings: Option<PathBuf>,
    /// Raised when the host ends: nothing begins any more.
    pub closing: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alert: None,
            permits: limits::POOL_INSTANCES,
            instances: limits::instances_of_one(),
            keep_owners: false,
            settings: None,
            closing: Arc::default(),
        }
    }
}

/// The answer to a cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum CancelAnswer {
    /// Given up.
    Cancelled {
        /// The projection.
        projection_name: String,
    },
    /// There has been no rebuild.
    NotFound {
        /// The projection.
        projection_name: String,
    },
    /// It is over already.
    NotRunning {
        /// The projection.
        projection_name: String,
    },
}

/// A cheap handle to all rebuilds of a host.
#[derive(Clone)]
pub struct Supervisor {
    pub(super) host: Arc<Host>,
}

impl Supervisor {
    /// Takes charge of `store`. Rebuilds that an earlier host orphaned are paused, or failed where that has happened too
    /// often in a row (see [`limits::CRASHES`]).
    ///
    /// # Errors
    /// When the store cannot be written, or the system gives no thread.
    pub fn start(store: Store, sources: Sources, engine: Engine, options: Options) -> Result<Supervisor, RebuildError> {
        let alerts = Alerts::start(options.alert.clone())?;
        let mut elsewhere = Vec::new();
        for record in store.left_running()? {
            recover_orphan(&store, &record, &alerts)?;
            crash::point("recover.status");
            if record.external.is_some() {
                elsewhere.push(record);
            }
        }
        for record in store.all_rebuilds()?.into_iter().filter(is_orphan) {
            if record.external.is_none() {
                store.drop_generation(&record.checkpoint.projection_name, record.generation)?;
            } else if !elsewhere.iter().any(|known| known.checkpoint_id() == record.checkpoint_id()) {
                elsewhere.push(record);
            }
        }
        for record in store.followed()? {
            recover_follower(&store, &record, &alerts)?;
            if record.external.is_some() {
                elsewhere.push(record);
            }
        }
        let host = Arc::new(Host::new(store, sources, engine, alerts, options)?);
        super::watchdog::start(&host)?;
        recover_elsewhere(&host, elsewhere)?;
        Ok(Supervisor { host })
    }

    /// Lets an unfinished rebuild go on from its checkpoint.
    ///
    /// # Errors
    /// When there is nothing to resume, or as [`Supervisor::trigger`].
    pub fn resume(&self, name: &str) -> Result<super::TriggerAnswer, RebuildError> {
        self.resume_accepting(name, &Accept::default())
    }

    /// [`Supervisor::resume`], where the operator vouches for its history.
    ///
    /// # Errors
    /// As [`Supervisor::resume`].
    pub fn resume_accepting(&self, name: &str, accept: &Accept) -> Result<super::TriggerAnswer, RebuildError> {
        self.host.compile(name);
        let _lock = self.host.command(name)?;
        self.resume_locked(name, accept)
    }

    /// Stops a rebuild so that it can go on later. Durable when this returns.
    ///
    /// # Errors
    /// When it is not running, or the store did not take its end.
    pub fn pause(&self, name: &str) -> Result<(), RebuildError> {
        let _lock = self.host.command(name)?;
        let paused = self.perform(name, Input::Pause, Means::default());
        if matches!(paused, Err(RebuildError::Refused { .. }))
            && self.host.store.live_rebuild(name)?.is_some_and(|live| live.is_followed())
        {
            return Err(RebuildError::NotPossible(format!(
                "{name} is not being rebuilt; its live generation is followed: unspool unfollow {name} stops that"
            )));
        }
        paused?;
        let latest = self.host.store.latest_rebuild(name)?;
        // What the last host was ended in the middle of does not go on either, now that an operator has said so.
        if let Some(record) = latest.filter(|record| record.interrupted) {
            self.host.store.hold(name, record.generation)?;
        }
        Ok(())
    }

    /// Gives a rebuild up. Durable when this returns.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn cancel(&self, name: &str) -> Result<CancelAnswer, RebuildError> {
        let projection_name = name.to_owned();
        let _lock = self.host.command(name)?;
        let answer = match self.perform(name, Input::Cancel, Means::default()) {
            Err(RebuildError::Store(StoreError::NotFound(_))) => Answer::NotFound,
            performed => performed?.answer,
        };
        Ok(match answer {
            Answer::NotFound => CancelAnswer::NotFound { projection_name },
            Answer::Cancelled => CancelAnswer::Cancelled { projection_name },
            _ => CancelAnswer::NotRunning { projection_name },
        })
    }

    /// Resumes what an earlier host was ended in the middle of: in the background, and as soon as what it needs is there,
    /// however long that takes. What can go on at once does so before this returns.
    ///
    /// # Errors
    /// When the store cannot be read, or the system gives no thread; what cannot be resumed is logged.
    pub fn resume_interrupted(&self) -> Result<(), RebuildError> {
        self.host.follows();
        let (tried, all_tried) = std::sync::mpsc::channel::<()>();
        for record in self.host.store.interrupted()? {
            super::wanted::go_on(&self.host, record, tried.clone())?;
        }
        drop(tried);
        for projection in self.host.store.projections()? {
            self.host.begin_followers(&projection.description.name);
        }
        // Nothing is sent: what it waits for is that the other ends go.
        let _over = all_tried.recv_timeout(limits::RECOVERY_WAIT);
        Ok(())
    }

    /// Waits until none of `names` is running (`None`: nothing at all), or `timeout` has passed; `true` in the first case.
    pub fn wait_idle(&self, names: Option<&[String]>, timeout: Duration) -> bool {
        self.host.wait_idle(names, timeout)
    }

    /// How often anything has happened to a rebuild beyond that its numbers move: one has begun, waits, has ended.
    pub fn news(&self) -> u64 {
        self.host.news()
    }

    /// Waits until there are more [news](Supervisor::news) than the `known`, or `timeout` has passed.
    pub fn wait_for_news(&self, known: u64, timeout: Duration) {
        self.host.wait_for_news(known, timeout);
    }

    /// Ends everything that runs, and lets nothing begin any more. What is handled is durable when this returns. The
    /// rebuilds of `paused` are left as an operator's pause leaves them; all others go on when the next host serves.
    pub fn shut_down(&self, paused: &[String]) {
        self.host.alerts.leave();
        self.host.close(paused);
    }
}

/// Learns from databases in which rows live what became of the last commits of a host that has ended, and drops its shadow
/// builds there. In the background, since a database may be away or silent; this waits briefly for those that are not.
/// Whatever goes on with such a rebuild asks again.
fn recover_elsewhere(host: &Arc<Host>, records: Vec<RebuildRecord>) -> Result<(), RebuildError> {
    if records.is_empty() {
        return Ok(());
    }
    let asked: Vec<String> = records.iter().map(RebuildRecord::checkpoint_id).collect();
    let (done, recovered) = mpsc::channel::<()>();
    let host = host.clone();
    std::thread::Builder::new().name("recovery".into()).spawn(move || {
        let _done = done;
        for record in records {
            let (name, generation) = (&record.checkpoint.projection_name, record.generation);
            // Its follower has claimed it, and knows.
            if host.is_running(&key(name, generation)) {
                continue;
            }
            let recovered = host.command(name).and_then(|_lock| {
                host.store.catch_up(name, generation)?;
                if is_orphan(&record) {
                    host.store.drop_generation(name, generation)?;
                }
                Ok(())
            });
            if let Err(e) = recovered {
                tracing::warn!(
                    projection = name,
                    "not known whether the last commit of {} was made: {e}",
                    record.checkpoint_id()
                );
            }
        }
    })?;
    // Nothing is sent: what it waits for is that the other end goes.
    if let Err(RecvTimeoutError::Timeout) = recovered.recv_timeout(limits::RECOVERY_WAIT) {
        tracing::warn!(
            "not known whether the last commit of {} was made: the database does not answer; what is shown of it is as of the commit before",
            asked.join(", ")
        );
    }
    Ok(())
}

/// A host ended in the middle of this rebuild. Once may be anything; again and again at the same checkpoint is the rebuild's
/// own doing, a crash loop that would not end.
fn recover_orphan(store: &Store, record: &RebuildRecord, alerts: &Alerts) -> Result<(), RebuildError> {
    let name = &record.checkpoint.projection_name;
    let refused = |refusal| RebuildError::Refused { name: name.clone(), refusal };
    let (_, _, effects) = step(State::Present(record.status()), Input::HostLost).map_err(refused)?;
    debug_assert_eq!(effects, [Effect::SetStatus(Status::Paused)]);
    let recovered = store.recover_interrupted(record, now_ms())?;
    if let Some(failure) = crash_loop(&recovered) {
        store.set_status(name, record.generation, Status::Failed, Some(failure.clone()), now_ms())?;
        alerts.failed(name, &record.checkpoint_id(), recovered.checkpoint.position, &failure);
    }
    Ok(())
}

/// A host crashed while it brought this generation forward: it goes on with the next one that serves, unless that happens again and
/// again at the same event.
fn recover_follower(store: &Store, record: &RebuildRecord, alerts: &Alerts) -> Result<(), RebuildError> {
    let name = &record.checkpoint.projection_name;
    let recovered = store.recover_following(record)?;
    if let Some(failure) = crash_loop(&recovered).filter(|_| recovered.is_followed()) {
        store.fail_following(name, record.generation, failure.clone(), now_ms())?;
        alerts.failed(name, &record.checkpoint_id(), recovered.checkpoint.position, &failure);
    }
    Ok(())
}
