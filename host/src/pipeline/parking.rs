//! Setting events aside: one that cannot be handled, and every later one of its stream.
//!
//! A parked event is committed in the transaction that moves the checkpoint over it. Waiting events of a chunk therefore
//! go into the overlay together with the handled events around them, in order, and never ahead of them.

use super::chunk::Chunk;
use crate::{
    limits,
    store::{Generation, ParkedEvent, Store, StoreError},
    vocabulary::{EventFailure, FailureKind, Position},
};
use bytes::Bytes;
use std::collections::{HashSet, VecDeque};

/// What an attempt has set aside.
pub(super) struct Parking {
    /// Streams that have a parked event; as many as [`limits::PARKED_EVENTS`] at most.
    streams: HashSet<String>,
    parked: u64,
    /// Events of the chunk in hand that wait behind a parked one, and are not in the overlay yet.
    waiting: VecDeque<ParkedEvent>,
}

/// Whether an event with this failure can be set aside: its handler is at fault, and not source, store or host.
pub(super) fn can_park(failure: &EventFailure) -> bool {
    use FailureKind::{BadOutput, Deadline, Handler, Memory, Stack, Trap};
    failure.event_id.is_some() && matches!(failure.kind, Handler | Trap | Deadline | Memory | Stack | BadOutput)
}

impl Parking {
    /// Goes on with what the generation has parked already.
    pub(super) fn load(store: &Store, generation: &Generation, parked: u64) -> Result<Parking, StoreError> {
        let streams = if parked == 0 { HashSet::new() } else { store.parked_streams(generation)? };
        Ok(Parking { streams, parked, waiting: VecDeque::new() })
    }

    /// The chunk without the events whose streams are parked; those wait from here on.
    pub(super) fn set_aside(&mut self, chunk: Chunk) -> Chunk {
        if self.streams.is_empty() {
            return chunk;
        }
        let mut rest = Chunk::new(chunk.through);
        for index in 0..chunk.len() {
            match chunk.event(index) {
                Some(event) if self.streams.contains(event.stream) => {
                    let waiting = parked_event(&chunk, index, event.stream, None);
                    self.waiting.push_back(waiting);
                }
                _ => rest.push(chunk.encoded(index), chunk.position(index)),
            }
        }
        rest.through = chunk.through;
        rest
    }

    /// Parks event number `index` of `chunk`.
    ///
    /// # Errors
    /// Where as many events are parked as may be.
    pub(super) fn park(
        &mut self,
        chunk: &Chunk,
        index: usize,
        failure: EventFailure,
    ) -> Result<ParkedEvent, EventFailure> {
        if self.parked >= limits::PARKED_EVENTS {
            let message =
                format!("{} events are parked, as many as may be; the last reason: {}", self.parked, failure.message);
            return Err(EventFailure { message, ..failure });
        }
        let stream = failure.stream.clone().unwrap_or_default();
        self.streams.insert(stream.clone());
        self.parked += 1;
        Ok(parked_event(chunk, index, &stream, Some(failure)))
    }

    /// The waiting events up to `position`, which go into the overlay with the events around them.
    pub(super) fn waiting_through(&mut self, position: Position) -> Vec<ParkedEvent> {
        let count = self.waiting.iter().take_while(|event| event.position <= position).count();
        self.parked += count as u64;
        self.waiting.drain(..count).collect()
    }
}

fn parked_event(chunk: &Chunk, index: usize, stream: &str, failure: Option<EventFailure>) -> ParkedEvent {
    ParkedEvent {
        stream: stream.to_owned(),
        position: chunk.position(index),
        event: Bytes::copy_from_slice(chunk.encoded(index)),
        failure,
    }
}
