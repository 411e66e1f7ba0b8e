//! The fields of an event, whatever form they are written in.

use super::Reason;
use crate::shortened::shortened;
use std::borrow::Cow;
use unspool_vocabulary::limits;
use unspool_vocabulary::{DocumentError, Numbers, canonical, from_json_as, to_json};

/// The fields of one event, in the order they stand in.
pub(super) struct Fields<'a>(pub(super) Vec<Field<'a>>);

pub(super) struct Field<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: FieldValue<'a>,
}

/// A value as it is written.
#[derive(Clone, Copy)]
pub(super) enum FieldValue<'a> {
    /// The text of one JSON value, without white space around it.
    Json(&'a str),
    /// One MessagePack value that is a document, or a timestamp.
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

    /// The values of the fields called `known`, and all other fields. Null is the same as absent.
    pub(super) fn sorted<const N: usize>(
        self,
        known: &[&'static str; N],
    ) -> Result<([Option<FieldValue<'a>>; N], Vec<Field<'a>>), Reason> {
        let mut values = [None; N];
        let mut others = Vec::new();
        for field in self.0 {
            match known.iter().position(|name| *name == field.name) {
                Some(index) if values[index].is_some() => {
                    return Err(Reason::Repeated { field: known[index].to_owned() });
                }
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

    /// The value as a decimal number, if it is a number or the text of one.
    pub(super) fn decimal(self) -> Option<Cow<'a, str>> {
        match self {
            FieldValue::Json(literal) if literal.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                Some(literal.into())
            }
            FieldValue::MessagePack(mut bytes) if matches!(bytes, [0xca | 0xcb, ..]) => {
                let value = match bytes {
                    [0xca, ..] => f64::from(rmp::decode::read_f32(&mut bytes).ok()?),
                    _ => rmp::decode::read_f64(&mut bytes).ok()?,
                };
                Some(value.to_string().into())
            }
            value => value.integer::<i128>().map(|number| number.to_string().into()).or_else(|| value.text()),
        }
    }

    /// The value as a canonical document.
    pub(super) fn document(self, numbers: Numbers) -> Result<Vec<u8>, DocumentError> {
        match self {
            FieldValue::Json(text) => from_json_as(text, numbers),
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

/// The id, stream or type of an event, from the field called `field`. They are keys of trees and arguments of commands.
pub(super) fn name(field: &str, value: Option<FieldValue<'_>>) -> Result<String, Reason> {
    let missed = || Reason::Missed { field: field.to_owned(), why: "every event has one" };
    let value = value.ok_or_else(missed)?;
    match value.text() {
        Some(text) => named(field, text, value),
        None => match (value, value.document(Numbers::Exact)) {
            // Text that is none has a reason of its own.
            (FieldValue::Json(literal), Err(problem)) if literal.starts_with('"') => {
                Err(Reason::Document { field: shortened(field), problem })
            }
            _ => Err(refused(field, "text", value.found())),
        },
    }
}

/// The id, stream or type that `text` is, which `value` was written as.
pub(super) fn named(field: &str, text: Cow<'_, str>, value: FieldValue<'_>) -> Result<String, Reason> {
    if text.is_empty() {
        Err(refused(field, "text", "empty text".to_owned()))
    } else if text.len() > limits::NAME_BYTES {
        Err(Reason::LongName { field: field.to_owned(), bytes: text.len() })
    } else if text.contains('\0') {
        Err(refused(field, "text without NUL", value.found()))
    } else {
        Ok(text.into_owned())
    }
}

pub(super) fn refused(field: &str, expected: &str, found: String) -> Reason {
    Reason::Field { field: field.to_owned(), expected: expected.to_owned(), found }
}

/// The data or metadata of an event; nil where there is none.
pub(super) fn document(field: &str, value: Option<FieldValue<'_>>, numbers: Numbers) -> Result<Vec<u8>, Reason> {
    const NIL: u8 = 0xc0;
    let document = value.map_or_else(|| Ok(vec![NIL]), |value| value.document(numbers));
    document.map_err(|problem| Reason::Document { field: shortened(field), problem })
}

/// A canonical map of entries.
pub(super) fn map<'n>(entries: impl Iterator<Item = (Cow<'n, str>, Vec<u8>)>) -> Result<Vec<u8>, DocumentError> {
    use rmp::encode::{self, buffer::ByteBuf};
    let mut body = ByteBuf::new();
    let mut len: u32 = 0;
    for (name, value) in entries {
        let Ok(()) = encode::write_str(&mut body, &name);
        body.as_mut_vec().extend(value);
        len += 1;
    }
    let mut map = ByteBuf::with_capacity(body.as_slice().len() + 5);
    let Ok(_) = encode::write_map_len(&mut map, len);
    map.as_mut_vec().extend(body.as_slice());
    canonical(map.as_slice())
}

/// An integer of at least one, of the field called `field`.
pub(super) fn at_least_one<T: TryFrom<i128> + PartialOrd + From<u8>>(
    field: &str,
    expected: &str,
    value: FieldValue<'_>,
) -> Result<T, Reason> {
    let number = value.integer().filter(|number: &T| *number >= T::from(1));
    number.ok_or_else(|| refused(field, expected, value.found()))
}
