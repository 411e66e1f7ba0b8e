//! CloudEvents 1.0, in their JSON form or the same fields in MessagePack.

use super::Reason;
use super::field::{Field, FieldValue, Fields, document, name};
use super::time::Moment;
use crate::vocabulary::{Event, canonical};
use base64::prelude::{BASE64_STANDARD, Engine};
use rmp::encode::{self, buffer::ByteBuf};

/// The attribute that tells a CloudEvent.
pub(super) const MARK: &str = "specversion";

const ATTRIBUTES: [&str; 8] = [MARK, "id", "source", "subject", "type", "time", "data", "data_base64"];

/// The event that the attributes make.
pub(super) fn event(fields: Fields<'_>) -> Result<Event, Reason> {
    let ([version, id, source, subject, kind, time, data, data_base64], extensions) = fields.sorted(&ATTRIBUTES)?;
    if version.and_then(FieldValue::text).as_deref() != Some("1.0") {
        let found = version.map_or_else(|| "null".to_owned(), FieldValue::found);
        return Err(Reason::Field { field: MARK, expected: "\"1.0\", the version of CloudEvents that is read", found });
    }
    let id = name("id", id)?;
    let source_name = name("source", source)?;
    let (stream, kept_source) = match subject {
        Some(_) => (name("subject", subject)?, source),
        None => (source_name, None),
    };
    let why = "an event without a time cannot be replayed as it happened";
    let time = time.ok_or(Reason::Missed { field: "time", why })?;
    let moment = moment(time)?;
    let kept_time = if moment.exact { None } else { Some(time) };
    Ok(Event {
        id,
        stream,
        kind: name("type", kind)?,
        timestamp: moment.milliseconds,
        schema_version: 1,
        data: match (data, data_base64) {
            (Some(_), Some(_)) => return Err(Reason::TwoPayloads),
            (None, Some(encoded)) => binary(encoded)?,
            (data, None) => document("data", data)?,
        },
        metadata: metadata(&[("source", kept_source), ("time", kept_time)], &extensions)?,
    })
}

fn moment(time: FieldValue<'_>) -> Result<Moment, Reason> {
    let refuse =
        |found| Reason::Field { field: "time", expected: "RFC 3339 text like \"2024-01-31T12:00:00Z\"", found };
    Moment::parse(&time.text().ok_or_else(|| refuse(time.found()))?).map_err(refuse)
}

fn binary(encoded: FieldValue<'_>) -> Result<Vec<u8>, Reason> {
    let decoded = encoded.text().and_then(|text| BASE64_STANDARD.decode(text.as_bytes()).ok());
    let decoded = decoded.ok_or_else(|| Reason::Field {
        field: "data_base64",
        expected: "base64 text (standard alphabet, padded)",
        found: encoded.found(),
    })?;
    let mut out = ByteBuf::with_capacity(decoded.len());
    let Ok(_) = encode::write_bin(&mut out, &decoded);
    Ok(out.into_vec())
}

/// A map of the attributes that no field of ours holds.
fn metadata(kept: &[(&str, Option<FieldValue<'_>>)], extensions: &[Field<'_>]) -> Result<Vec<u8>, Reason> {
    let kept = kept.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let extensions = extensions.iter().filter(|field| !field.value.is_null()).map(|field| (&*field.name, field.value));
    let mut entries = ByteBuf::new();
    let mut len: u32 = 0;
    for (name, value) in kept.chain(extensions) {
        let Ok(()) = encode::write_str(&mut entries, name);
        entries.as_mut_vec().extend(document(name, Some(value))?);
        len += 1;
    }
    let mut map = ByteBuf::new();
    let Ok(_) = encode::write_map_len(&mut map, len);
    map.as_mut_vec().extend(entries.as_slice());
    canonical(map.as_slice()).map_err(|problem| Reason::Document { field: "metadata".to_owned(), problem })
}
