//! Event files: one event after another, in the order of the history.
//!
//! What a file holds is told by its content, never by its name: gzip (all members) and zstd (all frames) are unpacked; what
//! begins with a MessagePack map or array is a stream of such maps; everything else is JSON: objects, one a line (NDJSON) or
//! one after the other, over several lines or in arrays. White space, byte order marks and record separators (RFC 7464)
//! between them are passed over. A file without events is not an error.
//!
//! An event of ours has these fields, and no others: a misspelt one must not vanish. Fields of other names are read by a map
//! (see [`Mapping`]).
//!
//! | field | holds | absent or null |
//! |---|---|---|
//! | `id`, `stream`, `type` | text: not empty, no NUL, at most [`unspool_vocabulary::limits::NAME_BYTES`] bytes | refused |
//! | `timestamp` | milliseconds since 1970 as an integer, or RFC 3339 text; from the year 0 to 9999; no number that may count seconds | refused, or as [`FileOptions`] say |
//! | `data`, `metadata` | a document (see [`unspool_vocabulary::canonical`]) | nil |
//! | `schemaVersion` | an integer from 1 to 2^32 - 1 | 1 |
//! | `position` | an integer from 1 to 2^64 - 1 | the importer assigns it |
//!
//! An event with the field `specversion` is a CloudEvent 1.0; both kinds may stand in one file:
//!
//! | attribute | becomes |
//! |---|---|
//! | `id`, `type` | the same; the id is unique within `source` only |
//! | `subject` | the stream; without it `source` is |
//! | `source` (always required) | `source` in the metadata, where it is not the stream |
//! | `time` | the timestamp; refused where absent, or as [`FileOptions`] say |
//! | `data`, or `data_base64` | the data; the second as binary |
//! | all others, null excepted | entries of the metadata, which is always a map |
//!
//! Times are rounded down to milliseconds. Where that loses something, the time as it is written, a number to the nanosecond,
//! is kept as `time` in the metadata, unless these are no map or have a `time` of their own; it does not make another event.
//!
//! The order of positions, ids that stand twice and the like concern the log: see [`super::log`].

mod aside;
mod brackets;
mod cloud_event;
mod compression;
mod error;
mod field;
mod forms;
mod given;
mod hint;
mod json;
mod mapped;
mod mapping;
mod message_pack;
mod options;
mod ours;
mod parts;
mod read_fields;
mod reading;
mod skeleton;
mod time;
mod timestamp;

pub(super) use cloud_event::source_of;
pub(super) use time::without_time;

#[cfg(test)]
mod tests;

pub use aside::Aside;
pub use error::{EventFileError, Place, Reason};
pub use mapping::Mapping;
pub use options::{FileOptions, WithoutTime};

use compression::Input;
use given::Given;
use json::JsonEvents;
use message_pack::MessagePackStream;
use reading::Reading;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use unspool_vocabulary::Event;

/// Reads the events of a file, one by one. Takes memory for one event. The first error is the last item.
pub struct EventFile {
    name: String,
    events: Events,
    ended: bool,
    bytes_read: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    reading: Reading,
    aside: Option<Arc<Aside>>,
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
    /// Whether its id is unique within its source only.
    pub cloud: bool,
    /// Its metadata without the time that is kept in them; absent where none is.
    pub without_time: Option<Vec<u8>>,
    /// The event as it is written, where refused events are set aside.
    pub raw: Option<Box<[u8]>>,
}

enum Events {
    Json(JsonEvents),
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
        let reading = Reading::new(FileOptions::default());
        Ok(EventFile {
            name: name.to_owned(),
            events,
            ended: false,
            bytes_read,
            bytes_total: None,
            reading,
            aside: None,
        })
    }

    /// Reads the events as `options` say.
    pub fn with(self, options: FileOptions) -> EventFile {
        EventFile { reading: Reading::new(options), ..self }
    }

    /// Calls the file `name` in errors.
    pub fn called(self, name: &str) -> EventFile {
        EventFile { name: name.to_owned(), ..self }
    }

    /// Sets events and lines that are refused aside, and goes on after them.
    pub fn setting_aside(self, aside: Arc<Aside>) -> EventFile {
        EventFile { aside: Some(aside), ..self }
    }

    /// Where refused events are set aside.
    pub fn aside(&self) -> Option<Arc<Aside>> {
        self.aside.clone()
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
        let event = loop {
            match (self.events.next_event(&mut self.reading), &self.aside) {
                (Err(reason), Some(aside)) if reason.is_of_one() => {
                    let passed = match self.events.has_end() {
                        Ok(true) => aside.put_with(|out| self.events.set_aside(out)),
                        Ok(false) => Err(Reason::Endless(Box::new(reason))),
                        Err(reason) => Err(reason),
                    };
                    if let Err(reason) = passed {
                        break Err(reason);
                    }
                }
                (Ok(None), _) => break self.reading.unmatched().map_or(Ok(None), Err),
                (event, _) => break event,
            }
        };
        self.ended = !matches!(event, Ok(Some(_)));
        let place = self.events.place();
        match event {
            Ok(None) => None,
            Ok(Some(Given { event, position, cloud, without_time })) => {
                let raw = self.aside.is_some().then(|| self.events.raw());
                Some(Ok(FileEvent { event, position, place, cloud, without_time, raw }))
            }
            Err(reason) => Some(Err(match (&self.aside, &reason) {
                (Some(aside), Reason::Unwritable(_)) => aside.at_fault(reason),
                (_, Reason::Unmatched { .. }) => EventFileError::at(&self.name, None, reason),
                _ => EventFileError::at(&self.name, Some(place), reason),
            })),
        }
    }
}

