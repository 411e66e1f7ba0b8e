//! What is wrong with a document, or with a JSON text that is to be one.

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
    pub(super) fn inside(self, step: &str) -> DocumentError {
        match self {
            DocumentError::Number { path, literal } => {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                DocumentError::Number { path: format!("{step}{dot}{path}"), literal }
            }
            other => other,
        }
    }
}

/// What follows a problem that stands at `path`.
pub(super) fn at_path(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at {path}") }
}

/// The first characters of `text`: messages stay short whatever they quote.
pub(super) fn shortened(text: &str) -> String {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
