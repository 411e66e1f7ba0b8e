//! Event files: one event after another, in the order of the history.
//!
//! What a file holds is told by its content, never by its name: gzip (all members) and zstd (all frames) are unpacked; what
//! begins with a MessagePack map is a stream of such maps; everything else is NDJSON, one object a line. Blank lines, a
//! byte order mark at the start and `\r` before `\n` are passed over. A file without events is not an error.
//!
//! An event of ours has these fields, and no others: a misspelt one must not vanish.
//!
//! | field | holds | absent or null |
//! |---|---|---|
//! | `id`, `stream`, `type` | text: not empty, no NUL, at most [`crate::limits::NAME_BYTES`] bytes | refused |
//! | `timestamp` | milliseconds since 1970 as an integer, or RFC 3339 text without a fraction of a millisecond | refused |
//! | `data`, `metadata` | a document (see [`crate::vocabulary::canonical`]) | nil |
//! | `schemaVersion` | an integer from 1 to 2^32 - 1 | 1 |
//! | `position` | an integer from 1 to 2^64 - 1 | the importer assigns it |
//!
//! An event with the field `specversion` is a CloudEvent 1.0; both kinds may stand in one file:
//!
//! | attribute | becomes |
//! |---|---|
//! | `id`, `type` | the same |
//! | `subject` | the stream; without it `source` is |
//! | `source` (always required) | `source` in the metadata, where it is not the stream |
//! | `time` (required: replay does not invent one) | the timestamp, rounded down; also `time` in the metadata where that loses something |
//! | `data`, or `data_base64` | the data; the second as binary |
//! | all others, null excepted | entries of the metadata, which is always a map |
//!
//! The order of positions, ids that stand twice and the like concern the log: see [`super::log`].

mod cloud_event;
mod compression;
mod error;
mod field;
mod json_lines;
mod message_pack;
mod ours;
mod time;

pub(super) use time::Moment;

#[cfg(test)]
mod tests;

pub use error::{EventFileError, Place, Reason};

use crate::vocabulary::Event;
use compression::Input;
use json_lines::JsonLines;
use message_pack::MessagePackStream;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads the events of a file, one by one. Takes memory for one event. The first error is the last item.
pub struct EventFile {
    name: String,
    events: Events,
    ended: bool,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
}

/// An event as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEvent {
    /// The event; its data and metadata are canonical.
    pub event: Event,
    /// The position that the file gives it; 1 at least.
    pub position: Option<u64>,
    /// Where it stands.
    pub place: Place,
}

enum Events {
    Json(JsonLines),
    MessagePack(MessagePackStream),
}

impl EventFile {
    /// Opens the file at `path`, and reads enough of it to know what it is.
    ///
    /// # Errors
    /// [`EventFileError`]: there is no such file, it may not be read, or it is no event file.
    pub fn open(path: &Path) -> Result<EventFile, EventFileError> {
        let name = path.display().to_string();
        let refuse = |reason| EventFileError::at(&name, None, reason);
        let file = File::open(path).map_err(|error| {
            refuse(match error.kind() {
                ErrorKind::NotFound => Reason::Missing,
                _ => Reason::Unreadable(error.to_string()),
            })
        })?;
        let about = file.metadata().map_err(|error| refuse(Reason::Unreadable(error.to_string())))?;
        if about.is_dir() {
            return Err(refuse(Reason::Directory));
        }
        // Pipes and devices have no size.
        let bytes_total = about.is_file().then_some(about.len());
        Ok(EventFile { bytes_total, ..EventFile::from_reader(Box::new(file), &name)? })
    }

    /// Reads events from `reader`, which errors call `name`; waits for enough input to know what it is.
    ///
    /// # Errors
    /// [`EventFileError`]: it cannot be read, or does not hold events.
    pub fn from_reader(reader: Box<dyn Read + Send>, name: &str) -> Result<EventFile, EventFileError> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let events = Input::open(reader, &bytes_read).and_then(Events::new);
        let events = events.map_err(|reason| EventFileError::at(name, None, reason))?;
        Ok(EventFile { name: name.to_owned(), events, ended: false, bytes_read, bytes_total: None })
    }

    /// What errors call the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes of the file have been read, as it is stored.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// How many bytes the file has, as it is stored; `None` where that cannot be known.
    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }
}

impl Iterator for EventFile {
    type Item = Result<FileEvent, EventFileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = match &mut self.events {
            Events::Json(lines) => lines.next_event(),
            Events::MessagePack(stream) => stream.next_event(),
        };
        self.ended = !matches!(event, Ok(Some(_)));
        let place = match &self.events {
            Events::Json(lines) => Place::Line(lines.number()),
            Events::MessagePack(stream) => Place::Event(stream.number()),
        };
        match event {
            Ok(event) => event.map(|(event, position)| Ok(FileEvent { event, position, place })),
            Err(reason) => Some(Err(EventFileError::at(&self.name, Some(place), reason))),
        }
    }
}

impl Events {
    fn new(input: Input) -> Result<Events, Reason> {
        match Form::of(input.head())? {
            Form::Json => Ok(Events::Json(JsonLines::new(input))),
            Form::MessagePack => Ok(Events::MessagePack(MessagePackStream::new(input))),
        }
    }
}

enum Form {
    Json,
    MessagePack,
}

/// How files begin that are often taken for event files, and what they are.
const OTHER_FORMATS: [(&[u8], &str); 14] = [
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"BZh", "a bzip2 file; unpack it first"),
    (b"\xfd7zXZ", "an xz file; unpack it first"),
    (b"\x04\x22\x4d\x18", "an lz4 file; unpack it first"),
    (b"\x1f\x8b", "gzip within gzip or zstd; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd within gzip or zstd; unpack it first"),
    (b"PAR1", "a Parquet file; export it as NDJSON"),
    (b"Obj\x01", "an Avro file; export it as NDJSON"),
    (b"SQLite format 3", "an SQLite database; export it as NDJSON"),
    (b"\xff\xfe", "UTF-16 text; convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it to UTF-8"),
];

impl Form {
    /// The form of a content that begins with `head`.
    fn of(head: &[u8]) -> Result<Form, Reason> {
        let other = OTHER_FORMATS.iter().find(|(start, _)| head.starts_with(start));
        match (other, head) {
            (Some((_, format)), _) => Err(Reason::OtherFormat((*format).to_owned())),
            // A map.
            (None, [0x80..=0x8f | 0xde | 0xdf, ..]) => Ok(Form::MessagePack),
            // JSON begins with printable ASCII, white space or a byte order mark. Nothing is NDJSON without a line.
            (None, [] | [b'\t' | b'\n' | b'\r' | b' '..=b'~', ..] | [0xef, 0xbb, 0xbf, ..]) => Ok(Form::Json),
            (None, _) => {
                let bytes: Vec<_> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                Err(Reason::OtherFormat(format!("something else that begins with the bytes {}", bytes.join(" "))))
            }
        }
    }
}
