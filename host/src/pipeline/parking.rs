//! Setting events aside: one that cannot be handled, and every later one of its stream.
//!
//! A dead letter is committed in the transaction that moves the checkpoint over it. Waiting events of a chunk therefore
//! go into the overlay together with the handled events around them, in order, and never ahead of them.

use super::chunk::Chunk;
use crate::{
    limits,
    store::{Generation, ParkedEvent, Store, StoreError},
    vocabulary::{EventFailure, FailureKind, Position},
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};

/// What an attempt has set aside.
pub(super) struct Parking {
    /// Streams that have a dead letter; as many as [`limits::PARKED_EVENTS`] at most.
    streams: HashSet<String>,
    parked: u64,
    /// Events of the chunk in hand that wait after a dead letter, and are not in the overlay yet. By position: streams are
    /// set aside in the middle of a chunk, and their events then join others that have waited since its beginning.
    waiting: BTreeMap<Position, ParkedEvent>,
    /// Waiting events are dead letters already.
    again: bool,
}

/// Whether an event with this failure can be set aside: its handler is at fault, or what the source has for this very
/// event; and not the source as a whole, the store or the host.
pub(super) fn can_park(failure: &EventFailure) -> bool {
    use FailureKind::{BadOutput, Deadline, Handler, Memory, Source, Stack, Trap};
    failure.event_id.is_some()
        && matches!(failure.kind, Handler | Trap | Deadline | Memory | Stack | BadOutput | Source)
}

impl Parking {
    /// Goes on with the dead letters that the generation has already.
    pub(super) fn load(store: &Store, generation: &Generation, parked: u64) -> Result<Parking, StoreError> {
        let streams = if parked == 0 { HashSet::new() } else { store.parked_streams(generation)? };
        Ok(Parking { streams, parked, waiting: BTreeMap::new(), again: false })
    }

    /// For events that are dead letters already.
    pub(super) fn again() -> Parking {
        Parking { streams: HashSet::new(), parked: 0, waiting: BTreeMap::new(), again: true }
    }

    /// The chunk without the events of streams that have dead letters; those wait from here on.
    pub(super) fn set_aside(&mut self, chunk: Chunk) -> Chunk {
        if self.streams.is_empty() {
            return chunk;
        }
        let mut rest = Chunk::new(chunk.through);
        for index in 0..chunk.len() {
            match chunk.event(index) {
                Some(event) if self.streams.contains(event.stream) && self.again => {}
                Some(event) if self.streams.contains(event.stream) => {
                    // What cannot be read keeps that failure even while it waits.
                    let waiting = parked_event(&chunk, index, event.stream, chunk.unreadable_failure());
                    self.waiting.insert(waiting.position, waiting);
                }
                _ => rest.push(chunk.encoded(index), chunk.position(index)),
            }
        }
        rest.through = chunk.through;
        rest.unreadable = chunk.unreadable.filter(|_| !rest.is_empty());
        rest
    }

    /// Sets aside event number `index` of `chunk`.
    ///
    /// # Errors
    /// Where there are as many dead letters as allowed.
    pub(super) fn park(
        &mut self,
        chunk: &Chunk,
        index: usize,
        failure: EventFailure,
    ) -> Result<ParkedEvent, EventFailure> {
        if self.parked >= limits::PARKED_EVENTS {
            let message = format!(
                "there are {} dead letters, as many as allowed; the last reason: {}",
                self.parked, failure.message
            );
            return Err(EventFailure { message, ..failure });
        }
        let stream = failure.stream.clone().unwrap_or_default();
        self.streams.insert(stream.clone());
        self.parked += 1;
        Ok(parked_event(chunk, index, &stream, Some(failure)))
    }

    /// The waiting events up to `position`, which go into the overlay with the events around them.
    pub(super) fn waiting_through(&mut self, position: Position) -> Vec<ParkedEvent> {
        let mut through = Vec::new();
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= position) {
            through.push(first.remove());
        }
        self.parked += through.len() as u64;
        through
    }
}

fn parked_event(chunk: &Chunk, index: usize, stream: &str, failure: Option<EventFailure>) -> ParkedEvent {
    ParkedEvent {
        stream: stream.to_owned(),
        position: chunk.position(index),
        event: Bytes::copy_from_slice(chunk.encoded(index)),
        failure,
        unreadable: chunk.is_unreadable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unspool_frame::Event;

    /// Events on the given streams, at positions from 1 on.
    fn chunk(streams: &[&str]) -> Chunk {
        let mut chunk = Chunk::new(Position::START);
        for (position, stream) in (1..).zip(streams) {
            let mut frame = Vec::new();
            let event = Event {
                position,
                id: &format!("e{position}"),
                stream,
                kind: "Fine",
                timestamp: 0,
                schema_version: 1,
                data: &[0xc0],
                metadata: &[0xc0],
            };
            event.encode(&mut frame);
            chunk.push(&frame, Position::number(position));
        }
        chunk
    }

    fn positions(events: &[ParkedEvent]) -> Vec<u64> {
        events.iter().map(|event| event.position.minor).collect()
    }

    fn failed(stream: &str) -> EventFailure {
        let failure = EventFailure::permanent(FailureKind::Handler, "no");
        EventFailure { stream: Some(stream.to_owned()), ..failure }
    }

    /// A stream that is set aside in the middle of a chunk has events between those that have waited since its beginning.
    /// None may be left behind by a checkpoint that moves over it.
    #[test]
    fn waiting_events_go_with_the_checkpoint_that_moves_over_them() {
        let mut parking =
            Parking { streams: HashSet::from(["early".to_owned()]), parked: 0, waiting: BTreeMap::new(), again: false };
        let all = chunk(&["fine", "bad", "bad", "fine", "bad", "early", "fine"]);
        let rest = parking.set_aside(all);
        assert_eq!(rest.len(), 6);
        assert!(parking.waiting_through(Position::number(1)).is_empty());
        assert_eq!(parking.park(&rest, 1, failed("bad")).unwrap().position, Position::number(2));
        let rest = parking.set_aside(rest.rest(2));
        assert_eq!(rest.len(), 2);
        assert_eq!(positions(&parking.waiting_through(Position::number(4))), [3]);
        assert_eq!(positions(&parking.waiting_through(Position::number(7))), [5, 6]);
        assert_eq!(parking.parked, 4);
    }

    #[test]
    fn an_empty_rest_still_carries_the_checkpoint() {
        let mut parking =
            Parking { streams: HashSet::from(["s".to_owned()]), parked: 0, waiting: BTreeMap::new(), again: false };
        let mut all = chunk(&["s", "s"]);
        all.through = Position::number(9);
        let rest = parking.set_aside(all);
        assert_eq!((rest.len(), rest.through), (0, Position::number(9)));
    }

    #[test]
    fn there_is_an_end_to_what_is_parked() {
        let mut parking =
            Parking { streams: HashSet::new(), parked: limits::PARKED_EVENTS, waiting: BTreeMap::new(), again: false };
        let refused = parking.park(&chunk(&["s"]), 0, failed("s")).unwrap_err();
        assert!(refused.message.contains("as many as allowed"), "{refused}");
    }
}
