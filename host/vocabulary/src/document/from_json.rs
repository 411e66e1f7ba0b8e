//! Documents from JSON text.

use super::check::inner_levels;
use super::error::DocumentError;
use super::exact;
use super::numbers::Numbers;
use super::output::Output;
use super::token::Key;
use crate::limits;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// The canonical form of what a JSON text says.
///
/// Integers stay integers and numbers with a fraction or an exponent are floats, even `1.0` and `1e3`; `-0` is the integer
/// 0, `-0.0` a float. A number is refused that would not come back as it is written:
///
/// - an integer outside -2^63 to 2^64 - 1;
/// - a float that overflows, that becomes zero without being zero, or that has more than 17 significant digits, or others
///   than its double has when shown with as many.
///
/// # Errors
/// [`DocumentError`]: not JSON, such a number, a key twice in one object, nested too deeply.
pub fn from_json(text: &str) -> Result<Vec<u8>, DocumentError> {
    from_json_as(text, Numbers::Exact)
}

/// The same as [`from_json`], but for what becomes of numbers that cannot be held exactly.
///
/// # Errors
/// As [`from_json`].
pub fn from_json_as(text: &str, numbers: Numbers) -> Result<Vec<u8>, DocumentError> {
    canonical(text, numbers, false)
}

/// The same as [`from_json_as`], of text that PostgreSQL shows for a `jsonb`: it writes numbers without an exponent, so that
/// an integer of more than 64 bits is a double where it has the digits of one.
///
/// # Errors
/// As [`from_json`].
pub fn from_jsonb(text: &str, numbers: Numbers) -> Result<Vec<u8>, DocumentError> {
    canonical(text, numbers, true)
}

fn canonical(text: &str, numbers: Numbers, written_out: bool) -> Result<Vec<u8>, DocumentError> {
    if u32::try_from(text.len()).is_err() {
        return Err(DocumentError::TooLong { bytes: text.len() });
    }
    // The parser gives only rounded values for floats and for integers that are too large. They stop the fast path, as does
    // everything that is wrong; the exact path then says what it is.
    quick(text).or_else(|_| exact::from_json(text, numbers, written_out))
}

fn quick(text: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut output = Output::new(text);
    let mut parser = serde_json::Deserializer::from_str(text);
    ValueSeed { output: &mut output, levels: limits::DOCUMENT_DEPTH }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(output.writer.finish())
}

/// Writes one value with at most `levels` levels of arrays and maps.
struct ValueSeed<'o> {
    output: &'o mut Output,
    levels: usize,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.output.writer.nil();
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.output.writer.bool(value);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.output.writer.unsigned(value);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.output.writer.signed(value);
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _rounded: f64) -> Result<(), E> {
        Err(E::custom("a float"))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.output.writer.text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let levels = self.output.accept(inner_levels(self.levels))?;
        let open = self.output.writer.open();
        let mut len = 0;
        while values.next_element_seed(ValueSeed { output: self.output, levels })?.is_some() {
            len += 1;
        }
        self.output.writer.close_array(open, len);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let levels = self.output.accept(inner_levels(self.levels))?;
        let open = self.output.writer.open();
        while entries.next_key_seed(KeySeed(self.output))?.is_some() {
            entries.next_value_seed(ValueSeed { output: self.output, levels })?;
        }
        let closed = self.output.writer.close_map(open);
        self.output.accept(closed)
    }
}

/// Writes the key of an entry.
struct KeySeed<'o>(&'o mut Output);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        self.0.writer.key(Key::Text(key));
        Ok(())
    }
}
