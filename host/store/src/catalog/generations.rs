//! The records of rebuilds and of the generations that they fill.

use super::{
    options::{Purpose, RebuildOptions, RebuildSpec},
    records::{External, ProjectionRecord, RebuildRecord},
    tables::{REBUILDS, decode, no_generation},
};
use crate::{Store, error::StoreError, rows::Generation};
use redb::{ReadableDatabase, ReadableTable};
use unspool_vocabulary::{Checkpoint, Description, Position, Seen, StageReport, Status};

/// A generation that is to be created.
#[derive(Debug, Clone)]
pub struct NewRebuild {
    /// What is requested.
    pub spec: RebuildSpec,
    /// What declares its state version and its tables, where that is not the current plugin.
    pub shape: Option<Description>,
    /// The database in which its rows are to live, as `postgres:` and a connection string; in the store where absent.
    pub into: Option<String>,
    /// See [`External::indexes`].
    pub indexes: Vec<String>,
}

/// What is determined again when an attempt begins.
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
    /// The identity of the history as it is known now, and the mark by which the checkpoint is recognised; unchanged where
    /// absent.
    pub known: Option<(String, Seen)>,
}

impl AttemptStart {
    /// The target and options that `record` has already.
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

    /// The live generation of `projection`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where none has been promoted yet.
    pub fn live(&self, projection: &str) -> Result<Generation, StoreError> {
        let owner = self.projection(projection)?;
        if let Some(live) = owner.live {
            return self.generation(projection, live);
        }
        let latest = owner.latest.map(|latest| self.rebuild(projection, latest)).transpose()?;
        Err(StoreError::NotFound(match latest.filter(|record| record.status() != Status::Completed) {
            Some(record) => format!(
                "{projection} has no read model yet: its rebuild is {} (unspool status {projection})",
                record.status()
            ),
            None => format!("{projection} has no read model yet: unspool rebuild {projection} builds one"),
        }))
    }

    /// The rebuild that filled the live generation of `projection`; `None` where there is none.
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
        Ok(Generation::of(&self.rebuild(projection, number)?))
    }

    /// The rebuilds that the store calls running. For a host that starts, and has the store for itself: a host that crashed
    /// orphaned them.
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
}

/// The record of the next generation of `owner`, of this shape, which has not begun yet.
pub(crate) fn new_record(
    owner: &ProjectionRecord,
    shape: &Description,
    spec: RebuildSpec,
    external: Option<External>,
    now: i64,
) -> RebuildRecord {
    RebuildRecord {
        generation: owner.next_generation,
        state_version: shape.version,
        tables: shape.tables.iter().map(|table| table.name.clone()).collect(),
        target: spec.after,
        total_events: Some(0),
        chunk_size: spec.options.chunk_size_of(shape),
        promoted: false,
        following: None,
        parked: 0,
        discarded: 0,
        crashes: 0,
        crashed_at: spec.after,
        stages: StageReport::default(),
        row_digest: None,
        attempt: 0,
        started_at: now,
        ended_at: None,
        active_ms: 0,
        retries: 0,
        interrupted: false,
        ranges: Vec::new(),
        external,
        checkpoint: Checkpoint {
            projection_name: owner.description.name.clone(),
            last_event_id: None,
            last_event_timestamp: None,
            position: spec.after,
            seen: Seen::Nothing,
            events_processed: 0,
            missing: 0,
            checkpointed_at: now,
            status: Status::Paused,
            error: None,
        },
        spec,
    }
}

/// Whether a new rebuild replaces it.
pub(crate) fn is_unused(owner: &ProjectionRecord, record: &RebuildRecord) -> bool {
    let kept = [owner.live, owner.previous, owner.switching].contains(&Some(record.generation));
    !kept && record.spec.purpose == Purpose::Rebuild
}
