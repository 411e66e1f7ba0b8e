//! Keeping a complete generation up to date: attempts that bring it forward, while its rebuild stays completed.

use crate::{
    Store,
    catalog::{AttemptStart, Following, RebuildRecord},
    error::StoreError,
};
use unspool_vocabulary::{EventFailure, FollowState, Seen, Status};

impl Store {
    /// Lets a complete generation be followed, from its checkpoint on, as `following` says; `None`: no longer. Whoever follows it now
    /// finds that out with its next commit.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where its rebuild is not complete; [`StoreError::NotFound`] where there is none.
    pub fn set_following(
        &self,
        projection: &str,
        generation: u64,
        following: Option<Following>,
    ) -> Result<RebuildRecord, StoreError> {
        let record = self.rebuild(projection, generation)?;
        if record.status() != Status::Completed {
            return Err(not_complete(&record));
        }
        self.update(projection, generation, |record| {
            record.attempt += 1;
            match following {
                Some(following) => record.following = Some(following),
                None => drop(record.unfollow()),
            }
        })
    }

    /// Notes the identity of the history of a generation as it is known now, by what its checkpoint is, and how many of its events may be
    /// missing, where that is said.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn recognise(
        &self,
        projection: &str,
        generation: u64,
        identity: String,
        seen: Seen,
        missing: Option<u64>,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| {
            record.spec.options.accept_missing = missing.or(record.spec.options.accept_missing);
            record.spec.source_identity = identity;
            record.checkpoint.seen = seen;
        })
    }

    /// Claims a followed generation for an attempt that brings it forward to `start.target`. Where a database has its rows, and a
    /// commit that the store has not, that is taken over first. The record is that of the attempt: its status is `running`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where it is not followed any more; otherwise as `Store::begin_attempt`.
    pub fn begin_following(
        &self,
        projection: &str,
        generation: u64,
        start: &AttemptStart,
    ) -> Result<RebuildRecord, StoreError> {
        self.claim_outside(projection, generation)?;
        let mut followed = false;
        let mut record = self.update(projection, generation, |record| {
            followed = record.is_followed() && record.status() == Status::Completed;
            if !followed {
                return;
            }
            record.attempt += 1;
            record.target = start.target;
            record.total_events = start.total_events;
            if let Some((identity, seen)) = &start.known {
                record.spec.source_identity.clone_from(identity);
                record.checkpoint.seen = seen.clone();
            }
        })?;
        if !followed {
            return Err(StoreError::fenced(projection, generation));
        }
        record.checkpoint.status = Status::Running;
        Ok(record)
    }

    /// Notes that a generation is no longer brought forward, since `error` came in the way.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn fail_following(
        &self,
        projection: &str,
        generation: u64,
        error: EventFailure,
        now: i64,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| {
            record.attempt += 1;
            if let Some(following) = &mut record.following {
                (following.state, following.since, following.error) = (FollowState::Failed, now, Some(error));
            }
        })
    }

    /// The generations that are followed, or were brought forward when their host ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn followed(&self) -> Result<Vec<RebuildRecord>, StoreError> {
        Ok(self.all_rebuilds()?.into_iter().filter(RebuildRecord::is_followed).collect())
    }

    /// Counts how often in a row a host has crashed while it brought a generation forward, at the same position. What was to be done
    /// once is not to be done any more.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn recover_following(&self, record: &RebuildRecord) -> Result<RebuildRecord, StoreError> {
        self.update(&record.checkpoint.projection_name, record.generation, |record| {
            if !record.has_rested() {
                record.count_crash();
            }
            record.attempt += 1;
            if record.following.as_ref().is_some_and(|following| following.once) {
                record.unfollow();
            }
            record.rest();
        })
    }

    /// Notes that the follower of a generation ends with its host, which was asked to end: that is no crash.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn rest_following(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, RebuildRecord::rest)
    }
}

fn not_complete(record: &RebuildRecord) -> StoreError {
    StoreError::Refused(format!(
        "{} is {}, not completed: only a complete generation is kept up to date",
        record.checkpoint_id(),
        record.status()
    ))
}
