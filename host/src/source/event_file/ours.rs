//! Events in our own form.

use super::Reason;
use super::error::shortened;
use super::field::{FieldValue, Fields, Given, document, name};
use super::time::Moment;
use crate::vocabulary::Event;

const FIELDS: [&str; 8] = ["id", "stream", "type", "timestamp", "data", "metadata", "schemaVersion", "position"];

/// The event that `fields` make, and its position.
pub(super) fn event(fields: Fields<'_>) -> Result<Given, Reason> {
    let ([id, stream, kind, timestamp, data, metadata, schema_version, position], others) = fields.sorted(&FIELDS)?;
    if let Some(other) = others.first() {
        return Err(Reason::Unknown { field: shortened(&other.name), known: FIELDS.join(", ") });
    }
    let event = Event {
        id: name("id", id)?,
        stream: name("stream", stream)?,
        kind: name("type", kind)?,
        timestamp: milliseconds(timestamp)?,
        schema_version: match schema_version {
            Some(value) => at_least_one("schemaVersion", "an integer from 1 to 4294967295", value)?,
            None => 1,
        },
        data: document("data", data)?,
        metadata: document("metadata", metadata)?,
    };
    let position = position.map(|value| at_least_one("position", "an integer from 1 to 18446744073709551615", value));
    Ok((event, position.transpose()?))
}

fn milliseconds(value: Option<FieldValue<'_>>) -> Result<i64, Reason> {
    let field = "timestamp";
    let value = value.ok_or(Reason::Missed { field, why: "every event has one" })?;
    if let Some(milliseconds) = value.integer() {
        return Ok(milliseconds);
    }
    let expected = "milliseconds since 1970 as an integer, or RFC 3339 text like \"2024-01-31T12:00:00.000Z\"";
    let refused = || Reason::Field { field, expected, found: value.found() };
    let moment =
        Moment::parse(&value.text().ok_or_else(refused)?).map_err(|found| Reason::Field { field, expected, found })?;
    if moment.exact {
        Ok(moment.milliseconds)
    } else {
        Err(Reason::FinerThanMilliseconds { field, found: value.found() })
    }
}

fn at_least_one<T: TryFrom<i128> + PartialOrd + From<u8>>(
    field: &'static str,
    expected: &'static str,
    value: FieldValue<'_>,
) -> Result<T, Reason> {
    let number = value.integer().filter(|number: &T| *number >= T::from(1));
    number.ok_or_else(|| Reason::Field { field, expected, found: value.found() })
}
