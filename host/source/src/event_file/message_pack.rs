//! A stream of MessagePack maps, which may stand in arrays.

use super::Reason;
use super::compression::Input;
use super::forms;
use super::given::Given;
use super::read_fields::{Unread, of_message_pack};
use super::reading::Reading;
use rmp::decode::read_array_len;
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
                Some(_) => match of_message_pack(&mut rest) {
                    Ok(fields) => {
                        let end = self.buffer.len() - rest.len();
                        self.last = end - self.read;
                        let event = forms::event(fields, reading)?;
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
