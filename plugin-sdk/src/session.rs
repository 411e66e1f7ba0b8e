//! A fold in memory: the same handlers without a host.

use crate::failure::Failure;
use crate::projection::{Projection, Tables, fold, writes};
use crate::rows::{MemoryRows, Rows};
use std::rc::Rc;

/// Folds chunk after chunk and keeps the decoded rows in memory all the while: what the handlers cost alone.
///
/// ```
/// # use unspool_sdk::prelude::*;
/// # #[derive(Serialize, Deserialize, Default)] struct Count { count: u64 }
/// # projection! {
/// #     pub struct Counts; name: "counts", version: 1,
/// #     tables: Tables { counts: Count },
/// #     handlers: { "*" => count },
/// # }
/// # fn count(e: &Event<'_>, t: &mut Tables) -> Handled { t.counts.entry(e.stream)?.count += 1; Ok(()) }
/// # let frame = [0x90];
/// let mut session = unspool_sdk::Session::<Counts>::new();
/// let handled = session.fold(&frame).unwrap();
/// assert_eq!(handled, 0);
/// let rows = session.tables().counts.scan("").unwrap();
/// ```
pub struct Session<P: Projection> {
    tables: P::Tables,
}

impl<P: Projection> Session<P> {
    /// A fold that starts from nothing.
    #[must_use]
    pub fn new() -> Session<P> {
        Session::over(Rc::new(MemoryRows::new()))
    }

    /// A fold that starts from `rows`, and leaves them as they are.
    #[must_use]
    pub fn over(rows: Rc<dyn Rows>) -> Session<P> {
        Session { tables: P::Tables::open(&rows) }
    }

    /// Handles a chunk frame and returns how many events it held.
    ///
    /// # Errors
    /// The number of the event that failed, counted from 0, and why. The session then holds what the events before it did,
    /// and whatever the failed handler did until it gave up: it is of no more use than that.
    pub fn fold(&mut self, chunk: &[u8]) -> Result<u32, (u32, Failure)> {
        fold::<P>(chunk, u32::MAX, &mut self.tables)
    }

    /// The rows so far.
    pub fn tables(&mut self) -> &mut P::Tables {
        &mut self.tables
    }

    /// All that the session has changed, as one write frame.
    ///
    /// # Errors
    /// When a row cannot be encoded.
    pub fn writes(&self) -> Result<Vec<u8>, Failure> {
        writes(&self.tables, 0)
    }
}

impl<P: Projection> Default for Session<P> {
    fn default() -> Self {
        Session::new()
    }
}
