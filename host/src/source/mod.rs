//! Histories: anything that can be read in order from a position.

pub mod event_file;
pub mod file;
pub mod log;
mod moment;
pub mod postgres;
mod sources;
mod unit;

pub use sources::Sources;

use crate::vocabulary::{EventBlock, Mark, Matcher, Position};
use std::{collections::BTreeMap, time::Duration};

/// A history. Readers are cheap handles: several rebuilds may read one source at the same time.
pub trait Source: Send + Sync {
    /// Tells this history from any other, wherever it is read from: a checkpoint holds for one history only.
    fn identity(&self) -> &str;

    /// Whether `identity`, as a record has it, is that of this history.
    fn recognises(&self, identity: &str) -> Recognised;

    /// Which event stands at exactly this position now, of whatever type; `None` where none does. An event that the history
    /// still holds and does not give to readers any more (an archived one) stands there all the same.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError>;

    /// Nothing above this position may be read yet; everything up to it is settled for good.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn ceiling(&self) -> Result<Position, SourceError>;

    /// Up to where the history is settled at this moment, without waiting for anything: what a follower may read.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn settled(&self) -> Result<Position, SourceError> {
        self.ceiling()
    }

    /// Returns when there may be more to read, after `timeout` at the latest.
    fn wait(&self, timeout: Duration) {
        std::thread::sleep(timeout);
    }

    /// Refuses a history of which a follower might miss an event: one whose numbers may be given out again below its end.
    ///
    /// # Errors
    /// [`SourceError`], permanent, with what to do.
    fn refuse_following(&self) -> Result<(), SourceError> {
        Ok(())
    }

    /// How many events with `after < position <= through` match.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn count(&self, matcher: &Matcher, after: Position, through: Position) -> Result<u64, SourceError>;

    /// How many records with `after < position <= through` are no events of the history any more, by why: archived ones and the
    /// like, of any type.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn left_out(&self, _after: Position, _through: Position) -> Result<BTreeMap<String, u64>, SourceError> {
        Ok(BTreeMap::new())
    }

    /// Reads the matching events with `after < position <= through`, in order.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError>;

    /// The greatest position up to which no event is later than `timestamp`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn until(&self, timestamp: i64) -> Result<Position, SourceError>;

    /// The position behind which, up to `through`, there are `events` matching events; [`Position::START`] where there are
    /// no more.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn back(&self, matcher: &Matcher, through: Position, events: u64) -> Result<Position, SourceError>;

    /// The position of the event with this id, and of the last event before it; `None` where there is no such event.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn locate(&self, id: &str) -> Result<Option<Located>, SourceError>;
}

/// What a history says of the identity that a record has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// It is this one.
    Same,
    /// It is of an earlier form, which does not tell enough: the event at the checkpoint decides.
    Unclear,
    /// It is a file with another content: the same history only where the file has grown, which the event at the checkpoint
    /// tells; why.
    Changed(String),
    /// It is another history; why.
    Other(String),
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Its position.
    pub position: Position,
    /// The greatest position before it: reading after this one starts with the event.
    pub before: Position,
}

/// Reads on through a range of a source.
pub trait Reader: Send {
    /// The next matching events, in blocks of whatever size comes cheap; a block may hold no event and only move
    /// `through` forward. `None` once everything up to the range's end has been given: the last block's `through` is
    /// the end of the range. A block is the reader's: its memory serves the next one.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError>;
}

/// A history that cannot be read: which one, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// Names the culprit and the remedy.
    pub message: String,
    /// Whether another try may succeed.
    pub transient: bool,
    /// Whether the disk is at fault, not what was asked for.
    pub disk: bool,
}

impl From<event_file::EventFileError> for SourceError {
    fn from(error: event_file::EventFileError) -> SourceError {
        // The bad lines are written on this side.
        let disk = matches!(error.reason, event_file::Reason::Unwritable(_));
        SourceError { disk, ..SourceError::permanent(error.to_string()) }
    }
}

impl SourceError {
    /// A reason that will not go away by itself.
    pub fn permanent(message: impl Into<String>) -> SourceError {
        SourceError { message: message.into(), transient: false, disk: false }
    }
}
