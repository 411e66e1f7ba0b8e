//! One row, whose changes an attempt tells event by event.
//!
//! A call handles several events, and gives what all of them come to. Where it has touched the row, it is thrown away, and the events
//! are handled in two halves from the same rows, until each event that touches the row has a call of its own. How much is handled at
//! once never changes a result, so that the rows are those of any other run.

use super::{chunk::Chunk, owners::Looked, touched::Row};
use crate::{
    plugin::{Outcome, RowWrite},
    vocabulary::{EventFailure, Position, ReadRows},
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc::Sender,
};

/// A row that is observed. Clones share who is told.
#[derive(Debug, Clone)]
pub struct Observed {
    row: Row,
    /// Whether a call has touched it since the last time that was asked.
    touched: Arc<AtomicBool>,
    told: Sender<RowEvent>,
}

/// An event that has written or deleted the row.
#[derive(Debug, Clone)]
pub struct RowEvent {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub id: String,
    /// Its stream.
    pub stream: String,
    /// Its type.
    pub kind: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The row's document before it.
    pub before: Option<Bytes>,
    /// The row's document after it, which may be the same.
    pub after: Option<Bytes>,
}

impl Observed {
    /// Tells `told` of every event that writes or deletes `row`, in their order, before it is durable: an attempt that goes on after
    /// a loss tells again what it handles again. Where nobody listens any more, the attempt is cancelled.
    pub fn new(row: Row, told: Sender<RowEvent>) -> Observed {
        Observed { row, touched: Arc::default(), told }
    }

    /// Takes note of a call: it touches the row where it writes it, and also where it only looks for it, since a row that comes and
    /// goes within one call is written by none.
    pub(super) fn called(&self, looked: &Looked, writes: &[RowWrite]) {
        let (table, key) = (self.row.0, &*self.row.1);
        let touched = self.written(writes).is_some()
            || looked.rows().any(|(of, row)| of == table && row.as_bytes() == key)
            || looked.scans().any(|(of, prefix)| of == table && key.starts_with(prefix.as_bytes()));
        if touched {
            self.touched.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a call has touched it since this was last asked.
    pub(super) fn take_touched(&self) -> bool {
        self.touched.swap(false, Ordering::Relaxed)
    }

    /// Tells what the only event of `chunk` makes of the row as it is in `rows`; `false` where nobody listens any more.
    ///
    /// # Errors
    /// Where the row cannot be read.
    pub(super) fn tell(
        &self,
        chunk: &Chunk,
        outcome: &Outcome,
        rows: &impl ReadRows<Error = EventFailure>,
    ) -> Result<bool, EventFailure> {
        let (Some(after), Some(event)) = (self.written(&outcome.writes), chunk.event(0)) else { return Ok(true) };
        let before = match std::str::from_utf8(&self.row.1) {
            Ok(key) => rows.get_many(self.row.0, &[key])?.pop().flatten(),
            Err(_) => None,
        };
        let told = self.told.send(RowEvent {
            position: chunk.position(0),
            id: event.id.to_owned(),
            stream: event.stream.to_owned(),
            kind: event.kind.to_owned(),
            timestamp: event.timestamp,
            before,
            after: after.clone(),
        });
        Ok(told.is_ok())
    }

    /// What the row is after these writes, where it is one of them.
    fn written<'a>(&self, writes: &'a [RowWrite]) -> Option<&'a Option<Bytes>> {
        let written = |write: &&RowWrite| write.table == self.row.0 && write.key == self.row.1;
        writes.iter().rfind(written).map(|write| &write.document)
    }
}
