//! A stream of MessagePack maps.

use super::Reason;
use super::compression::Input;
use super::field::{Field, FieldValue, Fields, Given};
use crate::limits;
use crate::vocabulary::{DocumentError, split_document};
use rmp::decode::{ValueReadError, read_map_len, read_str_from_slice};
use std::borrow::Cow;

/// The events of a file.
pub(super) struct MessagePackStream {
    input: Input,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    read: usize,
    at_end: bool,
    number: u64,
}

/// Read at a time, unless an event is larger.
const BUFFER_BYTES: usize = 256 << 10;

impl MessagePackStream {
    pub(super) fn new(input: Input) -> Self {
        MessagePackStream { input, buffer: Vec::new(), read: 0, at_end: false, number: 0 }
    }

    /// The event that was read last, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next event; `None` at the end.
    pub(super) fn next_event(&mut self) -> Result<Option<Given>, Reason> {
        self.number += 1;
        loop {
            let mut rest = &self.buffer[self.read..];
            if !rest.is_empty() {
                match fields(&mut rest) {
                    Ok(fields) => {
                        let event = fields.event()?;
                        self.read = self.buffer.len() - rest.len();
                        return Ok(Some(event));
                    }
                    Err(Unread::Incomplete) if !self.at_end => {}
                    Err(Unread::Incomplete) => return Err(Reason::CutOff),
                    Err(Unread::Refused(reason)) => return Err(reason),
                }
            } else if self.at_end {
                return Ok(None);
            }
            self.read_on()?;
        }
    }

    /// Reads as much again as waits in the buffer: an event of any size is looked at only a few times.
    fn read_on(&mut self) -> Result<(), Reason> {
        self.buffer.drain(..self.read);
        self.read = 0;
        if self.buffer.len() > limits::EVENT_BYTES {
            return Err(Reason::TooLarge);
        }
        let wanted = self.buffer.len().max(BUFFER_BYTES);
        self.at_end = self.input.read(wanted, &mut self.buffer)? < wanted;
        Ok(())
    }
}

/// Why no event could be read.
enum Unread {
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

fn fields<'a>(input: &mut &'a [u8]) -> Result<Fields<'a>, Unread> {
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
        let value = FieldValue::MessagePack(split_document(input)?);
        fields.push(Field { name: Cow::Borrowed(name), value });
    }
    Ok(fields)
}
