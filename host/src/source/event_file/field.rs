//! The fields of an event, whatever form they are written in.

use super::error::shortened;
use super::{Reason, cloud_event, ours};
use crate::limits;
use crate::vocabulary::{DocumentError, Event, canonical, from_json, to_json};
use std::borrow::Cow;

/// An event, and the position that the file gives it.
pub(super) type Given = (Event, Option<u64>);

/// The fields of one event, in the order they stand in.
pub(super) struct Fields<'a>(Vec<Field<'a>>);

pub(super) struct Field<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: FieldValue<'a>,
}

/// A value as it is written.
#[derive(Clone, Copy)]
pub(super) enum FieldValue<'a> {
    /// The text of one JSON value, without white space around it.
    Json(&'a str),
    /// One MessagePack value that is a document.
    MessagePack(&'a [u8]),
}

impl Default for Fields<'_> {
    fn default() -> Self {
        /// As many as most events have.
        const FIELDS: usize = 10;
        Fields(Vec::with_capacity(FIELDS))
    }
}

impl<'a> Fields<'a> {
    pub(super) fn push(&mut self, field: Field<'a>) {
        self.0.push(field);
    }

    /// The event that the fields make, with its position.
    pub(super) fn event(self) -> Result<Given, Reason> {
        let (event, position) = if self.0.iter().any(|field| field.name == cloud_event::MARK) {
            (cloud_event::event(self)?, None)
        } else {
            ours::event(self)?
        };
        let parts = [event.id.len(), event.stream.len(), event.kind.len(), event.data.len(), event.metadata.len()];
        if parts.iter().sum::<usize>() > limits::EVENT_BYTES {
            return Err(Reason::TooLarge);
        }
        Ok((event, position))
    }

    /// The values of the fields called `known`, and all other fields. Null is the same as absent.
    pub(super) fn sorted<const N: usize>(
        self,
        known: &[&'static str; N],
    ) -> Result<([Option<FieldValue<'a>>; N], Vec<Field<'a>>), Reason> {
        let mut values = [None; N];
        let mut others = Vec::new();
        for field in self.0 {
            match known.iter().position(|name| *name == field.name) {
                Some(index) if values[index].is_some() => return Err(Reason::Repeated { field: known[index] }),
                Some(index) => values[index] = Some(field.value),
                None => others.push(field),
            }
        }
        Ok((values.map(|value| value.filter(|value| !value.is_null())), others))
    }
}

impl<'a> FieldValue<'a> {
    pub(super) fn is_null(self) -> bool {
        match self {
            FieldValue::Json(text) => text == "null",
            FieldValue::MessagePack(bytes) => bytes == [0xc0],
        }
    }

    /// The value, if it is text.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            FieldValue::Json(literal) => {
                let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
                if inner.contains('\\') {
                    serde_json::from_str(literal).ok().map(Cow::Owned)
                } else {
                    Some(inner.into())
                }
            }
            FieldValue::MessagePack(bytes) => rmp::decode::read_str_from_slice(bytes).ok().map(|(text, _)| text.into()),
        }
    }

    /// The value, if it is an integer that `T` holds.
    pub(super) fn integer<T: TryFrom<i128>>(self) -> Option<T> {
        let integer: i128 = match self {
            FieldValue::Json(literal) => literal.parse().ok()?,
            FieldValue::MessagePack(mut bytes) => rmp::decode::read_int(&mut bytes).ok()?,
        };
        integer.try_into().ok()
    }

    /// The value as a canonical document.
    pub(super) fn document(self) -> Result<Vec<u8>, DocumentError> {
        match self {
            FieldValue::Json(text) => from_json(text),
            FieldValue::MessagePack(bytes) => canonical(bytes),
        }
    }

    /// What the value is, for messages.
    pub(super) fn found(self) -> String {
        let literal = match self {
            FieldValue::Json(literal) => Cow::Borrowed(literal),
            FieldValue::MessagePack(bytes) => to_json(bytes).map_or_else(|e| e.to_string(), |v| v.to_string()).into(),
        };
        match literal.as_bytes().first() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'"') => format!("the text {}", shortened(&literal)),
            Some(b'-' | b'0'..=b'9') => format!("the number {}", shortened(&literal)),
            _ => literal.into_owned(),
        }
    }
}

/// The id, stream or type of an event. They are keys of trees and arguments of commands.
pub(super) fn name(field: &'static str, value: Option<FieldValue<'_>>) -> Result<String, Reason> {
    let value = value.ok_or(Reason::Missed { field, why: "every event has one" })?;
    let refuse = |expected, found| Err(Reason::Field { field, expected, found });
    match value.text() {
        None => refuse("text", value.found()),
        Some(text) if text.is_empty() => refuse("text", "empty text".to_owned()),
        Some(text) if text.len() > limits::NAME_BYTES => Err(Reason::LongName { field, bytes: text.len() }),
        Some(text) if text.contains('\0') => refuse("text without NUL", value.found()),
        Some(text) => Ok(text.into_owned()),
    }
}

/// The data or metadata of an event; nil where there is none.
pub(super) fn document(field: &str, value: Option<FieldValue<'_>>) -> Result<Vec<u8>, Reason> {
    const NIL: u8 = 0xc0;
    let document = value.map_or_else(|| Ok(vec![NIL]), FieldValue::document);
    document.map_err(|problem| Reason::Document { field: shortened(field), problem })
}
