//! The forms that events have: ours, that of CloudEvents, and those of other people, by a map.

use super::field::Fields;
use super::given::Given;
use super::reading::Reading;
use super::{Reason, cloud_event, mapped, ours};
use unspool_vocabulary::limits;

/// The event that `fields` make.
pub(super) fn event(fields: Fields<'_>, reading: &mut Reading) -> Result<Given, Reason> {
    let given = if reading.options.map.is_some() {
        mapped::event(fields, reading)?
    } else if fields.0.iter().any(|field| field.name == cloud_event::MARK) {
        cloud_event::event(fields, reading)?
    } else {
        ours::event(fields, reading)?
    };
    let event = &given.event;
    let parts = [event.id.len(), event.stream.len(), event.kind.len(), event.data.len(), event.metadata.len()];
    if parts.iter().sum::<usize>() > limits::EVENT_BYTES {
        return Err(Reason::TooLarge);
    }
    reading.last = Some(event.timestamp);
    Ok(given)
}
