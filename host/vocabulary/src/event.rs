//! Events, one by one and in blocks.

use super::{Mark, Position};
use std::time::Duration;

/// An event on its way into a log. `data` and `metadata` are canonical MessagePack (see [`super::canonical`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Unique in its source.
    pub id: String,
    /// The entity it belongs to.
    pub stream: String,
    /// Its type.
    pub kind: String,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The version of the payload's shape; 1 unless the event says otherwise.
    pub schema_version: u32,
    /// The payload: one MessagePack value.
    pub data: Vec<u8>,
    /// What the writer noted beside the payload: one MessagePack value.
    pub metadata: Vec<u8>,
}

impl Event {
    /// The event as a frame shows it, at `position`.
    pub fn at(&self, position: u64) -> unspool_frame::Event<'_> {
        unspool_frame::Event {
            position,
            id: &self.id,
            stream: &self.stream,
            kind: &self.kind,
            timestamp: self.timestamp,
            schema_version: self.schema_version,
            data: &self.data,
            metadata: &self.metadata,
        }
    }
}

/// Matching events that follow each other in a source, as frames show them, ready to be spliced into a chunk.
#[derive(Debug, Clone, Default)]
pub struct EventBlock {
    /// The events, encoded one after another (see [`unspool_frame::Event::encode`]).
    pub bytes: Vec<u8>,
    /// Where each event ends in `bytes`, and its position.
    pub ends: Vec<(u32, Position)>,
    /// The source has been read up to and including here: events beyond the last of `ends` did not match.
    pub through: Position,
    /// Events that the source cannot read, in order: each by its number in `ends`, and why. What stands in `bytes` for
    /// them is no handler's: id, stream and type as far as they can be read, and as the payload what the source has (see
    /// [`super::raw_document`]).
    pub unreadable: Vec<(usize, String)>,
    /// How long the reader waited for others that read the same source, before it read this.
    pub waited: Duration,
}

/// One event of a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockEvent<'a> {
    /// The event as frames show it.
    pub frame: &'a [u8],
    /// Where it stands.
    pub position: Position,
    /// Why the source cannot read it; absent where it can.
    pub unreadable: Option<&'a str>,
}

impl BlockEvent<'_> {
    /// The mark by which it is recognised; `None` where it is no event. What could not be read may be corrected in its
    /// source: its content is not recorded.
    pub fn mark(&self) -> Option<Mark> {
        let mark = Mark::of(self.frame, self.position)?;
        Some(if self.unreadable.is_some() { Mark { content: String::new(), ..mark } } else { mark })
    }
}

impl EventBlock {
    /// Takes all events out; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.unreadable.clear();
    }

    /// Adds an event after the others: the frame that shows it, where it stands, and why it cannot be read where it cannot.
    pub fn push(&mut self, frame: &[u8], position: Position, unreadable: Option<&str>) {
        self.unreadable.extend(unreadable.map(|why| (self.ends.len(), why.to_owned())));
        self.bytes.extend_from_slice(frame);
        self.ends.push((self.bytes.len() as u32, position));
        self.through = position;
    }

    /// The events, in order.
    pub fn events(&self) -> impl Iterator<Item = BlockEvent<'_>> {
        let (mut start, mut unreadable) = (0, self.unreadable.iter().peekable());
        self.ends.iter().enumerate().map(move |(number, &(end, position))| {
            let frame = &self.bytes[start..end as usize];
            start = end as usize;
            let why = unreadable.next_if(|(at, _)| *at == number);
            BlockEvent { frame, position, unreadable: why.map(|(_, why)| why.as_str()) }
        })
    }
}
