//! Reading MessagePack values off a slice without copying them.

use rmp::decode::{NumValueReadError, ValueReadError};
use std::fmt::Display;

/// A frame that does not follow its layout: which part, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {problem}")]
pub struct FrameError {
    /// The part of the frame, such as `event id`.
    pub part: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

pub(crate) type Result<T> = std::result::Result<T, FrameError>;

#[cold]
pub(crate) fn error(part: &'static str, problem: impl Display) -> FrameError {
    FrameError { part, problem: problem.to_string() }
}

fn value_problem(problem: &ValueReadError) -> String {
    match problem {
        ValueReadError::TypeMismatch(marker) => format!("unexpected {marker:?}"),
        _ => "the frame ends in the middle of it".to_owned(),
    }
}

#[inline]
pub(crate) fn array_len(input: &mut &[u8], part: &'static str) -> Result<usize> {
    if let [head @ 0x90..=0x9f, rest @ ..] = *input {
        *input = rest;
        return Ok(usize::from(head & 0x0f));
    }
    rmp::decode::read_array_len(input).map(|n| n as usize).map_err(|e| error(part, value_problem(&e)))
}

/// Strings of up to 255 bytes, nearly all that a frame holds, are read here; `rmp` reads the others and finds what is wrong.
#[inline]
pub(crate) fn string<'a>(input: &mut &'a [u8], part: &'static str) -> Result<&'a str> {
    let len = match **input {
        [head @ 0xa0..=0xbf, ..] => skip_head(input, 1, head & 0x1f),
        [0xd9, len, ..] => skip_head(input, 2, len),
        _ => rmp::decode::read_str_len(input).map_err(|e| error(part, value_problem(&e)))? as usize,
    };
    let bytes = take(input, len, part)?;
    std::str::from_utf8(bytes).map_err(|_| error(part, "is not UTF-8"))
}

#[inline]
pub(crate) fn binary<'a>(input: &mut &'a [u8], part: &'static str) -> Result<&'a [u8]> {
    let len = match **input {
        [0xc4, len, ..] => skip_head(input, 2, len),
        _ => rmp::decode::read_bin_len(input).map_err(|e| error(part, value_problem(&e)))? as usize,
    };
    take(input, len, part)
}

#[inline]
fn skip_head(input: &mut &[u8], bytes: usize, len: u8) -> usize {
    *input = &input[bytes..];
    usize::from(len)
}

/// A binary, or nothing where the frame says nil.
pub(crate) fn optional_binary<'a>(input: &mut &'a [u8], part: &'static str) -> Result<Option<&'a [u8]>> {
    if let Some((0xc0, rest)) = input.split_first() {
        *input = rest;
        return Ok(None);
    }
    binary(input, part).map(Some)
}

#[inline]
pub(crate) fn integer<T: FromInteger>(input: &mut &[u8], part: &'static str) -> Result<T> {
    if let Some((value, rest)) = positive(input).and_then(|(value, rest)| Some((T::try_from(value).ok()?, rest))) {
        *input = rest;
        return Ok(value);
    }
    T::read(input).map_err(|e| match e {
        NumValueReadError::OutOfRange => error(part, "is out of range"),
        NumValueReadError::TypeMismatch(marker) => error(part, format!("unexpected {marker:?}")),
        _ => error(part, "the frame ends in the middle of it"),
    })
}

/// The integers that positions, timestamps and versions are; `rmp` reads the others and finds what is wrong.
#[inline]
fn positive(input: &[u8]) -> Option<(u64, &[u8])> {
    match *input {
        [value @ 0..=0x7f, ref rest @ ..] => Some((u64::from(value), rest)),
        [0xcd, a, b, ref rest @ ..] => Some((u64::from(u16::from_be_bytes([a, b])), rest)),
        [0xce, a, b, c, d, ref rest @ ..] => Some((u64::from(u32::from_be_bytes([a, b, c, d])), rest)),
        [0xcf, a, b, c, d, e, f, g, h, ref rest @ ..] => Some((u64::from_be_bytes([a, b, c, d, e, f, g, h]), rest)),
        _ => None,
    }
}

/// The integer types of a frame.
pub(crate) trait FromInteger: TryFrom<u64> {
    fn read(input: &mut &[u8]) -> std::result::Result<Self, NumValueReadError>;
}

macro_rules! from_integer {
    ($($t:ty),*) => {$(
        impl FromInteger for $t {
            fn read(input: &mut &[u8]) -> std::result::Result<Self, NumValueReadError> {
                rmp::decode::read_int(input)
            }
        }
    )*};
}

from_integer!(u64, i64, u32);

/// Levels of nesting in an element that is skipped: twice those of a document. More would be a matter of the reader's stack.
const SKIPPED_DEPTH: usize = 128;

/// Skips `count` elements that this reader does not know.
pub(crate) fn skip(input: &mut &[u8], count: usize, part: &'static str) -> Result<()> {
    use serde::Deserialize;
    for _ in 0..count {
        let mut reader = rmp_serde::Deserializer::new(&mut *input);
        reader.set_max_depth(SKIPPED_DEPTH);
        serde::de::IgnoredAny::deserialize(&mut reader).map_err(|e| error(part, e))?;
    }
    Ok(())
}

#[inline]
fn take<'a>(input: &mut &'a [u8], len: usize, part: &'static str) -> Result<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len).ok_or_else(|| error(part, "the frame ends in the middle of it"))?;
    *input = rest;
    Ok(head)
}
