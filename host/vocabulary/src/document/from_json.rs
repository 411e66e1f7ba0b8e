//! Documents from JSON text.

use super::DocumentError;
use super::check::inner_levels;
use super::exact;
use super::token::Key;
use super::writer::Writer;
use crate::limits;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What becomes of a JSON number that cannot be held exactly (see [`from_json`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// It is refused.
    #[default]
    Exact,
    /// It becomes text, as it is written.
    Text,
    /// It becomes the nearest double; refused where that is infinite.
    Round,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Numbers::Exact => "exact",
            Numbers::Text => "text",
            Numbers::Round => "round",
        })
    }
}

impl FromStr for Numbers {
    type Err = String;

    /// What the option `numbers` of a source says.
    fn from_str(text: &str) -> Result<Numbers, String> {
        let known = [Numbers::Exact, Numbers::Text, Numbers::Round];
        let found = known.into_iter().find(|numbers| numbers.to_string() == text);
        found.ok_or_else(|| format!("numbers={text} is not known; it is exact, text or round"))
    }
}

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

/// Where visitors write to, and say why they stopped: their own error type cannot carry it.
pub(super) struct Output {
    pub(super) writer: Writer,
    problem: Option<DocumentError>,
}

impl Output {
    pub(super) fn new(text: &str) -> Self {
        Output { writer: Writer::new(text.len()), problem: None }
    }

    /// Stops the visitors where there is a problem.
    pub(super) fn accept<T, E: de::Error>(&mut self, result: Result<T, DocumentError>) -> Result<T, E> {
        result.map_err(|problem| {
            self.problem = Some(problem);
            E::custom("stopped")
        })
    }

    /// Why the parser stopped that had `error` in the part of `text` that begins at byte `base`.
    pub(super) fn problem(&mut self, error: &serde_json::Error, text: &str, base: usize) -> DocumentError {
        self.problem.take().unwrap_or_else(|| json_problem(error, text, base))
    }
}

fn quick(text: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut output = Output::new(text);
    let mut parser = serde_json::Deserializer::from_str(text);
    ValueSeed { output: &mut output, levels: limits::DOCUMENT_DEPTH }.deserialize(&mut parser)?;
    parser.end()?;
    Ok(output.writer.finish())
}

/// What the parser says about the part of `text` that begins at byte `base`, with the position in all of `text`.
pub(super) fn json_problem(error: &serde_json::Error, text: &str, base: usize) -> DocumentError {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    if (problem.contains("surrogate") || problem.contains("hex escape"))
        && let Some((at, escape)) = half_surrogate(text)
    {
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[..at].matches('\n').count() + 1;
        return DocumentError::HalfSurrogate { escape: escape.to_owned(), line, column: at - line_start + 1 };
    }
    let before = &text[..base];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    DocumentError::Json {
        problem,
        line: before.matches('\n').count() + error.line(),
        column: error.column() + if error.line() == 1 { base - line_start } else { 0 },
    }
}

/// The first escape in a JSON text that is half of a surrogate pair without its other half, and the byte where it begins.
pub fn half_surrogate(text: &str) -> Option<(usize, &str)> {
    /// `\u` and four digits.
    const ESCAPE: usize = 6;
    let unit = |at: usize| {
        let digits = text.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while let Some(backslash) = text.get(at..)?.find('\\') {
        let start = at + backslash;
        at = match unit(start) {
            Some(0xd800..=0xdbff) if matches!(unit(start + ESCAPE), Some(0xdc00..=0xdfff)) => start + 2 * ESCAPE,
            Some(0xd800..=0xdfff) => return Some((start, &text[start..start + ESCAPE])),
            Some(_) => start + ESCAPE,
            // Another escape: its character follows the backslash, and may be a backslash.
            None => start + 1 + text[start + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    None
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
