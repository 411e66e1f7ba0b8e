//! From events of a file to what is stored of them.

use super::{handover::Handover, kinds::Kinds, queue::Sender};
use crate::event_file::{EventFile, EventFileError};
use unspool_vocabulary::limits;

/// Parses the file, and hands its events over until nobody takes them.
pub(super) fn parse(file: &mut EventFile, kinds: &mut Kinds, sender: Sender<'_>) -> Result<(), EventFileError> {
    let (mut handover, mut compared) = (Handover::default(), Vec::new());
    while let Some(event) = file.next() {
        let event = event?;
        let kind = kinds.number(&event.event.kind);
        handover.push(event, kind, &mut compared);
        if handover.events.len() >= limits::IMPORT_HANDOVER_EVENTS || handover.bytes() >= limits::IMPORT_HANDOVER_BYTES
        {
            handover.bytes_read = file.bytes_read();
            if !sender.send(std::mem::take(&mut handover)) {
                return Ok(());
            }
        }
    }
    handover.bytes_read = file.bytes_read();
    // Nobody takes it where storing has ended early; it says why.
    sender.send(handover);
    Ok(())
}
