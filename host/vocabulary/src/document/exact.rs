//! Documents from JSON text with floats: every number is looked at as it is written.

use super::check::inner_levels;
use super::error::{DocumentError, shortened};
use super::json_problem::json_problem;
use super::numbers::Numbers;
use super::output::Output;
use super::token::Key;
use crate::limits;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::io::{Cursor, Write};

/// The same as [`super::from_json_as()`], for any text.
pub(super) fn from_json(text: &str, numbers: Numbers, written_out: bool) -> Result<Vec<u8>, DocumentError> {
    // All that can be wrong with the syntax is found here, but for escapes; the walk parses each level by itself.
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| json_problem(&error, text, 0))?;
    let mut output = Output::new(text);
    value(Part { text, raw: whole.get(), levels: limits::DOCUMENT_DEPTH, numbers, written_out }, &mut output)?;
    Ok(output.writer.finish())
}

/// One value of the text, as it is written.
#[derive(Clone, Copy)]
struct Part<'t> {
    text: &'t str,
    raw: &'t str,
    /// How many levels of arrays and maps it may have.
    levels: usize,
    /// What becomes of numbers that cannot be held.
    numbers: Numbers,
    /// Whether numbers stand without exponents, however they were written.
    written_out: bool,
}

impl<'t> Part<'t> {
    fn parse<T: Deserialize<'t>>(self) -> Result<T, DocumentError> {
        serde_json::from_str(self.raw).map_err(|error| json_problem(&error, self.text, self.base()))
    }

    /// Where the part begins in the text.
    fn base(self) -> usize {
        self.raw.as_ptr().addr() - self.text.as_ptr().addr()
    }
}

fn value(part: Part<'_>, output: &mut Output) -> Result<(), DocumentError> {
    match part.raw.as_bytes().first() {
        Some(b'{' | b'[') => {
            let inner = Part { levels: inner_levels(part.levels)?, ..part };
            let mut parser = serde_json::Deserializer::from_str(part.raw);
            let walked = parser.deserialize_any(Nested { part: inner, output });
            return walked.map_err(|error| output.problem(&error, part.text, part.base()));
        }
        Some(b'"') => output.writer.text(&part.parse::<Text<'_>>()?.0),
        Some(b't' | b'f') => output.writer.bool(part.parse()?),
        Some(b'n') => output.writer.nil(),
        _ => {
            let refused = || DocumentError::Number { path: String::new(), literal: shortened(part.raw) };
            let held = number(part.raw, output).or_else(|| {
                output.writer.float(large_double(part.raw).filter(|_| part.written_out)?);
                Some(())
            });
            match (held, part.numbers) {
                (Some(()), _) => {}
                (None, Numbers::Exact) => return Err(refused()),
                (None, Numbers::Text) => output.writer.text(part.raw),
                (None, Numbers::Round) => {
                    let nearest = part.raw.parse().ok().filter(|value: &f64| value.is_finite());
                    output.writer.float(nearest.ok_or_else(refused)?);
                }
            }
        }
    }
    Ok(())
}

/// Text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

/// Writes the values in an array or map.
struct Nested<'t, 'o> {
    /// The array or map, with the levels that its values may have.
    part: Part<'t>,
    output: &'o mut Output,
}

impl<'t> Nested<'t, '_> {
    fn value<E: serde::de::Error>(&mut self, raw: &'t RawValue, step: impl Fn() -> String) -> Result<(), E> {
        let written = value(Part { raw: raw.get(), ..self.part }, self.output);
        self.output.accept(written.map_err(|problem| problem.inside(&step())))
    }
}

