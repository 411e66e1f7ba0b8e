//! The work of one attempt on its way to the store.

use super::{
    overlay::{Layer, Overlay},
    published::Published,
    recent::Recent,
    stop::Stop,
};
use crate::{
    crash, limits,
    store::{Commit, Generation, Priority, RebuildRecord, Store, StoreError},
    traces,
    vocabulary::{Checkpoint, EventFailure, Seen, Status},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The work of one attempt on its way to the store.
pub(super) struct CommitQueue {
    overlay: Arc<Overlay>,
    store: Store,
    generation: Generation,
    /// The rebuild, as the attempt began.
    record: RebuildRecord,
    plugin_digest: String,
    /// It takes dead letters off a generation that may be read.
    retries: bool,
    /// It brings a complete generation forward, whose rebuild stays completed.
    follows: bool,
    stop: Stop,
    /// Rows that the attempts before have committed.
    recent: Option<Recent>,
    published: Arc<Published>,
    state: Mutex<State>,
}

struct State {
    checkpoint: Checkpoint,
    since: Instant,
    /// A committer works for it.
    busy: bool,
    /// Handling between the decision to commit and the end of the commit, as lately.
    overshoot: Duration,
    /// The status that ends the attempt, why, and the events that were missing, once that has been decided.
    ending: Option<(Status, Option<EventFailure>, u64)>,
    ended: bool,
    refused: Option<Refused>,
}

/// Why the store did not take the work.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) message: String,
    /// Whether another attempt may succeed.
    pub(super) transient: bool,
}

impl From<&StoreError> for Refused {
    fn from(error: &StoreError) -> Refused {
        Refused { message: error.to_string(), transient: error.is_transient() }
    }
}

/// What the work of an attempt is made with.
pub(super) struct Parts<'a> {
    /// The rebuild, claimed for it.
    pub(super) record: &'a RebuildRecord,
    /// The plugin that handles its events.
    pub(super) plugin_digest: &'a str,
    /// It handles dead letters.
    pub(super) retries: bool,
    /// It brings a complete generation forward.
    pub(super) follows: bool,
    pub(super) store: &'a Store,
    pub(super) stop: &'a Stop,
    /// Rows that the attempts before have committed.
    pub(super) recent: Option<&'a Recent>,
    pub(super) published: &'a Arc<Published>,
}

impl CommitQueue {
    /// The work of the attempt that these belong to.
    pub(super) fn new(parts: Parts<'_>) -> CommitQueue {
        let Parts { record, plugin_digest, retries, follows, store, stop, recent, published } = parts;
        CommitQueue {
            overlay: Arc::new(Overlay::over(recent.cloned())),
            store: store.clone(),
            generation: Generation::of(record),
            record: record.clone(),
            plugin_digest: plugin_digest.to_owned(),
            retries,
            follows,
            stop: stop.clone(),
            recent: recent.cloned(),
            published: published.clone(),
            state: Mutex::new(State {
                checkpoint: record.checkpoint.clone(),
                since: Instant::now(),
                busy: false,
                overshoot: limits::COMMIT_GATHER,
                ending: None,
                ended: false,
                refused: None,
            }),
        }
    }

    pub(super) fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    pub(super) fn priority(&self) -> Priority {
        self.record.spec.options.priority()
    }

    /// Sets the status that ends the attempt; the last commit follows.
    pub(super) fn end_with(&self, status: Status, error: Option<EventFailure>, missing: u64) {
        self.state().ending = Some((status, error, missing));
    }

    /// Whether the last commit is durable.
    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Why the store did not take the work, where it did not.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.state().refused.clone()
    }

    /// Ends the attempt as one whose work the store does not take. The first reason holds.
    pub(super) fn refuse(&self, refused: Refused) {
        let mut state = self.state();
        state.refused.get_or_insert(refused);
        state.busy = false;
    }

    /// Whether handling has to wait: there is too much in memory.
    pub(super) fn is_full(&self) -> bool {
        self.overlay.lock().open.bytes >= limits::OVERLAY_BYTES || self.unflushed_bytes() >= limits::UNFLUSHED_BYTES
    }

    /// Bytes of rows that a committer has taken and that are not in their tables yet.
    pub(super) fn unflushed_bytes(&self) -> usize {
        self.overlay.uncommitted_bytes() + self.store.unflushed_bytes(&self.generation)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When its work must be committed, and its bytes; `None` while there is none, or a thread works for it already.
    pub(super) fn due(&self) -> Option<(Instant, usize)> {
        let state = self.state();
        if state.ended || state.busy || state.refused.is_some() {
            return None;
        }
        let Layer { since, bytes, work, .. } = self.overlay.lock().open;
        if state.ending.is_some() {
            return Some((since.unwrap_or(state.since), bytes));
        }
        let enough = bytes >= limits::COMMIT_BYTES || work >= state.gather();
        let wait = if bytes < limits::COMMIT_LITTLE_BYTES { limits::COMMIT_LAG } else { limits::COMMIT_WAIT };
        Some((if enough { since? } else { since? + wait }, bytes))
    }

    /// Whether the store is to do something for its rows.
    pub(super) fn wants_maintenance(&self) -> bool {
        let state = self.state();
        let over = state.ended || state.busy || state.refused.is_some() || state.ending.is_some();
        !over && self.store.wants_maintenance(&self.generation)
    }

    /// Lets the store do a part of it.
    pub(super) fn maintain(&self) {
        let started = Instant::now();
        self.state().busy = true;
        match self.store.maintain(&self.generation) {
            Ok(()) => {
                self.published.stages().maintained(started.elapsed());
                self.state().busy = false;
            }
            Err(e) => self.refuse(Refused::from(&e)),
        }
    }
}

