//! A stream of MessagePack maps, which may stand in arrays.

use super::Reason;
use super::compression::Input;
use super::field::{Field, FieldValue, Fields, Given};
use super::options::Reading;
use rmp::decode::{ValueReadError, read_array_len, read_map_len, read_str_from_slice};
use std::borrow::Cow;
use std::io::Write;
use unspool_vocabulary::limits;
use unspool_vocabulary::{DocumentError, split_document};

/// The events of a file.
pub(super) struct MessagePackStream {
    input: Input,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    read: usize,
    at_end: bool,
    number: u64,
    /// How many elements the array around the next event still has.
    in_array: u32,
    /// How many bytes the last event has; none where that is not known.
    last: usize,
}

/// Read at a time, unless an event is larger.
const BUFFER_BYTES: usize = 256 << 10;

impl MessagePackStream {
    pub(super) fn new(input: Input) -> Self {
        MessagePackStream { input, buffer: Vec::new(), read: 0, at_end: false, number: 0, in_array: 0, last: 0 }
    }

    /// The event that was read last, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The event that was met last, as it is written.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer[self.read - self.last..self.read]
    }

    /// The next event; `None` at the end.
    pub(super) fn next_event(&mut self, reading: &mut Reading) -> Result<Option<Given>, Reason> {
        self.number += 1;
        self.last = 0;
        loop {
            let mut rest = &self.buffer[self.read..];
            match rest.first() {
                None if self.at_end && self.in_array > 0 => return Err(Reason::CutOff),
                None if self.at_end => return Ok(None),
                None => {}
                Some(0x90..=0x9f | 0xdc | 0xdd) => match read_array_len(&mut rest) {
                    Ok(_) if self.in_array > 0 => return Err(Reason::Array),
                    Ok(len) => {
                        self.in_array = len;
                        self.read = self.buffer.len() - rest.len();
                        continue;
                    }
                    Err(_) if self.at_end => return Err(Reason::CutOff),
                    Err(_) => {}
                },
                Some(_) => match fields(&mut rest) {
                    Ok(fields) => {
                        let end = self.buffer.len() - rest.len();
                        self.last = end - self.read;
                        let event = fields.event(reading)?;
                        self.read = end;
                        self.in_array = self.in_array.saturating_sub(1);
                        return Ok(Some(event));
                    }
                    Err(Unread::Incomplete) if !self.at_end => {}
                    Err(Unread::Incomplete) => return Err(Reason::CutOff),
                    Err(Unread::Refused(reason)) => return Err(reason),
                },
            }
            self.read_on()?;
        }
    }

    /// Whether it can be told where that ends which was refused last: where it is one value. The stream has no other marks.
    pub(super) fn has_end(&mut self) -> Result<bool, Reason> {
        while self.last == 0 {
            let mut rest = &self.buffer[self.read..];
            match split_document(&mut rest) {
                Ok(value) => self.last = value.len(),
                Err(DocumentError::Truncated { .. }) if !self.at_end => match self.read_on() {
                    Err(Reason::TooLarge) => return Ok(false),
                    read => read?,
                },
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Writes what was refused last to `out`, and goes on after it.
    pub(super) fn set_aside(&mut self, out: &mut dyn Write) -> Result<(), Reason> {
        out.write_all(&self.buffer[self.read..self.read + self.last]).map_err(Reason::unwritable)?;
        self.read += std::mem::take(&mut self.last);
        self.in_array = self.in_array.saturating_sub(1);
        Ok(())
    }

    /// Reads as much again as waits in the buffer: an event of any size is looked at only a few times.
    fn read_on(&mut self) -> Result<(), Reason> {
        self.buffer.drain(..self.read);
        (self.read, self.last) = (0, 0);
        if self.buffer.len() > limits::EVENT_BYTES {
            return Err(Reason::TooLarge);
        }
        let wanted = self.buffer.len().max(BUFFER_BYTES);
        self.at_end = self.input.read(wanted, &mut self.buffer)? < wanted;
        Ok(())
    }
}

/// Why no event could be read.
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
pub(super) fn fields<'a>(input: &mut &'a [u8]) -> Result<Fields<'a>, Unread> {
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

/// How many bytes a timestamp has that begins `bytes`: MessagePack's extension type -1, in one of its three forms.
fn timestamp_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xd6, 0xff, ..] => Some(6),
        [0xd7, 0xff, ..] => Some(10),
        [0xc7, 12, 0xff, ..] => Some(15),
        _ => None,
    }
}

/// The seconds since 1970 and the nanoseconds of a timestamp.
pub(super) fn timestamp(bytes: &[u8]) -> Option<(i64, u32)> {
    match *bytes {
        [0xd6, 0xff, a, b, c, d] => Some((i64::from(u32::from_be_bytes([a, b, c, d])), 0)),
        [0xd7, 0xff, ref both @ ..] => {
            let both = u64::from_be_bytes(both.try_into().ok()?);
            Some((i64::try_from(both & ((1 << 34) - 1)).ok()?, u32::try_from(both >> 34).ok()?))
        }
        [0xc7, 12, 0xff, a, b, c, d, ref seconds @ ..] => {
            Some((i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes([a, b, c, d])))
        }
        _ => None,
    }
    .filter(|(_, nanoseconds)| *nanoseconds < 1_000_000_000)
}
