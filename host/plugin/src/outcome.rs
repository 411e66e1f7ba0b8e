//! What a plugin returned for a chunk, checked before anyone believes it.

use super::guard::clip;
use super::wit::handler;
use bytes::Bytes;
use unspool_frame::{Write, Writes};
use unspool_vocabulary::limits;
use unspool_vocabulary::{Description, EventFailure, FailureKind, check_document};

/// Details of one failure that are kept.
const DETAILS: usize = 32;

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many events from the start of the chunk were handled: all of them, exactly when `failure` is absent.
    pub handled: usize,
    /// The writes of these events, in the order the plugin made them. Of two writes to one row the later one holds.
    pub writes: Vec<RowWrite>,
    /// Why event number `handled`, counted from 0, could not be handled. Its event is for the caller to name.
    pub failure: Option<EventFailure>,
    /// Memory that the instance had at the end, in bytes.
    pub memory_bytes: usize,
}

/// One row put or deleted. Key and document are slices of the frame that the plugin returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowWrite {
    /// The table, as its index in the description.
    pub table: usize,
    /// The row's key: UTF-8, not empty, at most [`limits::NAME_BYTES`].
    pub key: Bytes,
    /// The row's document, one MessagePack value; `None` deletes the row.
    pub document: Option<Bytes>,
}

/// The index of the table called `name`.
pub(super) fn table_index(description: &Description, name: &str) -> Option<usize> {
    description.tables.iter().position(|table| table.name == name)
}

/// Checks what `handle` returned for a chunk of `events` events.
///
/// # Errors
/// [`FailureKind::BadOutput`], naming what is wrong and in which write.
pub(super) fn validate(
    returned: handler::Outcome,
    events: usize,
    description: &Description,
) -> Result<Outcome, EventFailure> {
    let handled = returned.handled as usize;
    match &returned.failure {
        None if handled != events => {
            return Err(bad(format!("the plugin handled {handled} of {events} events and named no failure")));
        }
        Some(_) if handled >= events => {
            return Err(bad(format!("the plugin names a failure but handled {handled} of {events} events")));
        }
        _ => {}
    }
    let writes = writes(&Bytes::from(returned.writes), description)?;
    Ok(Outcome { handled, writes, failure: returned.failure.map(failure), memory_bytes: 0 })
}

fn writes(frame: &Bytes, description: &Description) -> Result<Vec<RowWrite>, EventFailure> {
    let broken = |problem| bad(format!("the returned write frame is broken: {problem}"));
    Writes::new(frame).map_err(broken)?.map(|write| row_write(&write.map_err(broken)?, frame, description)).collect()
}

fn row_write(write: &Write<'_>, frame: &Bytes, description: &Description) -> Result<RowWrite, EventFailure> {
    let refuse =
        |problem: &str| Err(bad(format!("the write to {}/{} {problem}", brief(write.table), brief(write.key))));
    let Some(table) = table_index(description, write.table) else {
        return refuse("is to a table that describe does not name");
    };
    if write.key.is_empty() {
        return refuse("has an empty key");
    }
    if write.key.len() > limits::NAME_BYTES {
        return refuse(&format!("has a key of {} bytes; {} are allowed", write.key.len(), limits::NAME_BYTES));
    }
    if let Some(Err(problem)) = write.document.map(check_document) {
        return refuse(&format!("has an unacceptable document: {problem}"));
    }
    Ok(RowWrite {
        table,
        key: frame.slice_ref(write.key.as_bytes()),
        document: write.document.map(|document| frame.slice_ref(document)),
    })
}

fn failure(failure: handler::Failure) -> EventFailure {
    let message = match failure.message.as_str() {
        "" => "the handler refused the event and gave no reason".to_owned(),
        message => clip(message),
    };
    let details = failure.details.iter().take(DETAILS).map(|(name, value)| (clip(name), clip(value))).collect();
    EventFailure {
        transient: failure.kind == "transient",
        details,
        ..EventFailure::permanent(FailureKind::Handler, message)
    }
}

/// A failure that blames what the plugin returned or asked for.
pub(super) fn bad(message: String) -> EventFailure {
    EventFailure::permanent(FailureKind::BadOutput, message)
}

/// A name of the guest's as it fits into a message.
pub(super) fn brief(name: &str) -> String {
    const SHOWN: usize = 80;
    let shown = clip(&name[..name.floor_char_boundary(SHOWN)]);
    if name.len() > SHOWN { format!("{shown}…") } else { shown }
}
