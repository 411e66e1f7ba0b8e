//! The life of a generation, apart from its commits.

use super::{
    Generation, PROJECTIONS, ProjectionRecord, Purpose, REBUILDS, RebuildOptions, RebuildRecord, RebuildSpec,
    RowDigest, Store, StoreError,
    commit::{parked_table, parked_table_name, row_table_name},
    decode, encode,
    packed::Packing,
    rows::row_table,
};
use crate::{
    crash,
    vocabulary::{Checkpoint, EventFailure, Position, Seen, StageReport, Status},
};
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};

/// A generation that is to be made.
#[derive(Debug, Clone)]
pub struct NewRebuild {
    /// What it is asked for.
    pub spec: RebuildSpec,
    /// The database in which its rows are to live, as `postgres:` and a connection string; in the store where absent.
    pub into: Option<String>,
    /// See [`Home::indexes`](super::Home::indexes).
    pub indexes: Vec<String>,
}

/// What is found anew when an attempt begins.
#[derive(Debug, Clone)]
pub struct AttemptStart {
    /// See [`RebuildRecord::target`].
    pub target: Position,
    /// See [`RebuildRecord::total_events`].
    pub total_events: Option<u64>,
    /// See [`RebuildRecord::chunk_size`].
    pub chunk_size: u32,
    /// See [`RebuildSpec::options`].
    pub options: RebuildOptions,
    /// The identity of the history as it is known now, and by what the checkpoint is; as they were where absent.
    pub known: Option<(String, Seen)>,
}

impl AttemptStart {
    /// To where `record` goes already, as it does.
    pub fn again(record: &RebuildRecord) -> AttemptStart {
        AttemptStart {
            target: record.target,
            total_events: record.total_events,
            chunk_size: record.chunk_size,
            options: record.spec.options.clone(),
            known: None,
        }
    }
}

/// A change that depends on what is stored reads it while it holds the only write lock.
impl Store {
    /// The rebuild that fills or filled `generation`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the projection has no such generation.
    pub fn rebuild(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        let table = self.db.begin_read()?.open_table(REBUILDS)?;
        match table.get((projection, generation))? {
            Some(record) => decode(projection, record.value()),
            None => Err(no_generation(projection, generation)),
        }
    }