impl<'t> Visitor<'t> for Nested<'t, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut values: A) -> Result<(), A::Error> {
        let open = self.output.writer.open();
        let mut len = 0;
        while let Some(raw) = values.next_element::<&RawValue>()? {
            self.value(raw, || format!("[{len}]"))?;
            len += 1;
        }
        self.output.writer.close_array(open, len);
        Ok(())
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let open = self.output.writer.open();
        while let Some(Text(key)) = entries.next_key()? {
            self.output.writer.key(Key::Text(&key));
            self.value(entries.next_value()?, || shortened(&key))?;
        }
        let closed = self.output.writer.close_map(open);
        self.output.accept(closed)
    }
}

/// Writes the number that `literal`, a JSON number, stands for; `None` where it cannot be held exactly.
fn number(literal: &str, output: &mut Output) -> Option<()> {
    if literal.contains(['.', 'e', 'E']) {
        output.writer.float(float(literal)?);
    } else if let Ok(value) = literal.parse() {
        output.writer.unsigned(value);
    } else {
        output.writer.signed(literal.parse().ok()?);
    }
    Some(())
}

/// The double that an integer of more than 64 bits was, before its exponent was written out: it has the digits that tell it
/// from all other doubles, then zeros; or all of its own.
fn large_double(literal: &str) -> Option<f64> {
    let is_integer = literal.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    let value = || literal.parse().ok().filter(|value: &f64| format!("{value:.0}") == literal);
    if is_integer { float(literal).or_else(value) } else { None }
}

/// The most significant digits that a writer needs to tell every double from all others; more are another number.
const FLOAT_DIGITS: usize = 17;

/// The double that a literal is read as, if it shows the digits of the literal: either when shown with as many, or when shown
/// with as few as tell it from all others. For a few powers of two the second is what every JSON writer writes, and is not
/// the first.
fn float(literal: &str) -> Option<f64> {
    let value: f64 = literal.parse().ok()?;
    let written = Significant::of(literal)?;
    let same = match written.len {
        0 => true,
        _ if value == 0.0 || !value.is_finite() => false,
        len => {
            written.shown_by(format_args!("{:.*e}", len - 1, value.abs()))
                || written.shown_by(format_args!("{:e}", value.abs()))
        }
    };
    same.then_some(value)
}

/// The significant digits of a literal - none of zero - and the decimal exponent of the first.
struct Significant {
    digits: [u8; FLOAT_DIGITS],
    len: usize,
    exponent: i64,
}

impl Significant {
    /// `None` if there are too many of them.
    fn of(literal: &str) -> Option<Significant> {
        let unsigned = literal.trim_start_matches('-');
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        let mut significant = Significant { digits: [0; FLOAT_DIGITS], len: 0, exponent: 0 };
        let is_digit = |c: char| c != '0' && c != '.';
        let (Some(first), Some(last)) = (mantissa.find(is_digit), mantissa.rfind(is_digit)) else {
            return Some(significant);
        };
        for digit in mantissa[first..=last].bytes().filter(|&byte| byte != b'.') {
            *significant.digits.get_mut(significant.len)? = digit;
            significant.len += 1;
        }
        // The digit before the point has exponent 0. From a digit after it, the distance counts the point itself.
        let places = i64::try_from(point).ok()? - i64::try_from(first).ok()? - i64::from(first < point);
        significant.exponent = places.saturating_add(exponent.parse().ok()?);
        Some(significant)
    }

    /// Whether `shown`, a float in the form `1.25e-3`, has the same digits and exponent.
    fn shown_by(&self, shown: fmt::Arguments<'_>) -> bool {
        // Seventeen digits, a point and an exponent of five characters at most.
        let mut text = Cursor::new([0; 32]);
        if text.write_fmt(shown).is_err() {
            return false;
        }
        let text = text.get_ref().split(|&byte| byte == 0).next().and_then(|text| std::str::from_utf8(text).ok());
        text.and_then(|text| text.split_once('e')).is_some_and(|(mantissa, exponent)| {
            mantissa.bytes().filter(|&byte| byte != b'.').eq(self.digits[..self.len].iter().copied())
                && exponent.parse() == Ok(self.exponent)
        })
    }
}
