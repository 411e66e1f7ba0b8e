//! An attempt from its beginning to its end: the reader on a thread of its own, the handlers on this one.

use super::{
    attempt::{Attempt, Ended},
    call_size::CallSize,
    handlers, panics,
    priority::yield_if_low,
    queue::ChunkQueue,
    reader,
};
use crate::{
    limits,
    vocabulary::{EventFailure, FailureKind},
};
use std::sync::{
    Arc,
    mpsc::{RecvTimeoutError, channel},
};

/// Runs an attempt on this thread until it ends. Its reader may still wait for a source that does not answer then: it is
/// left to finish by itself, since nothing depends on what it reads any more.
pub fn run(attempt: Attempt) -> Ended {
    yield_if_low(attempt.record.spec.options.priority());
    let pool = attempt.pool.clone();
    let _user = pool.join();
    let size = Arc::new(CallSize::new(&attempt.record));
    let (attempt, queue) = (Arc::new(attempt), Arc::new(ChunkQueue::new()));
    let (reading, read) = channel::<()>();
    let spawned = std::thread::Builder::new().name("reader".into()).spawn({
        let (attempt, queue, size) = (attempt.clone(), queue.clone(), size.clone());
        move || {
            let _reading = reading;
            reader::run(&attempt, &queue, &size);
            // Before this thread reports its end.
            drop((attempt, queue, size));
        }
    });
    if let Err(e) = spawned {
        let message = format!("the reader's thread does not start: {e}");
        return Ended::Interrupted(EventFailure::transient(FailureKind::Other, message));
    }
    let ended = panics::caught(|| handlers::run(&attempt, &queue, &size)).unwrap_or_else(|panic| {
        Ended::Lost(EventFailure::permanent(FailureKind::Other, panics::told("handles events", &panic)))
    });
    queue.close();
    if read.recv_timeout(limits::READER_WAIT) == Err(RecvTimeoutError::Timeout) {
        tracing::debug!(projection = attempt.name(), "its reader still waits for the source");
    }
    ended
}

#[cfg(test)]
mod tests;