    /// Every generation of `projection` that is kept, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rebuilds(&self, projection: &str) -> Result<Vec<RebuildRecord>, StoreError> {
        let table = self.db.begin_read()?.open_table(REBUILDS)?;
        let mut records = Vec::new();
        for entry in table.range((projection, 0)..=(projection, u64::MAX))? {
            records.push(decode(projection, entry?.1.value())?);
        }
        Ok(records)
    }

    /// The latest rebuild of `projection`; `None` where there was none.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be read.
    pub fn latest_rebuild(&self, projection: &str) -> Result<Option<RebuildRecord>, StoreError> {
        self.projection(projection)?.latest.map(|generation| self.rebuild(projection, generation)).transpose()
    }

    /// The identities of the histories from which the generations that are kept were built.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn histories(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.all_rebuilds()?.into_iter().map(|record| record.spec.source_identity).collect())
    }

    /// Every generation of every projection.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn all_rebuilds(&self) -> Result<Vec<RebuildRecord>, StoreError> {
        let table = self.db.begin_read()?.open_table(REBUILDS)?;
        let mut records = Vec::new();
        for entry in table.iter()? {
            let (key, record) = entry?;
            records.push(decode(key.value().0, record.value())?);
        }
        Ok(records)
    }

    /// The generation that readers of `projection` see.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where none has been promoted yet.
    pub fn live(&self, projection: &str) -> Result<Generation, StoreError> {
        let live = self.projection(projection)?.live.ok_or_else(|| {
            StoreError::NotFound(format!("{projection} has no read model yet: unspool rebuild {projection} builds one"))
        })?;
        self.generation(projection, live)
    }

    /// The rebuild that filled the generation that readers of `projection` see; `None` where they see none.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be read.
    pub fn live_rebuild(&self, projection: &str) -> Result<Option<RebuildRecord>, StoreError> {
        self.projection(projection)?.live.map(|generation| self.rebuild(projection, generation)).transpose()
    }

    /// The generation `number` of `projection`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub fn generation(&self, projection: &str, number: u64) -> Result<Generation, StoreError> {
        let record = self.rebuild(projection, number)?;
        let into = record.home.map(|home| home.into);
        Ok(Generation { projection: projection.to_owned(), number, tables: record.tables, into })
    }

    /// Makes an empty generation. A new rebuild takes the place of the one before: a generation that is neither live, nor
    /// kept for rollback, nor made to be looked at, is dropped.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be written, or a database in which rows live or are to live
    /// refuses or cannot be reached.
    pub fn create_generation(&self, projection: &str, new: NewRebuild, now: i64) -> Result<RebuildRecord, StoreError> {
        crash::point("create-generation.before");
        let home = self.prepare_home(projection, new.into.clone(), new.indexes.clone())?;
        if new.spec.purpose == Purpose::Rebuild {
            self.drop_unused_at_home(projection)?;
        }
        let free = new.into.as_deref().map(|into| self.free_number(projection, into)).transpose()?;
        let write = self.db.begin_write()?;
        let mut owner = owner_in(&write, projection)?;
        owner.next_generation = owner.next_generation.max(free.unwrap_or_default());
        let record = RebuildRecord {
            generation: owner.next_generation,
            state_version: owner.description.version,
            tables: owner.description.tables.iter().map(|table| table.name.clone()).collect(),
            target: new.spec.after,
            total_events: Some(0),
            chunk_size: new.spec.options.chunk_size_of(&owner.description),
            caught_up: false,
            parked: 0,
            discarded: 0,
            crashes: 0,
            crashed_at: new.spec.after,
            stages: StageReport::default(),
            sealed: None,
            attempt: 0,
            started_at: now,
            ended_at: None,
            active_ms: 0,
            retries: 0,
            interrupted: false,
            ranges: Vec::new(),
            home,
            checkpoint: Checkpoint {
                projection_name: projection.to_owned(),
                last_event_id: None,
                last_event_timestamp: None,
                position: new.spec.after,
                seen: Seen::Nothing,
                events_processed: 0,
                missing: 0,
                checkpointed_at: now,
                status: Status::Paused,
                error: None,
            },
            spec: new.spec,
        };
        if record.spec.purpose == Purpose::Rebuild {
            for old in rebuilds_in(&write, projection)? {
                if is_unused(&owner, &old) {
                    drop_tables(&write, projection, &old)?;
                }
            }
            owner.latest = Some(record.generation);
        }
        owner.next_generation += 1;
        write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
        write.open_table(REBUILDS)?.insert((projection, record.generation), encode(&record)?.as_slice())?;
        crash::point("create-generation.written");
        write.commit()?;
        crash::point("create-generation.after");
        Ok(record)
    }

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
        if self.claim_home(projection, generation)?.is_some_and(|status| status == Status::Completed) {
            return self.rebuild(projection, generation);
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

    /// Settles a rebuild that no pipeline is working on: its checkpoint stays where it is.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn settle(
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

    /// Settles a rebuild whose thread does not come to its end, unless it has come to one after all.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn settle_stuck(
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

    /// Notes that a rebuild, which runs, is to go on when the next host serves: its own is about to end.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn want(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.interrupted = record.status() == Status::Running)
    }

    /// Notes that a rebuild stays where it is until an operator says otherwise.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn hold(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.interrupted = false)
    }

    /// The rebuilds that the store calls running. For a host that starts, and has the store for itself: they were left so
    /// by one that ended without a word.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn left_running(&self) -> Result<Vec<RebuildRecord>, StoreError> {
        Ok(self.all_rebuilds()?.into_iter().filter(|record| record.status() == Status::Running).collect())
    }

    /// The rebuilds that go on when a host serves.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn interrupted(&self) -> Result<Vec<RebuildRecord>, StoreError> {
        Ok(self.all_rebuilds()?.into_iter().filter(RebuildRecord::is_wanted).collect())
    }

    /// Leaves a rebuild paused that a host ended in the middle of, and counts how often that has happened in a row.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn settle_interrupted(&self, record: &RebuildRecord, now: i64) -> Result<RebuildRecord, StoreError> {
        self.update(&record.checkpoint.projection_name, record.generation, |record| {
            let position = record.checkpoint.position;
            // At the end of its history there is nothing to do that could end a host.
            record.crashes = match position > record.crashed_at {
                _ if position >= record.target => 0,
                true => 1,
                false => record.crashes + 1,
            };
            record.crashed_at = position;
            record.attempt += 1;
            record.ended_at = Some(now);
            record.interrupted = true;
            record.checkpoint.status = Status::Paused;
        })
    }

    /// Claims a generation, in whatever status it is: from here on nobody else's commits are accepted.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn claim(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        self.claim_home(projection, generation)?;
        self.update(projection, generation, |record| record.attempt += 1)
    }

    /// Notes the digest of a generation that is complete.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn seal(&self, projection: &str, generation: u64, digest: RowDigest) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| record.sealed = Some(digest))
    }

    /// [`Store::seal`] by who built it, and knows where the time went, that of the last commit included.
    ///
    /// # Errors
    /// As [`Store::seal`].
    pub fn seal_built(
        &self,
        projection: &str,
        generation: u64,
        digest: RowDigest,
        stages: StageReport,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| (record.sealed, record.stages) = (Some(digest), stages))
    }

    /// Drops a generation that readers do not see and no rebuild works on.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is in use; [`StoreError::NotFound`] where there is none.
    pub fn drop_generation(&self, projection: &str, generation: u64) -> Result<(), StoreError> {
        crash::point("drop.before");
        self.drop_at_home(projection, generation)?;
        let write = self.db.begin_write()?;
        let (mut owner, record) = (owner_in(&write, projection)?, record_in(&write, projection, generation)?);
        let used = |what: &str| {
            Err(StoreError::Refused(format!(
                "{} is {what}; it is dropped when another takes its place",
                record.checkpoint_id()
            )))
        };
        if owner.live == Some(generation) || owner.switching == Some(generation) {
            return used("what readers see");
        }
        if record.status() == Status::Running {
            return used("being built");
        }
        drop_tables(&write, projection, &record)?;
        if owner.previous == Some(generation) || owner.latest == Some(generation) {
            owner.previous = owner.previous.filter(|previous| *previous != generation);
            owner.latest = owner.latest.filter(|latest| *latest != generation).or(owner.live);
            write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
        }
        crash::point("drop.written");
        write.commit()?;
        crash::point("drop.after");
        Ok(())
    }

    pub(super) fn update(
        &self,
        projection: &str,
        generation: u64,
        change: impl FnOnce(&mut RebuildRecord),
    ) -> Result<RebuildRecord, StoreError> {
        let write = self.db.begin_write()?;
        let mut record = record_in(&write, projection, generation)?;
        let attempt = record.attempt;
        change(&mut record);
        if record.attempt != attempt {
            // The attempt before is not the one that knows what is in the journal any more.
            super::journal::recover(&write, &record)?;
        }
        write.open_table(REBUILDS)?.insert((projection, generation), encode(&record)?.as_slice())?;
        crash::point("record.written");
        write.commit()?;
        crash::point("record.after");
        Ok(record)
    }
}

