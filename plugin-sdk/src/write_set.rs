//! What a chunk changes, on its way into a write frame.

use crate::failure::{Failure, permanent};
use serde::Serialize;
use unspool_frame::{Write, WriteFrame};

/// The writes of one chunk.
#[derive(Debug)]
pub struct WriteSet(WriteFrame);

impl WriteSet {
    /// No writes yet, and room for `bytes` bytes of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> WriteSet {
        WriteSet(WriteFrame::with_capacity(bytes))
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the row's `Serialize` fails.
    pub fn put<R: Serialize>(&mut self, table: &str, key: &str, row: &R) -> Result<(), Failure> {
        self.0.put_with(table, key, |out| rmp_serde::encode::write_named(out, row)).map_err(|error| {
            permanent(format_args!("the row {table}/{key} cannot be encoded: {error}"))
                .detail("table", table)
                .detail("key", key)
        })
    }

    /// Adds the deletion of a row.
    pub fn delete(&mut self, table: &str, key: &str) {
        self.0.add(&Write { table, key, document: None });
    }

    /// The write frame.
    #[must_use]
    pub fn into_frame(self) -> Vec<u8> {
        self.0.finish()
    }
}
