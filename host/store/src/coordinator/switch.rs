//! Switching the live generation. Where databases take part it takes three steps: the intent in the store, the switch in the
//! database, the new live generation in the store.

use crate::{
    Store,
    catalog::{
        Allow, Following, ProjectionRecord, Purpose,
        promotion::{behind_live, not_complete, promote_in, refuse_empty, refuse_empty_in, switch_in},
        tables::{owner_in, put_owner, put_record, record_in},
    },
    error::StoreError,
};
use unspool_vocabulary::{Position, Status, crash};

/// What completing a rebuild that follows its history has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaughtUp {
    /// It is complete, and followed.
    Yes,
    /// The live generation has been brought to this position meanwhile: nothing was changed.
    Behind(Position),
}

impl Store {
    /// Makes a shadow build the live generation, and the latest rebuild, in place of `live`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is not complete, or another one than `live` is live by now;
    /// [`StoreError::NotFound`] where there is none.
    pub fn adopt(&self, projection: &str, generation: u64, live: u64) -> Result<ProjectionRecord, StoreError> {
        crash::point("adopt.before");
        let write = self.db.begin_write()?;
        let mut record = record_in(&write, projection, generation)?;
        if record.status() != Status::Completed {
            return Err(not_complete(&record));
        }
        refuse_empty_in(&write, &record)?;
        if owner_in(&write, projection)?.live != Some(live) {
            return Err(StoreError::Refused(format!(
                "generation {live} of {projection} is not live any more; nothing was changed: verify again"
            )));
        }
        // From here on it is what the one before was: kept up to date where that was.
        let before = record_in(&write, projection, live)?;
        if before.spec.to.is_none() {
            record.spec.to = None;
        }
        record.spec.purpose = Purpose::Rebuild;
        put_record(&write, &record)?;
        if let Some(position) = behind_live(&record, Some(&before)) {
            return Err(StoreError::Refused(format!(
                "the live generation of {projection} has come to {position} meanwhile; nothing was changed: verify again"
            )));
        }
        let switching = switch_in(&write, projection, generation)?;
        let mut owner = owner_in(&write, projection)?;
        owner.latest = Some(generation);
        put_owner(&write, &owner)?;
        crash::point("adopt.written");
        write.commit()?;
        crash::point("adopt.after");
        if switching {
            self.finish_switch(projection)?;
            owner = self.projection(projection)?;
        }
        Ok(owner)
    }

    /// Switches readers of `projection` to `generation`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is not complete, or has dead letters or was built from no event, and `allow` does not
    /// permit this; [`StoreError::NotFound`] where there is none.
    pub fn promote(&self, projection: &str, generation: u64, allow: Allow) -> Result<ProjectionRecord, StoreError> {
        crash::point("promote.before");
        self.finish_switch(projection)?;
        self.catch_up(projection, generation)?;
        let write = self.db.begin_write()?;
        let record = record_in(&write, projection, generation)?;
        if record.status() != Status::Completed {
            return Err(not_complete(&record));
        }
        if !allow.empty {
            refuse_empty_in(&write, &record)?;
        }
        if record.parked > 0 && !allow.parked {
            return Err(StoreError::Refused(format!(
                "{} has {} dead letters; retry them (unspool dead-letters retry {projection}), or add --allow-parked",
                record.checkpoint_id(),
                record.parked
            )));
        }
        let switching = switch_in(&write, projection, generation)?;
        if switching {
            self.refuse_copy()?;
        }
        let owner = owner_in(&write, projection)?;
        write.commit()?;
        crash::point("promote.after");
        if !switching {
            return Ok(owner);
        }
        self.finish_switch(projection)?;
        self.projection(projection)
    }

    /// Completes a rebuild that has reached the end of its history and follows it from now on, and promotes it, where it is to be
    /// promoted and lacks no event that it may not lack: in one transaction, and only where it is not behind the live generation.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn caught_up(
        &self,
        projection: &str,
        generation: u64,
        attempt: u64,
        plugin_digest: &str,
        now: i64,
    ) -> Result<CaughtUp, StoreError> {
        crash::point("caught-up.before");
        let write = self.db.begin_write()?;
        let mut record = record_in(&write, projection, generation)?;
        // It may have been stopped meanwhile; where it is followed, it is complete already.
        let held = record.attempt == attempt && record.status() == Status::Running;
        if record.following.is_none() && !held {
            return Err(StoreError::fenced(projection, generation));
        }
        record.checkpoint.status = Status::Completed;
        let promotes = record.spec.options.promotes() && record.is_ready();
        let live = owner_in(&write, projection)?.live.map(|live| record_in(&write, projection, live)).transpose()?;
        if let Some(position) = behind_live(&record, live.as_ref()).filter(|_| promotes) {
            return Ok(CaughtUp::Behind(position));
        }
        if record.following.is_none() {
            record.following = Some(Following::with(plugin_digest, now));
            record.ended_at = Some(now);
            record.interrupted = false;
            // Nothing of the attempts that built it is accepted from here on.
            record.attempt += 1;
        }
        put_record(&write, &record)?;
        let switching = promotes && switch_in(&write, projection, generation)?;
        crash::point("caught-up.written");
        write.commit()?;
        crash::point("caught-up.after");
        if switching {
            self.finish_switch(projection)?;
        }
        Ok(CaughtUp::Yes)
    }

    /// Refuses to promote a generation that was built from no event over one that was built from some.
    ///
    /// # Errors
    /// [`StoreError::Refused`] in that case; when the store cannot be read.
    pub fn refuse_empty(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        refuse_empty(&self.rebuild(projection, generation)?, self.live_rebuild(projection)?)
    }

    /// Switches readers of `projection` back to the generation that was live before; the two swap roles.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is no earlier one, or it was built from no event and `allow_empty` does not permit
    /// this.
    pub fn rollback(&self, projection: &str, allow_empty: bool) -> Result<ProjectionRecord, StoreError> {
        let previous = self
            .projection(projection)?
            .previous
            .ok_or_else(|| StoreError::Refused(format!("{projection} has no earlier generation to roll back to")))?;
        self.promote(projection, previous, Allow { parked: true, empty: allow_empty })
    }

    /// Completes a switch of readers in which databases take part. The intent is in the store, so that a switch in the
    /// middle of which a host ended is completed by whoever comes next; every step may be done twice.
    pub(crate) fn finish_switch(&self, projection: &str) -> Result<(), StoreError> {
        let owner = self.projection(projection)?;
        let Some(target) = owner.switching else { return Ok(()) };
        self.refuse_copy()?;
        let record = self.rebuild(projection, target)?;
        let live = owner.live.map(|live| self.rebuild(projection, live)).transpose()?;
        let switched = match (&record.external, live.as_ref().and_then(|live| live.external.as_ref())) {
            (Some(external), _) => {
                self.databases.open(&external.into).and_then(|database| database.switch(&record, external))
            }
            (None, Some(external)) => {
                self.databases.open(&external.into).and_then(|database| database.retire(projection, external))
            }
            (None, None) => Ok(()),
        };
        crash::point("switch.done");
        // What got no answer may have been done: the intent stays.
        if switched.as_ref().is_err_and(StoreError::is_transient) {
            return switched;
        }
        let write = self.db.begin_write()?;
        // Another thread may have completed it meanwhile, and recorded a newer intent.
        if owner_in(&write, projection)?.switching != Some(target) {
            return switched;
        }
        if switched.is_ok() {
            promote_in(&write, projection, target)?;
        }
        let mut owner = owner_in(&write, projection)?;
        owner.switching = None;
        put_owner(&write, &owner)?;
        write.commit()?;
        switched
    }
}
