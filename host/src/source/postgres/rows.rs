//! Events out of rows.

use super::layout::Layout;
use crate::{
    limits,
    source::{SourceError, event_file::Moment},
    vocabulary::{Position, from_json, raw_document},
};
use postgres::{
    binary_copy::BinaryCopyOutRow,
    types::{FromSql, Type},
};
use std::{error::Error, str};

/// How many columns [`Layout::selected`] gives.
pub(super) const COLUMNS: usize = 9;

/// Microseconds from 1970 to 2000, from which PostgreSQL counts.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// A value as the server sends it: the binary form of its type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Turns rows of a layout into events as frames show them.
pub(super) struct Rows {
    name: String,
    layout: Layout,
    /// The type of the time's column.
    time: Type,
}

/// How payloads begin that are no JSON, and what they are.
const OTHER_PAYLOADS: [(&[u8], &str); 9] = [
    (b"\x83", "an Erlang term"),
    (b"---", "YAML"),
    (b"\x04\x08", "a Ruby object (Marshal)"),
    (b"\xac\xed", "a serialised Java object"),
    (b"<", "XML"),
    (b"\x78\x9c", "compressed with zlib"),
    (b"\x78\x01", "compressed with zlib"),
    (b"\x78\xda", "compressed with zlib"),
    (b"\x1f\x8b", "compressed with gzip"),
];

/// What is wrong with a row, before it is known which one.
type Reason = String;

/// An empty document.
const NIL: [u8; 1] = [0xc0];

impl Rows {
    pub(super) fn new(name: &str, layout: &Layout, types: &[Type]) -> Rows {
        Rows { name: name.to_owned(), layout: layout.clone(), time: types.get(7).cloned().unwrap_or(Type::TEXT) }
    }

    /// Appends the row's event to `bytes`: its position, and why it cannot be read, where it cannot; then what the source has
    /// for it is appended in its place (see [`crate::vocabulary::EventBlock::unreadable`]).
    ///
    /// # Errors
    /// Where it is not even known which event it is: set aside in another stream's place, it would let later events of its
    /// own pass it.
    pub(super) fn append(
        &self,
        row: &BinaryCopyOutRow,
        bytes: &mut Vec<u8>,
    ) -> Result<(Position, Option<Reason>), SourceError> {
        let mut values = [None; COLUMNS];
        for (index, value) in values.iter_mut().enumerate() {
            *value = row.try_get::<Raw<'_>>(index).map_err(|e| self.bad("a row", e.to_string()))?.0;
        }
        let position = self.position(&values).map_err(|reason| self.bad("a row", reason))?;
        let Err(reason) = self.event(&values, position.minor, bytes) else { return Ok((position, None)) };
        match self.unreadable(&values, position.minor, bytes) {
            Ok(()) => Ok((position, Some(format!("{}: {reason}", self.name)))),
            Err(reason) => {
                let id = values[2].and_then(|id| str::from_utf8(id).ok()).unwrap_or("?");
                Err(self.bad(&format!("event {id} at position {position}"), reason))
            }
        }
    }

