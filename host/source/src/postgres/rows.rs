//! Events out of rows.

use super::{
    kind::Kind,
    layout::{Layout, Nested},
    settings::Settings,
    times,
};
use crate::SourceError;
use postgres::{
    binary_copy::BinaryCopyOutRow,
    types::{FromSql, Type},
};
use std::{borrow::Cow, error::Error, str};
use unspool_vocabulary::{DocumentError, Mark, Numbers, Position, from_json_as, from_jsonb, limits, raw_document};

/// How many columns [`Layout::selected`] gives.
pub(super) const COLUMNS: usize = 9;

/// The entry of the metadata that has a schema version which is no number.
const VERSION_TEXT: &str = "schemaVersion";

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
    /// Whether the options name the columns.
    is_generic: bool,
    layout: Layout,
    /// The type of the time's column.
    time: Type,
    /// Whether payload and metadata are shown by `jsonb`, which writes numbers in its own way.
    is_jsonb: [bool; 2],
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
    pub(super) fn new(settings: &Settings, layout: &Layout, kinds: &[Kind]) -> Rows {
        let base = |column: usize| kinds.get(column).map_or(Type::UNKNOWN, |kind| kind.base.clone());
        Rows {
            name: settings.name.clone(),
            is_generic: settings.preset == "generic",
            layout: layout.clone(),
            time: base(7),
            is_jsonb: [base(5) == Type::JSONB, base(6) == Type::JSONB],
        }
    }

    /// Appends the row's event to `bytes`: its position, and why it cannot be read, where it cannot; then what the source has
    /// for it is appended instead (see [`unspool_vocabulary::EventBlock::unreadable`]).
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
    fn unreadable(&self, values: &[Option<&[u8]>; COLUMNS], position: u64, out: &mut Vec<u8>) -> Result<(), Reason> {
        let [_, _, id, stream, kind, data, metadata, time, schema_version] = *values;
        let most = if size(values) > limits::EVENT_BYTES { limits::UNREADABLE_BYTES } else { usize::MAX };
        let is_text = !matches!(self.time, Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE);
        let parts = [
            ("payload", data),
            ("metadata", metadata),
            ("time", time.filter(|_| is_text)),
            ("schemaVersion", schema_version),
        ];
        let event = unspool_frame::Event {
            position,
            id: name(id, "id")?,
            stream: name(stream, "stream")?,
            kind: name(kind, "type").unwrap_or_default(),
            timestamp: 0,
            schema_version: 1,
            data: &raw_document(&parts, most),
            metadata: &NIL,
        };
        event.encode(out);
        Ok(())
    }

    /// What is remembered of the row's event. One that is no event any more (its payload was erased, say) has the content of
    /// none that was read.
    pub(super) fn mark(&self, row: &BinaryCopyOutRow, position: Position) -> Option<Mark> {
        let mut frame = Vec::new();
        match self.append(row, &mut frame) {
            Ok(_) => Mark::of(&frame, position),
            Err(e) => {
                let id = row.try_get::<Raw<'_>>(2).ok().and_then(|id| id.0);
                let id = String::from_utf8_lossy(id.unwrap_or_default()).into_owned();
                Some(Mark { id, position, content: Mark::content_of(e.message.as_bytes()) })
            }
        }
    }

    fn bad(&self, what: &str, reason: impl std::fmt::Display) -> SourceError {
        SourceError::permanent(format!("{}: {what}: {reason}", self.name))
    }

    fn position(&self, values: &[Option<&[u8]>; COLUMNS]) -> Result<Position, Reason> {
        let number = |value: Option<&[u8]>, name: &str| match value.and_then(|raw| raw.try_into().ok()) {
            Some(raw) => Ok(u64::from_be_bytes(raw)),
            None => Err(format!("it has no {name}, or one that is no whole number")),
        };
        let minor = number(values[0], "position")?;
        if self.layout.transaction.is_none() && minor.cast_signed() <= 0 {
            let stored = minor.cast_signed().saturating_sub(self.layout.shift);
            return Err(format!(
                "its position is {stored}, and positions here begin at 1: add shift={} to the source",
                stored.saturating_neg().saturating_add(1)
            ));
        }
        if minor.cast_signed() < 0 {
            return Err(format!("its position is {}, and positions here begin at 0", minor.cast_signed()));
        }
        let major = if self.layout.transaction.is_some() { number(values[1], "transaction")? } else { 0 };
        Ok(Position { major, minor })
    }

    fn event(&self, values: &[Option<&[u8]>; COLUMNS], position: u64, out: &mut Vec<u8>) -> Result<(), Reason> {
        let [_, _, id, stream, kind, data, metadata, time, schema_version] = *values;
        let bytes = size(values);
        if bytes > limits::EVENT_BYTES {
            return Err(format!("it has {bytes} bytes; {} are allowed", limits::EVENT_BYTES));
        }
        let data = self.json(data, "payload")?;
        let metadata = self.json(metadata, "metadata")?;
        let (schema_version, version_text) = version(schema_version)?;
        let metadata = match version_text {
            Some(text) => with_version(&metadata, text)?.into(),
            None => metadata,
        };
        let event = unspool_frame::Event {
            position,
            id: name(id, "id")?,
            stream: name(stream, "stream")?,
            kind: name(kind, "type")?,
            timestamp: match self.layout.time_in_data {
                Some(field) => times::within(&data, field)?,
                None => self.timestamp(time)?,
            },
            schema_version,
            data: &self.document(&data, "payload", self.is_jsonb[0])?,
            metadata: &self.document(&metadata, "metadata", self.is_jsonb[1])?,
        };
        event.encode(out);
        Ok(())
    }

    /// Milliseconds since 1970; 0 where the store keeps no time. A time without a zone is UTC.
    fn timestamp(&self, value: Option<&[u8]>) -> Result<i64, Reason> {
        if self.layout.time.is_none() {
            return Ok(0);
        }
        let Some(raw) = value else {
            return Err("it has no time: name another column, or time=none where the times are not needed".to_owned());
        };
        match self.time {
            Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE => times::of_timestamp(raw),
            Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
                times::of_number(utf8(raw, "time")?, self.layout.unit)
            }
            _ if self.layout.unit.is_some() => times::of_number(utf8(raw, "time")?, self.layout.unit),
            _ => {
                let text = utf8(raw, "time")?;
                let remedy = match &self.layout.time {
                    Some(column) if self.is_generic => times::remedy(text, column),
                    _ => "; time=none leaves the times out".to_owned(),
                };
                times::of_text(text).map_err(|reason| reason + &remedy)
            }
        }
    }

    /// The text of a document; `null` where the column has nothing.
    fn json<'a>(&self, value: Option<&'a [u8]>, what: &str) -> Result<Cow<'a, str>, Reason> {
        let raw = value.unwrap_or_default();
        let raw = raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw);
        // Stores write no bytes for events that are nothing but their type.
        if raw.trim_ascii().is_empty() {
            return Ok("null".into());
        }
        // What is not JSON is named before a parser complains of its first byte.
        if let Some((_, other)) = OTHER_PAYLOADS.iter().find(|(start, _)| raw.starts_with(start)) {
            return Err(format!("its {what} is {other}, not JSON; only the program that wrote it can read it"));
        }
        let text = str::from_utf8(raw).map_err(|_| {
            format!(
                "its {what} is not text in UTF-8: it may be compressed, encrypted, in another serialisation than JSON, or in a \
                 database whose encoding is SQL_ASCII"
            )
        })?;
        if !raw.trim_ascii_start().starts_with(b"\"") {
            return Ok(text.into());
        }
        let Some(inner) = nested(text) else { return Ok(text.into()) };
        match self.layout.nested {
            Nested::Keep => Ok(text.into()),
            Nested::Read => Ok(inner.into()),
            Nested::Refuse => Err(format!(
                "its {what} is a text that holds JSON, written by two serialisers: add nested=read to the source for the JSON in it, \
                 or nested=keep for the text"
            )),
        }
    }

    fn document(&self, text: &str, what: &str, is_jsonb: bool) -> Result<Vec<u8>, Reason> {
        let numbers = self.layout.numbers;
        let taken = if is_jsonb { from_jsonb(text, numbers) } else { from_json_as(text, numbers) };
        taken.map_err(|problem| match problem {
            DocumentError::Number { ref literal, .. } => {
                // Beyond all doubles none is the nearest.
                let is_far = numbers == Numbers::Round || literal.parse().is_ok_and(f64::is_infinite);
                let round = if is_far { "" } else { ", numbers=round for the nearest double" };
                format!("its {what}: {problem}, or add numbers=text to the source for the text of such numbers{round}")
            }
            other => format!("its {what}: {other}"),
        })
    }
}

