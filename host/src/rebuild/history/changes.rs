//! The changes of a row, on their way from an attempt to whoever asked for them.

use super::past::Past;
use crate::{
    pipeline::RowEvent,
    rebuild::compare::{FieldDifference, fields_that_differ, given},
    vocabulary::Position,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeSet, sync::mpsc};

/// An event that changed a row.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowChange {
    /// Its position.
    pub position: Position,
    /// Its id.
    pub id: String,
    /// Its stream.
    pub stream: String,
    /// Its type.
    pub r#type: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The fields that it changed, as paths from the document's root; `.` is the document itself, of a row that came or went.
    pub fields: Vec<FieldChange>,
}

/// A field that an event changed.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
pub struct FieldChange {
    /// Its path.
    pub field: String,
    /// What it was; absent where there was no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub before: Option<Value>,
    /// What it is; absent where there is no such field any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub after: Option<Value>,
}

impl From<FieldDifference> for FieldChange {
    fn from(FieldDifference { field, expected, found }: FieldDifference) -> FieldChange {
        FieldChange { field, before: expected, after: found }
    }
}

/// Takes a change; `false` when nobody wants more.
pub(super) type Tell<'a> = dyn FnMut(RowChange) -> bool + 'a;

/// The changes of a row on their way from an attempt to whoever asked for them.
pub(super) struct Changes<'a> {
    past: &'a Past<'a>,
    /// `None` where nobody listens any more.
    told: Option<mpsc::Receiver<RowEvent>>,
    /// What an attempt tells again is not new.
    last: Position,
    /// How many there were.
    pub(super) count: u64,
    /// The streams that they are of.
    pub(super) streams: BTreeSet<String>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(past: &'a Past<'a>, told: mpsc::Receiver<RowEvent>) -> Changes<'a> {
        Changes { past, told: Some(told), last: Position::START, count: 0, streams: BTreeSet::new() }
    }

    /// Whether anybody listens still.
    pub(super) fn are_heard(&self) -> bool {
        self.told.is_some()
    }

    /// Hands on what has been told since this was last called.
    pub(super) fn hand_on(&mut self, tell: &mut Tell<'_>) {
        let new: Vec<_> = self.told.iter().flat_map(mpsc::Receiver::try_iter).collect();
        for event in new {
            if event.position <= self.last {
                continue;
            }
            self.last = event.position;
            // What cannot be compared is shown.
            if self.past.same(event.before.as_ref(), event.after.as_ref()).unwrap_or(false) {
                continue;
            }
            self.count += 1;
            self.streams.insert(event.stream.clone());
            if !tell(change(event)) {
                self.told = None;
                return;
            }
        }
    }
}

fn change(event: RowEvent) -> RowChange {
    let RowEvent { position, id, stream, kind, timestamp, before, after } = event;
    let fields = fields_that_differ(before, after).into_iter().map(FieldChange::from).collect();
    RowChange { position, id, stream, r#type: kind, timestamp, fields }
}