    /// What there is of an event that cannot be read.
    fn unreadable<'a>(
        &self,
        values: &[Option<&'a [u8]>; COLUMNS],
        position: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Reason> {
        let [_, _, id, stream, kind, data, metadata, time, schema_version] = *values;
        let large = values.iter().flatten().map(|value| value.len()).sum::<usize>() > limits::EVENT_BYTES;
        let most = if large { limits::UNREADABLE_BYTES } else { usize::MAX };
        let kept = |value: Option<&'a [u8]>| value.map(|value| &value[..value.len().min(most)]);
        let is_text = !matches!(self.time, Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::INT8);
        let parts = [
            ("payload", kept(data)),
            ("metadata", kept(metadata)),
            ("time", kept(time.filter(|_| is_text))),
            ("schemaVersion", kept(schema_version)),
        ];
        let event = unspool_frame::Event {
            position,
            id: name(id, "id")?,
            stream: name(stream, "stream")?,
            kind: name(kind, "type").unwrap_or_default(),
            timestamp: 0,
            schema_version: 1,
            data: &raw_document(&parts),
            metadata: &NIL,
        };
        event.encode(out);
        Ok(())
    }

    fn bad(&self, what: &str, reason: impl std::fmt::Display) -> SourceError {
        SourceError::permanent(format!("{}: {what}: {reason}", self.name))
    }

    fn position(&self, values: &[Option<&[u8]>; COLUMNS]) -> Result<Position, Reason> {
        let number = |value: Option<&[u8]>, name: &str| match value.and_then(|raw| raw.try_into().ok()) {
            Some(raw) => Ok(u64::from_be_bytes(raw)),
            None => Err(format!("it has no {name}")),
        };
        let minor = number(values[0], "position")?;
        if i64::try_from(minor).is_err() {
            return Err(format!("the position {} is negative", minor.cast_signed()));
        }
        let major = if self.layout.transaction.is_some() { number(values[1], "transaction")? } else { 0 };
        Ok(Position { major, minor })
    }

    fn event(&self, values: &[Option<&[u8]>; COLUMNS], position: u64, out: &mut Vec<u8>) -> Result<(), Reason> {
        let [_, _, id, stream, kind, data, metadata, time, schema_version] = *values;
        if values.iter().flatten().map(|value| value.len()).sum::<usize>() > limits::EVENT_BYTES {
            return Err(format!("it has more than {} bytes", limits::EVENT_BYTES));
        }
        let text = json(data, "payload")?;
        let event = unspool_frame::Event {
            position,
            id: name(id, "id")?,
            stream: name(stream, "stream")?,
            kind: name(kind, "type")?,
            timestamp: match self.layout.time_in_data {
                Some(path) => time_within(text, path)?,
                None => self.timestamp(time)?,
            },
            schema_version: version(schema_version)?,
            data: &document(text, "payload")?,
            metadata: &document(json(metadata, "metadata")?, "metadata")?,
        };
        event.encode(out);
        Ok(())
    }

    /// Milliseconds since 1970; 0 where the store keeps no time. A time without a zone is UTC.
    fn timestamp(&self, value: Option<&[u8]>) -> Result<i64, Reason> {
        let Some(raw) = value else { return Ok(0) };
        let number = || raw.try_into().map(i64::from_be_bytes).map_err(|_| "its time is damaged".to_owned());
        match self.time {
            Type::TIMESTAMP | Type::TIMESTAMPTZ => match number()? {
                i64::MAX | i64::MIN => Err("its time is infinite".to_owned()),
                micros => Ok(micros.saturating_add(EPOCH_2000).div_euclid(1000)),
            },
            Type::INT8 => number(),
            _ => moment(utf8(raw, "time")?),
        }
    }
}

fn moment(text: &str) -> Result<i64, Reason> {
    Moment::parse(text).map(|moment| moment.milliseconds).map_err(|what| format!("its time is {what}"))
}

/// The time at `path` of a payload.
fn time_within(text: &str, path: &[&str]) -> Result<i64, Reason> {
    let payload: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("its payload is not JSON: {e}"))?;
    let found = path.iter().try_fold(&payload, |value, key| value.get(key)).and_then(|value| value.as_str());
    found.map_or(Ok(0), moment)
}

fn version(value: Option<&[u8]>) -> Result<u32, Reason> {
    let Some(raw) = value else { return Ok(1) };
    let text = utf8(raw, "schema version")?;
    // Revisions may be any text; those that are no number say nothing that a number could.
    Ok(text.parse().unwrap_or(1))
}

fn utf8<'a>(raw: &'a [u8], what: &str) -> Result<&'a str, Reason> {
    str::from_utf8(raw).map_err(|_| format!("its {what} is not UTF-8"))
}

fn name<'a>(value: Option<&'a [u8]>, what: &str) -> Result<&'a str, Reason> {
    match utf8(value.unwrap_or_default(), what)? {
        "" => Err(format!("its {what} is missing")),
        text if text.len() > limits::NAME_BYTES => {
            Err(format!("its {what} has {} bytes; {} are allowed", text.len(), limits::NAME_BYTES))
        }
        text => Ok(text),
    }
}

/// A document's text; `null` where the column has nothing.
fn json<'a>(value: Option<&'a [u8]>, what: &str) -> Result<&'a str, Reason> {
    let Some(raw) = value else { return Ok("null") };
    // What is not JSON is named before a parser complains of its first byte.
    if let Some((_, other)) = OTHER_PAYLOADS.iter().find(|(start, _)| raw.starts_with(start)) {
        return Err(format!("its {what} is {other}, not JSON; only the program that wrote it can read it"));
    }
    str::from_utf8(raw).map_err(|_| {
        format!("its {what} is not text: it may be compressed, encrypted or in another serialisation than JSON")
    })
}

fn document(text: &str, what: &str) -> Result<Vec<u8>, Reason> {
    from_json(text).map_err(|e| format!("its {what}: {e}"))
}
