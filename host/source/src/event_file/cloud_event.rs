//! CloudEvents 1.0, in their JSON form or the same fields in MessagePack.

use super::Reason;
use super::field::{FieldValue, Fields, document, map, name, refused};
use super::given::Given;
use super::reading::Reading;
use super::time::Time;
use base64::prelude::{BASE64_STANDARD, Engine};
use rmp::encode::{self, buffer::ByteBuf};
use std::borrow::Cow;
use unspool_vocabulary::Event;

/// The attribute that tells a CloudEvent.
pub(super) const MARK: &str = "specversion";

/// The attribute, and the entry of the metadata, that says where an event comes from.
const SOURCE: &str = "source";

const ATTRIBUTES: [&str; 8] = [MARK, "id", SOURCE, "subject", "type", "time", "data", "data_base64"];

/// The event that the attributes make.
pub(super) fn event(fields: Fields<'_>, reading: &Reading) -> Result<Given, Reason> {
    let ([version, id, source, subject, kind, time, data, data_base64], extensions) = fields.sorted(&ATTRIBUTES)?;
    if version.and_then(FieldValue::text).as_deref() != Some("1.0") {
        let found = version.map_or_else(|| "null".to_owned(), FieldValue::found);
        return Err(refused(MARK, "\"1.0\", the version of CloudEvents that is read", found));
    }
    let id = name("id", id)?;
    let source_name = name(SOURCE, source)?;
    let (stream, kept_source) = match subject {
        Some(_) => (name("subject", subject)?, source),
        None => (source_name, None),
    };
    let kind = name("type", kind)?;
    let expected = "RFC 3339 text like \"2024-01-31T12:00:00Z\"";
    let time = time.map(|value| Time::from_text(value, None).map_err(|found| refused("time", expected, found)));
    let why = "an event without a time cannot be replayed as it happened";
    let time = reading.time("time", time.transpose()?, why)?;
    let numbers = reading.options.numbers;
    let entries = kept_source.map(|value| (Cow::Borrowed(SOURCE), value)).into_iter();
    let extensions = extensions.into_iter().map(|field| (field.name, field.value));
    let entries = entries.chain(extensions.filter(|(_, value)| !value.is_null()));
    let entries = entries.map(|(name, value)| document(&name, Some(value), numbers).map(|value| (name, value)));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let event = Event {
        id,
        stream,
        kind,
        timestamp: time.milliseconds,
        schema_version: 1,
        data: match (data, data_base64) {
            (Some(_), Some(_)) => return Err(Reason::TwoPayloads),
            (None, Some(encoded)) => binary(encoded)?,
            (data, None) => document("data", data, numbers)?,
        },
        metadata: map(entries.into_iter())
            .map_err(|problem| Reason::Document { field: "metadata".to_owned(), problem })?,
    };
    Ok(Given { event, position: None, cloud: true, without_time: None }.keeping(time))
}

/// Where the CloudEvent comes from that became an event of this stream, with these metadata.
pub(crate) fn source_of<'e>(stream: &'e str, metadata: &'e [u8]) -> Cow<'e, str> {
    let fields = FieldValue::MessagePack(metadata).fields();
    let source = fields.into_iter().flat_map(|fields| fields.0).find(|field| field.name == SOURCE);
    source.and_then(|field| field.value.text()).unwrap_or(Cow::Borrowed(stream))
}

fn binary(encoded: FieldValue<'_>) -> Result<Vec<u8>, Reason> {
    let decoded = encoded.text().and_then(|text| BASE64_STANDARD.decode(text.as_bytes()).ok());
    let decoded =
        decoded.ok_or_else(|| refused("data_base64", "base64 text (standard alphabet, padded)", encoded.found()))?;
    let mut out = ByteBuf::with_capacity(decoded.len());
    let Ok(_) = encode::write_bin(&mut out, &decoded);
    Ok(out.into_vec())
}
