//! The life of a generation, apart from its commits.

use super::{
    Generation, PROJECTIONS, Priority, ProjectionRecord, REBUILDS, RebuildRecord, Store, StoreError,
    commit::{promote_in, row_table_name},
    decode, encode,
    rows::row_table,
};
use crate::vocabulary::{Checkpoint, EventFailure, Position, Status};
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};

/// What a new rebuild is told.
#[derive(Debug, Clone)]
pub struct NewRebuild {
    /// See [`RebuildRecord::source`].
    pub source: String,
    /// See [`RebuildRecord::source_identity`].
    pub source_identity: String,
    /// See [`RebuildRecord::after`].
    pub after: Position,
    /// See [`RebuildRecord::to`].
    pub to: Option<Position>,
    /// See [`RebuildRecord::chunk_size`].
    pub chunk_size: u32,
    /// See [`RebuildRecord::priority`].
    pub priority: Priority,
    /// See [`RebuildRecord::rate_limit`].
    pub rate_limit: Option<u32>,
    /// See [`RebuildRecord::promote`].
    pub promote: bool,
}

/// What is settled anew when an attempt begins.
#[derive(Debug, Clone)]
pub struct AttemptStart {
    /// See [`RebuildRecord::target`].
    pub target: Position,
    /// See [`RebuildRecord::total_events`].
    pub total_events: u64,
    /// See [`RebuildRecord::chunk_size`].
    pub chunk_size: u32,
    /// See [`RebuildRecord::priority`].
    pub priority: Priority,
    /// See [`RebuildRecord::rate_limit`].
    pub rate_limit: Option<u32>,
}

