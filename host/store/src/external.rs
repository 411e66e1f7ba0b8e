//! What a database outside the store must do, so that rows of generations can live in it.
//!
//! Such a database has its own transaction with rows, checkpoint and promotion, and that transaction decides; the store's
//! record follows it (see `coordinator`). Another kind of database is another implementation, and a line in `databases.rs`.

use super::{
    catalog::{External, RebuildRecord},
    commit::Commit,
    error::StoreError,
    rows::{Generation, RowSnapshot},
};
use std::sync::Arc;
use unspool_vocabulary::Position;

/// A database with rows of generations.
pub(super) trait ExternalRows: Send + Sync {
    /// Checks that it answers.
    fn reach(&self) -> Result<(), StoreError>;

    /// Checks that tables of `projection` can live here, as `external` says, and creates what all projections share. Changes
    /// nothing that is live.
    fn prepare(&self, projection: &str, tables: &[String], external: &External) -> Result<(), StoreError>;

    /// Lets only `attempt` commit to the generation of `record` from here on, once what is under way has ended.
    fn claim(&self, record: &RebuildRecord, external: &External, attempt: u64) -> Result<Claimed, StoreError>;

    /// Makes the rows and the checkpoint of `commit` durable, and promotes the generation where `promote` says so. `record`
    /// is what the store has of the generation. After an error that is not [`StoreError::Fenced`] it is not known whether
    /// this was done, and the generation must be claimed again.
    fn commit(
        &self,
        record: &RebuildRecord,
        external: &External,
        commit: &Commit,
        promote: bool,
    ) -> Result<(), StoreError>;

    /// The committed rows as they are now, in one state.
    fn snapshot(self: Arc<Self>, generation: &Generation) -> Result<RowSnapshot, StoreError>;

    /// The committed rows as they are now, in one state, and what is in them.
    fn snapshot_at(self: Arc<Self>, generation: &Generation) -> Result<(Reached, RowSnapshot), StoreError>;

    /// The committed rows as they are at each read; nothing is held between two.
    fn current(self: Arc<Self>, generation: &Generation) -> RowSnapshot;

    /// The document of a row as it comes back from here.
    ///
    /// # Errors
    /// Says why the row cannot be kept here.
    fn normalize(&self, key: &str, document: Option<&[u8]>) -> Result<Option<Vec<u8>>, String>;

    /// Promotes the generation of `record`, in one transaction. May be done twice.
    fn switch(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError>;

    /// Removes what readers use of `projection`: its live generation is not here. May be done twice.
    fn retire(&self, projection: &str, external: &External) -> Result<(), StoreError>;

    /// Drops the rows of a generation that is not live. What others have built on them is not dropped.
    fn drop_generation(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError>;

    /// Makes the read model of one data directory another's: `old` and `new` are the names by which they are told apart.
    fn hand_over(&self, projection: &str, old: &str, new: &str) -> Result<(), StoreError>;

    /// What is here of `projection`.
    fn standing(&self, projection: &str) -> Result<Standing, StoreError>;

    /// The first of `tables` whose name shows readers anything but generation `number` of `projection`: that name, and what
    /// it shows, which is nothing where there is no such name.
    fn astray(
        &self,
        standing: &Standing,
        projection: &str,
        number: u64,
        tables: &[String],
    ) -> Option<(String, Option<String>)>;

    /// What helps where another data directory has a projection of this name here.
    fn make_room(&self, projection: &str) -> String;
}

/// What is in the rows of a generation.
pub(super) struct Reached {
    /// Up to here its history is.
    pub(super) position: Position,
    /// Commits that it has taken.
    pub(super) commits: u64,
}

/// What a database says when a generation is claimed.
pub(super) struct Claimed {
    /// Commits that it has taken.
    pub(super) commits: u64,
    /// The newest of them without its rows; `None` where there was none.
    pub(super) newest: Option<Commit>,
}

/// What a database says about a projection.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// Which data directory the projection belongs to; absent where the database has never heard of it.
    pub(super) owner: Option<String>,
    /// The generation that is to be live.
    pub(super) live: Option<u64>,
    /// The generations whose rows are there.
    pub(super) generations: Vec<GenerationThere>,
    /// The names that readers use, and where that which each shows really is.
    pub(super) shown: Vec<(String, String)>,
}

/// A generation whose rows are in a database.
#[derive(Debug, Clone)]
pub(super) struct GenerationThere {
    /// Its number.
    pub(super) number: u64,
    /// See [`External::id`].
    pub(super) id: String,
    /// Commits that it has taken.
    pub(super) commits: u64,
}

impl Standing {
    /// The generation with this number.
    pub(super) fn generation(&self, number: u64) -> Option<&GenerationThere> {
        self.generations.iter().find(|generation| generation.number == number)
    }
}
