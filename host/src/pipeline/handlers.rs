//! Handles chunks, in order, until there are no more or one cannot be handled: tries again, sets aside, or stops.

use super::{
    attempt::{Attempt, Ended},
    call_size::CallSize,
    calls::Calls,
    chunk::Chunk,
    culprit, ending,
    halt::Halt,
    parking::can_park,
    queue::ChunkQueue,
    sharing::Sharing,
};
use crate::{
    limits,
    plugin::CallError,
    store::OnError,
    vocabulary::{EventFailure, work},
};
use std::time::{Duration, Instant};

/// Handles chunks until the range ends, the attempt is stopped, or an event cannot be handled; then makes what was
/// handled durable, together with the status that follows.
pub(super) fn run(attempt: &Attempt, queue: &ChunkQueue, size: &CallSize) -> Ended {
    std::thread::scope(|scope| match Calls::new(attempt, size, Sharing::start(attempt, scope)) {
        Ok(calls) => {
            let passed = attempt.record.passed();
            let mut handlers = Handlers { attempt, size, calls, due: Instant::now(), passed };
            let halt = handlers.handle_all(queue);
            ending::end(attempt, handlers.calls, handlers.passed, halt)
        }
        Err(refused) => refused.into(),
    })
}

struct Handlers<'a> {
    attempt: &'a Attempt,
    size: &'a CallSize,
    calls: Calls<'a>,
    /// When what has been handled would be done at the rate limit.
    due: Instant,
    /// Events of the rebuild that have been handled or set aside, those of earlier attempts included.
    passed: u64,
}

/// How much a rebuild with a rate limit may make up for after waiting for something else.
const RATE_SLACK: Duration = Duration::from_millis(100);

impl Handlers<'_> {
    fn handle_all(&mut self, queue: &ChunkQueue) -> Halt {
        loop {
            if self.attempt.stop.is_raised() {
                return Halt::Stopped;
            }
            let waited = &self.attempt.published.stages();
            let handled = match waited.handle_waited_for_read().time(|| queue.pop(&self.attempt.stop)) {
                Some(Ok(chunk)) => self.handle_in_parts(chunk, queue),
                Some(Err(e)) => Err(e.into()),
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

    /// Waits as long as `events` may take where the rebuild has a rate limit; work that took longer adds no wait.
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
    /// set aside, the rest goes on without the failed one and its stream. Returns what it handled last.
    fn handle_with_retries(&mut self, chunk: Chunk) -> Result<Chunk, Halt> {
        let mut chunk = self.calls.set_aside(chunk);
        if let Some(failure) = chunk.unreadable_failure() {
            self.calls.make_room()?;
            self.stop_or_park(&chunk, 0, failure)?;
            // The source has been read further than to this event.
            chunk = self.calls.set_aside(chunk.rest(1));
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
                tracing::warn!(projection = self.attempt.name(), tries, "retrying: {failure}");
                self.calls.count_retry();
                self.wait_until(Instant::now() + (self.attempt.backoff)(tries))?;
                tries += 1;
                chunk = chunk.rest(handled);
                continue;
            }
            self.stop_or_park(&chunk, handled, failure.tried(tries))?;
            chunk = self.calls.set_aside(chunk.rest(handled + 1));
            tries = 1;
        }
    }

    /// What becomes of event number `index`, which cannot be handled.
    fn stop_or_park(&mut self, chunk: &Chunk, index: usize, mut failure: EventFailure) -> Result<(), Halt> {
        self.calls.trace(chunk, index, &failure);
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
        tracing::warn!(projection = self.attempt.name(), "parked: {failure}");
        self.calls.park(chunk, index, failure)
    }

    /// Handles a chunk once. Whatever was handled is in the overlay when this returns, and nothing else: how many events,
    /// and the failure of the next one.
    fn handle(&mut self, chunk: &Chunk) -> Result<(usize, Option<EventFailure>), Halt> {
        self.calls.make_room()?;
        if chunk.is_empty() {
            self.calls.pass_over(chunk);
            return Ok((0, None));
        }
        match self.calls.call(chunk) {
            Ok(_) if self.calls.hides_events(chunk) => self.handle_halves(chunk),
            Ok(outcome) => Ok(self.calls.accept(chunk, outcome)),
            Err(CallError::Stopped) => Err(Halt::Stopped),
            Err(CallError::Failed(failure)) => culprit::find(&mut self.calls, chunk, failure),
        }
    }

    /// As [`Handlers::handle`], with a call for each half of the chunk.
    fn handle_halves(&mut self, chunk: &Chunk) -> Result<(usize, Option<EventFailure>), Halt> {
        let half = chunk.len() / 2;
        let (handled, failure) = self.handle(&chunk.first(half))?;
        if failure.is_some() {
            return Ok((handled, failure));
        }
        let (more, failure) = self.handle(&chunk.rest(half))?;
        Ok((half + more, failure))
    }

    /// Waits, unless the stop is raised.
    fn wait_until(&self, until: Instant) -> Result<(), Halt> {
        if self.attempt.stop.wait_until(until) { Ok(()) } else { Err(Halt::Stopped) }
    }
}

#[cfg(test)]
mod tests;
