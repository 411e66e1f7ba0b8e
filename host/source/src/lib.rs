//! Histories: anything that can be read in order from a position.

pub mod event_file;
pub mod file;
pub mod log;
mod moment;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "without_postgres.rs"]
mod postgres;
mod shortened;
mod some_streams;
mod sources;
mod unit;

pub use some_streams::SomeStreams;
pub use sources::Sources;

use std::{collections::BTreeMap, time::Duration};
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position};

/// A history. Readers are cheap handles: several rebuilds may read one source at the same time.
///
/// Every history has an identity and an end, and is read in order from a position on. What only some can tell besides has an
/// answer that says so: `None`, or [`Lookup::CannotLook`], by which nothing is asserted of the events. Callers do without.
pub trait Source: Send + Sync {
    /// Tells this history from any other, wherever it is read from: a checkpoint holds for one history only.
    fn identity(&self) -> &str;

    /// Nothing above this position may be read yet; everything up to it is permanently stable.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn ceiling(&self) -> Result<Position, SourceError>;

    /// Reads the matching events with `after < position <= through`, in order.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError>;

    /// Whether `identity`, as a record has it, is that of this history; by default where they are the same text.
    fn recognises(&self, identity: &str) -> Recognised {
        match identity == self.identity() {
            true => Recognised::Same,
            false => Recognised::Other("its identity is another one".to_owned()),
        }
    }

    /// Which event stands at exactly this position now, of whatever type; `None` where none does. An event that the history
    /// still holds and does not give to readers any more (an archived one) is there all the same. By default what a reader
    /// gives.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError> {
        let mut reader = self.read(&Matcher::All, position.before(), position)?;
        while let Some(block) = reader.next()? {
            if let Some(event) = block.events().find(|event| event.position == position) {
                return Ok(event.mark());
            }
        }
        Ok(None)
    }

    /// The stable position at this moment, without waiting for anything: up to there a follower may read. By default
    /// the ceiling.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn stable(&self) -> Result<Position, SourceError> {
        self.ceiling()
    }

    /// Returns when there may be more to read, after `timeout` at the latest; by default then.
    fn wait(&self, timeout: Duration) {
        std::thread::sleep(timeout);
    }

    /// Refuses a history of which a follower might miss an event: one whose numbers may be given out again below its end. By
    /// default none is.
    ///
    /// # Errors
    /// [`SourceError`], permanent, with what to do.
    fn refuse_following(&self) -> Result<(), SourceError> {
        Ok(())
    }

    /// How many events with `after < position <= through` match; `None`, the default, where that is not known without reading
    /// them all.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn count(&self, _matcher: &Matcher, _after: Position, _through: Position) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    /// How many records with `after < position <= through` are no events of the history any more, by why: archived ones and the
    /// like, of any type. `None`, the default, where that is not known.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn left_out(&self, _after: Position, _through: Position) -> Result<Option<BTreeMap<String, u64>>, SourceError> {
        Ok(None)
    }

    /// The greatest position up to which no event is later than `timestamp`, in milliseconds since 1970; `None`, the default,
    /// where events are not found by their time.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn until(&self, _timestamp: i64) -> Result<Option<Position>, SourceError> {
        Ok(None)
    }

    /// The position after which, up to `through`, there are `events` matching events; [`Position::START`] where there are
    /// no more. `None`, the default, where the history is not read backwards.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn back(&self, _matcher: &Matcher, _through: Position, _events: u64) -> Result<Option<Position>, SourceError> {
        Ok(None)
    }

    /// Where the event with this id stands, and the last event before it. By default events are not found by their id.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    fn locate(&self, _id: &str) -> Result<Lookup, SourceError> {
        Ok(Lookup::CannotLook)
    }
}

/// What a history says about the identity that a record has.
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

/// What a history says about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Its event is here.
    Found(Located),
    /// No event has it.
    NotThere,
    /// This history does not find events by their id: nothing is known of it.
    CannotLook,
}

impl Lookup {
    /// Where its event is known to stand.
    pub fn found(self) -> Option<Located> {
        match self {
            Lookup::Found(located) => Some(located),
            Lookup::NotThere | Lookup::CannotLook => None,
        }
    }
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
