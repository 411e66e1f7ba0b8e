//! Takes charge of all rebuilds of a host: what happens when it starts and ends. What operators do with them is in the files of those
//! commands.

use super::{
    Effect, Input, Options, RebuildError, State,
    alerts::Alerts,
    host::{Host, follower_key::key},
    orphaned::{crash_loop, is_orphan},
    step, watchdog,
};
use crate::{
    crash, limits,
    plugin::Engine,
    source::Sources,
    store::{RebuildRecord, Store},
    vocabulary::{Status, now_ms},
};
use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

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
        let alerts = Alerts::start(&store, options.alerts.as_deref())?;
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
        watchdog::start(&host)?;
        recover_elsewhere(&host, elsewhere)?;
        Ok(Supervisor { host })
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
        alerts.failed(name, record.generation, recovered.checkpoint.position, &failure);
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
        alerts.failed(name, record.generation, recovered.checkpoint.position, &failure);
    }
    Ok(())
}
