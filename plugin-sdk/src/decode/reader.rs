//! MessagePack markers and lengths.

use super::error::{Result, custom};
use std::borrow::Cow;

/// A value, or the head of one that holds others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Str(&'de [u8]),
    Bin(&'de [u8]),
    Array(u32),
    Map(u32),
    Ext,
}

impl Value<'_> {
    /// A float as the shortest number that reads back as it.
    pub(super) fn float(&self) -> String {
        match self {
            Value::F32(value) => format!("{value:?}"),
            Value::F64(value) => format!("{value:?}"),
            _ => String::new(),
        }
    }
}

pub(super) struct Reader<'de> {
    rest: &'de [u8],
}

impl<'de> Reader<'de> {
    pub(super) fn new(input: &'de [u8]) -> Reader<'de> {
        Reader { rest: input }
    }

    pub(super) fn rest(&self) -> &'de [u8] {
        self.rest
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Whether the next value is nil; if so, it is read.
    #[inline]
    pub(super) fn skip_nil(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0xc0, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'de>> {
        let marker = self.byte()?;
        Ok(match marker {
            0x00..=0x7f => Value::Unsigned(u64::from(marker)),
            0x80..=0x8f => Value::Map(u32::from(marker & 0x0f)),
            0x90..=0x9f => Value::Array(u32::from(marker & 0x0f)),
            0xa0..=0xbf => Value::Str(self.take(usize::from(marker & 0x1f))?),
            0xe0..=0xff => Value::Signed(i64::from(marker as i8)),
            _ => return self.long(marker),
        })
    }

    fn long(&mut self, marker: u8) -> Result<Value<'de>> {
        Ok(match marker {
            0xc0 => Value::Nil,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let len = self.len(marker - 0xc4)?;
                Value::Bin(self.take(len as usize)?)
            }
            0xc7..=0xc9 => {
                let len = self.len(marker - 0xc7)?;
                self.take(len as usize + 1)?;
                Value::Ext
            }
            0xca => Value::F32(f32::from_be_bytes(self.bytes()?)),
            0xcb => Value::F64(f64::from_be_bytes(self.bytes()?)),
            0xcc => Value::Unsigned(u64::from(self.byte()?)),
            0xcd => Value::Unsigned(u64::from(u16::from_be_bytes(self.bytes()?))),
            0xce => Value::Unsigned(u64::from(u32::from_be_bytes(self.bytes()?))),
            0xcf => Value::Unsigned(u64::from_be_bytes(self.bytes()?)),
            0xd0 => signed(i64::from(i8::from_be_bytes(self.bytes()?))),
            0xd1 => signed(i64::from(i16::from_be_bytes(self.bytes()?))),
            0xd2 => signed(i64::from(i32::from_be_bytes(self.bytes()?))),
            0xd3 => signed(i64::from_be_bytes(self.bytes()?)),
            0xd4..=0xd8 => {
                self.take((1 << (marker - 0xd4)) + 1)?;
                Value::Ext
            }
            0xd9..=0xdb => {
                let len = self.len(marker - 0xd9)?;
                Value::Str(self.take(len as usize)?)
            }
            0xdc | 0xdd => Value::Array(self.len(marker - 0xdb)?),
            0xde | 0xdf => Value::Map(self.len(marker - 0xdd)?),
            _ => return Err(custom("0xc1 is no MessagePack")),
        })
    }

    /// Reads past one value, with all that it holds. Takes no stack, however deep the value is.
    pub(super) fn skip(&mut self) -> Result<()> {
        let mut values = 1u64;
        while values > 0 {
            values -= 1;
            match self.value()? {
                Value::Array(len) => values += u64::from(len),
                Value::Map(len) => values += u64::from(len) * 2,
                _ => {}
            }
        }
        Ok(())
    }

    /// The next value as a step of a path.
    pub(super) fn shown(&mut self) -> Cow<'de, str> {
        match self.value() {
            Ok(Value::Str(text)) => String::from_utf8_lossy(text),
            Ok(Value::Unsigned(n)) => n.to_string().into(),
            Ok(Value::Signed(n)) => n.to_string().into(),
            _ => "?".into(),
        }
    }

    /// A length of one, two or four bytes, for a `size` of 0, 1 or 2.
    fn len(&mut self, size: u8) -> Result<u32> {
        Ok(match size {
            0 => u32::from(self.byte()?),
            1 => u32::from(u16::from_be_bytes(self.bytes()?)),
            _ => u32::from_be_bytes(self.bytes()?),
        })
    }

    #[inline]
    fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self.rest.split_first().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*byte)
    }

    #[inline]
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn take(&mut self, len: usize) -> Result<&'de [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(cut)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// MessagePack may write a number that is not negative as a signed one.
fn signed(value: i64) -> Value<'static> {
    u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned)
}

#[cold]
fn cut() -> super::DecodeError {
    custom("the data ends in the middle of it")
}