impl Events {
    fn new(input: Input) -> Result<Events, Reason> {
        match Form::of(input.head())? {
            Form::Json => Ok(Events::Json(JsonEvents::new(input))),
            Form::MessagePack => Ok(Events::MessagePack(MessagePackStream::new(input))),
        }
    }

    fn next_event(&mut self, reading: &mut Reading) -> Result<Option<Given>, Reason> {
        match self {
            Events::Json(events) => events.next_event(reading),
            Events::MessagePack(stream) => stream.next_event(reading),
        }
    }

    /// Whether it can be told where that ends which the last error is about.
    fn has_end(&mut self) -> Result<bool, Reason> {
        match self {
            Events::Json(_) => Ok(true),
            Events::MessagePack(stream) => stream.has_end(),
        }
    }

    /// Writes what the last error is about to `out`, and goes on after it.
    fn set_aside(&mut self, out: &mut dyn std::io::Write) -> Result<(), Reason> {
        match self {
            Events::Json(events) => events.set_aside(out),
            Events::MessagePack(stream) => stream.set_aside(out),
        }
    }

    /// The last event as it would be set aside.
    fn raw(&self) -> Box<[u8]> {
        match self {
            Events::Json(events) => [events.raw(), b"\n"].concat().into(),
            Events::MessagePack(stream) => stream.raw().into(),
        }
    }

    /// Where the last event, or the last error, stands.
    fn place(&self) -> Place {
        match self {
            Events::Json(events) => Place::Line(events.number()),
            Events::MessagePack(stream) => Place::Event(stream.number()),
        }
    }
}

enum Form {
    Json,
    MessagePack,
}

/// How files begin that are often taken for event files, and what they are.
const OTHER_FORMATS: [(&[u8], &str); 16] = [
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
    // Before UTF-16, whose byte order mark is the beginning of this one.
    (b"\xff\xfe\0\0", "UTF-32 text; convert it to UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text; convert it to UTF-8"),
    (b"\xff\xfe", "UTF-16 text; convert it to UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it to UTF-8"),
];

impl Form {
    /// The form of a content that begins with `head`.
    fn of(head: &[u8]) -> Result<Form, Reason> {
        let other = OTHER_FORMATS.iter().find(|(start, _)| head.starts_with(start));
        match (other, head) {
            (Some((_, format)), _) => Err(Reason::OtherFormat((*format).to_owned())),
            // A map, or an array of maps.
            (None, [0x80..=0x9f | 0xdc..=0xdf, ..]) => Ok(Form::MessagePack),
            (None, [0, 0, 0, b'{' | b'[' | b'"', ..] | [b'{' | b'[', 0, 0, 0, ..]) => {
                Err(Reason::OtherFormat("UTF-32 text; convert it to UTF-8".to_owned()))
            }
            (None, [0, b'{' | b'[' | b'"', ..] | [b'{' | b'[', 0, ..]) => {
                Err(Reason::OtherFormat("UTF-16 text; convert it to UTF-8".to_owned()))
            }
            // JSON begins with printable ASCII, white space, a byte order mark or a record separator; after a hole it goes
            // on.
            (None, [] | [b'\t' | b'\n' | b'\r' | 0x1e | b' '..=b'~', ..] | [0xef, 0xbb, 0xbf, ..]) => Ok(Form::Json),
            (None, [0, ..]) if head.iter().all(|byte| *byte == 0) => Ok(Form::Json),
            (None, _) => {
                let bytes: Vec<_> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                Err(Reason::OtherFormat(format!("something else that begins with the bytes {}", bytes.join(" "))))
            }
        }
    }
}
