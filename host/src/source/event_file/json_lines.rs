//! NDJSON: one object a line.

use super::Reason;
use super::compression::Input;
use super::error::shortened;
use super::field::{Field, FieldValue, Fields, Given};
use crate::limits;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The lines of a file.
pub(super) struct JsonLines {
    input: Input,
    line: Vec<u8>,
    number: u64,
}

impl JsonLines {
    pub(super) fn new(input: Input) -> Self {
        JsonLines { input, line: Vec::new(), number: 0 }
    }

    /// The line that was read last, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The event of the next line that is not blank; `None` at the end.
    pub(super) fn next_event(&mut self) -> Result<Option<Given>, Reason> {
        /// A newline, and one byte more than may be.
        const BEYOND: usize = 2;
        loop {
            self.line.clear();
            self.number += 1;
            if self.input.read_line(limits::EVENT_BYTES + BEYOND, &mut self.line)? == 0 {
                return Ok(None);
            }
            let mut line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            if line.len() > limits::EVENT_BYTES {
                return Err(Reason::TooLarge);
            }
            if self.number == 1 {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            let line =
                std::str::from_utf8(line).map_err(|error| Reason::NotUtf8 { column: error.valid_up_to() + 1 })?;
            if !line.trim_ascii().is_empty() {
                return fields(line.trim_ascii_end())?.event().map(Some);
            }
        }
    }
}

fn fields(line: &str) -> Result<Fields<'_>, Reason> {
    match line.trim_ascii_start().as_bytes().first() {
        Some(b'{') => serde_json::from_str(line).map_err(|error| reason(&error)),
        Some(b'[') => Err(Reason::Array),
        _ => match serde_json::from_str::<&RawValue>(line) {
            Ok(value) => Err(Reason::NotAnEvent { found: FieldValue::Json(value.get()).found() }),
            Err(error) => Err(reason(&error)),
        },
    }
}

fn reason(error: &serde_json::Error) -> Reason {
    if error.is_eof() {
        return Reason::CutOff;
    }
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = shortened(message.strip_suffix(&place).unwrap_or(&message));
    Reason::NotJson { problem, column: error.column() }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(Name(name)) = entries.next_key()? {
            let value: &RawValue = entries.next_value()?;
            fields.push(Field { name, value: FieldValue::Json(value.get()) });
        }
        Ok(fields)
    }
}

/// A field's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
