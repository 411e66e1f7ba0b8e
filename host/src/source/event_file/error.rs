//! What is wrong with an event file.

use crate::limits;
use crate::vocabulary::DocumentError;
use std::fmt;

/// An event file that cannot be read: which, where in it, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {reason}", in_file(*place))]
pub struct EventFileError {
    /// The file's name.
    pub file: String,
    /// The event or line that is to blame; absent where it is the file as a whole.
    pub place: Option<Place>,
    /// Why.
    pub reason: Reason,
}

impl EventFileError {
    /// The error of `file` that has `reason` at `place`; text is a reason too.
    pub fn at(file: &str, place: Option<Place>, reason: impl Into<Reason>) -> EventFileError {
        EventFileError { file: file.to_owned(), place, reason: reason.into() }
    }
}

/// A place in an event file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of an NDJSON file; blank ones count.
    Line(u64),
    /// An event of a MessagePack stream.
    Event(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(number) => write!(f, "line {number}"),
            Place::Event(number) => write!(f, "event {number}"),
        }
    }
}

fn in_file(place: Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!(", {place}"))
}

/// Why an event file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It is a directory.
    #[error("this is a directory; name the files in it")]
    Directory,
    /// The system refuses to open or read it, for the reason named.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It was compressed as named, and its end is missing.
    #[error("the file is truncated: its {0} data end too early; fetch it again")]
    Truncated(String),
    /// It was compressed, and what it holds does not unpack.
    #[error("the {compression} data are corrupt: {problem}; fetch the file again")]
    Corrupt {
        /// `gzip` or `zstd`.
        compression: String,
        /// What the decoder says.
        problem: String,
    },
    /// It is something else, as named.
    #[error("this is {0}; event files are NDJSON or MessagePack, also as gzip or zstd")]
    OtherFormat(String),
    /// The line holds bytes that are not UTF-8.
    #[error("byte {column} of the line is not UTF-8; convert the file to UTF-8")]
    NotUtf8 {
        /// Which byte, counted from 1.
        column: usize,
    },
    /// The line is not JSON.
    #[error("not JSON: {problem}, at byte {column} of the line")]
    NotJson {
        /// What is wrong.
        problem: String,
        /// Which byte, counted from 1.
        column: usize,
    },
    /// The line, or the MessagePack stream, ends in the middle of an event.
    #[error(
        "the event is cut off: the file is truncated, or, as JSON, the event takes several lines; `jq -c .` puts each on one"
    )]
    CutOff,
    /// An array stands where an event is expected.
    #[error("this is an array, not an event; write one event a line, without array brackets (`jq -c '.[]'`)")]
    Array,
    /// Something else stands where an event is expected.
    #[error("this is {found}, not an event; an event is a map of fields")]
    NotAnEvent {
        /// What it is.
        found: String,
    },
    /// What stands there is not MessagePack that events are made of.
    #[error("not an event in MessagePack: {0}")]
    NotMessagePack(DocumentError),
    /// The event is larger than any may be.
    #[error(
        "the event has more than {} bytes; keep large content elsewhere, and a reference to it in the event",
        limits::EVENT_BYTES
    )]
    TooLarge,
    /// A field that every event has is missing or null.
    #[error("the field \"{field}\" is missing; {why}")]
    Missed {
        /// Its name.
        field: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A field that no event has.
    #[error("there is no field \"{field}\"; the fields are {known}; put it into metadata")]
    Unknown {
        /// Its name, shortened.
        field: String,
        /// The names of all fields.
        known: String,
    },
    /// A field that stands twice.
    #[error("the field \"{field}\" stands twice")]
    Repeated {
        /// Its name.
        field: &'static str,
    },
    /// A field that holds what it may not.
    #[error("field \"{field}\": expected {expected}, found {found}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// An id, stream or type that is too long.
    #[error("field \"{field}\": {bytes} bytes are too many; {} are allowed", limits::NAME_BYTES)]
    LongName {
        /// The field's name.
        field: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A timestamp with a fraction of a millisecond, or a leap second.
    #[error("field \"{field}\": {found} is not a whole millisecond of Unix time; round it")]
    FinerThanMilliseconds {
        /// The field's name.
        field: &'static str,
        /// The time as written.
        found: String,
    },
    /// A field that holds something that is not a document.
    #[error("field \"{field}\": {problem}")]
    Document {
        /// Its name, shortened.
        field: String,
        /// What is wrong.
        problem: DocumentError,
    },
    /// A CloudEvent with its data twice.
    #[error("both \"data\" and \"data_base64\" are there; a CloudEvent has one of them")]
    TwoPayloads,
    /// Whatever else the reader of the events does not accept.
    #[error("{0}")]
    Refused(String),
}

impl From<String> for Reason {
    fn from(reason: String) -> Reason {
        Reason::Refused(reason)
    }
}

impl From<&str> for Reason {
    fn from(reason: &str) -> Reason {
        Reason::Refused(reason.to_owned())
    }
}

/// The first characters of what a message quotes.
pub(super) fn shortened(text: &str) -> String {
    const CHARS: usize = 80;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
