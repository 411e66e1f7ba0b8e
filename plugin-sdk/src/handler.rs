//! Handlers: functions of an event, its payload if they want it, and the tables.

use crate::decode::{self, DecodeError};
use crate::failure::{Failure, Handled, permanent};
use serde::Deserialize;
use unspool_frame::Event;

/// A function that handles events of one type: `fn(&Event, Payload, &mut Tables) -> Handled`, or the same without a payload.
///
/// The payload is whatever serde can decode, and may borrow from the event. One that does not decode is a permanent failure
/// that names the field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler for these tables",
    label = "must be `fn(&Event<'_>, Payload, &mut Tables) -> Handled` or `fn(&Event<'_>, &mut Tables) -> Handled`"
)]
pub trait Handler<'a, Tables, Arguments> {
    /// Handles one event.
    ///
    /// # Errors
    /// When the payload does not decode or the handler says so.
    fn handle(self, event: &Event<'a>, tables: &mut Tables) -> Handled;
}

impl<'a, Tables, F> Handler<'a, Tables, ()> for F
where
    F: FnOnce(&Event<'a>, &mut Tables) -> Handled,
{
    #[inline]
    fn handle(self, event: &Event<'a>, tables: &mut Tables) -> Handled {
        self(event, tables)
    }
}

impl<'a, Tables, Payload, F> Handler<'a, Tables, (Payload,)> for F
where
    F: FnOnce(&Event<'a>, Payload, &mut Tables) -> Handled,
    Payload: Deserialize<'a>,
{
    #[inline]
    fn handle(self, event: &Event<'a>, tables: &mut Tables) -> Handled {
        let payload = event.payload()?;
        self(event, payload, tables)
    }
}

/// Reading the two MessagePack values of an event.
pub trait Payload<'a> {
    /// Decodes the payload.
    ///
    /// # Errors
    /// A permanent failure that names the field which is missing or of another type.
    fn payload<T: Deserialize<'a>>(&self) -> Result<T, Failure>;

    /// Decodes the metadata.
    ///
    /// # Errors
    /// A permanent failure that names the field which is missing or of another type.
    fn metadata<T: Deserialize<'a>>(&self) -> Result<T, Failure>;
}

impl<'a> Payload<'a> for Event<'a> {
    #[inline]
    fn payload<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        decode::from_slice(self.data).map_err(|error| undecodable("payload", self, &error))
    }

    fn metadata<T: Deserialize<'a>>(&self) -> Result<T, Failure> {
        decode::from_slice(self.metadata).map_err(|error| undecodable("metadata", self, &error))
    }
}

#[cold]
fn undecodable(part: &str, event: &Event<'_>, error: &DecodeError) -> Failure {
    let failure = permanent(format_args!("{part} of {}: {error}", event.kind));
    match error.field() {
        "" => failure,
        field => failure.detail("field", field),
    }
}