impl Store {
    /// The rebuild that fills or filled `generation`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where the projection has no such generation.
    pub fn rebuild(&self, projection: &str, generation: u64) -> Result<RebuildRecord, StoreError> {
        let table = self.db.begin_read()?.open_table(REBUILDS)?;
        match table.get((projection, generation))? {
            Some(record) => decode(projection, record.value()),
            None => Err(StoreError::NotFound(format!(
                "{projection} has no generation {generation}; see unspool model generations {projection}"
            ))),
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

    /// The identities of the histories from which an unfinished rebuild reads.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unfinished_histories(&self) -> Result<Vec<String>, StoreError> {
        let table = self.db.begin_read()?.open_table(REBUILDS)?;
        let mut identities = Vec::new();
        for entry in table.iter()? {
            let (key, record) = entry?;
            let record: RebuildRecord = decode(key.value().0, record.value())?;
            if matches!(record.status(), Status::Running | Status::Paused | Status::Failed) {
                identities.push(record.source_identity);
            }
        }
        Ok(identities)
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

    /// The generation `number` of `projection`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none.
    pub fn generation(&self, projection: &str, number: u64) -> Result<Generation, StoreError> {
        let record = self.rebuild(projection, number)?;
        Ok(Generation { projection: projection.to_owned(), number, tables: record.tables })
    }

    /// Makes an empty generation. Generations that are neither live nor kept for rollback are dropped.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be written.
    pub fn create_generation(&self, projection: &str, new: NewRebuild, now: i64) -> Result<RebuildRecord, StoreError> {
        let mut owner = self.projection(projection)?;
        let record = RebuildRecord {
            generation: owner.next_generation,
            source: new.source,
            source_identity: new.source_identity,
            state_version: owner.description.version,
            tables: owner.description.tables.iter().map(|table| table.name.clone()).collect(),
            after: new.after,
            to: new.to,
            target: new.after,
            total_events: 0,
            chunk_size: new.chunk_size,
            priority: new.priority,
            rate_limit: new.rate_limit,
            promote: new.promote,
            attempt: 0,
            started_at: now,
            ended_at: None,
            active_ms: 0,
            retries: 0,
            interrupted: false,
            ranges: Vec::new(),
            checkpoint: Checkpoint {
                projection_name: projection.to_owned(),
                last_event_id: None,
                last_event_timestamp: None,
                position: new.after,
                events_processed: 0,
                checkpointed_at: now,
                status: Status::Paused,
                error: None,
            },
        };
        let write = self.db.begin_write()?;
        for old in self.rebuilds(projection)? {
            if owner.live != Some(old.generation) && owner.previous != Some(old.generation) {
                drop_generation(&write, projection, &old)?;
            }
        }
        owner.latest = Some(record.generation);
        owner.next_generation += 1;
        write.open_table(PROJECTIONS)?.insert(projection, encode(&owner)?.as_slice())?;
        write.open_table(REBUILDS)?.insert((projection, record.generation), encode(&record)?.as_slice())?;
        write.commit()?;
        Ok(record)
    }

    /// Claims a rebuild for a new attempt: from here on only its commits are accepted.
    ///
    /// # Errors
    /// When there is no such generation, or the store cannot be written.
    pub fn begin_attempt(
        &self,
        projection: &str,
        generation: u64,
        start: &AttemptStart,
    ) -> Result<RebuildRecord, StoreError> {
        self.update(projection, generation, |record| {
            record.attempt += 1;
            record.target = start.target;
            record.total_events = start.total_events;
            record.chunk_size = start.chunk_size;
            record.priority = start.priority;
            record.rate_limit = start.rate_limit;
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
            record.interrupted = false;
            record.checkpoint.status = status;
            record.checkpoint.error = error;
        })
    }

    /// Finds the rebuilds that a host left running when it ended, and leaves them paused. Only the process that has
    /// the store open may say so, and it does so first of all.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn recover_interrupted(&self, now: i64) -> Result<Vec<(String, u64)>, StoreError> {
        let mut interrupted = Vec::new();
        for projection in self.projections()? {
            let name = projection.description.name;
            for record in self.rebuilds(&name)?.iter().filter(|record| record.status() == Status::Running) {
                self.update(&name, record.generation, |record| {
                    record.attempt += 1;
                    record.ended_at = Some(now);
                    record.interrupted = true;
                    record.checkpoint.status = Status::Paused;
                })?;
                interrupted.push((name.clone(), record.generation));
            }
        }
        Ok(interrupted)
    }

    /// Switches readers of `projection` to `generation`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it is not complete; [`StoreError::NotFound`] where there is none.
    pub fn promote(&self, projection: &str, generation: u64) -> Result<ProjectionRecord, StoreError> {
        let record = self.rebuild(projection, generation)?;
        if record.status() != Status::Completed {
            return Err(StoreError::Refused(format!(
                "{} is {}, not completed; readers are only given complete generations",
                record.checkpoint_id(),
                record.status()
            )));
        }
        let write = self.db.begin_write()?;
        promote_in(&write, projection, generation)?;
        write.commit()?;
        self.projection(projection)
    }

    /// Switches readers of `projection` back to the generation they saw before; the two change places.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is no earlier one.
    pub fn rollback(&self, projection: &str) -> Result<ProjectionRecord, StoreError> {
        let previous = self
            .projection(projection)?
            .previous
            .ok_or_else(|| StoreError::Refused(format!("{projection} has no earlier generation to roll back to")))?;
        self.promote(projection, previous)
    }

    fn update(
        &self,
        projection: &str,
        generation: u64,
        change: impl FnOnce(&mut RebuildRecord),
    ) -> Result<RebuildRecord, StoreError> {
        let write = self.db.begin_write()?;
        let record = {
            let mut rebuilds = write.open_table(REBUILDS)?;
            let stored = rebuilds.get((projection, generation))?.map(|stored| decode(projection, stored.value()));
            let mut record: RebuildRecord = stored
                .transpose()?
                .ok_or_else(|| StoreError::NotFound(format!("{projection} has no generation {generation}")))?;
            change(&mut record);
            rebuilds.insert((projection, generation), encode(&record)?.as_slice())?;
            record
        };
        write.commit()?;
        Ok(record)
    }
}

fn drop_generation(write: &WriteTransaction, projection: &str, old: &RebuildRecord) -> Result<(), StoreError> {
    for table in &old.tables {
        write.delete_table(row_table(&row_table_name(projection, old.generation, table)))?;
    }
    write.open_table(REBUILDS)?.remove((projection, old.generation))?;
    Ok(())
}
