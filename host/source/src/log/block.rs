//! Blocks: runs of events that are stored together, split into one section per event type.
//!
//! Reading a few types reads their sections and nothing else, however the types are mixed; reading all of them puts the
//! events back into the order of their positions. A stored section is LZ4 (length first, 4 bytes little-endian) over:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | how many events: n |
//! | 12 n | for each event: where it ends in the frames (4), its position (8) |
//! | rest | the frames: the events as chunk frames show them, one after the other |
//!
//! Numbers are little-endian. Events are spliced into a chunk without being decoded.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unspool_vocabulary::limits;

const ENTRY_BYTES: usize = 12;

/// What is known of a block without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The position of its last event.
    pub(super) last: u64,
    /// How many events of each type: its sections.
    pub(super) kinds: Vec<(u32, u32)>,
    /// The earliest and the latest timestamp in it.
    pub(super) timestamps: (i64, i64),
    /// Bytes of its frames.
    pub(super) bytes: u64,
}

impl Summary {
    /// How many of its events are of the types that `wanted` accepts.
    pub(super) fn count(&self, wanted: impl Fn(u32) -> bool) -> u64 {
        self.kinds.iter().filter(|(kind, _)| wanted(*kind)).map(|(_, count)| u64::from(*count)).sum()
    }
}

/// A block that is being filled.
#[derive(Default)]
pub(super) struct BlockBuilder {
    sections: BTreeMap<u32, Section>,
    events: usize,
    bytes: usize,
    first: u64,
    last: u64,
    timestamps: Option<(i64, i64)>,
}

/// Events of one type in one block, in order.
#[derive(Default)]
pub(super) struct Section {
    /// Where each event ends in `frames`, and its position.
    pub(super) entries: Vec<(u32, u64)>,
    pub(super) frames: Vec<u8>,
}

/// A block as it is stored.
pub(super) struct Stored {
    /// The position of its first event: its key.
    pub(super) first: u64,
    pub(super) summary: Summary,
    /// Its sections, by type.
    pub(super) sections: Vec<(u32, Vec<u8>)>,
}

impl BlockBuilder {
    /// Goes on filling a block that was stored before.
    pub(super) fn reopen(first: u64, summary: &Summary, sections: BTreeMap<u32, Section>) -> BlockBuilder {
        BlockBuilder {
            events: sections.values().map(|section| section.entries.len()).sum(),
            bytes: sections.values().map(|section| section.frames.len()).sum(),
            sections,
            first,
            last: summary.last,
            timestamps: Some(summary.timestamps),
        }
    }

    /// Whether an event of `bytes` should rather begin the next block. The first event always fits.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        self.events > 0 && (self.events >= limits::BLOCK_EVENTS || self.bytes + bytes > limits::BLOCK_BYTES)
    }

    /// Appends the event whose content (see [`unspool_frame::Event::encode_content`]) is given.
    pub(super) fn push(&mut self, position: u64, kind: u32, timestamp: i64, content: &[u8]) {
        let Section { entries, frames } = self.sections.entry(kind).or_default();
        let before = frames.len();
        unspool_frame::event_header(frames, position);
        frames.extend_from_slice(content);
        entries.push((frames.len() as u32, position));
        if self.events == 0 {
            self.first = position;
        }
        self.last = position;
        self.events += 1;
        self.bytes += frames.len() - before;
        let (earliest, latest) = self.timestamps.unwrap_or((timestamp, timestamp));
        self.timestamps = Some((earliest.min(timestamp), latest.max(timestamp)));
    }

    /// The event at `position`, as chunk frames show it.
    pub(super) fn find(&self, position: u64) -> Option<&[u8]> {
        self.sections.values().find_map(|section| section.find(position))
    }

    /// The block as it is stored, leaving this one empty; `None` where nothing was pushed.
    pub(super) fn take(&mut self) -> Option<Stored> {
        let BlockBuilder { sections, events, bytes, first, last, timestamps } = std::mem::take(self);
        if events == 0 {
            return None;
        }
        let summary = Summary {
            last,
            kinds: sections.iter().map(|(kind, section)| (*kind, section.entries.len() as u32)).collect(),
            timestamps: timestamps.unwrap_or_default(),
            bytes: bytes as u64,
        };
        Some(Stored {
            first,
            summary,
            sections: sections.iter().map(|(kind, section)| (*kind, section.encode())).collect(),
        })
    }
}

impl Section {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.entries.len() * ENTRY_BYTES + self.frames.len());
        body.extend((self.entries.len() as u32).to_le_bytes());
        for (end, position) in &self.entries {
            body.extend(end.to_le_bytes());
            body.extend(position.to_le_bytes());
        }
        body.extend_from_slice(&self.frames);
        lz4_flex::block::compress_prepend_size(&body)
    }

    /// Reads a stored section.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(stored: &[u8]) -> Result<Section, String> {
        // The largest event and a full directory: a length beyond is damage, and must not be allocated.
        const LARGEST: usize = limits::EVENT_BYTES + limits::BLOCK_BYTES + 4 + limits::BLOCK_EVENTS * ENTRY_BYTES + 64;
        let (len, packed) = lz4_flex::block::uncompressed_size(stored).map_err(|e| e.to_string())?;
        if len > LARGEST {
            return Err(format!("a section claims {len} bytes"));
        }
        let mut body = lz4_flex::block::decompress(packed, len).map_err(|e| e.to_string())?;
        let ends_early = || "a section ends in the middle of its directory".to_owned();
        let count = body.first_chunk().map(|count| u32::from_le_bytes(*count) as usize).ok_or_else(ends_early)?;
        let directory = body.get(4..4 + count.saturating_mul(ENTRY_BYTES)).ok_or_else(ends_early)?;
        let (chunks, _) = directory.as_chunks::<ENTRY_BYTES>();
        let entries: Vec<_> = chunks.iter().map(entry).collect();
        body.drain(..4 + count * ENTRY_BYTES);
        let mut before = 0;
        for (end, position) in &entries {
            if *end < before || *end as usize > body.len() {
                return Err(format!("the event at position {position} ends outside its section"));
            }
            before = *end;
        }
        Ok(Section { entries, frames: body })
    }

    /// The event at `position`.
    pub(super) fn find(&self, position: u64) -> Option<&[u8]> {
        self.events().find(|(found, _)| *found == position).map(|(_, frame)| frame)
    }

    /// Its events in order: position and frame.
    pub(super) fn events(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        self.entries.iter().map(move |(end, position)| {
            let frame = &self.frames[start..*end as usize];
            start = *end as usize;
            (*position, frame)
        })
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> (u32, u64) {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (word(0), u64::from(word(4)) | (u64::from(word(8)) << 32))
}
