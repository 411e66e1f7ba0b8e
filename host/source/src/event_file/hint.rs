//! What to do with events whose fields have other names: a map that reads them, as far as the names are those that people use.

use super::field::{FieldValue, Fields};
use super::parts::{FIELDS, PARTS};
use crate::moment::Moment;

/// The names that fields have elsewhere, by part of the event, the likelier first; compared without case and underscores.
const NAMES: [&[&str]; 8] = [
    &["id", "eventid", "messageid", "uuid", "guid", "eventuuid"],
    &[
        "stream",
        "streamid",
        "streamname",
        "aggregateid",
        "aggregateuuid",
        "streamuuid",
        "entityid",
        "subject",
        "runid",
        "sessionid",
        "orderid",
    ],
    &["type", "eventtype", "eventname", "event", "messagetype", "kind", "action", "name"],
    &[
        "timestamp",
        "time",
        "occurredat",
        "occurredon",
        "eventtime",
        "createdat",
        "recordedat",
        "insertedat",
        "created",
        "updated",
        "ts",
        "at",
        "tsms",
        "date",
        "datetime",
        "@timestamp",
    ],
    &["data", "payload", "eventdata", "body", "eventpayload"],
    &["metadata", "meta", "eventmetadata", "headers"],
    &["schemaversion", "eventversion"],
    &["globalposition", "globalsequence", "sequencenumber", "globalindex"],
];

/// The parts that every event has.
const REQUIRED: usize = 4;

/// What to do with an event of these fields, which is none of ours.
pub(super) fn remedy(fields: &Fields<'_>) -> String {
    let found = NAMES.map(|names| {
        names
            .iter()
            .find_map(|name| fields.0.iter().find(|field| plain(&field.name) == *name && fits(name, field.value)))
    });
    let unknown = |name: &str| !FIELDS.contains(&name);
    if !found.iter().flatten().any(|field| unknown(&field.name)) {
        return "put it into metadata, or say with --map id=FIELD,stream=FIELD,type=FIELD,time=FIELD,data=FIELD which fields are \
                meant (a.b within an object)"
            .to_owned();
    }
    let mut map = Vec::new();
    for (index, field) in found.iter().enumerate() {
        let part = PARTS[index];
        match field {
            Some(field) => {
                let form = form(index, field.value);
                if field.name != FIELDS[index] || !form.is_empty() {
                    map.push(format!("{part}={}{form}", field.name));
                }
            }
            None if index < REQUIRED => map.push(format!("{part}=FIELD")),
            // Elsewhere it is a place in the stream, most often.
            None if part == "position" && fields.0.iter().any(|field| field.name == part) => {
                map.push("position=".to_owned())
            }
            None => {}
        }
    }
    let map = format!("read it with --map {}", map.join(","));
    match (&found[0], found[1..REQUIRED].iter().all(Option::is_some)) {
        (Some(_), true) => map,
        (Some(_), false) => format!("{map} (a.b is a field within an object)"),
        (None, _) => format!(
            "{map}; if its events have no ids, number them first: `jq -c '. + {{id: \"\\(input_filename):\\(input_line_number)\"}}'`"
        ),
    }
}

/// A name without case and underscores.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Whether the value can be what the name says: `event` may be a type or a payload.
fn fits(name: &str, value: FieldValue<'_>) -> bool {
    !matches!(name, "event" | "name" | "action" | "kind" | "subject") || value.text().is_some()
}

/// The form that a map has to name for the value of a part; empty where it needs none.
fn form(part: usize, value: FieldValue<'_>) -> String {
    match (PARTS[part], value.text()) {
        // Milliseconds as an integer need none.
        ("time", _) => match time_form(value) {
            Some("ms") if value.integer::<i64>().is_some() => String::new(),
            Some(form) => format!(":{form}"),
            None => String::new(),
        },
        ("data" | "metadata", Some(text)) if text.is_empty() || text.trim_start().starts_with(['{', '[']) => {
            ":json".to_owned()
        }
        _ => String::new(),
    }
}

/// The form in which the value is a time of our days, if it is not RFC 3339 text.
pub(super) fn time_form(value: FieldValue<'_>) -> Option<&'static str> {
    if let Some(text) = value.text()
        && Moment::parse(&text).is_err()
        && Moment::parse(&format!("{text}Z")).is_ok()
    {
        return Some("utc");
    }
    let number = value.decimal()?;
    let whole = number.split('.').next().filter(|whole| whole.bytes().all(|byte| byte.is_ascii_digit()))?;
    match whole.len() {
        9..=11 => Some("s"),
        12..=14 => Some("ms"),
        15..=17 => Some("us"),
        18..=20 => Some("ns"),
        _ => None,
    }
}
