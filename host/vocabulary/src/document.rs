//! Documents: what rows and payloads hold.
//!
//! A document is exactly one MessagePack value, and nothing that JSON cannot show:
//!
//! | held | as JSON | refused |
//! |---|---|---|
//! | nil, booleans | the same | extension types, the reserved byte `0xc1` |
//! | integers from -2^63 to 2^64 - 1 | the same | |
//! | finite floats | the same | NaN and the infinities |
//! | UTF-8 text | the same | text that is not UTF-8 |
//! | binary | base64 text (standard alphabet, padded) | |
//! | arrays | the same | more than [`limits::DOCUMENT_DEPTH`] levels of arrays and maps |
//! | maps from text or integers | an object; integer keys as text | other keys; a key twice, also as `1` and `"1"` |
//!
//! The **canonical form** of a document is the one encoding that equal documents share. It uses the shortest form of every
//! integer (unsigned where not negative), text, binary, array and map; every float has eight bytes; the entries of a map
//! stand in ascending order of the bytes of their encoded keys, so that shorter text comes first. `1` and `1.0` are not
//! equal, nor are `0.0` and `-0.0`.
//!
//! [`check_document`], [`canonical`] and [`to_json`] refuse the same inputs for the same reasons.

mod check;
mod exact;
mod from_json;
mod raw;
mod rewrite;
mod to_json;
mod to_jsonb;
mod token;
mod writer;

#[cfg(test)]
mod tests;

pub use check::{check_document, split_document};
pub use from_json::{Numbers, from_json, from_json_as, from_jsonb, half_surrogate};
pub use raw::raw_document;
pub use rewrite::{Canonical, canonical};
pub use to_json::to_json;
pub use to_jsonb::{JsonbError, to_jsonb};

use crate::limits;

/// Bytes that are not a document, or a JSON text that cannot be turned into one: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The input is shorter than its headers say.
    #[error("it ends at byte {at}, in the middle of a value")]
    Truncated {
        /// Where the value begins that is cut off.
        at: usize,
    },
    /// Something follows the value.
    #[error("it goes on for {bytes} bytes after its value, which ends at byte {at}")]
    Trailing {
        /// Where the value ends.
        at: usize,
        /// How many bytes follow.
        bytes: usize,
    },
    /// An extension type, such as a MessagePack timestamp.
    #[error("the value at byte {at} has an extension type; write it as text or as a number")]
    Extension {
        /// Where it begins.
        at: usize,
    },
    /// The one byte that begins nothing.
    #[error("byte {at} is 0xc1, which begins no MessagePack value")]
    Reserved {
        /// Where it stands.
        at: usize,
    },
    /// Text in another encoding.
    #[error("the text at byte {at} is not UTF-8; write it as binary")]
    NotUtf8 {
        /// Where it begins.
        at: usize,
    },
    /// A float without a JSON form.
    #[error("the float at byte {at} is {value}, which JSON cannot show; write nil")]
    NotFinite {
        /// Where it begins.
        at: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// Nested too deeply.
    #[error("arrays and maps are nested more than {} deep", limits::DOCUMENT_DEPTH)]
    TooDeep,
    /// A map key that is neither text nor an integer.
    #[error("the map key at byte {at} is {found}; keys are text or integers")]
    Key {
        /// Where it begins.
        at: usize,
        /// What it is.
        found: &'static str,
    },
    /// A key that stands twice in one map.
    #[error("the key \"{key}\" stands twice in one map")]
    RepeatedKey {
        /// The key as JSON shows it, shortened.
        key: String,
    },
    /// Not JSON.
    #[error("it is not JSON: {problem} (line {line}, column {column} of it)")]
    Json {
        /// What is wrong.
        problem: String,
        /// In which line, counted from 1.
        line: usize,
        /// Before which byte of that line, counted from 1.
        column: usize,
    },
    /// JSON text with an escape that is half of a character: text was cut between the two halves of a surrogate pair.
    #[error(
        "half of a surrogate pair, {escape}, stands alone (line {line}, column {column} of it): text was cut in the middle of a \
         character; `jq -c .` puts U+FFFD in its place"
    )]
    HalfSurrogate {
        /// The escape as it is written.
        escape: String,
        /// In which line, counted from 1.
        line: usize,
        /// At which byte of that line, counted from 1.
        column: usize,
    },
    /// A JSON text too long for MessagePack's lengths.
    #[error("it has {bytes} bytes; {} are allowed", u32::MAX)]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
    /// A JSON number that neither an integer nor a double holds exactly.
    #[error("the number {literal}{} cannot be held exactly; write it as text", at_path(path))]
    Number {
        /// Where it stands, as in `lines[3].amount`; empty for the value itself.
        path: String,
        /// The number as written, shortened.
        literal: String,
    },
}

impl DocumentError {
    /// The same problem, seen from the array or map around it.
    fn inside(self, step: &str) -> DocumentError {
        match self {
            DocumentError::Number { path, literal } => {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                DocumentError::Number { path: format!("{step}{dot}{path}"), literal }
            }
            other => other,
        }
    }
}

fn at_path(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}

/// The first characters of `text`: messages stay short whatever they quote.
fn shortened(text: &str) -> String {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
