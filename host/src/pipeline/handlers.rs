//! Gives chunks, in order, to fresh instances of the plugin.

use super::{
    Attempt, Ended,
    call_size::CallSize,
    chunk::Chunk,
    commit_queue::{CommitQueue, Refused},
    committer::CommitHandle,
    culprit,
    overlay::{ChunkRows, Reached, View},
    parking::{Parking, can_park},
    queue::ChunkQueue,
    sharing::Sharing,
    tally,
};
use crate::{
    limits,
    plugin::{CallError, Outcome, thread_cpu_time},
    store::{Generation, OnError, StoreError},
    vocabulary::{EventFailure, FailureKind, Mark, Position, Status, work},
};
use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

/// Handles chunks until the range ends, the attempt is stopped, or an event cannot be handled; then makes what was
/// handled durable, together with the status that follows.
pub(super) fn run(attempt: &Attempt, queue: &ChunkQueue, size: &CallSize) -> Ended {
    std::thread::scope(|scope| match Handlers::new(attempt, size, Sharing::start(attempt, scope)) {
        Ok(mut handlers) => {
            let stopped_by = handlers.handle_all(queue);
            handlers.finish(stopped_by)
        }
        Err(e) if e.is_transient() => Ended::Interrupted(EventFailure::transient(FailureKind::Store, e.to_string())),
        Err(e) => Ended::Lost(EventFailure::permanent(FailureKind::Store, e.to_string())),
    })
}

/// Why handling came to an end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Every event of the range has been handled.
    EndOfRange,
    /// The stop was raised.
    Stopped,
    /// An event or the plugin is at fault.
    Failed(EventFailure),
    /// The source is at fault.
    Source { message: String, transient: bool },
    /// The store refused a commit, or cannot be read.
    Store { message: String, transient: bool },
}

/// One call of the plugin, with a permit of the pool.
pub(super) fn one_call(attempt: &Attempt, chunk: &Chunk, rows: ChunkRows) -> Result<Outcome, CallError> {
    let _permit = attempt.pool.take();
    let handle = |rows| {
        let handle = || attempt.plugin.handle(chunk.frame(), rows, attempt.stop.flag());
        attempt.published.stages().handle().time(handle)
    };
    let Some(touched) = &attempt.touched else { return handle(rows) };
    let (rows, looked) = rows.noting();
    let outcome = handle(rows);
    touched.looked(&looked.lock().unwrap_or_else(PoisonError::into_inner));
    touched.written(outcome.as_ref().map_or(&[][..], |outcome| &outcome.writes));
    outcome
}

pub(super) struct Handlers<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) size: &'a CallSize,
    commits: CommitHandle,
    view: View,
    parking: Parking,
    /// The other instances, where events of different streams may be handled side by side.
    sharing: Option<Sharing>,
    /// When what has been handled would be done at the rate limit.
    due: Instant,
    /// Events of the rebuild that have been handled or parked, those of earlier attempts included.
    passed: u64,
    /// The last event that the source could not read. It may be corrected there: its content is not noted.
    unreadable: Option<Position>,
}

/// How much a rebuild with a rate limit may make up for after waiting for something else.
const RATE_SLACK: Duration = Duration::from_millis(100);

