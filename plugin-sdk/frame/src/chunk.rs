//! The chunk frame: an array of events.

use crate::wire::{self, FrameError, Result};

/// One event as it stands in a chunk frame: an array of eight elements, in the order of these fields.
///
/// The payloads are length-prefixed (`bin`) so that a handler which does not look at them pays nothing for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// The position in the source's global order.
    pub position: u64,
    /// Unique in the source.
    pub id: &'a str,
    /// The entity the event belongs to.
    pub stream: &'a str,
    /// The event type.
    pub kind: &'a str,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The version of the payload's shape; 1 unless the event says otherwise.
    pub schema_version: u32,
    /// The payload: one MessagePack value.
    pub data: &'a [u8],
    /// What the writer noted beside the payload: one MessagePack value.
    pub metadata: &'a [u8],
}

const FIELDS: u32 = 8;

impl<'a> Event<'a> {
    /// Appends the event to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        event_header(out, self.position);
        self.encode_content(out);
    }

    /// Appends all of the event but its position: what two copies of it have in common. After an [`event_header`] it is the
    /// event.
    pub fn encode_content(&self, out: &mut Vec<u8>) {
        let written = (|| {
            rmp::encode::write_str(out, self.id).ok()?;
            rmp::encode::write_str(out, self.stream).ok()?;
            rmp::encode::write_str(out, self.kind).ok()?;
            rmp::encode::write_sint(out, self.timestamp).ok()?;
            rmp::encode::write_uint(out, u64::from(self.schema_version)).ok()?;
            rmp::encode::write_bin(out, self.data).ok()?;
            rmp::encode::write_bin(out, self.metadata).ok()
        })();
        debug_assert!(written.is_some(), "writing to a vector cannot fail");
    }

    /// The stream of an encoded event, as bytes, without looking at anything after it; `None` where there is none.
    pub fn stream_of(encoded: &'a [u8]) -> Option<&'a [u8]> {
        let mut input = encoded;
        rmp::decode::read_array_len(&mut input).ok()?;
        rmp::decode::read_int::<u64, _>(&mut input).ok()?;
        let id = rmp::decode::read_str_len(&mut input).ok()? as usize;
        input = input.get(id..)?;
        let stream = rmp::decode::read_str_len(&mut input).ok()? as usize;
        input.get(..stream)
    }

    /// Reads one event off the front of `input`.
    ///
    /// # Errors
    /// Names the field that is missing, truncated or of another type.
    pub fn decode(input: &mut &'a [u8]) -> Result<Self> {
        let fields = wire::array_len(input, "event")?;
        if fields < FIELDS as usize {
            return Err(wire::error("event", format!("has {fields} elements, not {FIELDS}")));
        }
        let event = Event {
            position: wire::integer(input, "event position")?,
            id: wire::string(input, "event id")?,
            stream: wire::string(input, "event stream")?,
            kind: wire::string(input, "event type")?,
            timestamp: wire::integer(input, "event timestamp")?,
            schema_version: wire::integer(input, "event schema version")?,
            data: wire::binary(input, "event data")?,
            metadata: wire::binary(input, "event metadata")?,
        };
        wire::skip(input, fields - FIELDS as usize, "event")?;
        Ok(event)
    }
}

/// Appends the beginning of an event; its content follows (see [`Event::encode_content`]).
pub fn event_header(out: &mut Vec<u8>, position: u64) {
    let written =
        rmp::encode::write_array_len(out, FIELDS).ok().and_then(|_| rmp::encode::write_uint(out, position).ok());
    debug_assert!(written.is_some(), "writing to a vector cannot fail");
}

/// Appends the header of a chunk of `events` events; the events follow it.
pub fn chunk_header(out: &mut Vec<u8>, events: u32) {
    let written = rmp::encode::write_array_len(out, events);
    debug_assert!(written.is_ok(), "writing to a vector cannot fail");
}

/// Reads the events of a chunk frame, in order.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Chunk<'a> {
    /// Reads the header of `frame`.
    ///
    /// # Errors
    /// When it is not an array.
    pub fn new(frame: &'a [u8]) -> Result<Self> {
        let mut rest = frame;
        let left = wire::array_len(&mut rest, "chunk")?;
        Ok(Chunk { rest, left })
    }
}

impl<'a> Iterator for Chunk<'a> {
    type Item = std::result::Result<Event<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let event = Event::decode(&mut self.rest);
        if event.is_err() {
            self.left = 0;
        }
        Some(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event<'static> {
        Event {
            position: 7,
            id: "e7",
            stream: "order-1",
            kind: "OrderCreated",
            timestamp: -1,
            schema_version: 1,
            data: &[0x81, 0xa1, b'a', 0x01],
            metadata: &[0xc0],
        }
    }

    #[test]
    fn an_event_comes_back_as_it_went_in() {
        let mut frame = Vec::new();
        chunk_header(&mut frame, 2);
        event().encode(&mut frame);
        event().encode(&mut frame);
        let events: Vec<_> = Chunk::new(&frame).unwrap().map(Result::unwrap).collect();
        assert_eq!(events, [event(), event()]);
        assert_eq!(Event::stream_of(&frame[1..]), Some(b"order-1".as_slice()));
    }

    #[test]
    fn elements_behind_the_known_ones_are_ignored() {
        let mut frame = Vec::new();
        event().encode(&mut frame);
        frame[0] = 0x99;
        frame.extend([0x81, 0xa1, b'x', 0x93, 1, 2, 3]);
        frame.push(0x2a);
        let mut input = frame.as_slice();
        assert_eq!(Event::decode(&mut input).unwrap(), event());
        assert_eq!(input, [0x2a]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let mut frame = Vec::new();
        event().encode(&mut frame);
        for len in 0..frame.len() {
            assert!(Event::decode(&mut &frame[..len]).is_err(), "cut at {len}");
        }
    }
}