/// Bytes of a row's values.
fn size(values: &[Option<&[u8]>; COLUMNS]) -> usize {
    values.iter().flatten().map(|value| value.len()).sum()
}

/// How UTF-8 begins where somebody marks it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The JSON object or array that a JSON text holds.
fn nested(text: &str) -> Option<String> {
    let inner: String = serde_json::from_str(text).ok()?;
    let is_document = inner.trim_start().starts_with(['{', '[']);
    (is_document && serde_json::from_str::<serde::de::IgnoredAny>(&inner).is_ok()).then_some(inner)
}

/// The schema version: 1 where there is none. One that is no number says so by 0, and its text goes to the metadata.
fn version(value: Option<&[u8]>) -> Result<(u32, Option<&str>), Reason> {
    let text = utf8(value.unwrap_or_default(), "schema version")?.trim();
    let whole = text.split_once('.').map_or(
        text,
        |(whole, rest)| {
            if rest.bytes().all(|digit| digit == b'0') { whole } else { text }
        },
    );
    match whole.parse() {
        _ if text.is_empty() => Ok((1, None)),
        Ok(number @ 1..) => Ok((number, None)),
        _ => Ok((0, Some(text))),
    }
}

/// Metadata with a schema version that is no number.
fn with_version(metadata: &str, version: &str) -> Result<String, Reason> {
    let version = serde_json::Value::from(version);
    let metadata = metadata.trim();
    if metadata == "null" {
        return Ok(format!("{{\"{VERSION_TEXT}\":{version}}}"));
    }
    let Some(entries) = metadata.strip_prefix('{') else {
        return Err(format!(
            "its schema version {version} is no number, and its metadata no object that could have it"
        ));
    };
    let comma = if entries.trim_start().starts_with('}') { "" } else { "," };
    Ok(format!("{{\"{VERSION_TEXT}\":{version}{comma}{entries}"))
}