/// Whether a new rebuild takes its place.
pub(super) fn is_unused(owner: &ProjectionRecord, record: &RebuildRecord) -> bool {
    let kept = [owner.live, owner.previous, owner.switching].contains(&Some(record.generation));
    !kept && record.spec.purpose == Purpose::Rebuild
}

// What a change depends on is read in the transaction that makes it: others change the same records meanwhile.

pub(super) fn owner_in(write: &WriteTransaction, projection: &str) -> Result<ProjectionRecord, StoreError> {
    match write.open_table(PROJECTIONS)?.get(projection)? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(StoreError::NotFound(format!("no projection is named {projection}"))),
    }
}

pub(super) fn record_in(
    write: &WriteTransaction,
    projection: &str,
    generation: u64,
) -> Result<RebuildRecord, StoreError> {
    match write.open_table(REBUILDS)?.get((projection, generation))? {
        Some(stored) => decode(projection, stored.value()),
        None => Err(no_generation(projection, generation)),
    }
}

fn rebuilds_in(write: &WriteTransaction, projection: &str) -> Result<Vec<RebuildRecord>, StoreError> {
    let table = write.open_table(REBUILDS)?;
    let mut records = Vec::new();
    for entry in table.range((projection, 0)..=(projection, u64::MAX))? {
        records.push(decode(projection, entry?.1.value())?);
    }
    Ok(records)
}

fn no_generation(projection: &str, generation: u64) -> StoreError {
    StoreError::NotFound(format!(
        "{projection} has no generation {generation}; see unspool model generations {projection}"
    ))
}

fn drop_tables(write: &WriteTransaction, projection: &str, old: &RebuildRecord) -> Result<(), StoreError> {
    write.delete_table(parked_table(&parked_table_name(projection, old.generation)))?;
    super::journal::forget(write, projection, old.generation)?;
    for table in &old.tables {
        let name = row_table_name(projection, old.generation, table);
        write.delete_table(row_table(&name))?;
        Packing::forget(write, &name)?;
    }
    write.open_table(REBUILDS)?.remove((projection, old.generation))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::DataDir, vocabulary::Description};
    use unspool_frame::{Complexity, Partitioning, TableDescription};

    fn new_scratch() -> NewRebuild {
        let spec = RebuildSpec {
            source: "log".to_owned(),
            source_identity: "identity".to_owned(),
            after: Position::START,
            to: None,
            purpose: Purpose::Scratch,
            label: None,
            segments: Vec::new(),
            options: RebuildOptions::default(),
        };
        NewRebuild { spec, into: None, indexes: Vec::new() }
    }

    /// Verifications and rebuilds make generations of one projection at the same time.
    #[test]
    fn no_two_generations_get_the_same_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::open(dir.path()).unwrap()).unwrap();
        let description = Description {
            name: "orders".to_owned(),
            version: 1,
            event_types: vec!["*".to_owned()],
            tables: vec![TableDescription { name: "rows".to_owned() }],
            complexity: Complexity::default(),
            chunk_size: None,
            partitioning: Partitioning::default(),
        };
        store.install(&description, "digest", b"component", "install", 0).unwrap();
        let create =
            || (0..25).map(|_| store.create_generation("orders", new_scratch(), 0).unwrap().generation).collect();
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads = [scope.spawn(create), scope.spawn(create)];
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert_eq!(store.rebuilds("orders").unwrap().len(), 50);
    }
}
