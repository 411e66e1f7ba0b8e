//! What is handed over of parsed events, to be stored.

use super::super::{content, id_hash};
use crate::event_file::{FileEvent, Place};

/// Parsed events, on their way to be stored.
#[derive(Default)]
pub(super) struct Handover {
    pub(super) events: Vec<Parsed>,
    /// Their contents, one after the other.
    pub(super) contents: Vec<u8>,
    /// How much of the file had been read by then.
    pub(super) bytes_read: u64,
    /// Bytes of the events as they are written.
    pub(super) raw_bytes: usize,
}

/// What is needed of an event beside its content.
pub(super) struct Parsed {
    /// Where its content ends.
    end: usize,
    pub(super) kind: u32,
    pub(super) timestamp: i64,
    pub(super) position: Option<u64>,
    pub(super) place: Place,
    pub(super) id: u128,
    pub(super) content: u128,
    /// The hash of its content with the time that is kept in its metadata, where one is: logs of earlier versions have that.
    pub(super) with_time: Option<u128>,
    /// Whether its id is unique within its source only.
    pub(super) cloud: bool,
    /// The event as it is written, where refused ones are set aside.
    pub(super) raw: Option<Box<[u8]>>,
}

impl Parsed {
    /// Whether it has the content of this hash.
    pub(super) fn is(&self, content: u128) -> bool {
        self.content == content || self.with_time == Some(content)
    }
}

impl Handover {
    /// Adds an event; `compared` is for bytes.
    pub(super) fn push(&mut self, event: FileEvent, kind: u32, compared: &mut Vec<u8>) {
        let FileEvent { event, position, place, cloud, without_time, raw } = event;
        let frame = event.at(0);
        frame.encode_content(&mut self.contents);
        self.raw_bytes += raw.as_ref().map_or(0, |raw| raw.len());
        let bare = unspool_frame::Event { metadata: without_time.as_ref().unwrap_or(&event.metadata), ..frame };
        self.events.push(Parsed {
            end: self.contents.len(),
            kind,
            timestamp: event.timestamp,
            position,
            place,
            id: id_hash(&event.id),
            content: content::hash(&bare, compared),
            with_time: without_time.is_some().then(|| content::hash(&frame, compared)),
            cloud,
            raw,
        });
    }

    /// Bytes of memory that it takes, more or less.
    pub(super) fn bytes(&self) -> usize {
        self.contents.len() + self.raw_bytes + self.events.len() * size_of::<Parsed>()
    }

    /// The contents of its events, in order.
    pub(super) fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.events.iter().map(move |event| &self.contents[std::mem::replace(&mut start, event.end)..event.end])
    }
}
