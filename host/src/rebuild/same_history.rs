//! Whether a source is still the history that a generation was built from: its identity, its end, and the event at the
//! checkpoint. Checked before every attempt, and whenever something is built again.

use super::RebuildError;
use crate::{
    source::{Lookup, Recognised, Source, SourceError},
    store::RebuildRecord,
    vocabulary::{EventFailure, FailureKind, Mark, Matcher, Position, Seen, Status},
};
use serde::{Deserialize, Serialize};

/// What an operator says about a history that is not quite what it was.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Accept {
    /// It is the same history, whatever its identity says: after `pg_upgrade`, or a move. The event at the checkpoint must be
    /// the one that was handled.
    pub history: bool,
    /// The id of the event at the checkpoint, which was deleted or changed on purpose.
    pub changed: Option<String>,
    /// As many events may be missing at the end that were counted before, or handled.
    pub missing: Option<u64>,
}

/// Why nothing may be applied.
#[derive(Debug)]
pub(super) enum Departure {
    /// It is another history, or was put back.
    Other {
        /// What is where.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// It cannot be read.
    Unreadable(SourceError),
}

impl From<SourceError> for Departure {
    fn from(error: SourceError) -> Departure {
        Departure::Unreadable(error)
    }
}

impl From<Departure> for RebuildError {
    fn from(departure: Departure) -> RebuildError {
        match departure {
            Departure::Other { message, remedy } => RebuildError::OtherHistory { message, remedy },
            Departure::Unreadable(e) => e.into(),
        }
    }
}

impl From<Departure> for EventFailure {
    fn from(departure: Departure) -> EventFailure {
        match departure {
            Departure::Other { message, remedy } => {
                EventFailure::permanent(FailureKind::Source, message).with_remedy(remedy)
            }
            Departure::Unreadable(e) => {
                EventFailure { transient: e.transient, ..EventFailure::permanent(FailureKind::Source, e.message) }
            }
        }
    }
}

/// Checks that work on `record` may go on with `source`, and says by what its checkpoint is recognised from here on. `end` is
/// where the history ends, where that is known.
pub(super) fn check(
    source: &dyn Source,
    record: &RebuildRecord,
    end: Option<Position>,
    accept: &Accept,
) -> Result<Seen, Departure> {
    if let Recognised::Other(why) | Recognised::Changed(why) = source.recognises(&record.spec.source_identity)
        && !accept.history
    {
        return Err(departed(record, &why, Remedy::Identity));
    }
    let (found, mark) = match seen(source, record)? {
        (None, None) => {
            ends_behind(record, end)?;
            return Ok(match record.checkpoint.last_event_id {
                // It is known by its id alone, by which this history does not find it.
                Some(_) if record.checkpoint.seen == Seen::Unknown => Seen::Unknown,
                _ => Seen::Nothing,
            });
        }
        (found, Some(mark)) => (found, mark),
        (Some(found), None) => (Some(found.clone()), found),
    };
    let accepted = match &accept.changed {
        Some(id) if *id != mark.id => {
            return Err(Departure::Other {
                message: format!(
                    "the event at the checkpoint of {} is {}, not {id}; nothing was applied",
                    record.checkpoint_id(),
                    mark.id
                ),
                remedy: format!("name that one with --accept-changed {}, where it was changed on purpose", mark.id),
            });
        }
        accepted => accepted.is_some(),
    };
    let Mark { id, position, .. } = &mark;
    match found {
        // What was not recorded about it is not recorded now: an event that could not be read may be corrected.
        Some(found) if mark.is(&found) => ends_behind(record, end).map(|()| Seen::Event(mark)),
        Some(found) if found.id == mark.id && accepted => Ok(Seen::Event(found)),
        Some(found) if found.id == mark.id => Err(departed(
            record,
            &format!("event {id} at position {position}, up to which it was built, has another content now"),
            Remedy::Event(id),
        )),
        Some(found) => Err(departed(
            record,
            &format!(
                "at position {position} stands event {} now, and event {id} when it was built up to there: it was put back to \
                 an earlier state and has grown again, or was replaced",
                found.id
            ),
            Remedy::None,
        )),
        None if accepted => Ok(last_event(source, record.checkpoint.position)?),
        None => {
            let gone = format!("event {id} at position {position}, up to which it was built, is not there any more");
            let why = match end.filter(|end| *end < record.checkpoint.position) {
                Some(end) => format!("it ends at {end}, before {}, and {gone}", record.checkpoint.position),
                None => gone,
            };
            let why = format!("{why}: it was put back to an earlier state or emptied, or the event was deleted");
            Err(departed(record, &why, Remedy::Event(id)))
        }
    }
}

/// Why work on `record` could not go on with `source`; `None` where it could.
///
/// # Errors
/// When the source cannot be read.
pub(crate) fn departure(source: &dyn Source, record: &RebuildRecord) -> Result<Option<String>, SourceError> {
    match check(source, record, Some(source.ceiling()?), &Accept::default()) {
        Ok(_) => Ok(None),
        Err(Departure::Other { message, .. }) => Ok(Some(message)),
        Err(Departure::Unreadable(e)) => Err(e),
    }
}

/// A checkpoint holds for the history that it was made from.
pub(super) fn refuse_other_history(
    source: &dyn Source,
    record: &RebuildRecord,
    accept: &Accept,
) -> Result<(), RebuildError> {
    let end = source.ceiling()?;
    Ok(check(source, record, Some(end), accept).map(drop)?)
}

/// What stands at the checkpoint of `record` now, and what stood there when it was made: where nothing was recorded then, the
/// last event that was handled is looked for. Neither is known of a history that does not find it.
fn seen(source: &dyn Source, record: &RebuildRecord) -> Result<(Option<Mark>, Option<Mark>), SourceError> {
    let checkpoint = &record.checkpoint;
    match (&checkpoint.seen, &checkpoint.last_event_id) {
        (Seen::Event(mark), _) => Ok((source.at(mark.position)?, Some(mark.clone()))),
        (Seen::Nothing, _) | (Seen::Unknown, None) => Ok((None, None)),
        (Seen::Unknown, Some(id)) => {
            let found = match source.locate(id)? {
                Lookup::Found(located) if located.position <= checkpoint.position => source.at(located.position)?,
                Lookup::Found(_) | Lookup::NotThere => None,
                Lookup::CannotLook => return Ok((None, None)),
            };
            let unknown = Mark { id: id.clone(), position: checkpoint.position, content: String::new() };
            Ok(match found {
                Some(found) => (Some(found.clone()), Some(found)),
                None => (None, Some(unknown)),
            })
        }
    }
}

/// The last event up to `position`, of whatever type.
fn last_event(source: &dyn Source, position: Position) -> Result<Seen, SourceError> {
    if let Some(mark) = source.at(position)? {
        return Ok(Seen::Event(mark));
    }
    Ok(match source.back(&Matcher::All, position, 0)? {
        None => Seen::Unknown,
        Some(Position::START) => Seen::Nothing,
        Some(before) => source.at(before)?.map_or(Seen::Nothing, Seen::Event),
    })
}

/// A history that ends before a checkpoint was put back.
fn ends_behind(record: &RebuildRecord, end: Option<Position>) -> Result<(), Departure> {
    let position = record.checkpoint.position;
    match end.filter(|end| *end < position) {
        None => Ok(()),
        Some(end) => {
            let why = format!("it ends at {end}, before {position}: it was put back to an earlier state");
            Err(departed(record, &why, Remedy::None))
        }
    }
}

/// The remedy other than a new generation.
enum Remedy<'a> {
    None,
    /// The operator may know that it is the same history.
    Identity,
    /// The operator may know what became of this event.
    Event(&'a str),
}

fn departed(record: &RebuildRecord, why: &str, remedy: Remedy<'_>) -> Departure {
    let (id, source, name) = (record.checkpoint_id(), &record.spec.source, &record.checkpoint.projection_name);
    let follows = record.following.is_some();
    let goes_on = follows || matches!(record.status(), Status::Running | Status::Paused | Status::Failed);
    let again = if follows { "follow" } else { "resume" };
    let or = match remedy {
        Remedy::Identity if goes_on => format!(
            "; where it is the same all the same (after pg_upgrade, or a move), `unspool {again} {name} --accept-history` goes on"
        ),
        Remedy::Identity => format!(
            "; where it is the same all the same (after pg_upgrade, a move, or in a file that has only grown), `unspool model \
             verify {name} --accept-history` compares with it"
        ),
        Remedy::Event(event) if goes_on => {
            format!("; where that was on purpose, `unspool {again} {name} --accept-changed {event}` goes on")
        }
        _ => String::new(),
    };
    Departure::Other {
        message: format!("{id} was built from another history than {source} is now ({why}); nothing was applied"),
        remedy: format!("`unspool rebuild {name} --restart` builds a new generation from what is there{or}"),
    }
}

/// Why `source` is not the history that the generation of `record` was built from, for callers that build another one: `None`
/// where it is, also where it has grown.
pub(super) fn why_other(source: &dyn Source, record: &RebuildRecord) -> Result<Option<String>, SourceError> {
    let stands = match &record.checkpoint.seen {
        Seen::Event(mark) => Some(source.at(mark.position)?),
        Seen::Nothing | Seen::Unknown => None,
    };
    Ok(match (source.recognises(&record.spec.source_identity), stands, &record.checkpoint.seen) {
        // A file that was appended to.
        (Recognised::Changed(_), Some(Some(found)), Seen::Event(mark)) if mark.is(&found) => None,
        (Recognised::Other(why) | Recognised::Changed(why), _, _) => Some(why),
        (_, Some(Some(found)), Seen::Event(mark)) if found.id != mark.id => Some(format!(
            "event {} stands at position {} now, where event {} stood: it was put back to an earlier state and has grown again, or \
             was replaced",
            found.id, mark.position, mark.id
        )),
        (_, Some(Some(found)), Seen::Event(mark)) if !mark.is(&found) => Some(format!(
            "event {} at position {} has another content now: it was changed, or another history has the same ids",
            mark.id, mark.position
        )),
        (_, Some(None), Seen::Event(mark)) => Some(format!(
            "event {} does not stand at position {} any more: it was put back to an earlier state, emptied, or deleted from",
            mark.id, mark.position
        )),
        _ => None,
    })
}
