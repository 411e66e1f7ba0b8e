//! MessagePack, value header by value header.

use super::error::{DocumentError, shortened};
use rmp::Marker;

/// A scalar, or the header of an array or map.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    /// Finite.
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// So many values follow; the claim is not checked against the input.
    Array(usize),
    /// So many keys and values follow; the claim is not checked against the input.
    Map(usize),
}

/// A token and how it stands in the input.
pub(super) struct Head<'a> {
    pub(super) token: Token<'a>,
    /// Whether it is encoded as the canonical form has it.
    pub(super) canonical: bool,
}

/// Reads tokens off a slice. Every token takes at least one byte, so a loop over a claimed length ends with the input.
pub(super) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Tokens { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes read since `start`.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next token.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Head<'a>, DocumentError> {
        let start = self.at;
        let [first] = self.take(start)?;
        let head = |token, canonical| Ok(Head { token, canonical });
        match Marker::from_u8(first) {
            Marker::FixPos(value) => head(Token::Unsigned(u64::from(value)), true),
            Marker::FixNeg(value) => head(Token::Negative(i64::from(value)), true),
            Marker::FixStr(len) => self.text(start, usize::from(len), true),
            Marker::FixMap(len) => head(Token::Map(usize::from(len)), true),
            Marker::FixArray(len) => head(Token::Array(usize::from(len)), true),
            Marker::Null => head(Token::Nil, true),
            Marker::False => head(Token::Bool(false), true),
            Marker::True => head(Token::Bool(true), true),
            marker => self.wide(start, marker),
        }
    }

    /// A token whose value or length follows its marker.
    fn wide(&mut self, start: usize, marker: Marker) -> Result<Head<'a>, DocumentError> {
        let head = |token, canonical| Ok(Head { token, canonical });
        match marker {
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => {
                let (value, canonical) = match marker {
                    Marker::U8 => (u64::from(u8::from_be_bytes(self.take(start)?)), 0x80),
                    Marker::U16 => (u64::from(u16::from_be_bytes(self.take(start)?)), 1 << 8),
                    Marker::U32 => (u64::from(u32::from_be_bytes(self.take(start)?)), 1 << 16),
                    _ => (u64::from_be_bytes(self.take(start)?), 1 << 32),
                };
                head(Token::Unsigned(value), value >= canonical)
            }
            Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => {
                let (value, canonical) = match marker {
                    Marker::I8 => (i64::from(i8::from_be_bytes(self.take(start)?)), -0x21),
                    Marker::I16 => (i64::from(i16::from_be_bytes(self.take(start)?)), i64::from(i8::MIN) - 1),
                    Marker::I32 => (i64::from(i32::from_be_bytes(self.take(start)?)), i64::from(i16::MIN) - 1),
                    _ => (i64::from_be_bytes(self.take(start)?), i64::from(i32::MIN) - 1),
                };
                match u64::try_from(value) {
                    Ok(value) => head(Token::Unsigned(value), false),
                    Err(_) => head(Token::Negative(value), value <= canonical),
                }
            }
            Marker::F32 => {
                let value = f32::from_be_bytes(self.take(start)?);
                head(finite(start, f64::from(value))?, false)
            }
            Marker::F64 => {
                let value = f64::from_be_bytes(self.take(start)?);
                head(finite(start, value)?, true)
            }
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let (len, least) = match marker {
                    Marker::Str8 => (self.length8(start)?, 32),
                    Marker::Str16 => (self.length16(start)?, 1 << 8),
                    _ => (self.length32(start)?, 1 << 16),
                };
                self.text(start, len, len >= least)
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let (len, least) = match marker {
                    Marker::Bin8 => (self.length8(start)?, 0),
                    Marker::Bin16 => (self.length16(start)?, 1 << 8),
                    _ => (self.length32(start)?, 1 << 16),
                };
                head(Token::Binary(self.slice(start, len)?), len >= least)
            }
            Marker::Array16 | Marker::Array32 | Marker::Map16 | Marker::Map32 => {
                let (len, least) = match marker {
                    Marker::Array16 | Marker::Map16 => (self.length16(start)?, 16),
                    _ => (self.length32(start)?, 1 << 16),
                };
                let map = matches!(marker, Marker::Map16 | Marker::Map32);
                head(if map { Token::Map(len) } else { Token::Array(len) }, len >= least)
            }
            Marker::Reserved => Err(DocumentError::Reserved { at: start }),
            _ => Err(DocumentError::Extension { at: start }),
        }
    }

    #[inline]
    fn text(&mut self, start: usize, len: usize, canonical: bool) -> Result<Head<'a>, DocumentError> {
        let text = std::str::from_utf8(self.slice(start, len)?);
        let text = text.map_err(|_| DocumentError::NotUtf8 { at: start })?;
        Ok(Head { token: Token::Text(text), canonical })
    }

    #[inline]
    fn slice(&mut self, start: usize, len: usize) -> Result<&'a [u8], DocumentError> {
        let rest = &self.bytes[self.at..];
        let slice = rest.get(..len).ok_or(DocumentError::Truncated { at: start })?;
        self.at += len;
        Ok(slice)
    }

    #[inline]
    fn take<const N: usize>(&mut self, start: usize) -> Result<[u8; N], DocumentError> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or(DocumentError::Truncated { at: start })?;
        self.at += N;
        Ok(*bytes)
    }

    fn length8(&mut self, start: usize) -> Result<usize, DocumentError> {
        Ok(usize::from(u8::from_be_bytes(self.take(start)?)))
    }

    fn length16(&mut self, start: usize) -> Result<usize, DocumentError> {
        Ok(usize::from(u16::from_be_bytes(self.take(start)?)))
    }

    fn length32(&mut self, start: usize) -> Result<usize, DocumentError> {
        Ok(u32::from_be_bytes(self.take(start)?) as usize)
    }
}

fn finite<'a>(at: usize, value: f64) -> Result<Token<'a>, DocumentError> {
    if value.is_finite() {
        Ok(Token::Float(value))
    } else {
        Err(DocumentError::NotFinite { at, value: value.to_string() })
    }
}

/// A map key, in an order that puts equal keys beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Unsigned(u64),
    Negative(i64),
    Text(&'a str),
}

impl<'a> Key<'a> {
    /// The key that `token`, read at `at`, is.
    #[inline]
    pub(super) fn new(token: Token<'a>, at: usize) -> Result<Self, DocumentError> {
        let found = match token {
            Token::Text(text) => return Ok(Key::Text(text)),
            Token::Unsigned(value) => return Ok(Key::Unsigned(value)),
            Token::Negative(value) => return Ok(Key::Negative(value)),
            Token::Nil => "nil",
            Token::Bool(_) => "a boolean",
            Token::Float(_) => "a float",
            Token::Binary(_) => "binary",
            Token::Array(_) => "an array",
            Token::Map(_) => "a map",
        };
        Err(DocumentError::Key { at, found })
    }

    /// The key as JSON shows it.
    pub(super) fn json(self) -> String {
        match self {
            Key::Unsigned(value) => value.to_string(),
            Key::Negative(value) => value.to_string(),
            Key::Text(text) => text.to_owned(),
        }
    }

    pub(super) fn repeated(self) -> DocumentError {
        DocumentError::RepeatedKey { key: shortened(&self.json()) }
    }
}
