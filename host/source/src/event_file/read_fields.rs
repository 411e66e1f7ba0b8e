//! Reads the fields of a map: of an object of JSON, or of a map of MessagePack.

use super::Reason;
use super::field::{Field, FieldValue, Fields};
use super::timestamp::timestamp_len;
use rmp::decode::{ValueReadError, read_map_len, read_str_from_slice};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use unspool_vocabulary::{DocumentError, split_document};

impl<'a> FieldValue<'a> {
    /// The fields of the value, if it is a map with names as keys.
    pub(super) fn fields(self) -> Option<Fields<'a>> {
        match self {
            FieldValue::Json(text) if text.starts_with('{') => of_json(text).ok(),
            FieldValue::Json(_) => None,
            FieldValue::MessagePack(mut bytes) => of_message_pack(&mut bytes).ok(),
        }
    }
}

/// The fields of an object.
pub(super) fn of_json(text: &str) -> Result<Fields<'_>, serde_json::Error> {
    serde_json::from_str(text)
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

/// Why no fields of MessagePack could be read.
pub(super) enum Unread {
    /// More bytes may help.
    Incomplete,
    Refused(Reason),
}

impl From<DocumentError> for Unread {
    fn from(problem: DocumentError) -> Unread {
        match problem {
            DocumentError::Truncated { .. } => Unread::Incomplete,
            problem => Unread::Refused(Reason::NotMessagePack(problem)),
        }
    }
}

/// The fields of the map that `input` begins with.
pub(super) fn of_message_pack<'a>(input: &mut &'a [u8]) -> Result<Fields<'a>, Unread> {
    let start = *input;
    let len = match read_map_len(input) {
        Ok(len) => len,
        Err(ValueReadError::TypeMismatch(_)) => {
            let value = split_document(&mut &*start)?;
            return Err(Unread::Refused(Reason::NotAnEvent { found: FieldValue::MessagePack(value).found() }));
        }
        Err(_) => return Err(Unread::Incomplete),
    };
    let mut fields = Fields::default();
    for _ in 0..len {
        let name = split_document(input)?;
        let Ok((name, _)) = read_str_from_slice(name) else {
            let found = FieldValue::MessagePack(name).found();
            return Err(Unread::Refused(Reason::NotAnEvent { found: format!("a map with {found} as a key") }));
        };
        let value = match timestamp_len(input) {
            Some(len) => input.split_off(..len).ok_or(Unread::Incomplete)?,
            None => split_document(input)?,
        };
        fields.push(Field { name: Cow::Borrowed(name), value: FieldValue::MessagePack(value) });
    }
    Ok(fields)
}
