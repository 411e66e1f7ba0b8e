//! MessagePack to typed values, by `rmp_serde`: strings are borrowed from the input, structs are maps by field name, and an
//! error names the field it is in. The path to the field is looked for only when there is an error, by decoding again.

mod error;
mod strict;

pub use error::DecodeError;

use rmp_serde::decode::{Deserializer, Error, ReadRefReader};
use serde::de::Deserialize;
use strict::Strict;

/// Levels of nesting. Payloads and documents have at most 64; anything deeper did not pass the host.
const DEPTH: usize = 128;

/// Decodes the one MessagePack value that `input` holds.
///
/// # Errors
/// Says which field is missing, of another type, or cut off.
#[inline]
pub fn from_slice<'de, T: Deserialize<'de>>(input: &'de [u8]) -> Result<T, DecodeError> {
    let mut decoder = decoder(input);
    match T::deserialize(Strict(&mut decoder)) {
        Ok(value) if ended(&mut decoder) => Ok(value),
        Ok(_) => Err(DecodeError::whole("bytes follow the value")),
        Err(error) => Err(located::<T>(input, error)),
    }
}

fn decoder(input: &[u8]) -> Deserializer<ReadRefReader<'_, [u8]>> {
    let mut decoder = Deserializer::from_read_ref(input);
    decoder.set_max_depth(DEPTH);
    decoder
}

/// `rmp_serde` does not say what is left of its input; but where nothing is, it finds no marker.
fn ended(decoder: &mut Deserializer<ReadRefReader<'_, [u8]>>) -> bool {
    matches!(bool::deserialize(decoder), Err(Error::InvalidMarkerRead(_)))
}

/// The same error with the path where it happened.
#[cold]
fn located<'de, T: Deserialize<'de>>(input: &'de [u8], error: Error) -> DecodeError {
    match serde_path_to_error::deserialize::<_, T>(Strict(&mut decoder(input))) {
        Ok(_) => DecodeError::whole(error),
        Err(error) => DecodeError::located(error),
    }
}

#[cfg(test)]
mod tests;
