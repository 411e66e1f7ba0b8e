//! What operators see of a running attempt. Written by the committer after each commit, read by anyone; neither waits
//! for the other longer than it takes to copy a few numbers.

use super::stages::Stages;
use crate::{
    limits,
    store::RebuildRecord,
    vocabulary::{Checkpoint, EventFailure, Position, Waiting, ms_since, now_ms},
};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The committed progress of one attempt.
#[derive(Debug)]
pub struct Published {
    generation: u64,
    state: Mutex<State>,
    stages: Stages,
}

#[derive(Debug, Clone)]
struct State {
    checkpoint: Checkpoint,
    retries: u64,
    parked: u64,
    /// Whether it goes on with new events, and waits for them.
    follows: bool,
    /// When the checkpoint last moved.
    moved: Instant,
    /// What keeps it from going on.
    waiting: Option<Waiting>,
    /// When its source last answered, in milliseconds since 1970.
    contact: i64,
    samples: VecDeque<(Instant, u64)>,
}

impl Published {
    /// The progress of an attempt that starts from `record`.
    pub fn new(record: &RebuildRecord) -> Published {
        let samples = VecDeque::from([(Instant::now(), record.checkpoint.events_processed)]);
        Published {
            generation: record.generation,
            stages: Stages::new(record.stages.clone()),
            state: Mutex::new(State {
                checkpoint: record.checkpoint.clone(),
                retries: record.retries,
                parked: record.parked,
                follows: record.is_followed(),
                moved: Instant::now(),
                waiting: None,
                contact: now_ms(),
                samples,
            }),
        }
    }

    /// The generation that is being built.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How long the stages have worked and waited in this run of the rebuild.
    pub fn stages(&self) -> &Stages {
        &self.stages
    }

    pub(super) fn commit(&self, checkpoint: &Checkpoint, retries: u64, parked: u64) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if checkpoint.position > state.checkpoint.position {
            state.moved = now;
        }
        // Source and store have answered.
        (state.waiting, state.contact) = (None, now_ms());
        state.retries += retries;
        state.parked += parked;
        state.checkpoint = checkpoint.clone();
        state.samples.push_back((now, checkpoint.events_processed));
        while state.samples.len() > 2 && now - state.samples[1].0 > limits::RATE_WINDOW {
            state.samples.pop_front();
        }
    }

    /// The newest committed checkpoint, and the retries and dead letters so far.
    pub fn checkpoint(&self) -> (Checkpoint, u64, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.checkpoint.clone(), state.retries, state.parked)
    }

    /// A try has failed, and another one follows.
    pub fn waits_for(&self, failure: &EventFailure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, tries) = state.waiting.as_ref().map_or((now_ms(), 0), |waiting| (waiting.since, waiting.tries));
        state.waiting =
            Some(Waiting { kind: failure.kind, since, ms: 0, tries: tries + 1, error: failure.to_string() });
    }

    /// The source has answered, and there was nothing new.
    pub fn in_contact(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.waiting, state.contact) = (None, now_ms());
    }

    /// What it waits for between two tries; `None` while nothing is in its way.
    pub fn waiting(&self) -> Option<Waiting> {
        let waiting = self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.clone()?;
        Some(Waiting { ms: ms_since(waiting.since), ..waiting })
    }

    /// When the source last answered, in milliseconds since 1970.
    pub fn contact(&self) -> i64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).contact
    }

    /// Takes a time in which the host itself was stopped out of [`Published::still_for`].
    pub fn forgive(&self, suspended: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved = (state.moved + suspended).min(Instant::now());
    }

    /// There is something to do again, after nothing was: it has not stood still.
    pub fn begins(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).moved = Instant::now();
    }

    /// How long the checkpoint has not moved.
    pub fn still_for(&self) -> Duration {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).moved.elapsed()
    }

    /// How far the source has been read, and what has been processed, as of the newest commit.
    pub fn position(&self) -> Position {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).checkpoint.position
    }

    /// Events per second over the last seconds (see [`limits::RATE_WINDOW`]); 0 of a follower to which nothing has come
    /// in them.
    pub fn rate(&self) -> f64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (state.samples.front(), state.samples.back()) {
            // A follower that has nothing to do handles nothing; an attempt that takes longer for a chunk is only slow.
            (Some(_), Some((ended, _))) if state.follows && ended.elapsed() > limits::RATE_WINDOW => 0.0,
            (Some((began, first)), Some((_, last))) => {
                let seconds = began.elapsed().as_secs_f64();
                if seconds > 0.0 { (last - first) as f64 / seconds } else { 0.0 }
            }
            _ => 0.0,
        }
    }
}
