//! Generations come and go, with their rows.

use crate::{
    Store,
    catalog::{
        External, NewRebuild, Purpose, RebuildRecord,
        activity::note_dropped,
        dead_letters,
        generations::{is_unused, new_record},
        tables::{REBUILDS, owner_in, put_owner, put_record, rebuilds_in, record_in},
    },
    embedded::Embedded,
    error::StoreError,
};
use redb::WriteTransaction;
use unspool_vocabulary::{Status, crash};

impl Store {
    /// Creates an empty generation. A new rebuild replaces the one before: a generation that is neither live, nor kept for
    /// rollback, nor built to be inspected, is dropped.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be written, or a database in which rows live or are to live
    /// refuses or cannot be reached.
    pub fn create_generation(&self, projection: &str, new: NewRebuild, now: i64) -> Result<RebuildRecord, StoreError> {
        crash::point("create-generation.before");
        let external = self.prepare_outside(projection, new.into.clone(), new.indexes.clone())?;
        if new.spec.purpose == Purpose::Rebuild {
            self.drop_unused_outside(projection)?;
        }
        let free = new.into.as_deref().map(|into| self.free_number(projection, into)).transpose()?;
        let write = self.db.begin_write()?;
        let mut owner = owner_in(&write, projection)?;
        owner.next_generation = owner.next_generation.max(free.unwrap_or_default());
        let shape = new.shape.as_ref().unwrap_or(&owner.description);
        let record = new_record(&owner, shape, new.spec, external, now);
        let mut dropped = Vec::new();
        if record.spec.purpose == Purpose::Rebuild {
            for old in rebuilds_in(&write, projection)? {
                if is_unused(&owner, &old) {
                    drop_in(&write, &old)?;
                    dropped.push(old.generation);
                }
            }
            owner.latest = Some(record.generation);
        }
        owner.next_generation += 1;
        put_owner(&write, &owner)?;
        put_record(&write, &record)?;
        crash::point("create-generation.written");
        write.commit()?;
        crash::point("create-generation.after");
        dropped.into_iter().for_each(|generation| self.embedded.forget(projection, generation));
        Ok(record)
    }

    /// Drops a generation that is not live and that no rebuild works on.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is in use; [`StoreError::NotFound`] where there is none.
    pub fn drop_generation(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        crash::point("drop.before");
        let owner = self.projection(projection)?;
        // Its rows in a database stay, too, where it is in use.
        if owner.live != Some(generation) && owner.switching != Some(generation) {
            self.drop_outside(projection, generation)?;
        }
        let write = self.db.begin_write()?;
        let (mut owner, record) = (owner_in(&write, projection)?, record_in(&write, projection, generation)?);
        let used = |what: &str| {
            Err(StoreError::Refused(format!(
                "{} is {what}; it is dropped when another takes its place",
                record.checkpoint_id()
            )))
        };
        if owner.live == Some(generation) || owner.switching == Some(generation) {
            return used("the live generation");
        }
        if record.status() == Status::Running {
            return used("being built");
        }
        drop_in(&write, &record)?;
        if owner.previous == Some(generation) || owner.latest == Some(generation) {
            owner.previous = owner.previous.filter(|previous| *previous != generation);
            owner.latest = owner.latest.filter(|latest| *latest != generation).or(owner.live);
            put_owner(&write, &owner)?;
        }
        crash::point("drop.written");
        write.commit()?;
        crash::point("drop.after");
        self.embedded.forget(projection, generation);
        Ok(())
    }

    /// Checks that rows of `projection` can live in `into`, before anything depends on it; `None` where they live in the
    /// store.
    pub(crate) fn prepare_outside(
        &self,
        projection: &str,
        into: Option<String>,
        indexes: Vec<String>,
    ) -> Result<Option<External>, StoreError> {
        let Some(into) = into else { return Ok(None) };
        self.refuse_copy()?;
        let owner = self.projection(projection)?;
        self.refuse_another_database(projection, &into)?;
        let tables: Vec<String> = owner.description.tables.iter().map(|table| table.name.clone()).collect();
        let id = match owner.owner {
            Some(id) => id,
            None => self.name_owner(projection)?,
        };
        let external = External { into, owner: id, id: random_id()?, commits: 0, indexes };
        self.databases.open(&external.into)?.prepare(projection, &tables, &external)?;
        Ok(Some(external))
    }

