//! Rows wherever they live: read, brought into the form in which they come back, and brought into their tables.

use crate::{
    crash,
    disk::DiskError,
    store::{
        Store,
        catalog::{RebuildRecord, RowDigest, tables::record_in},
        embedded::{self, journal, tables},
        error::StoreError,
        rows::{Generation, RowChange, RowSnapshot, digest},
    },
};
use bytes::Bytes;
use redb::{Durability, ReadableDatabase, TableHandle};

/// Rows on their way from a journal into their tables.
#[derive(Debug)]
pub struct Settled<'a> {
    /// The generation.
    pub record: &'a RebuildRecord,
    /// Some rows of the journal, for each table: each key once, in ascending order.
    pub rows: Vec<Vec<RowChange>>,
    /// Where these were the last rows of commits up to this number: their frames go.
    pub through: Option<u64>,
}

impl Store {
    /// The committed rows of `generation` as they are now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => embedded::snapshot(&self.db.begin_read()?, generation),
            Some(into) => self.databases.open(into)?.snapshot(generation),
        }
    }

    /// The rows of `generation` for the attempt that builds it: those in tables, at least as new as they are now. It has
    /// everything newer in its overlay, and may hold this for as long as it runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_rows(&self, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        match &generation.into {
            None => embedded::in_tables(&self.db.begin_read()?, generation),
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
        let Some(home) = &record.home else { return Ok(()) };
        let database = self.databases.open(&home.into)?;
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
        digest(&self.rows(generation)?, generation)
    }

    /// Brings rows that were committed to a journal into their tables. The checkpoint stays where it is.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another attempt has taken over; [`StoreError::Disk`] where the disk refuses.
    pub fn settle_rows(&self, settled: &Settled<'_>) -> Result<(), StoreError> {
        let (projection, generation) = (settled.record.checkpoint.projection_name.as_str(), settled.record.generation);
        let mut write = self.db.begin_write()?;
        // Durable with the next commit: until then the journal has them.
        write.set_durability(Durability::None).map_err(|e| DiskError::Write(e.to_string()))?;
        let now = record_in(&write, projection, generation)?;
        if now.attempt != settled.record.attempt {
            return Err(StoreError::fenced(projection, generation));
        }
        tables::write_rows(&write, &now, &settled.rows)?;
        if let Some(through) = settled.through {
            journal::forget_through(&write, projection, generation, through)?;
        }
        crash::point("settle.written");
        write.commit()?;
        crash::point("settle.after");
        Ok(())
    }

    /// Brings what an earlier process left in journals into tables. For a store that has just been opened.
    pub(in crate::store) fn recover_journals(&self) -> Result<(), StoreError> {
        let read = self.db.begin_read()?;
        if !read.list_tables()?.any(|table| journal::is_journal(table.name())) {
            return Ok(());
        }
        let write = self.db.begin_write()?;
        for record in self.all_rebuilds()? {
            journal::recover(&write, &record)?;
        }
        Ok(write.commit()?)
    }
}
