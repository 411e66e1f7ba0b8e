//! What readers see: which generation is live, and how they are switched to another.
//!
//! A switch is one transaction here. Where a database has the rows of either generation, it switches its own readers (see
//! `at_home.rs`).

use super::{
    PROJECTIONS, ProjectionRecord, Purpose, REBUILDS, RebuildRecord, Store, StoreError, decode, encode,
    generations::{owner_in, record_in},
};
use crate::{crash, vocabulary::Status};
use redb::{ReadableTable, WriteTransaction};

/// What readers may be given all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allow {
    /// A generation that lacks parked events.
    pub parked: bool,
    /// A generation that was built from no event, in place of one that was built from some.
    pub empty: bool,
}

impl Store {
    /// Makes a generation that was built apart the one that readers see, and the latest rebuild, in place of `live`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is not complete, or readers see another one than `live` by now;
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
                "readers of {projection} do not see generation {live} any more; nothing was changed: verify again"
            )));
        }
        record.spec.purpose = Purpose::Rebuild;
        write.open_table(REBUILDS)?.insert((projection, generation), encode(&record)?.as_slice())?;
        let switching = switch_in(&write, projection, generation)?;
        let mut owner = owner_in(&write, projection)?;
        owner.latest = Some(generation);
        write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
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
    /// [`StoreError::Refused`] where it is not complete, or has parked events or was built from none, and `allow` does not say
    /// that this is fine; [`StoreError::NotFound`] where there is none.
    pub fn promote(&self, projection: &str, generation: u64, allow: Allow) -> Result<ProjectionRecord, StoreError> {
        crash::point("promote.before");
        self.finish_switch(projection)?;
        self.catch_up(projection, generation)?;
        let write = self.db.begin_write()?;
        let record = record_in(&write, projection, generation)?;
        if !record.is_whole() {
            return Err(not_complete(&record));
        }
        if !allow.empty {
            refuse_empty_in(&write, &record)?;
        }
        if record.parked > 0 && !allow.parked {
            return Err(StoreError::Refused(format!(
                "{} lacks {} parked events; retry them (unspool dead-letters retry {projection}), or add --allow-parked",
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

    /// Notes that a generation has reached the end of its history, which it follows from now on, and switches readers to
    /// it, where it is to be promoted and lacks no event that it may not lack. Once: whoever switches readers elsewhere
    /// afterwards means it.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn caught_up(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        crash::point("caught-up.before");
        let write = self.db.begin_write()?;
        let mut record = record_in(&write, projection, generation)?;
        record.caught_up = true;
        write.open_table(REBUILDS)?.insert((projection, generation), encode(&record)?.as_slice())?;
        let ready = record.spec.options.promotes() && (record.parked == 0 || record.spec.options.allow_parked);
        let switching = ready && switch_in(&write, projection, generation)?;
        crash::point("caught-up.written");
        write.commit()?;
        crash::point("caught-up.after");
        if switching { self.finish_switch(projection) } else { Ok(()) }
    }

    /// Refuses to give readers a generation that was built from no event in place of one that was built from some.
    ///
    /// # Errors
    /// [`StoreError::Refused`] in that case; when the store cannot be read.
    pub fn refuse_empty(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        refuse_empty(&self.rebuild(projection, generation)?, self.live_rebuild(projection)?)
    }

    /// Switches readers of `projection` back to the generation they saw before; the two change places.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is no earlier one, or it was built from no event and `allow_empty` does not say that
    /// this is fine.
    pub fn rollback(&self, projection: &str, allow_empty: bool) -> Result<ProjectionRecord, StoreError> {
        let previous = self
            .projection(projection)?
            .previous
            .ok_or_else(|| StoreError::Refused(format!("{projection} has no earlier generation to roll back to")))?;
        self.promote(projection, previous, Allow { parked: true, empty: allow_empty })
    }
}

fn refuse_empty_in(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let projection = &record.checkpoint.projection_name;
    let live = owner_in(write, projection)?.live.map(|live| record_in(write, projection, live)).transpose()?;
    refuse_empty(record, live)
}

fn refuse_empty(record: &RebuildRecord, live: Option<RebuildRecord>) -> Result<(), StoreError> {
    match live.filter(|live| record.passed() == 0 && live.passed() > 0 && live.generation != record.generation) {
        None => Ok(()),
        Some(live) => Err(StoreError::Refused(format!(
            "{} was built from no event: {} has none of its types in its range; readers see {}, which was built from {}, and \
             are not given empty tables unless --allow-empty says that this is meant",
            record.checkpoint_id(),
            record.spec.source,
            live.checkpoint_id(),
            live.passed()
        ))),
    }
}

fn not_complete(record: &RebuildRecord) -> StoreError {
    StoreError::Refused(format!(
        "{} is {}, not completed; readers are only given complete generations",
        record.checkpoint_id(),
        record.status()
    ))
}

/// Switches readers of `projection` to `generation`; the one they saw stays for rollback.
pub(super) fn promote_in(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    let mut projections = write.open_table(PROJECTIONS)?;
    let mut record: ProjectionRecord = match projections.get(projection)? {
        Some(stored) => decode(projection, stored.value())?,
        None => return Err(StoreError::NotFound(format!("no projection is named {projection}"))),
    };
    if record.live != Some(generation) {
        record.previous = record.live.replace(generation);
        projections.insert(projection, encode(&record)?.as_slice())?;
        crash::point("promote.written");
    }
    Ok(())
}

/// Switches readers of `projection` to `generation` where the store alone decides that; where a database takes part, notes
/// that it is to be asked, and says so: [`Store::finish_switch`] follows.
pub(super) fn switch_in(write: &WriteTransaction, projection: &str, generation: u64) -> Result<bool, StoreError> {
    let mut owner = owner_in(write, projection)?;
    let mut at_home = false;
    for number in [Some(generation), owner.live].into_iter().flatten() {
        at_home |= record_in(write, projection, number)?.home.is_some();
    }
    if !at_home {
        return promote_in(write, projection, generation).map(|()| false);
    }
    owner.switching = Some(generation);
    write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
    Ok(true)
}
