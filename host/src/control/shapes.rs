//! What the events of a history look like.

use super::{ControlError, EventShape, Host, Row, Sink, response::Answer, response::Response};
use crate::vocabulary::{Matcher, Position, Shape, work};
use std::collections::BTreeMap;
use unspool_frame::Event;

/// Types and versions that are told apart.
const KINDS: usize = 1_000;

impl Host {
    /// Gives what events look like that are in a source, by type and version: of all types where none are named.
    pub(super) fn events_schema(&self, source: Option<&str>, types: &[String], sink: &mut Sink<'_>) -> Answer {
        let name = source.unwrap_or("log");
        let source = self.sources().open(name)?;
        let every = ["*".to_owned()];
        let matcher = Matcher::new(if types.is_empty() { &every } else { types });
        let end = source.ceiling()?;
        work::begin("reading events", "events", source.count(&matcher, Position::START, end)?);
        let mut reader = source.read(&matcher, Position::START, end)?;
        let mut kinds: BTreeMap<(String, u32), EventShape> = BTreeMap::new();
        let mut unreadable = 0_u64;
        while let Some(block) = reader.next()? {
            for event in block.events() {
                let readable = Event::decode(&mut { event.frame }).ok().filter(|_| event.unreadable.is_none());
                let Some(read) = readable else {
                    unreadable += 1;
                    continue;
                };
                let kind = (read.kind.to_owned(), read.schema_version);
                if kinds.len() == KINDS && !kinds.contains_key(&kind) {
                    return Err(ControlError::refused(format!(
                        "{name} has events of more than {KINDS} types: name those that are wanted with --type"
                    )));
                }
                let shape = kinds.entry(kind).or_insert_with(|| EventShape {
                    r#type: read.kind.to_owned(),
                    schema_version: read.schema_version,
                    count: 0,
                    first: event.position,
                    last: event.position,
                    payload: Shape::default(),
                });
                shape.count += 1;
                shape.last = event.position;
                shape.payload.learn(read.data).map_err(|e| ControlError::failed(format!("event {}: {e}", read.id)))?;
            }
            work::advance(block.ends.len() as u64);
        }
        let missing: Vec<&str> =
            types.iter().filter(|of| !kinds.keys().any(|(kind, _)| kind == *of)).map(String::as_str).collect();
        if kinds.is_empty() || !missing.is_empty() {
            let of = if missing.is_empty() { String::new() } else { format!(" of type {}", missing.join(", ")) };
            return Err(ControlError::not_possible(format!("{name} has no event{of}")));
        }
        for shape in kinds.into_values() {
            if !sink(Row::EventShape(Box::new(shape))) {
                return Ok(Response::Nothing);
            }
        }
        match unreadable {
            0 => Ok(Response::Nothing),
            1 => Err(ControlError::failed(format!("{name} has an event that cannot be read; it is not counted"))),
            n => Err(ControlError::failed(format!("{name} has {n} events that cannot be read; they are not counted"))),
        }
    }
}
