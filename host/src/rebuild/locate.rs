//! Points in a history as operators name them: an event's id, a position or a time.

use super::RebuildError;
use crate::{
    source::{Located, Lookup, Source},
    vocabulary::Position,
};

/// What a text may mean. Where it may mean several points it is refused, not guessed at: an id may be a number.
#[derive(Default)]
struct Meanings {
    id: Option<Located>,
    position: Option<Position>,
    time: Option<i64>,
}

/// The one meaning that is taken.
enum Place {
    Event(Located),
    Position(Position),
    /// Milliseconds since 1970.
    Time(i64),
}

/// The end of a range: an event, a position, or a time; the last ends it right before the first event that is later.
/// `id:`, `position:` and `time:` in front say which of them is meant.
///
/// # Errors
/// When there is no such point, or more than one.
pub(super) fn end(source: &dyn Source, source_name: &str, text: &str) -> Result<Position, RebuildError> {
    Ok(match place(source, source_name, text)? {
        Place::Event(located) => located.position,
        Place::Position(position) => position,
        Place::Time(time) => until(source, source_name, text, time)?,
    })
}

/// Where a range begins, after which everything up to its end is read: right before an event, a position, or the first
/// event that is not earlier than a time. Named as for [`end`].
///
/// # Errors
/// As [`end`].
pub(super) fn before(source: &dyn Source, source_name: &str, text: &str) -> Result<Position, RebuildError> {
    Ok(match place(source, source_name, text)? {
        Place::Event(located) => located.before,
        Place::Position(position) => position.before(),
        Place::Time(time) => until(source, source_name, text, time.saturating_sub(1))?,
    })
}

/// The greatest position up to which no event is later than `time`, in milliseconds since 1970, which `text` says.
fn until(source: &dyn Source, source_name: &str, text: &str, time: i64) -> Result<Position, RebuildError> {
    source.until(time)?.ok_or_else(|| {
        RebuildError::Usage(format!(
            "{text}: {source_name} does not find events by their time; give a position (position:N), or an event's \
             id where it finds these"
        ))
    })
}

fn place(source: &dyn Source, source_name: &str, text: &str) -> Result<Place, RebuildError> {
    let refused = |what: &str, rest: &str| RebuildError::Usage(format!("{text}: {rest} is no {what}"));
    if let Some(id) = text.strip_prefix("id:") {
        return match source.locate(id)? {
            Lookup::Found(located) => Ok(Place::Event(located)),
            Lookup::NotThere => Err(RebuildError::NotFound(format!(
                "no event in {source_name} has the id {id}; an id that begins with id: is id:{text}"
            ))),
            Lookup::CannotLook => Err(RebuildError::Usage(format!(
                "{text}: {source_name} does not find events by their id; give a position (position:N)"
            ))),
        };
    }
    if let Some(position) = text.strip_prefix("position:") {
        return position.parse().map(Place::Position).map_err(|_| refused("position", position));
    }
    if let Some(time) = text.strip_prefix("time:") {
        return milliseconds(time).map(Place::Time).ok_or_else(|| refused("time such as 2024-01-31T12:00:00Z", time));
    }
    let looked = source.locate(text)?;
    let meanings = Meanings { id: looked.found(), position: text.parse().ok(), time: milliseconds(text) };
    match (meanings, looked) {
        (Meanings { id: None, position: None, time: None }, Lookup::CannotLook) => Err(RebuildError::Usage(format!(
            "{text} is no position, and {source_name} does not find events by their id; give a position (position:N)"
        ))),
        (meanings, _) => one_of(source, source_name, text, meanings),
    }
}

fn one_of(source: &dyn Source, source_name: &str, text: &str, meanings: Meanings) -> Result<Place, RebuildError> {
    let several = |other: &str, kind: &str, id: Position| {
        Err(RebuildError::Usage(format!(
            "{text} is the id of the event at position {id} in {source_name}, and {other}: say id:{text} or {kind}:{text}"
        )))
    };
    match meanings {
        // A position that the history does not have is not meant.
        Meanings { id: Some(id), position: Some(position), .. }
            if position != id.position && position > Position::START && position <= source.ceiling()? =>
        {
            several("a position", "position", id.position)
        }
        Meanings { id: Some(id), time: Some(time), .. } if source.until(time)?.is_some_and(|at| at != id.position) => {
            several("a time", "time", id.position)
        }
        Meanings { id: Some(id), .. } => Ok(Place::Event(id)),
        Meanings { position: Some(position), .. } => Ok(Place::Position(position)),
        Meanings { time: Some(time), .. } => Ok(Place::Time(time)),
        Meanings { id: None, position: None, time: None } => Err(RebuildError::NotFound(format!(
            "no event in {source_name} has the id {text}, and it is neither a position nor a time such as 2024-01-31T12:00:00Z"
        ))),
    }
}

fn milliseconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
}
