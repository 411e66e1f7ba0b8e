//! PostgreSQL as the home of read models.
//!
//! A generation whose record names a home has its rows there, in a schema of its own, one table for each of the
//! projection's:
//!
//! | in the database | holds |
//! |---|---|
//! | `unspool.projections` | which data directory a projection belongs to, and the generation that readers see |
//! | `unspool.generations` | for each generation its checkpoint, the attempt that may commit, and its newest commit |
//! | `unspool_PROJECTION_GENERATION.TABLE` | rows: `key text COLLATE "C" PRIMARY KEY, document jsonb NOT NULL` |
//! | `PROJECTION.TABLE` | a view of the live generation's table: what applications query |
//!
//! Rows and checkpoint are written by one PostgreSQL transaction, and so is the switch of the views where the commit
//! completes the rebuild; that transaction decides. The store's own record follows it. Where a host ends between the two,
//! or does not learn how a commit came out, PostgreSQL is one commit ahead: `unspool.generations` has that commit without
//! its rows, and whoever next claims the generation applies it to the store first (see `Store::claim_home`).
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

pub use commit::homely;
pub(super) use pool::Pool;
pub(super) use rows::HomeRows;
pub(super) use schema::{Claimed, make_room};
pub(super) use standing::{GenerationThere, Standing};

use super::StoreError;
use crate::postgres::Target;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The prefix of a home in PostgreSQL; a connection string follows.
const PREFIX: &str = "postgres:";

/// Where the rows of a generation live, where that is not the store itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Home {
    /// `postgres:` and a connection string, without a password.
    pub into: String,
    /// Tells the projections of this data directory from those of another one in the same database.
    pub owner: String,
    /// Tells this generation from one with the same number of another time of the data directory: before a restore.
    pub id: String,
    /// How many commits of that database the store's record has followed.
    pub commits: u64,
    /// Statements that make indexes on its tables, which they name without a schema, before readers see them.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// The databases in which generations live, by name. Clones of a store share them.
#[derive(Default)]
pub(super) struct Homes {
    pools: Mutex<HashMap<String, Arc<Pool>>>,
}

impl Homes {
    /// The database that `into` names.
    pub(super) fn open(&self, into: &str) -> Result<Arc<Pool>, StoreError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(into) {
            return Ok(pool.clone());
        }
        let pool = Arc::new(Pool::new(target(into)?));
        pools.insert(into.to_owned(), pool.clone());
        Ok(pool)
    }
}

fn target(into: &str) -> Result<Target, StoreError> {
    match into.strip_prefix(PREFIX) {
        Some(target) => target.parse().map_err(StoreError::from),
        // What it is instead may hold a password.
        None => Err(StoreError::Refused(
            "rows live in the store, or in postgres:postgresql://USER@HOST:PORT/DATABASE; --into names no such place"
                .to_owned(),
        )),
    }
}
