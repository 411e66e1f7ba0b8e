//! The work of one attempt on its way to the store: what is handled, what is in a journal, what is in tables.

use super::{
    Attempt, Published,
    overlay::{Layer, Overlay, changes},
};
use crate::{
    crash, limits,
    store::{Commit, Priority, RebuildRecord, RowChange, Settled, Store, StoreError},
    vocabulary::{Checkpoint, EventFailure, Seen, Status},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The work of one attempt on its way to the store.
pub(super) struct Outgoing {
    overlay: Arc<Overlay>,
    /// The rebuild, as the attempt began.
    record: RebuildRecord,
    plugin_digest: String,
    /// It takes dead letters off a generation that may be read.
    retries: bool,
    published: Arc<Published>,
    state: Mutex<State>,
}

struct State {
    checkpoint: Checkpoint,
    since: Instant,
    /// Work has been taken, and is not committed or settled yet.
    busy: bool,
    /// Commits to the journal.
    journaled: u64,
    /// What is being brought from there into tables.
    settling: Option<Settling>,
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

impl Outgoing {
    pub(super) fn new(attempt: &Attempt) -> Outgoing {
        Outgoing {
            overlay: Arc::default(),
            record: attempt.record.clone(),
            plugin_digest: attempt.plugin.digest().to_owned(),
            retries: attempt.retry.is_some(),
            published: attempt.published.clone(),
            state: Mutex::new(State {
                checkpoint: attempt.record.checkpoint.clone(),
                since: Instant::now(),
                busy: false,
                journaled: 0,
                settling: None,
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

    /// Says which status ends the attempt; the last commit follows.
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
        self.overlay.lock().open.bytes >= limits::OVERLAY_BYTES
            || self.overlay.unsettled_bytes() >= limits::UNSETTLED_BYTES
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

    /// Whether rows of it are to be brought from the journal into their tables.
    pub(super) fn wants_to_settle(&self) -> bool {
        let state = self.state();
        let over = state.ended || state.busy || state.refused.is_some() || state.ending.is_some();
        !over && (state.settling.is_some() || self.overlay.unsettled_bytes() >= limits::SETTLE_BYTES)
    }

    /// Brings some rows from the journal into their tables.
    pub(super) fn settle(&self, store: &Store) {
        let started = Instant::now();
        let mut settling = {
            let mut state = self.state();
            state.busy = true;
            let journaled = state.journaled;
            state.settling.take().unwrap_or_else(|| Settling::new(self.overlay.unsettled(), journaled))
        };
        let rows = settling.next();
        let through = settling.is_done().then_some(settling.through);
        match store.settle_rows(&Settled { record: &self.record, rows, through }) {
            Ok(()) => {
                self.published.stages().settled(started.elapsed());
                let mut state = self.state();
                state.busy = false;
                match through {
                    Some(_) => settling.layers.iter().for_each(|layer| layer.mark_settled()),
                    None => state.settling = Some(settling),
                }
            }
            Err(e) => self.refuse(Refused::from(&e)),
        }
    }

    /// Whether commits go to the journal: where nobody reads its tables, and they are in the store.
    fn journals(&self) -> bool {
        self.record.home.is_none() && !self.record.is_ready() && !self.retries
    }
}

/// Rows of committed layers on their way into their tables.
struct Settling {
    layers: Vec<Arc<Layer>>,
    tables: Vec<std::vec::IntoIter<RowChange>>,
    /// The commit that the newest of the layers was.
    through: u64,
}

impl Settling {
    fn new(layers: Vec<Arc<Layer>>, through: u64) -> Settling {
        let tables = changes(&layers).into_iter().map(Vec::into_iter).collect();
        Settling { layers, tables, through }
    }

    /// The next rows, as many as one transaction takes.
    fn next(&mut self) -> Vec<Vec<RowChange>> {
        let mut room = limits::SETTLE_ROWS;
        let mut some = |rows: &mut std::vec::IntoIter<RowChange>| {
            let some: Vec<_> = rows.by_ref().take(room).collect();
            room -= some.len();
            some
        };
        self.tables.iter_mut().map(&mut some).collect()
    }

    fn is_done(&self) -> bool {
        self.tables.iter().all(|rows| rows.len() == 0)
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
    outgoing: &'a Outgoing,
    layer: Arc<Layer>,
    /// The layers whose rows this brings into their tables.
    settles: Vec<Arc<Layer>>,
    journal: Option<u64>,
    rows: Vec<Vec<RowChange>>,
    row_count: usize,
    checkpoint: Checkpoint,
    taken: Instant,
    active_ms: u64,
    ends: bool,
}

impl<'a> Work<'a> {
    pub(super) fn take(outgoing: &'a Arc<Outgoing>) -> Option<Work<'a>> {
        outgoing.due()?;
        let mut state = outgoing.state();
        state.busy = true;
        let layer = outgoing.overlay.take();
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
        let (journal, settles, rows) = if state.ending.is_none() && outgoing.journals() {
            state.journaled += 1;
            (Some(state.journaled), Vec::new(), changes(std::slice::from_ref(&layer)))
        } else {
            state.settling = None;
            let layers = outgoing.overlay.unsettled();
            let rows = changes(&layers);
            (None, layers, rows)
        };
        let taken = Instant::now();
        Some(Work {
            outgoing,
            settles,
            journal,
            row_count: rows.iter().map(Vec::len).sum(),
            rows,
            checkpoint,
            active_ms: (taken - state.since).as_millis() as u64,
            taken,
            ends: state.ending.is_some(),
            layer,
        })
    }

    pub(super) fn commit(&mut self) -> Commit {
        Commit {
            generation: self.outgoing.record.generation,
            attempt: self.outgoing.record.attempt,
            plugin_digest: self.outgoing.plugin_digest.clone(),
            checkpoint: self.checkpoint.clone(),
            retries: self.layer.retries,
            active_ms: self.active_ms,
            rows: std::mem::take(&mut self.rows),
            journal: self.journal,
            parked: self.layer.parked.clone(),
            unparked: self.layer.reached.as_ref().map_or_else(Vec::new, |reached| reached.retried.clone()),
            discarded: 0,
            stages: self.outgoing.published.stages().report_with(self.row_count),
        }
    }

    pub(super) fn succeeded(&self, took: Duration) {
        if self.outgoing.retries {
            crash::point("retry.page");
        }
        self.settles.iter().for_each(|layer| layer.mark_settled());
        self.outgoing.published.stages().committed(took, self.row_count);
        self.outgoing.published.commit(&self.checkpoint, self.layer.retries, self.layer.parked.len() as u64);
        let mut state = self.outgoing.state();
        state.checkpoint = self.checkpoint.clone();
        // Handling went on while this was committed.
        state.since = self.taken;
        let undurable = self.layer.work + self.outgoing.overlay.lock().open.work;
        let overshoot = undurable.saturating_sub(state.gather());
        // Quick to grow: what a kill may lose is a promise, how much is gathered is not.
        state.overshoot = overshoot.max((state.overshoot + overshoot) / 2);
        state.ended = self.ends;
        state.busy = false;
    }

    pub(super) fn refused(&self, error: &StoreError) {
        self.outgoing.refuse(Refused::from(error));
    }
}
