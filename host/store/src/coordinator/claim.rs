//! Who may commit to a generation: one attempt at a time, by its number, in the store and in the database that has its rows.
//! What that database has and the store has not is taken over first.

use super::commit::advance;
use crate::{
    Store,
    catalog::{
        AttemptStart, External, RebuildRecord,
        change_log::{is_live, note_unknown},
        tables::{put_record, record_in},
    },
    error::StoreError,
    external::Claimed,
};
use unspool_vocabulary::{Status, crash};

impl Store {
    /// Claims a rebuild for a new attempt: from here on only its commits are accepted. Where a database has its rows, and
    /// turns out to have completed it already, it is left completed.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written, or the database refuses or cannot be reached.
    pub fn begin_attempt(
        &self,
        projection: &str,
        generation: u64,
        start: &AttemptStart,
    ) -> Result<RebuildRecord, StoreError> {
        let completed = self.claim_outside(projection, generation)?.is_some_and(|status| status == Status::Completed);
        let now = self.rebuild(projection, generation)?;
        // It is complete after all, and may be followed already.
        if completed || (now.following.is_some() && now.status() == Status::Completed) {
            return Ok(now);
        }
        self.update(projection, generation, |record| {
            record.attempt += 1;
            record.target = start.target;
            record.total_events = start.total_events;
            record.chunk_size = start.chunk_size;
            record.spec.options.clone_from(&start.options);
            if let Some((identity, seen)) = &start.known {
                record.spec.source_identity.clone_from(identity);
                record.checkpoint.seen = seen.clone();
            }
            record.ended_at = None;
            record.interrupted = false;
            record.checkpoint.status = Status::Running;
            record.checkpoint.error = None;
        })
    }

    /// Claims a generation, in whatever status it is: from here on nobody else's commits are accepted. Where nobody has been at work
    /// since its host was lost, a claim is no work either: see `Following::rested`.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn claim(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.claim_outside(projection, generation)?;
        self.update(projection, generation, |record| {
            let rested = record.has_rested();
            record.attempt += 1;
            if rested {
                record.rest();
            }
        })
    }

    pub(crate) fn update(
        &self,
        projection: &str,
        generation: u64,
        change: impl FnOnce(&mut RebuildRecord),
    ) -> Result<RebuildRecord, StoreError> {
        let write = self.db.begin_write()?;
        let mut record = record_in(&write, projection, generation)?;
        let attempt = record.attempt;
        change(&mut record);
        let claimed = record.attempt != attempt && record.external.is_none();
        if claimed {
            self.embedded.recover(&write, &record)?;
        }
        put_record(&write, &record)?;
        crash::point("record.written");
        write.commit()?;
        if claimed {
            self.embedded.forget(projection, generation);
        }
        crash::point("record.after");
        Ok(record)
    }

    /// Lets only the next attempt commit to a generation that lives in a database, and takes over what that database has and
    /// the store has not: the commit in the middle of which a host ended, or of which it did not learn the outcome. Says how
    /// the rebuild stands; `None` where the rows live in the store.
    pub(crate) fn claim_outside(&self, projection: &str, generation: u64) -> Result<Option<Status>, StoreError> {
        self.finish_switch(projection)?;
        let record = self.rebuild(projection, generation)?;
        let Some(external) = &record.external else { return Ok(None) };
        self.refuse_copy()?;
        let claimed = self.databases.open(&external.into)?.claim(&record, external, record.attempt + 1)?;
        self.take_over(&record, external, claimed).map(Some)
    }

    /// As [`Store::claim_outside`], for a generation on which nobody works: learns whether its last commit was made.
    ///
    /// # Errors
    /// When the database cannot be reached, or does not fit the store.
    pub fn catch_up(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        let record = self.rebuild(projection, generation)?;
        match record.external {
            Some(_) if record.status() != Status::Running => self.claim(projection, generation).map(drop),
            _ => Ok(()),
        }
    }

    /// Checks that the database that has the rows of `record` answers, where one has them.
    ///
    /// # Errors
    /// When it does not.
    pub fn reach_external(&self, record: &RebuildRecord) -> Result<(), StoreError> {
        match &record.external {
            Some(external) => self.databases.open(&external.into)?.reach(),
            None => Ok(()),
        }
    }

    fn take_over(&self, record: &RebuildRecord, external: &External, claimed: Claimed) -> Result<Status, StoreError> {
        if claimed.commits == external.commits {
            return Ok(record.status());
        }
        let (projection, id) = (&record.checkpoint.projection_name, record.checkpoint_id());
        let Some(mut commit) = claimed.newest.filter(|_| claimed.commits == external.commits + 1) else {
            return Err(StoreError::Refused(format!(
                "{id} has taken {} commits in {}, and this store knows of {}: one of the two was restored from an older copy; \
                 unspool rebuild {projection} --restart builds a new generation",
                claimed.commits, external.into, external.commits
            )));
        };
        if commit.checkpoint.status == Status::Running && !commit.follows {
            // How it ended is what the store has recorded since.
            commit.checkpoint.status = record.status();
            commit.checkpoint.error = record.checkpoint.error.clone();
        }
        let there = self.databases.open(&external.into)?.standing(projection)?;
        let write = self.db.begin_write()?;
        // A generation that was live there before is promoted no other time.
        let promoted = there.live == Some(record.generation) && !record.promoted;
        let seen = is_live(&write, record)?;
        advance(&write, record_in(&write, projection, record.generation)?, &commit, Some(promoted))?;
        if seen {
            note_unknown(&write, &record_in(&write, projection, record.generation)?)?;
        }
        write.commit()?;
        crash::point("external.followed");
        Ok(if commit.follows { Status::Completed } else { commit.checkpoint.status })
    }
}
