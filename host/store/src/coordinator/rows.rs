//! Rows wherever they live: read, brought into the form in which they come back, and brought into their tables.

use crate::{
    Store,
    catalog::{
        RebuildRecord, RowDigest,
        change_log::{end_at, entry_of_commit},
        tables::{owner_at, record_at, record_in},
    },
    embedded::journal::is_journal,
    error::StoreError,
    external::Reached,
    rows::{Generation, LiveRows, RowSnapshot, digest},
};
use bytes::Bytes;
use redb::{Durability, ReadableDatabase, TableHandle};
use unspool_disk::DiskError;
use unspool_vocabulary::{Position, crash, work};

/// How often the live rows are looked at where they change in between.
const LIVE_TRIES: u32 = 100;

impl Store {
    /// The committed rows of `generation` as they are now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => self.embedded.snapshot(&self.db.begin_read()?, generation),
            Some(into) => self.databases.open(into)?.snapshot(generation),
        }
    }

    /// The committed rows of `generation` as they are now, and the position up to which its history is in them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows_at(&self, generation: &Generation) -> Result<(Position, RowSnapshot), StoreError> {
        match &generation.into {
            None => {
                let read = self.db.begin_read()?;
                let record = record_at(&read, &generation.projection, generation.number)?;
                Ok((record.checkpoint.position, self.embedded.snapshot(&read, generation)?))
            }
            Some(into) => {
                let (reached, rows) = self.databases.open(into)?.snapshot_at(generation)?;
                Ok((reached.position, rows))
            }
        }
    }

    /// What readers of `projection` see now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where nothing has been promoted yet; when the store cannot be read.
    pub fn live_rows(&self, projection: &str) -> Result<LiveRows, StoreError> {
        for _ in 0..LIVE_TRIES {
            let generation = self.live(projection)?;
            let Some(into) = &generation.into else {
                let read = self.db.begin_read()?;
                if owner_at(&read, projection)?.live != Some(generation.number) {
                    continue;
                }
                let position = record_at(&read, projection, generation.number)?.checkpoint.position;
                let rows = self.embedded.snapshot(&read, &generation)?;
                return Ok(LiveRows { position, changes: end_at(&read, projection)?, rows, generation });
            };
            let (Reached { position, commits }, rows) = self.databases.open(into)?.snapshot_at(&generation)?;
            let read = self.db.begin_read()?;
            if owner_at(&read, projection)?.live != Some(generation.number) {
                continue;
            }
            // The database may be a commit ahead, whose changes come once more then. Where it is far behind by now, it is asked again.
            if let Some(changes) = entry_of_commit(&read, projection, generation.number, commits)? {
                return Ok(LiveRows { position, changes, rows, generation });
            }
        }
        Err(StoreError::Refused(format!(
            "what readers of {projection} see does not stand still for a moment, or its database was restored from an older copy; \
             unspool store check tells"
        )))
    }

    /// The committed rows of `generation`, at least as new as they are now. What a database has is read as it is at each
    /// read: nothing is held there, and this may be held for long.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn current_rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => self.rows(generation),
            Some(into) => Ok(self.databases.open(into)?.current(generation)),
        }
    }

    /// Brings changed rows of `record`, each with its table and key, into the form in which they come back from where they live.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where a row cannot be kept there; it is named.
    pub fn normalize<'a>(
        &self,
        record: &RebuildRecord,
        rows: impl IntoIterator<Item = (usize, &'a Bytes, &'a mut Option<Bytes>)>,
    ) -> Result<(), StoreError> {
        let Some(external) = &record.external else { return Ok(()) };
        let database = self.databases.open(&external.into)?;
        for (table, key, document) in rows {
            let key = String::from_utf8_lossy(key);
            let normalized = database.normalize(&key, document.as_deref()).map_err(|problem| {
                let table = record.tables.get(table).map_or("", String::as_str);
                let key: String = key.chars().take(100).collect();
                let projection = &record.checkpoint.projection_name;
                StoreError::Refused(format!("{projection}/{table} row {}: {problem}", key.escape_debug()))
            })?;
            *document = normalized.map(Bytes::from);
        }
        Ok(())
    }

    /// The digest of the rows of `generation` as they are now (see [`digest`]).
    ///
    /// # Errors
    /// When the store cannot be read, or a document in it is damaged.
    pub fn digest(&self, generation: &Generation) -> Result<RowDigest, StoreError> {
        let recorded =
            self.rebuild(&generation.projection, generation.number).ok().and_then(|record| record.row_digest);
        work::begin("reading rows for their digest", "rows", recorded.map(|recorded| recorded.rows));
        digest(&self.rows(generation)?, generation)
    }

    /// Bytes of rows of `generation` that the store has in memory since they are not in their tables yet.
    pub fn unflushed_bytes(&self, generation: &Generation) -> usize {
        self.embedded.unflushed_bytes(generation)
    }

    /// Whether [`Store::maintain`] has something worthwhile to do.
    pub fn wants_maintenance(&self, generation: &Generation) -> bool {
        self.embedded.wants_flush(generation)
    }

    /// Does a little of what the rows of a generation that is being built need from time to time; commits wait for as long. What
    /// is committed stays as it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn maintain(&self, generation: &Generation) -> Result<(), StoreError> {
        let Some(mut flush) = self.embedded.take_flush(generation) else { return Ok(()) };
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::None).map_err(|e| DiskError::Write(e.to_string()))?;
        let record = record_in(&write, &generation.projection, generation.number)?;
        if !self.embedded.flush(&write, &record, &mut flush)? {
            return Ok(());
        }
        crash::point("flush.written");
        write.commit()?;
        crash::point("flush.after");
        self.embedded.flushed(generation, flush);
        Ok(())
    }

    /// Brings what an earlier process left in journals into tables. For a store that has just been opened.
    pub(crate) fn recover_journals(&self) -> Result<(), StoreError> {
        if !self.db.begin_read()?.list_tables()?.any(|table| is_journal(table.name())) {
            return Ok(());
        }
        let write = self.db.begin_write()?;
        for record in self.all_rebuilds()?.iter().filter(|record| record.external.is_none()) {
            self.embedded.recover(&write, record)?;
        }
        Ok(write.commit()?)
    }
}
