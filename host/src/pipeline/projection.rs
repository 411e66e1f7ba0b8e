//! What an attempt needs of a projection: what distinguishes it from others, and one call.

use super::overlay::ChunkRows;
use crate::{
    plugin::{CallError, Outcome, Plugin},
    vocabulary::Partitioning,
};
use std::sync::{Arc, atomic::AtomicBool};

/// What handles chunks: a [`Plugin`], or what a test uses instead.
pub trait Projection: Send + Sync {
    /// Distinguishes it from any other, see [`Plugin::digest`].
    fn digest(&self) -> &str;

    /// Which events must stay in order.
    fn partitioning(&self) -> Partitioning;

    /// Handles `chunk`, a chunk frame, on the calling thread, with nothing left of earlier calls but `rows`.
    ///
    /// # Errors
    /// As [`Plugin::handle`].
    fn handle(&self, chunk: &[u8], rows: ChunkRows, stop: &Arc<AtomicBool>) -> Result<Outcome, CallError>;
}

impl Projection for Plugin {
    fn digest(&self) -> &str {
        Plugin::digest(self)
    }

    fn partitioning(&self) -> Partitioning {
        self.description().partitioning
    }

    fn handle(&self, chunk: &[u8], rows: ChunkRows, stop: &Arc<AtomicBool>) -> Result<Outcome, CallError> {
        Plugin::handle(self, chunk, rows, stop)
    }
}
