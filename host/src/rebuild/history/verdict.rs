//! What is to be said of the history of a row once it has been told: whether it leads to the row that is stored, and what it leaves
//! out.

use super::past::{Past, Replayed};
use crate::{
    rebuild::{
        RebuildError,
        compare::{FieldDifference, fields_that_differ},
    },
    vocabulary::Position,
};
use bytes::Bytes;
use serde_json::Value;
use std::collections::HashSet;

/// A dead letter: where it stands, and its stream.
type Letter = (Position, String);

/// Characters of a value, and fields, that a message shows.
const SHOWN: usize = 100;
const SHOWN_FIELDS: usize = 5;

/// Accepts what has been told, or says what is wrong with it. `stored` is the row that is there, where the history leads up to that;
/// `parked` are the dead letters of the generation.
///
/// # Errors
/// See `Supervisor::history`.
pub(super) fn on(
    past: &Past<'_>,
    replayed: &Replayed,
    stored: Option<&Option<Bytes>>,
    parked: &[Letter],
) -> Result<(), RebuildError> {
    let (name, id, row) = (&past.generation.projection, past.record.checkpoint_id(), past.name());
    let differs = match stored {
        Some(stored) => !past.same(replayed.row.as_ref(), stored.as_ref())?,
        None => false,
    };
    let now: HashSet<&Letter> = parked.iter().filter(|(at, _)| *at <= past.through).collect();
    let settled: Vec<&Letter> = replayed.parked.iter().filter(|letter| !now.contains(letter)).collect();
    let of_row = |(_, stream): &Letter| past.by_stream && replayed.streams.contains(stream);
    if differs && !settled.is_empty() {
        let left_out = match settled.iter().filter(|letter| of_row(letter)).count() {
            0 => settled.len(),
            of_row => of_row,
        };
        return Err(RebuildError::NotPossible(format!(
            "{row}: {left_out} events were dead letters when {id} was built, and were retried or discarded since; when, and with which \
             plugin, is not recorded, so that this history is told without them: unspool rebuild {name} --restart handles all events \
             in order"
        )));
    }
    if differs {
        return Err(RebuildError::Drifted(format!(
            "{row} of {id} is not what its history makes of it: {}; something else than its events has changed it, such as damage, or \
             a rebuild of its stream with another plugin: unspool model verify {name} compares all rows",
            said(replayed.row.clone(), stored.cloned().flatten())
        )));
    }
    let letters = format!("unspool dead-letters list {name} shows them");
    if replayed.changes == 0 {
        let may = match now.len() {
            0 => String::new(),
            waiting => format!("; {waiting} events are dead letters, which may have to do with it: {letters}"),
        };
        let (table, key) = (past.table_name(), past.key.escape_debug());
        let message =
            format!("{name}/{table} has never had a row with the key {key} up to position {}{may}", past.through);
        return Err(RebuildError::NotFound(message));
    }
    match now.iter().filter(|letter| of_row(letter)).count() {
        0 => Ok(()),
        waiting => Err(RebuildError::NotPossible(format!(
            "{row}: {waiting} later events of its stream are dead letters, and not in it: {letters}"
        ))),
    }
}

/// How a row that is stored differs from what its history makes of it.
fn said(expected: Option<Bytes>, found: Option<Bytes>) -> String {
    let shown = |value: Option<Value>| match value.map(|value| value.to_string()) {
        Some(value) if value.chars().count() > SHOWN => format!("{}...", value.chars().take(SHOWN).collect::<String>()),
        Some(value) => value,
        None => "absent".to_owned(),
    };
    let fields = fields_that_differ(expected, found).into_iter();
    let all = fields.map(|FieldDifference { field, expected, found }| {
        let of = if field == "." { String::new() } else { format!("{field} ") };
        format!("{of}is {} and not {}", shown(found), shown(expected))
    });
    all.take(SHOWN_FIELDS).collect::<Vec<_>>().join(", ")
}
