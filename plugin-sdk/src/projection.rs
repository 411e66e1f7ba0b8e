//! What a projection is to the SDK, and how it handles a chunk.

use crate::failure::{Failure, Handled, permanent};
use crate::rows::Rows;
use crate::write_set::WriteSet;
use std::rc::Rc;
use unspool_frame::{Chunk, Description, Event, FrameError};

/// The plugin contract itself: frames in, frames out. [`projection!`](crate::projection) implements it by way of
/// [`Projection`]; implement it by hand where a plugin needs frames of its own, and pass the type to
/// [`export!`](crate::export).
pub trait Plugin {
    /// The description frame.
    fn describe() -> Vec<u8>;

    /// Handles a chunk frame. `rows` are the rows before the chunk.
    fn handle(chunk: &[u8], rows: Rc<dyn Rows>) -> Outcome;
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many events from the start of the chunk were handled: all of them, exactly when `failure` is absent.
    pub handled: u32,
    /// The writes of the first `handled` events, and of no other: a write frame.
    pub writes: Vec<u8>,
    /// Why event number `handled`, counted from 0, could not be handled.
    pub failure: Option<Failure>,
}

/// A projection with typed tables and handlers. [`projection!`](crate::projection) implements it.
pub trait Projection {
    /// The tables that handlers see.
    type Tables: Tables;

    /// Whether [`Projection::preload`] does anything.
    const PRELOADS: bool;

    /// Name, version, event types and all else that the host wants to know.
    fn description() -> Description;

    /// Says which rows the event's handler will look at.
    fn preload(event: &Event<'_>, tables: &mut Self::Tables);

    /// Calls the handler of the event's type.
    ///
    /// # Errors
    /// When there is none, when the payload does not decode, or when the handler says so.
    fn dispatch(event: &Event<'_>, tables: &mut Self::Tables) -> Handled;
}

/// A set of [`Table`](crate::Table)s. [`projection!`](crate::projection) implements it.
pub trait Tables {
    /// Tables that know no rows yet and read them from `rows`.
    fn open(rows: &Rc<dyn Rows>) -> Self;

    /// Reads the rows that are wanted.
    ///
    /// # Errors
    /// When one does not decode.
    fn fetch(&mut self) -> Result<(), Failure>;

    /// Adds what changed to `writes`, table by table.
    ///
    /// # Errors
    /// When a row cannot be encoded.
    fn emit(&self, writes: &mut WriteSet) -> Result<(), Failure>;
}

impl<P: Projection> Plugin for P {
    fn describe() -> Vec<u8> {
        P::description().encode()
    }

    /// A failure costs nothing until it happens: then the events before it are handled once more, on tables that know
    /// nothing yet. Handlers are pure, so they come to the same writes, and the failed event has left no trace.
    fn handle(chunk: &[u8], rows: Rc<dyn Rows>) -> Outcome {
        let mut limit = u32::MAX;
        let mut failure = None;
        loop {
            let mut tables = P::Tables::open(&rows);
            let failed = match fold::<P>(chunk, limit, &mut tables) {
                Ok(handled) => match writes(&tables, chunk.len() / 2) {
                    Ok(writes) => {
                        discard(tables);
                        return Outcome { handled, writes, failure };
                    }
                    // A row that cannot be encoded does not say which event made it so: the last one without which it can.
                    Err(unencodable) => (handled.saturating_sub(1), unencodable),
                },
                Err(failed) => failed,
            };
            limit = failed.0;
            failure = Some(failed.1);
        }
    }
}

/// Handles up to `limit` events of a chunk frame, and returns how many.
///
/// # Errors
/// The number of the event that failed, and why. The tables then hold whatever its handler did to them.
pub(crate) fn fold<P: Projection>(chunk: &[u8], limit: u32, tables: &mut P::Tables) -> Result<u32, (u32, Failure)> {
    let events = Chunk::new(chunk).map_err(|error| (0, broken(&error)))?;
    if P::PRELOADS {
        return fold_preloaded::<P>(events, limit, tables);
    }
    let mut handled = 0;
    for event in events.take(limit as usize) {
        let event = event.map_err(|error| (handled, broken(&error)))?;
        P::dispatch(&event, tables).map_err(|failure| (handled, failure))?;
        handled += 1;
    }
    Ok(handled)
}

fn fold_preloaded<P: Projection>(events: Chunk<'_>, limit: u32, tables: &mut P::Tables) -> Result<u32, (u32, Failure)> {
    let mut ready = Vec::with_capacity(events.size_hint().1.unwrap_or(0).min(1 << 16));
    let mut broken_frame = None;
    for event in events.take(limit as usize) {
        match event {
            Ok(event) => {
                P::preload(&event, tables);
                ready.push(event);
            }
            Err(error) => broken_frame = Some(error),
        }
    }
    // A stored row that does not decode is the fault of the event that looks at it: it stays unread until then.
    let _ = tables.fetch();
    for (handled, event) in (0..).zip(&ready) {
        P::dispatch(event, tables).map_err(|failure| (handled, failure))?;
    }
    let handled = ready.len() as u32;
    broken_frame.map_or(Ok(handled), |error| Err((handled, broken(&error))))
}

/// The write frame of what has changed in `tables`; it is expected to take `bytes` bytes.
pub(crate) fn writes<T: Tables>(tables: &T, bytes: usize) -> Result<Vec<u8>, Failure> {
    let mut writes = WriteSet::with_capacity(bytes);
    tables.emit(&mut writes)?;
    Ok(writes.into_frame())
}

/// An instance lives for one chunk: the host takes its whole memory back, faster than the tables could be freed.
fn discard<T>(tables: T) {
    if cfg!(target_arch = "wasm32") {
        std::mem::forget(tables);
    }
}

#[cold]
fn broken(error: &FrameError) -> Failure {
    permanent(format_args!("the chunk frame is broken: {error}"))
}

/// The failure of an event that no handler takes.
#[cold]
#[doc(hidden)]
pub fn no_handler(event: &Event<'_>) -> Failure {
    permanent(format_args!("no handler for event type {}", event.kind)).detail("type", event.kind)
}
