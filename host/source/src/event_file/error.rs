//! What is wrong with an event file.

use std::fmt;
use unspool_vocabulary::DocumentError;
use unspool_vocabulary::limits;

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

/// A position in an event file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The line of a JSON file in which it begins; blank ones count.
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
    /// The system refuses to write what is set aside of it, for the reason named.
    #[error("the lines that are set aside cannot be written: {0}")]
    Unwritable(String),
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
    #[error("this is {0}; event files are JSON or MessagePack, also as gzip or zstd")]
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
    /// The event does not end before the file does, or before another one begins.
    #[error("the event is cut off: the file ends, or another event begins, before it does")]
    CutOff,
    /// An array stands where an event of an array is expected.
    #[error("this is an array within an array; events stand side by side, or in one array")]
    Array,
    /// The file ends before an array of events does.
    #[error("the array that begins here has no end: the file is truncated; fetch it again")]
    OpenArray,
    /// Between the events of an array, or after them, is something else than there should be.
    #[error("in an array of events a comma or the closing bracket is expected here; found {found}")]
    NotInArray {
        /// What stands there.
        found: String,
    },
    /// NUL bytes, where a writer or a disk has left a hole.
    #[error(
        "a run of NUL bytes begins at byte {column} of the line: a crash or a full disk left a hole in the file; what was there is \
         lost, and `tr -d '\\0'` takes the hole out"
    )]
    Nul {
        /// Which byte, counted from 1.
        column: usize,
    },
    /// Something else stands where an event is expected.
    #[error("this is {found}, not an event; an event is a map of fields")]
    NotAnEvent {
        /// What it is.
        found: String,
    },
    /// What stands there is not MessagePack that events are made of.
    #[error("not an event in MessagePack: {0}")]
    NotMessagePack(DocumentError),
    /// What is wrong with something in MessagePack of which the end cannot be told.
    #[error("{0}; where it ends cannot be told, so that nothing after it can be read: it cannot be set aside")]
    Endless(Box<Reason>),
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
        field: String,
        /// What it is for.
        why: &'static str,
    },
    /// A field that no event has.
    #[error("there is no field \"{field}\"; the fields are {known}; {remedy}")]
    Unknown {
        /// Its name, shortened.
        field: String,
        /// The names of all fields.
        known: String,
        /// How the event can be read all the same.
        remedy: String,
    },
    /// A field that a map names, and that no event of the file has.
    #[error(
        "no event of the file has the field \"{field}\" that the map names; take it out of the map, or correct its name"
    )]
    Unmatched {
        /// Its name.
        field: String,
    },
    /// A field that stands twice.
    #[error("the field \"{field}\" stands twice")]
    Repeated {
        /// Its name.
        field: String,
    },
    /// A field that holds what it may not.
    #[error("field \"{field}\": expected {expected}, found {found}")]
    Field {
        /// Its name.
        field: String,
        /// What it may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A number that may be a time in seconds as well as in milliseconds.
    #[error(
        "field \"{field}\": {found} may count seconds, and is taken for milliseconds only where that is said: \
         --map time={field}:s, or :ms"
    )]
    Unsaid {
        /// The field's name, shortened.
        field: String,
        /// The number.
        found: String,
    },
    /// A number that is a time outside of the years 0 to 9999.
    #[error("field \"{field}\": {found} {unit} are outside of the years 0 to 9999{}", other_unit(field, *other))]
    TimeOutOfRange {
        /// The field's name.
        field: String,
        /// The number.
        found: String,
        /// What it counts.
        unit: &'static str,
        /// The unit of the map in which it would be a time of our days.
        other: Option<&'static str>,
    },
    /// An id, stream or type that is too long.
    #[error("field \"{field}\": {bytes} bytes are too many; {} are allowed", limits::NAME_BYTES)]
    LongName {
        /// The field's name.
        field: String,
        /// How long it is.
        bytes: usize,
    },
    /// A field that holds something that is not a document.
    #[error("field \"{field}\": {problem}{}", for_numbers(problem))]
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

/// The unit in which a number would be a time of our days.
fn other_unit(field: &str, unit: Option<&str>) -> String {
    unit.map_or_else(String::new, |unit| format!("; --map time={field}:{unit} reads them in another unit"))
}

/// What can be done about a number that cannot be held.
fn for_numbers(problem: &DocumentError) -> &'static str {
    match problem {
        DocumentError::Number { .. } => {
            ", or read such numbers as text (--numbers text) or as the nearest double (--numbers round)"
        }
        _ => "",
    }
}

impl Reason {
    /// The reason that what is set aside cannot be written.
    pub(super) fn unwritable(problem: impl fmt::Display) -> Reason {
        Reason::Unwritable(problem.to_string())
    }

    /// Whether one event, or one line, is to blame, and not the file as a whole.
    pub(super) fn is_of_one(&self) -> bool {
        !matches!(
            self,
            Reason::Missing
                | Reason::Directory
                | Reason::Unreadable(_)
                | Reason::Unwritable(_)
                | Reason::Truncated(_)
                | Reason::Corrupt { .. }
                | Reason::OtherFormat(_)
                | Reason::OpenArray
                | Reason::NotMessagePack(_)
                | Reason::Unmatched { .. }
        )
    }
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
