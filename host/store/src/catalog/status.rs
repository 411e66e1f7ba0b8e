//! How the status of a rebuild changes while no attempt works on it.

use super::records::{RebuildRecord, RowDigest};
use crate::{Store, error::StoreError};
use unspool_vocabulary::{EventFailure, StageReport, Status};

impl Store {
    /// Sets the status of a rebuild that no pipeline is working on: its checkpoint stays where it is.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn set_status(
        &self,
        projection: &str,
        generation: u64,
        status: Status,
        error: Option<EventFailure>,
        now: i64,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| {
            record.attempt += 1;
            record.ended_at = Some(now);
            // What is wanted stays so through its pause, until an operator's.
            record.interrupted &= status == Status::Paused;
            record.checkpoint.status = status;
            record.checkpoint.error = error;
        })
    }

    /// Sets the status of a rebuild whose thread does not finish, unless it has finished after all.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn set_status_of_stuck(
        &self,
        projection: &str,
        generation: u64,
        status: Status,
        now: i64,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| {
            if record.status() == Status::Running {
                record.attempt += 1;
                record.ended_at = Some(now);
                record.checkpoint.status = status;
            }
        })
    }

    /// Records that a running rebuild is to go on when the next host serves: its own is about to end.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn want(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.interrupted = record.status() == Status::Running)
    }

    /// Records that a rebuild stays where it is until an operator resumes it.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn hold(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.interrupted = false)
    }

    /// Leaves a rebuild paused that a host ended in the middle of, and counts how often that has happened in a row.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn recover_interrupted(&self, record: &RebuildRecord, now: i64) -> Result<RebuildRecord, StoreError> {
        self.update(&record.checkpoint.projection_name, record.generation, |record| record.interrupt(now))
    }

    /// Records the digest of a generation that is complete.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn record_digest(
        &self,
        projection: &str,
        generation: u64,
        digest: RowDigest,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.row_digest = Some(digest))
    }

    /// [`Store::record_digest`] for the caller that built it, which knows where the time went, that of the last commit
    /// included.
    ///
    /// # Errors
    /// As [`Store::record_digest`].
    pub fn record_built(
        &self,
        projection: &str,
        generation: u64,
        digest: RowDigest,
        stages: StageReport,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| (record.row_digest, record.stages) = (Some(digest), stages))
    }
}