impl<'a> Handlers<'a> {
    fn new(attempt: &'a Attempt, size: &'a CallSize, sharing: Option<Sharing>) -> Result<Handlers<'a>, StoreError> {
        let record = &attempt.record;
        let generation = Generation::of(record);
        let parking = match attempt.retry {
            Some(_) => Parking::again(),
            None => Parking::load(&attempt.store, &generation, record.parked)?,
        };
        let commit_queue = CommitQueue::new(attempt);
        let view = View::new(commit_queue.overlay().clone(), attempt.store.clone(), generation)?;
        let commits = attempt.committer.register(commit_queue);
        Ok(Handlers {
            attempt,
            size,
            commits,
            view,
            parking,
            sharing,
            due: Instant::now(),
            passed: record.passed(),
            unreadable: None,
        })
    }

    fn handle_all(&mut self, queue: &ChunkQueue) -> Halt {
        loop {
            if self.attempt.stop.is_raised() {
                return Halt::Stopped;
            }
            let waited = &self.attempt.published.stages();
            let handled = match waited.handle_waited_for_read().time(|| queue.pop(&self.attempt.stop)) {
                Some(Ok(chunk)) => self.handle_in_parts(chunk, queue),
                Some(Err(e)) => Err(Halt::Source { message: e.message, transient: e.transient }),
                None if self.attempt.stop.is_raised() => Err(Halt::Stopped),
                None => Err(Halt::EndOfRange),
            };
            let events = handled.as_ref().map_or(0, |events| *events as u64);
            self.passed += events;
            work::advance(events);
            if let Err(halt) = handled.and_then(|events| self.keep_to_rate(events)) {
                return halt;
            }
        }
    }

    /// Waits as long as `events` may take where the rebuild has a rate limit; work that took longer owes nothing.
    fn keep_to_rate(&mut self, events: usize) -> Result<(), Halt> {
        let Some(rate) = self.attempt.record.spec.options.rate_limit else { return Ok(()) };
        let due =
            self.due.max(Instant::now() - RATE_SLACK) + Duration::from_secs_f64(events as f64 / f64::from(rate.max(1)));
        self.due = due;
        self.wait_until(due)
    }

    /// Handles a chunk that may have been cut before its size turned out to be too much, and gives it back.
    fn handle_in_parts(&mut self, chunk: Chunk, queue: &ChunkQueue) -> Result<usize, Halt> {
        let events = chunk.len();
        let mut rest = chunk;
        while rest.len() > self.size.most() {
            let most = self.size.most();
            self.handle_with_retries(rest.first(most))?;
            rest = rest.rest(most);
        }
        queue.recycle(self.handle_with_retries(rest)?);
        Ok(events)
    }

    /// Handles a chunk; after a transient failure the rest of it, beginning with the event that failed. Where events are
    /// parked, the rest goes on without the failed one and its stream. Returns what it handled last.
    fn handle_with_retries(&mut self, chunk: Chunk) -> Result<Chunk, Halt> {
        if chunk.is_unreadable() {
            self.unreadable = Some(chunk.position(0));
        }
        let mut chunk = self.parking.set_aside(chunk);
        if let Some(failure) = chunk.unreadable_failure() {
            self.make_room()?;
            self.stop_or_park(&chunk, 0, failure)?;
            // The source has been read further than to this event.
            chunk = self.parking.set_aside(chunk.rest(1));
        }
        let mut tries = 1;
        loop {
            let (handled, failure) = match self.handle(&chunk)? {
                (_, None) => return Ok(chunk),
                (handled, Some(failure)) => (handled, failure),
            };
            if handled > 0 {
                tries = 1;
            }
            if failure.transient && tries < limits::TRANSIENT_TRIES {
                tracing::warn!(projection = self.name(), tries, "retrying: {failure}");
                self.commits.count_retry();
                self.pause_before_try(tries)?;
                tries += 1;
                chunk = chunk.rest(handled);
                continue;
            }
            self.stop_or_park(&chunk, handled, failure.tried(tries))?;
            chunk = self.parking.set_aside(chunk.rest(handled + 1));
            tries = 1;
        }
    }

    /// What becomes of event number `index`, which cannot be handled.
    fn stop_or_park(&mut self, chunk: &Chunk, index: usize, mut failure: EventFailure) -> Result<(), Halt> {
        let stops = self.attempt.record.spec.options.on_error() == OnError::Stop && self.attempt.retry.is_none();
        if stops || !can_park(&failure) {
            if chunk.is_unreadable() {
                failure.message +=
                    "; correct it there and resume, or rebuild with --on-error park, which sets it aside";
            }
            return Err(Halt::Failed(failure));
        }
        if let Some(retry) = &self.attempt.retry {
            retry.failed(&failure);
        }
        tracing::warn!(projection = self.name(), "parked: {failure}");
        self.park(chunk, index, failure)
    }

    /// Sets event number `index` aside; the checkpoint moves over it.
    fn park(&mut self, chunk: &Chunk, index: usize, failure: EventFailure) -> Result<(), Halt> {
        let parked = self.parking.park(chunk, index, failure).map_err(Halt::Failed)?;
        let position = chunk.position(index);
        let mut events = self.parking.waiting_through(position);
        events.push(parked);
        // The last event that was handled is still the one before.
        let reached = match self.attempt.retry {
            Some(_) => self.retried(chunk, 0),
            None => Reached { seen: chunk.mark(index), ..Reached::after(position, 0) },
        };
        self.commits.apply(Vec::new(), events, reached);
        Ok(())
    }

    /// Handles a chunk once. Whatever was handled is in the overlay when this returns, and nothing else: how many events,
    /// and the failure of the next one.
    fn handle(&mut self, chunk: &Chunk) -> Result<(usize, Option<EventFailure>), Halt> {
        self.make_room()?;
        if chunk.is_empty() {
            self.apply(chunk, 0, Outcome { handled: 0, writes: Vec::new(), failure: None });
            return Ok((0, None));
        }
        match self.call(chunk) {
            Ok(outcome) => Ok(self.accept(chunk, outcome)),
            Err(CallError::Stopped) => Err(Halt::Stopped),
            Err(CallError::Failed(failure)) => culprit::find(self, chunk, failure),
        }
    }

    /// Handles a chunk: in one call of the plugin, or shared out by stream among several at once.
    pub(super) fn call(&self, chunk: &Chunk) -> Result<Outcome, CallError> {
        let started = thread_cpu_time();
        let shared =
            self.sharing.as_ref().and_then(|sharing| sharing.handle(self.attempt, chunk, || self.view.reader()));
        let mut outcome = match shared {
            Some(outcome) => outcome,
            None => self.noted_before(chunk, one_call(self.attempt, chunk, self.view.reader())?),
        };
        self.size.learn(chunk.len(), thread_cpu_time().saturating_sub(started));
        // What a handler reads does not depend on what has been committed yet.
        let rows = outcome.writes.iter_mut().map(|write| (write.table, &write.key, &mut write.document));
        let normalized = self.attempt.store.normalize(&self.attempt.record, rows);
        normalized.map_err(|e| CallError::Failed(EventFailure::permanent(FailureKind::BadOutput, e.to_string())))?;
        Ok(outcome)
    }

    /// The outcome of a call that was not shared out. Where owners are kept, those of the events before one that fails are kept
    /// too, and what they break ends the call before it.
    fn noted_before(&self, chunk: &Chunk, outcome: Outcome) -> Outcome {
        let before = Some(outcome.handled).filter(|handled| outcome.failure.is_some() && *handled > 0);
        let sharing = self.sharing.as_ref().filter(|sharing| sharing.keeps_owners());
        let (Some(handled), Some(sharing)) = (before, sharing) else { return outcome };
        let noted = sharing.handle(self.attempt, &chunk.first(handled), || self.view.reader());
        noted.filter(|noted| noted.failure.is_some()).unwrap_or(outcome)
    }

    /// Puts an outcome into the overlay; a failure learns which event it is about.
    pub(super) fn accept(&mut self, chunk: &Chunk, mut outcome: Outcome) -> (usize, Option<EventFailure>) {
        let handled = outcome.handled;
        // Where two streams meet it says so, and no single event is to blame.
        let blame = |failure: EventFailure| match failure.stream {
            Some(_) => failure,
            None => self.blame(chunk, handled, failure),
        };
        let failure = outcome.failure.take().map(blame);
        self.apply(chunk, handled, outcome);
        (handled, failure)
    }

    /// The failure, with the event it is about.
    pub(super) fn blame(&self, chunk: &Chunk, index: usize, failure: EventFailure) -> EventFailure {
        let failure = EventFailure { plugin_digest: Some(self.attempt.plugin.digest().to_owned()), ..failure };
        match chunk.event(index) {
            Some(event) if failure.kind != FailureKind::Plugin => failure.at(&event, chunk.position(index)),
            _ => failure,
        }
    }

    /// Waits until the overlay has room, and looks at the newest committed rows.
    pub(super) fn make_room(&mut self) -> Result<(), Halt> {
        let waited = self.attempt.published.stages().handle_waited_for_commit();
        let refused = |refused: Refused| Halt::Store { message: refused.message, transient: refused.transient };
        waited.time(|| self.commits.wait_for_room()).map_err(refused)?;
        self.view.refresh().map_err(|e| refused(Refused::from(&e)))
    }

    fn apply(&mut self, chunk: &Chunk, handled: usize, outcome: Outcome) {
        let position = if handled == chunk.len() {
            chunk.through
        } else if handled == 0 {
            return;
        } else {
            chunk.position(handled - 1)
        };
        let end = self.attempt.end.as_ref().filter(|_| position == self.attempt.record.target);
        let end = end.map(|end| match self.unreadable == Some(end.position) {
            true => Mark { content: String::new(), ..end.clone() },
            false => end.clone(),
        });
        let seen = end.or_else(|| chunk.mark(handled.checked_sub(1)?));
        let reached = match self.attempt.retry {
            Some(_) => self.retried(chunk, handled),
            None => Reached { last: chunk.last_of(handled), seen, ..Reached::after(position, handled as u64) },
        };
        let parked = self.parking.waiting_through(position);
        self.commits.apply(outcome.writes, parked, reached);
    }

    /// The first `handled` events of a chunk of dead letters are none any more; the checkpoint stays.
    fn retried(&self, chunk: &Chunk, handled: usize) -> Reached {
        let letter = |index| Some((chunk.event(index)?.stream.to_owned(), chunk.position(index)));
        let retried = (0..handled).filter_map(letter).collect();
        Reached { retried, ..Reached::after(self.attempt.record.checkpoint.position, handled as u64) }
    }

    fn pause_before_try(&self, tries: u32) -> Result<(), Halt> {
        self.wait_until(Instant::now() + limits::backoff(tries))
    }

    /// Waits, unless the stop is raised.
    fn wait_until(&self, until: Instant) -> Result<(), Halt> {
        while Instant::now() < until {
            if self.attempt.stop.is_raised() {
                return Err(Halt::Stopped);
            }
            std::thread::sleep(Duration::from_millis(10).min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Commits what is left together with the status that follows, and waits for the answer: nothing is said to be done
    /// that is not durable.
    fn finish(self, halt: Halt) -> Ended {
        let digest = self.attempt.plugin.digest().to_owned();
        let (missing, halt) = match halt {
            Halt::EndOfRange => tally::add_up(self.attempt, self.passed),
            halt => (self.attempt.record.checkpoint.missing, halt),
        };
        let record = &self.attempt.record;
        let (status, error) = match &halt {
            // What was built stays what it is, however many of its dead letters are handled.
            _ if self.attempt.retry.is_some() => (record.status(), record.checkpoint.error.clone()),
            Halt::EndOfRange if self.attempt.completes => (Status::Completed, None),
            Halt::EndOfRange => (Status::Running, None),
            // Whether it is to be followed again is for who stops it to say.
            Halt::Stopped if self.attempt.follows => (Status::Running, None),
            Halt::Stopped => (self.attempt.stop.status(), None),
            Halt::Failed(failure) => (Status::Failed, Some(failure.clone())),
            Halt::Source { transient: true, .. } => (Status::Running, None),
            Halt::Source { message, .. } => {
                let failure = EventFailure::permanent(FailureKind::Source, message);
                (Status::Failed, Some(EventFailure { plugin_digest: Some(digest), ..failure }))
            }
            Halt::Store { .. } => (Status::Running, None),
        };
        let committed = self.commits.finish(status, error.clone(), missing);
        match (halt, committed) {
            // Whatever has become of the last commit: the next attempt begins with what is there.
            (Halt::Store { message, transient: true }, _) | (_, Err(Refused { message, transient: true })) => {
                Ended::Interrupted(EventFailure::transient(FailureKind::Store, message))
            }
            (Halt::Store { message, .. }, _) | (_, Err(Refused { message, .. })) => {
                Ended::Lost(EventFailure::permanent(FailureKind::Store, message))
            }
            (Halt::EndOfRange, Ok(())) => Ended::Completed,
            (Halt::Stopped, Ok(())) => Ended::Stopped(status),
            (Halt::Source { message, transient: true }, Ok(())) => {
                Ended::Interrupted(EventFailure::transient(FailureKind::Source, message))
            }
            (Halt::Failed(failure), Ok(())) => Ended::Failed(failure),
            (Halt::Source { message, .. }, Ok(())) => {
                Ended::Failed(error.unwrap_or_else(|| EventFailure::permanent(FailureKind::Source, message)))
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.attempt.record.checkpoint.projection_name
    }
}