fn utf8<'a>(raw: &'a [u8], what: &str) -> Result<&'a str, Reason> {
    str::from_utf8(raw).map_err(|_| format!("its {what} is not UTF-8, as in a database whose encoding is SQL_ASCII"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_stays_text() {
        for (text, expected) in [
            ("", (1, None)),
            ("1", (1, None)),
            ("2.0", (2, None)),
            ("3", (3, None)),
            ("1.1", (0, Some("1.1"))),
            ("v2", (0, Some("v2"))),
            ("0", (0, Some("0"))),
            ("2.", (2, None)),
            ("-1", (0, Some("-1"))),
            ("0.0.1", (0, Some("0.0.1"))),
            ("4294967296", (0, Some("4294967296"))),
        ] {
            assert_eq!(version(Some(text.as_bytes())).unwrap(), expected, "{text}");
        }
        assert_eq!(version(None).unwrap(), (1, None));
        assert_eq!(with_version("null", "v\"2").unwrap(), r#"{"schemaVersion":"v\"2"}"#);
        assert_eq!(with_version(" {} ", "v2").unwrap(), r#"{"schemaVersion":"v2"}"#);
        assert_eq!(with_version(r#"{ "a":1}"#, "v2").unwrap(), r#"{"schemaVersion":"v2", "a":1}"#);
        assert!(with_version("[1]", "v2").is_err());
    }

    #[test]
    fn json_in_a_text_is_told_from_text() {
        assert_eq!(nested(r#""{\"a\":1}""#).as_deref(), Some(r#"{"a":1}"#));
        for text in [r#""PL-SMO""#, r#""{PL}""#, r#""1""#, r#"{"a":1}"#] {
            assert_eq!(nested(text), None, "{text}");
        }
    }
}