    /// Readers of one projection look into one database.
    fn refuse_another_database(&self, projection: &str, into: &str) -> Result<(), StoreError> {
        let owner = self.projection(projection)?;
        for record in self.rebuilds(projection)? {
            if let Some(external) = record.external.as_ref().filter(|external| external.into != into)
                && !is_unused(&owner, &record)
            {
                return Err(StoreError::Refused(format!(
                    "{} lives in {}, and readers of {projection} look into one database: build it once with --into store, \
                     unspool model drop what is in that database, then build it into the other one",
                    record.checkpoint_id(),
                    external.into
                )));
            }
        }
        Ok(())
    }

    /// Gives a projection the name by which databases tell it from those of other data directories.
    fn name_owner(&self, projection: &str) -> Result<String, StoreError> {
        let new = random_id()?;
        let write = self.db.begin_write()?;
        let mut record = owner_in(&write, projection)?;
        let id = record.owner.get_or_insert(new).clone();
        put_owner(&write, &record)?;
        write.commit()?;
        Ok(id)
    }

    /// A number for the next generation that no generation of `projection` has in `into`, where a later state of the store may
    /// have left some.
    pub(crate) fn free_number(&self, projection: &str, into: &str) -> Result<u64, StoreError> {
        let there = self.databases.open(into)?.standing(projection)?;
        Ok(there.generations.iter().map(|generation| generation.number + 1).max().unwrap_or_default())
    }

    /// Drops in their databases what a new rebuild replaces. What cannot be dropped is left there: it is in nobody's way.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) fn drop_unused_outside(&self, projection: &str) -> Result<(), StoreError> {
        self.finish_switch(projection)?;
        for record in self.rebuilds(projection)? {
            if record.external.is_none() || !is_unused(&self.projection(projection)?, &record) {
                continue;
            }
            let caught_up = self.catch_up(projection, record.generation);
            let unused = is_unused(&self.projection(projection)?, &record);
            let dropped =
                caught_up.and_then(|()| if unused { self.drop_outside(projection, record.generation) } else { Ok(()) });
            if let Err(e) = dropped {
                tracing::warn!(projection, "the rows of {} are left in their database: {e}", record.checkpoint_id());
            }
        }
        Ok(())
    }

    /// Drops the rows of a generation that lives in a database.
    pub(crate) fn drop_outside(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        let record = self.rebuild(projection, generation)?;
        match &record.external {
            Some(external) if record.status() != Status::Running => {
                self.refuse_copy()?;
                self.databases.open(&external.into)?.drop_generation(&record, external)
            }
            _ => Ok(()),
        }
    }
}

fn drop_in(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let projection = record.checkpoint.projection_name.as_str();
    dead_letters::forget(write, projection, record.generation)?;
    Embedded::drop_rows(write, record)?;
    write.open_table(REBUILDS)?.remove((projection, record.generation))?;
    note_dropped(write, record)
}

/// A name that nothing else has.
fn random_id() -> Result<String, StoreError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| StoreError::Refused(format!("the system gives no randomness: {e}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DataDir,
        testing::{install_orders, new_generation},
    };

    /// Verifications and rebuilds create generations of one projection at the same time.
    #[test]
    fn no_two_generations_get_the_same_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        install_orders(&store);
        let create = || {
            (0..25)
                .map(|_| store.create_generation("orders", new_generation(Purpose::Scratch), 0).unwrap().generation)
                .collect()
        };
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads = [scope.spawn(create), scope.spawn(create)];
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert_eq!(store.rebuilds("orders").unwrap().len(), 50);
    }
}
