//! The end of an attempt: what was handled becomes durable together with the status that follows.

use super::{
    adding_up::add_up,
    attempt::{Attempt, Ended},
    calls::Calls,
    halt::Halt,
};
use crate::vocabulary::{EventFailure, FailureKind, Status};

/// Commits what is left together with the status that follows from `halt`, and waits for the answer: nothing is said to be
/// done that is not durable. `passed` events have been handled or set aside.
pub(super) fn end(attempt: &Attempt, calls: Calls<'_>, passed: u64, halt: Halt) -> Ended {
    let record = &attempt.record;
    let (missing, halt) = match halt {
        Halt::EndOfRange => add_up(attempt, passed),
        halt => (record.checkpoint.missing, halt),
    };
    let (status, error) = match &halt {
        // What was built stays what it is, however many of its dead letters are handled.
        _ if attempt.retry.is_some() => (record.status(), record.checkpoint.error.clone()),
        Halt::EndOfRange if attempt.completes => (Status::Completed, None),
        Halt::EndOfRange => (Status::Running, None),
        // Whether it is followed again is decided by the caller that stops it.
        Halt::Stopped if attempt.follows => (Status::Running, None),
        Halt::Stopped => (attempt.stop.status(), None),
        Halt::Failed(failure) => (Status::Failed, Some(failure.clone())),
        Halt::Source { transient: true, .. } => (Status::Running, None),
        Halt::Source { message, .. } => {
            let failure = EventFailure::permanent(FailureKind::Source, message);
            let plugin_digest = Some(attempt.plugin.digest().to_owned());
            (Status::Failed, Some(EventFailure { plugin_digest, ..failure }))
        }
        Halt::Store(_) => (Status::Running, None),
    };
    let committed = calls.finish(status, error.clone(), missing);
    match (halt, committed) {
        (Halt::Store(refused), _) | (_, Err(refused)) => refused.into(),
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
