//! The calls of one attempt, and what they come to: what was handled is in the overlay when a call is over, and nothing else.

use super::{
    attempt::Attempt,
    call_size::CallSize,
    chunk::Chunk,
    commit_queue::{CommitQueue, Parts, Refused},
    committer::CommitHandle,
    halt::Halt,
    instance,
    observed::Observed,
    overlay::{Reached, View},
    parking::Parking,
    sharing::Sharing,
};
use crate::{
    plugin::{CallError, Outcome, thread_cpu_time},
    store::Generation,
    traces::{self, Times},
    vocabulary::{EventFailure, FailureKind, Mark, Position, Status},
};

use std::time::Instant;

/// What one attempt handles with, chunk by chunk.
pub(super) struct Calls<'a> {
    attempt: &'a Attempt,
    size: &'a CallSize,
    commits: CommitHandle,
    view: View,
    parking: Parking,
    /// The other instances, where events of different streams may be handled side by side.
    sharing: Option<Sharing>,
    /// The last event that the source could not read. It may be corrected there: its content is not noted.
    unreadable: Option<Position>,
    /// When what is handled now had room.
    began: Instant,
}

impl<'a> Calls<'a> {
    /// # Errors
    /// Where the store cannot be read, or takes nothing any more.
    pub(super) fn new(
        attempt: &'a Attempt,
        size: &'a CallSize,
        sharing: Option<Sharing>,
    ) -> Result<Calls<'a>, Refused> {
        let Attempt { record, store, .. } = attempt;
        let retries = attempt.retry.is_some();
        // First: without a committer, the error is why there is none, not what the store says that it left half done.
        let commits = attempt.committer.register(CommitQueue::new(Parts {
            record,
            plugin_digest: attempt.plugin.digest(),
            retries,
            follows: attempt.follows,
            store,
            stop: &attempt.stop,
            recent: attempt.recent.as_ref(),
            published: &attempt.published,
        }))?;
        let generation = Generation::of(record);
        let unreadable = |e| Refused::from(&e);
        let parking = match retries {
            true => Parking::again(),
            false => Parking::load(store, &generation, record.parked).map_err(unreadable)?,
        };
        let view = View::new(commits.overlay().clone(), store.clone(), generation).map_err(unreadable)?;
        Ok(Calls { attempt, size, commits, view, parking, sharing, unreadable: None, began: Instant::now() })
    }

    /// Waits until the overlay has room, and looks at the newest committed rows.
    pub(super) fn make_room(&mut self) -> Result<(), Halt> {
        let waited = self.attempt.published.stages().handle_waited_for_commit();
        waited.time(|| self.commits.wait_for_room())?;
        self.began = Instant::now();
        self.view.refresh().map_err(|e| Refused::from(&e).into())
    }

    /// Handles a chunk: in one call of the plugin, or shared out by stream among several at once.
    pub(super) fn call(&self, chunk: &Chunk) -> Result<Outcome, CallError> {
        let started = thread_cpu_time();
        let shared =
            self.sharing.as_ref().and_then(|sharing| sharing.handle(self.attempt, chunk, || self.view.reader()));
        let mut outcome = match shared {
            Some(outcome) => outcome,
            None => self.noted_before(chunk, instance::call(self.attempt, chunk, self.view.reader())?),
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

    /// Takes into account that a chunk of so many events was too much for one call.
    pub(super) fn was_too_much(&self, events: usize) {
        self.size.was_too_much(events);
    }

    /// The chunk without the events of streams that have dead letters; those wait from here on.
    pub(super) fn set_aside(&mut self, chunk: Chunk) -> Chunk {
        if chunk.is_unreadable() {
            self.unreadable = Some(chunk.position(0));
        }
        self.parking.set_aside(chunk)
    }

    /// Whether the events of `chunk`, which has just been called with, must be handled in smaller calls, since it is not known which
    /// of them touched the row that is observed.
    pub(super) fn hides_events(&self, chunk: &Chunk) -> bool {
        self.attempt.observed.as_ref().is_some_and(Observed::take_touched) && chunk.len() > 1
    }

    /// Tells what an event makes of the row that is observed, where there is one.
    fn tell(&self, chunk: &Chunk, outcome: &Outcome) -> Result<(), EventFailure> {
        let Some(observed) = self.attempt.observed.as_ref().filter(|_| chunk.len() == 1) else { return Ok(()) };
        if !observed.tell(chunk, outcome, &self.view.reader())? {
            self.attempt.stop.cancel();
        }
        Ok(())
    }

    /// Puts an outcome into the overlay; a failure learns which event it is about.
    pub(super) fn accept(&mut self, chunk: &Chunk, mut outcome: Outcome) -> (usize, Option<EventFailure>) {
        if let Err(failure) = self.tell(chunk, &outcome) {
            return (0, Some(failure));
        }
        let handled = outcome.handled;
        // Where two streams meet, the failure names them, and no single event is to blame.
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
        let reached = Reached { times: Some(Times { read: chunk.read, handled: self.began }), ..reached };
        let parked = self.parking.waiting_through(position);
        self.commits.apply(outcome.writes, parked, reached);
    }

    /// Moves on to the end of a chunk without events.
    pub(super) fn pass_over(&mut self, chunk: &Chunk) {
        self.apply(chunk, 0, Outcome { handled: 0, writes: Vec::new(), failure: None, memory_bytes: 0 });
    }

    /// Tells traces that event number `index` could not be handled.
    pub(super) fn trace(&self, chunk: &Chunk, index: usize, failure: &EventFailure) {
        let record = &self.attempt.record;
        let (generation, source) = (record.generation, record.spec.source.as_str());
        let of = traces::Of { projection: self.attempt.name(), generation, source };
        let event = (index < chunk.len()).then(|| chunk.event(index)).flatten();
        traces::failed(of, self.began, failure, event.map_or(&[], |event| event.metadata));
    }

    /// Sets event number `index` aside; the checkpoint moves over it.
    pub(super) fn park(&mut self, chunk: &Chunk, index: usize, failure: EventFailure) -> Result<(), Halt> {
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

    /// The first `handled` events of a chunk of dead letters are dead letters no more; the checkpoint stays.
    fn retried(&self, chunk: &Chunk, handled: usize) -> Reached {
        let letter = |index| Some((chunk.event(index)?.stream.to_owned(), chunk.position(index)));
        let retried = (0..handled).filter_map(letter).collect();
        Reached { retried, ..Reached::after(self.attempt.record.checkpoint.position, handled as u64) }
    }

    /// Counts a transient failure; it becomes durable with the next commit.
    pub(super) fn count_retry(&self) {
        self.commits.count_retry();
    }

    /// See [`CommitHandle::finish`].
    pub(super) fn finish(self, status: Status, error: Option<EventFailure>, missing: u64) -> Result<(), Refused> {
        self.commits.finish(status, error, missing)
    }

    /// The projection's name.
    pub(super) fn name(&self) -> &'a str {
        self.attempt.name()
    }
}
