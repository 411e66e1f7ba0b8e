//! A chunk on its way to a plugin.

use crate::vocabulary::{BlockEvent, EventFailure, FailureKind, Mark, Position};
use std::time::Instant;
use unspool_frame::Event;

/// The length of a chunk frame's header: an array of up to 2^32 - 1 elements.
const HEADER: usize = 5;

/// The frame of a chunk without events.
const EMPTY: [u8; HEADER] = [0xdd, 0, 0, 0, 0];

/// Events of one call, as one frame, with their offsets in it.
pub(super) struct Chunk {
    frame: Vec<u8>,
    /// Where each event ends in `frame`, and its position.
    ends: Vec<(usize, Position)>,
    /// The source has been read up to here.
    pub(super) through: Position,
    /// When reading it began and ended.
    pub(super) read: (Instant, Instant),
    /// Why the source cannot read its event, which is the only one then.
    pub(super) unreadable: Option<String>,
}

/// What a checkpoint records of an event.
#[derive(Debug, Clone)]
pub(super) struct LastEvent {
    pub(super) id: String,
    pub(super) timestamp: i64,
}

impl Chunk {
    pub(super) fn new(through: Position) -> Chunk {
        let now = Instant::now();
        Chunk { frame: EMPTY.to_vec(), ends: Vec::new(), through, read: (now, now), unreadable: None }
    }

    /// An empty chunk after this one, with room for as much.
    pub(super) fn next(&self) -> Chunk {
        let frame = Vec::with_capacity(self.frame.len() + self.frame.len() / 8);
        Chunk { frame, ends: Vec::with_capacity(self.ends.len()), ..Chunk::new(self.through) }.emptied(self.through)
    }

    /// An empty chunk after `through`, in the memory of this one.
    pub(super) fn emptied(mut self, through: Position) -> Chunk {
        self.frame.clear();
        self.frame.extend_from_slice(&EMPTY);
        self.ends.clear();
        let now = Instant::now();
        Chunk { through, read: (now, now), unreadable: None, ..self }
    }

    /// Appends an encoded event.
    pub(super) fn push(&mut self, event: &[u8], position: Position) {
        self.frame.extend_from_slice(event);
        self.ends.push((self.frame.len(), position));
        self.frame[1..HEADER].copy_from_slice(&(self.ends.len() as u32).to_be_bytes());
        self.through = position;
    }

    /// Notes that all of it has been read.
    pub(super) fn is_read(&mut self) {
        self.read.1 = Instant::now();
    }

    /// The frame, as `handle` takes it.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.unreadable.is_some()
    }

    /// The failure of its event that the source cannot read, where it is one.
    pub(super) fn unreadable_failure(&self) -> Option<EventFailure> {
        let failure = EventFailure::permanent(FailureKind::Source, self.unreadable.as_ref()?);
        Some(failure.at(&self.event(0)?, self.position(0)))
    }

    pub(super) fn bytes(&self) -> usize {
        self.frame.len()
    }

    /// The events from number `first` to the end, as a chunk of their own.
    pub(super) fn rest(&self, first: usize) -> Chunk {
        self.part(first, self.len())
    }

    /// The first `events` events, as a chunk of their own.
    pub(super) fn first(&self, events: usize) -> Chunk {
        self.part(0, events.min(self.len()))
    }

    /// Event number `index`, as a chunk of its own.
    pub(super) fn single(&self, index: usize) -> Chunk {
        self.part(index, index + 1)
    }

    fn part(&self, first: usize, end: usize) -> Chunk {
        let mut part = Chunk { read: self.read, ..Chunk::new(self.through) };
        for index in first..end {
            part.push(self.encoded(index), self.ends[index].1);
        }
        if end == self.len() {
            part.through = self.through;
        }
        part
    }

    /// Event number `index` as the frame shows it.
    pub(super) fn encoded(&self, index: usize) -> &[u8] {
        let start = if index == 0 { HEADER } else { self.ends[index - 1].0 };
        &self.frame[start..self.ends[index].0]
    }

    /// The position of event number `index`.
    pub(super) fn position(&self, index: usize) -> Position {
        self.ends[index].1
    }

    /// Event number `index`; `None` where the source gave something that is not an event.
    pub(super) fn event(&self, index: usize) -> Option<Event<'_>> {
        Event::decode(&mut self.encoded(index)).ok()
    }

    /// By what event number `index` is known again.
    pub(super) fn mark(&self, index: usize) -> Option<Mark> {
        let (frame, position) = (self.encoded(index), self.position(index));
        BlockEvent { frame, position, unreadable: self.unreadable.as_deref() }.mark()
    }

    /// What a checkpoint after the first `handled` events records of the last of them.
    pub(super) fn last_of(&self, handled: usize) -> Option<LastEvent> {
        let event = self.event(handled.checked_sub(1)?)?;
        Some(LastEvent { id: event.id.to_owned(), timestamp: event.timestamp })
    }
}