impl State {
    /// How much handling is gathered before a commit begins.
    fn gather(&self) -> Duration {
        limits::COMMIT_LAG.saturating_sub(self.overshoot).max(limits::COMMIT_GATHER)
    }
}

/// What one rebuild puts into a transaction.
pub(super) struct Work<'a> {
    commit_queue: &'a CommitQueue,
    layer: Arc<Layer>,
    checkpoint: Checkpoint,
    taken: Instant,
    active_ms: u64,
    ends: bool,
}

impl<'a> Work<'a> {
    pub(super) fn take(commit_queue: &'a Arc<CommitQueue>) -> Option<Work<'a>> {
        commit_queue.due()?;
        let mut state = commit_queue.state();
        state.busy = true;
        let layer = commit_queue.overlay.take();
        let mut checkpoint = state.checkpoint.clone();
        checkpoint.checkpointed_at = crate::vocabulary::now_ms();
        if let Some(reached) = &layer.reached {
            checkpoint.position = reached.position;
            checkpoint.events_processed += reached.events;
            if let Some(last) = &reached.last {
                checkpoint.last_event_id = Some(last.id.clone());
                checkpoint.last_event_timestamp = Some(last.timestamp);
            }
            if let Some(mark) = &reached.seen {
                checkpoint.seen = Seen::Event(mark.clone());
            }
        }
        if let Some((status, error, missing)) = &state.ending {
            checkpoint.missing = *missing;
            checkpoint.status = *status;
            checkpoint.error = error.clone();
        }
        let taken = Instant::now();
        Some(Work {
            commit_queue,
            checkpoint,
            active_ms: (taken - state.since).as_millis() as u64,
            taken,
            ends: state.ending.is_some(),
            layer,
        })
    }

    pub(super) fn commit(&self) -> Commit {
        Commit {
            generation: self.commit_queue.record.generation,
            attempt: self.commit_queue.record.attempt,
            follows: self.commit_queue.follows,
            plugin_digest: self.commit_queue.plugin_digest.clone(),
            checkpoint: self.checkpoint.clone(),
            retries: self.layer.retries,
            active_ms: self.active_ms,
            rows: self.layer.rows().clone(),
            last: self.ends,
            parked: self.layer.parked.clone(),
            unparked: self.layer.reached.as_ref().map_or_else(Vec::new, |reached| reached.retried.clone()),
            discarded: 0,
            stages: self.commit_queue.published.stages().report_with(self.layer.rows().len()),
            by: self.commit_queue.stop.by(),
        }
    }

    pub(super) fn succeeded(&self, took: Duration) {
        if self.commit_queue.retries {
            crash::point("retry.page");
        }
        // First: a layer that counts as committed may be dropped, and what is older is read in its place.
        if let Some(recent) = &self.commit_queue.recent {
            recent.committed(self.layer.rows(), self.commit_queue.generation.tables.len());
        }
        self.layer.mark_committed();
        self.trace(took);
        self.commit_queue.published.stages().committed(took, self.layer.rows().len());
        self.commit_queue.published.commit(&self.checkpoint, self.layer.retries, self.layer.parked.len() as u64);
        let mut state = self.commit_queue.state();
        state.checkpoint = self.checkpoint.clone();
        // Handling went on while this was committed.
        state.since = self.taken;
        let undurable = self.layer.work + self.commit_queue.overlay.lock().open.work;
        let overshoot = undurable.saturating_sub(state.gather());
        // Quick to grow: what a kill may lose is a promise, how much is gathered is not.
        state.overshoot = overshoot.max((state.overshoot + overshoot) / 2);
        state.ended = self.ends;
        state.busy = false;
    }

    fn trace(&self, took: Duration) {
        let Some(reached) = self.layer.reached.as_ref().filter(|reached| reached.events > 0) else { return };
        let (Some(times), record) = (reached.times, &self.commit_queue.record) else { return };
        traces::committed(&traces::Batch {
            of: traces::Of {
                projection: &record.checkpoint.projection_name,
                generation: record.generation,
                source: &record.spec.source,
            },
            after: self.commit_queue.state().checkpoint.position,
            through: reached.position,
            events: reached.events,
            rows: self.layer.rows().len(),
            times,
            work: self.layer.work,
            commit: (self.taken, took),
        });
    }

    pub(super) fn refused(&self, error: &StoreError) {
        self.commit_queue.refuse(Refused::from(error));
    }
}
