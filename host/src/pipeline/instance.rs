//! One call of the plugin, on a fresh instance with a permit of the pool.

use super::{attempt::Attempt, chunk::Chunk, overlay::ChunkRows};
use crate::plugin::{CallError, Outcome};
use std::sync::PoisonError;

/// Waits for a permit of the pool, and handles `chunk` with it, over `rows`.
pub(super) fn call(attempt: &Attempt, chunk: &Chunk, rows: ChunkRows) -> Result<Outcome, CallError> {
    let _place = attempt.pool.take();
    let handle = |rows| {
        let handle = || attempt.plugin.handle(chunk.frame(), rows, attempt.stop.flag());
        let stages = attempt.published.stages();
        let outcome = stages.handle().time(handle)?;
        stages.called_with(outcome.memory_bytes);
        Ok(outcome)
    };
    let Attempt { touched, observed, .. } = attempt;
    if touched.is_none() && observed.is_none() {
        return handle(rows);
    }
    let (rows, looked) = rows.noting();
    let outcome = handle(rows);
    let looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
    let writes = outcome.as_ref().map_or(&[][..], |outcome| &outcome.writes);
    if let Some(touched) = touched {
        touched.looked(&looked);
        touched.written(writes);
    }
    if let Some(observed) = observed {
        observed.called(&looked, writes);
    }
    outcome
}
