//! PostgreSQL as a database with rows of generations.
//!
//! A generation whose record names such a database has its rows there, in a schema of its own, one table for each of the
//! projection's:
//!
//! | in the database | holds |
//! |---|---|
//! | `unspool.projections` | which data directory a projection belongs to, and its live generation |
//! | `unspool.generations` | for each generation its checkpoint, the attempt that may commit, and its newest commit |
//! | `unspool_PROJECTION_GENERATION.TABLE` | rows: `key text COLLATE "C" PRIMARY KEY, document jsonb NOT NULL` |
//! | `PROJECTION.TABLE` | a view of the live generation's table: what applications query |
//!
//! Rows and checkpoint are written by one PostgreSQL transaction, and so is the switch of the views where the commit
//! completes the rebuild; that transaction decides. The store's own record follows it. Where a host ends between the two,
//! or does not learn the outcome of a commit, PostgreSQL is one commit ahead: `unspool.generations` has that commit without
//! its rows, and whoever next claims the generation applies it to the store first (see `coordinator/claim.rs`).
//!
//! An attempt's number is a fence: a commit of another attempt than the one in `unspool.generations` changes no row of it,
//! and is refused.

mod commit;
mod indexes;
mod names;
mod pool;
mod rows;
mod schema;
mod standing;
mod switch;

pub(super) use pool::Pool;

use super::{
    catalog::{External, RebuildRecord},
    commit::Commit,
    error::StoreError,
    external::{Claimed, ExternalRows, Reached, Standing},
    rows::{Generation, RowSnapshot},
};
use std::sync::Arc;

/// What a database of this kind is named by; a connection string follows.
pub(super) const KIND: &str = "postgres";

impl ExternalRows for Pool {
    fn reach(&self) -> Result<(), StoreError> {
        self.reach()
    }

    fn prepare(&self, projection: &str, tables: &[String], external: &External) -> Result<(), StoreError> {
        self.prepare(projection, tables, external)
    }

    fn claim(&self, record: &RebuildRecord, external: &External, attempt: u64) -> Result<Claimed, StoreError> {
        self.claim(record, external, attempt)
    }

    fn commit(
        &self,
        record: &RebuildRecord,
        external: &External,
        commit: &Commit,
        promote: bool,
    ) -> Result<(), StoreError> {
        self.commit(record, external, commit, promote)
    }

    fn snapshot(self: Arc<Self>, generation: &Generation) -> Result<RowSnapshot, StoreError> {
        Ok(Arc::new(rows::Rows::snapshot(self, generation)?))
    }

    fn snapshot_at(self: Arc<Self>, generation: &Generation) -> Result<(Reached, RowSnapshot), StoreError> {
        let rows = rows::Rows::snapshot(self, generation)?;
        Ok((rows.reached(generation)?, Arc::new(rows)))
    }

    fn current(self: Arc<Self>, generation: &Generation) -> RowSnapshot {
        Arc::new(rows::Rows::current(self, generation))
    }

    fn normalize(&self, key: &str, document: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
        commit::normalize(key, document)
    }

    fn switch(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError> {
        self.switch(record, external)
    }

    fn retire(&self, projection: &str, external: &External) -> Result<(), StoreError> {
        self.retire(projection, external)
    }

    fn drop_generation(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError> {
        self.drop_generation(record, external)
    }

    fn hand_over(&self, projection: &str, old: &str, new: &str) -> Result<(), StoreError> {
        self.hand_over(projection, old, new)
    }

    fn standing(&self, projection: &str) -> Result<Standing, StoreError> {
        self.standing(projection)
    }

    fn astray(
        &self,
        standing: &Standing,
        projection: &str,
        number: u64,
        tables: &[String],
    ) -> Option<(String, Option<String>)> {
        standing::astray(standing, projection, number, tables)
    }

    fn make_room(&self, projection: &str) -> String {
        schema::make_room(projection)
    }
}
