//! Events in our own form.

use super::field::{FieldValue, Fields, at_least_one, document, name};
use super::given::Given;
use super::parts::{FIELDS, POSITIONS, SCHEMA_VERSIONS};
use super::reading::Reading;
use super::time::Time;
use super::{Reason, hint};
use crate::shortened::shortened;
use unspool_vocabulary::Event;

/// The event that `fields` make.
pub(super) fn event(fields: Fields<'_>, reading: &Reading) -> Result<Given, Reason> {
    if let Some(other) = fields.0.iter().find(|field| !FIELDS.contains(&&*field.name)) {
        let (field, remedy) = (shortened(&other.name), hint::remedy(&fields));
        return Err(Reason::Unknown { field, known: FIELDS.join(", "), remedy });
    }
    let ([id, stream, kind, timestamp, data, metadata, schema_version, position], _) = fields.sorted(&FIELDS)?;
    let (id, stream, kind) = (key("id", id)?, key("stream", stream)?, key("type", kind)?);
    let time = timestamp.map(|value| {
        Time::of("timestamp", value, None).map_err(|reason| match hint::time_form(value) {
            Some(form) => remedied(reason, &format!("--map time=timestamp:{form} reads it")),
            None => reason,
        })
    });
    let time = time.transpose()?;
    let time = reading.time("timestamp", time, "every event has one")?;
    let numbers = reading.options.numbers;
    let event = Event {
        id,
        stream,
        kind,
        timestamp: time.milliseconds,
        schema_version: match schema_version {
            Some(value) => at_least_one("schemaVersion", SCHEMA_VERSIONS, value)
                .map_err(|reason| remedied(reason, "--map schema_version= keeps it in the metadata"))?,
            None => 1,
        },
        data: document("data", data, numbers)?,
        metadata: document("metadata", metadata, numbers)?,
    };
    let position = position.map(|value| {
        at_least_one("position", POSITIONS, value)
            .map_err(|reason| remedied(reason, "--map position= keeps it in the metadata, and counts the events"))
    });
    Ok(Given { event, position: position.transpose()?, cloud: false, without_time: None }.keeping(time))
}

/// An id, stream or type.
fn key(field: &str, value: Option<FieldValue<'_>>) -> Result<String, Reason> {
    let is_integer = value.is_some_and(|value| value.integer::<i128>().is_some());
    name(field, value).map_err(|reason| match is_integer {
        true => remedied(reason, &format!("--map {field}={field} takes integers as text")),
        false => reason,
    })
}

/// The reason against a field, with what makes it readable.
fn remedied(reason: Reason, remedy: &str) -> Reason {
    match reason {
        Reason::Field { field, expected, found } => {
            Reason::Field { field, expected, found: format!("{found}; {remedy}") }
        }
        reason => reason,
    }
}
