//! Blocks: what the log stores and reads at once.
//!
//! A stored block is LZ4 (length first, 4 bytes little-endian) over:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | how many events: n |
//! | 16 n | for each event: where it ends in the frames (4), its type (4), its position (8) |
//! | rest | the frames: the events as chunk frames show them, one behind the other |
//!
//! Numbers are little-endian. The events of a block are therefore spliced into a chunk without being decoded, and events
//! of other types passed over without being looked at.

use crate::limits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const ENTRY_BYTES: usize = 16;

/// What is known of a block without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The position of its last event.
    pub(super) last: u64,
    /// How many events of each type.
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

/// Where an event is in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) end: u32,
    pub(super) kind: u32,
    pub(super) position: u64,
}

/// A block that is being filled.
#[derive(Default)]
pub(super) struct BlockBuilder {
    entries: Vec<Entry>,
    frames: Vec<u8>,
    kinds: BTreeMap<u32, u32>,
    timestamps: Option<(i64, i64)>,
}

/// A block as it is stored.
pub(super) struct Stored {
    /// The position of its first event: its key.
    pub(super) first: u64,
    pub(super) summary: Summary,
    pub(super) bytes: Vec<u8>,
}

impl BlockBuilder {
    /// Goes on filling a block that was stored before.
    pub(super) fn reopen(block: &Block, summary: &Summary) -> BlockBuilder {
        BlockBuilder {
            entries: block.entries.clone(),
            frames: block.frames.to_vec(),
            kinds: summary.kinds.iter().copied().collect(),
            timestamps: Some(summary.timestamps),
        }
    }

    /// Whether an event of `bytes` should rather begin the next block. The first event always fits.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        !self.entries.is_empty()
            && (self.entries.len() >= limits::BLOCK_EVENTS || self.frames.len() + bytes > limits::BLOCK_BYTES)
    }

    /// Appends the event whose content (see [`unspool_frame::Event::encode_content`]) is given.
    pub(super) fn push(&mut self, position: u64, kind: u32, timestamp: i64, content: &[u8]) {
        unspool_frame::event_header(&mut self.frames, position);
        self.frames.extend_from_slice(content);
        self.entries.push(Entry { end: self.frames.len() as u32, kind, position });
        *self.kinds.entry(kind).or_default() += 1;
        let (earliest, latest) = self.timestamps.unwrap_or((timestamp, timestamp));
        self.timestamps = Some((earliest.min(timestamp), latest.max(timestamp)));
    }

    /// The block as it is stored, leaving this one empty; `None` where nothing was pushed.
    pub(super) fn take(&mut self) -> Option<Stored> {
        let BlockBuilder { entries, frames, kinds, timestamps } = std::mem::take(self);
        let (first, last) = (entries.first()?.position, entries.last()?.position);
        let mut body = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES + frames.len());
        body.extend((entries.len() as u32).to_le_bytes());
        for entry in &entries {
            body.extend(entry.end.to_le_bytes());
            body.extend(entry.kind.to_le_bytes());
            body.extend(entry.position.to_le_bytes());
        }
        body.extend_from_slice(&frames);
        let summary = Summary {
            last,
            kinds: kinds.into_iter().collect(),
            timestamps: timestamps.unwrap_or_default(),
            bytes: frames.len() as u64,
        };
        Some(Stored { first, summary, bytes: lz4_flex::block::compress_prepend_size(&body) })
    }
}

/// A block that was read.
pub(super) struct Block {
    pub(super) entries: Vec<Entry>,
    pub(super) frames: Bytes,
}

impl Block {
    /// Reads a stored block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn decode(stored: &[u8]) -> Result<Block, String> {
        // The largest event and a full directory: a length beyond is damage, and must not be allocated.
        const LARGEST: usize = limits::EVENT_BYTES + limits::BLOCK_BYTES + 4 + limits::BLOCK_EVENTS * ENTRY_BYTES + 64;
        let (len, packed) = lz4_flex::block::uncompressed_size(stored).map_err(|e| e.to_string())?;
        if len > LARGEST {
            return Err(format!("a block claims {len} bytes"));
        }
        let body = Bytes::from(lz4_flex::block::decompress(packed, len).map_err(|e| e.to_string())?);
        let ends_early = || "a block ends in the middle of its directory".to_owned();
        let count = body.first_chunk().map(|count| u32::from_le_bytes(*count) as usize).ok_or_else(ends_early)?;
        let directory = body.get(4..4 + count.saturating_mul(ENTRY_BYTES)).ok_or_else(ends_early)?;
        let frames = body.slice(4 + directory.len()..);
        let (chunks, _) = directory.as_chunks::<ENTRY_BYTES>();
        let entries: Vec<_> = chunks.iter().map(entry).collect();
        let mut before = 0;
        for entry in &entries {
            if entry.end < before || entry.end as usize > frames.len() {
                return Err(format!("the event at position {} ends outside its block", entry.position));
            }
            before = entry.end;
        }
        Ok(Block { entries, frames })
    }

    /// The frame of event number `index`.
    pub(super) fn frame(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.entries[index - 1].end as usize };
        &self.frames[start..self.entries[index].end as usize]
    }
}

fn entry(bytes: &[u8; ENTRY_BYTES]) -> Entry {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Entry { end: word(0), kind: word(4), position: u64::from(word(8)) | (u64::from(word(12)) << 32) }
}
