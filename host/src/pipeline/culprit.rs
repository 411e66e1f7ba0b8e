//! Finds the event behind a trap.
//!
//! A trap leaves no outcome, so nothing tells which event it was. The events of the chunk are handled again, one at a
//! time, each in a fresh instance; every success goes into the overlay, so that the checkpoint stops right before the
//! culprit. One at a time rather than by halves: a half that contains the culprit costs its whole limit (seconds, for a
//! loop), a single event that is fine costs microseconds.

use super::{calls::Calls, chunk::Chunk, halt::Halt};
use crate::{plugin::CallError, vocabulary::EventFailure};

/// Handles the events of `chunk`, which failed as a whole with `whole`, one by one. Where every event succeeds alone, the
/// chunk was too much for one instance, and is now done: how much is handled at once never changes a result.
///
/// Returns how many events were handled, and the failure of the next one.
pub(super) fn find(
    calls: &mut Calls<'_>,
    chunk: &Chunk,
    whole: EventFailure,
) -> Result<(usize, Option<EventFailure>), Halt> {
    if chunk.len() == 1 {
        return Ok((0, Some(calls.blame(chunk, 0, whole))));
    }
    for index in 0..chunk.len() {
        let single = chunk.single(index);
        calls.make_room()?;
        match calls.call(&single) {
            Ok(outcome) => {
                if let (_, Some(failure)) = calls.accept(&single, outcome) {
                    return Ok((index, Some(failure)));
                }
            }
            Err(CallError::Stopped) => return Err(Halt::Stopped),
            Err(CallError::Failed(failure)) => return Ok((index, Some(calls.blame(chunk, index, failure)))),
        }
    }
    calls.was_too_much(chunk.len());
    tracing::warn!(
        projection = calls.name(),
        events = chunk.len(),
        "a call failed as a whole, but each of its events succeeds alone; calls are smaller from now on: {whole}"
    );
    Ok((chunk.len(), None))
}

#[cfg(test)]
mod tests;
