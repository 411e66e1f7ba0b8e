//! Generations whose rows live in a database: the store and the database are kept in step.

use super::{
    Home, PROJECTIONS, RebuildRecord, Store, StoreError,
    commit::advance,
    encode,
    generations::{is_unused, owner_in, record_in},
    home::Claimed,
    readers::promote_in,
};
use crate::{crash, vocabulary::Status};

impl Store {
    /// Checks that rows of `projection` can live in `into`, before anything depends on it; `None` where they live in the
    /// store.
    pub(super) fn prepare_home(
        &self,
        projection: &str,
        into: Option<String>,
        indexes: Vec<String>,
    ) -> Result<Option<Home>, StoreError> {
        let Some(into) = into else { return Ok(None) };
        self.refuse_copy()?;
        let owner = self.projection(projection)?;
        self.refuse_another_home(projection, &into)?;
        let tables: Vec<String> = owner.description.tables.iter().map(|table| table.name.clone()).collect();
        let id = match owner.owner {
            Some(id) => id,
            None => self.name_owner(projection)?,
        };
        let home = Home { into, owner: id, id: random_id()?, commits: 0, indexes };
        self.homes.open(&home.into)?.prepare(projection, &tables, &home)?;
        Ok(Some(home))
    }

    /// Readers of one projection look into one database.
    fn refuse_another_home(&self, projection: &str, into: &str) -> Result<(), StoreError> {
        let owner = self.projection(projection)?;
        for record in self.rebuilds(projection)? {
            if let Some(home) = record.home.as_ref().filter(|home| home.into != into)
                && !is_unused(&owner, &record)
            {
                return Err(StoreError::Refused(format!(
                    "{} lives in {}, and readers of {projection} look into one database: build it once with --into store, \
                     unspool model drop what is in that database, then build it into the other one",
                    record.checkpoint_id(),
                    home.into
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
        write.open_table(PROJECTIONS)?.insert(projection, encode(&record)?.as_slice())?;
        write.commit()?;
        Ok(id)
    }

    /// Lets only the next attempt commit to a generation that lives in a database, and takes over what that database has
    /// and the store has not: the commit in the middle of which a host ended, or of which it did not learn how it came
    /// out. Says how the rebuild stands; `None` where the rows live in the store.
    pub(super) fn claim_home(&self, projection: &str, generation: u64) -> Result<Option<Status>, StoreError> {
        self.finish_switch(projection)?;
        let record = self.rebuild(projection, generation)?;
        let Some(home) = &record.home else { return Ok(None) };
        self.refuse_copy()?;
        let claimed = self.homes.open(&home.into)?.claim(&record, home, record.attempt + 1)?;
        self.take_over(&record, home, claimed).map(Some)
    }

    /// As [`Store::claim_home`], for a generation on which nobody works: learns whether its last commit was made.
    ///
    /// # Errors
    /// When the database cannot be reached, or does not fit the store.
    pub fn catch_up(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        let record = self.rebuild(projection, generation)?;
        match record.home {
            Some(_) if record.status() != Status::Running => self.claim(projection, generation).map(drop),
            _ => Ok(()),
        }
    }

    /// Sees whether the database that has the rows of `record` answers, where one has them.
    ///
    /// # Errors
    /// When it does not.
    pub fn reach_home(&self, record: &RebuildRecord) -> Result<(), StoreError> {
        match &record.home {
            Some(home) => self.homes.open(&home.into)?.reach(),
            None => Ok(()),
        }
    }

    /// A number for the next generation that no generation of `projection` has in `into`, where a later state of the store may
    /// have left some.
    pub(super) fn free_number(&self, projection: &str, into: &str) -> Result<u64, StoreError> {
        let there = self.homes.open(into)?.standing(projection)?;
        Ok(there.generations.iter().map(|generation| generation.number + 1).max().unwrap_or_default())
    }

    fn take_over(&self, record: &RebuildRecord, home: &Home, claimed: Claimed) -> Result<Status, StoreError> {
        if claimed.commits == home.commits {
            return Ok(record.status());
        }
        let (projection, id) = (&record.checkpoint.projection_name, record.checkpoint_id());
        let Some(mut commit) = claimed.newest.filter(|_| claimed.commits == home.commits + 1) else {
            return Err(StoreError::Refused(format!(
                "{id} has taken {} commits in {}, and this store knows of {}: one of the two was restored from an older copy; \
                 unspool rebuild {projection} --restart builds a new generation",
                claimed.commits, home.into, home.commits
            )));
        };
        if commit.checkpoint.status == Status::Running {
            // How it ended is what the store has noted since.
            commit.checkpoint.status = record.status();
            commit.checkpoint.error = record.checkpoint.error.clone();
        }
        let write = self.db.begin_write()?;
        advance(&write, record_in(&write, projection, record.generation)?, &commit)?;
        write.commit()?;
        crash::point("home.followed");
        Ok(commit.checkpoint.status)
    }

    /// Completes a switch of readers in which databases take part. The intent is in the store, so that a switch in the
    /// middle of which a host ended is completed by whoever comes next; every step may be done twice.
    pub(super) fn finish_switch(&self, projection: &str) -> Result<(), StoreError> {
        let owner = self.projection(projection)?;
        let Some(target) = owner.switching else { return Ok(()) };
        self.refuse_copy()?;
        let record = self.rebuild(projection, target)?;
        let live = owner.live.map(|live| self.rebuild(projection, live)).transpose()?;
        let switched = match (&record.home, live.as_ref().and_then(|live| live.home.as_ref())) {
            (Some(home), _) => self.homes.open(&home.into).and_then(|pool| pool.switch(&record, home)),
            (None, Some(home)) => self.homes.open(&home.into).and_then(|pool| pool.retire(projection, home)),
            (None, None) => Ok(()),
        };
        crash::point("switch.done");
        // What could not be asked may have been done: the intent stays.
        if switched.as_ref().is_err_and(StoreError::is_transient) {
            return switched;
        }
        let write = self.db.begin_write()?;
        if switched.is_ok() {
            promote_in(&write, projection, target)?;
        }
        let mut owner = owner_in(&write, projection)?;
        owner.switching = None;
        write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
        write.commit()?;
        switched
    }

    /// Drops in their databases what a new rebuild takes the place of. What cannot be dropped is left there: it is in
    /// nobody's way but its own.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(super) fn drop_unused_at_home(&self, projection: &str) -> Result<(), StoreError> {
        self.finish_switch(projection)?;
        for record in self.rebuilds(projection)? {
            if record.home.is_none() || !is_unused(&self.projection(projection)?, &record) {
                continue;
            }
            let caught_up = self.catch_up(projection, record.generation);
            let unused = is_unused(&self.projection(projection)?, &record);
            let dropped =
                caught_up.and_then(|()| if unused { self.drop_at_home(projection, record.generation) } else { Ok(()) });
            if let Err(e) = dropped {
                tracing::warn!(projection, "the rows of {} are left in their database: {e}", record.checkpoint_id());
            }
        }
        Ok(())
    }

    /// Drops the rows of a generation that lives in a database.
    pub(super) fn drop_at_home(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        let record = self.rebuild(projection, generation)?;
        match &record.home {
            Some(home) if record.status() != Status::Running => {
                self.refuse_copy()?;
                self.homes.open(&home.into)?.drop_generation(&record, home)
            }
            _ => Ok(()),
        }
    }
}

/// A name that nothing else has.
fn random_id() -> Result<String, StoreError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| StoreError::Refused(format!("the system gives no randomness: {e}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}
