//! When two events are the same: an event that is delivered again may come with the time of that delivery, at another
//! position, and written with more or less of its fraction.

use super::hash_128;
use crate::event_file::without_time;
use std::borrow::Cow;
use unspool_frame::Event;

/// What `ids` has of an event beside its position: BLAKE3 of its frame without position, timestamp, and the time that was kept
/// in its metadata. `scratch` is for bytes.
pub(super) fn hash(event: &Event<'_>, scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    Event { timestamp: 0, ..*event }.encode_content(scratch);
    hash_128(scratch)
}

/// Whether `known` is the hash of this event; in logs of earlier versions the time that was kept counts.
pub(super) fn is_content(event: &Event<'_>, known: u128) -> bool {
    let scratch = &mut Vec::new();
    if hash(event, scratch) == known {
        return true;
    }
    let Some(metadata) = without_time(event.metadata, event.timestamp) else { return false };
    let metadata: &[u8] = &metadata;
    [metadata, if metadata == EMPTY { NIL } else { metadata }]
        .iter()
        .any(|metadata| hash(&Event { metadata, ..*event }, scratch) == known)
}

/// Whether two events are the same, however much of their times was kept.
pub(super) fn same(a: &Event<'_>, b: &Event<'_>) -> bool {
    (a.id, a.stream, a.kind, a.schema_version, a.data) == (b.id, b.stream, b.kind, b.schema_version, b.data)
        && bare(a) == bare(b)
}

/// No entries, and nothing.
const EMPTY: &[u8] = &[0x80];
const NIL: &[u8] = &[0xc0];

/// The metadata without the time that was kept; where that was all, there was nothing.
fn bare<'e>(event: &Event<'e>) -> Cow<'e, [u8]> {
    match without_time(event.metadata, event.timestamp).map_or(Cow::Borrowed(event.metadata), Cow::Owned) {
        metadata if *metadata == *EMPTY => Cow::Borrowed(NIL),
        metadata => metadata,
    }
}

/// The event of `content`, which [`Event::encode_content`] wrote, as a frame shows it.
pub(super) fn framed(content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(content.len() + 2);
    unspool_frame::event_header(&mut frame, 0);
    frame.extend_from_slice(content);
    frame
}
