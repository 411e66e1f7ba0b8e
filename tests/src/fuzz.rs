//! Whoever reads bytes that others wrote, as functions of bytes: each may refuse them, and must do nothing worse.
//!
//! What is read is written again where there is a writer, and must come back the same.

use std::io::Cursor;
use unspool::{
    control::Request,
    source::event_file::{EventFile, FileOptions},
    vocabulary::{Description, canonical, check_document, from_json, split_document, to_json, validate},
};
use unspool_frame::{Chunk, Event, Write, WriteFrame, Writes};

/// A function of bytes; `true` where it accepts them.
pub type Target = fn(&[u8]) -> bool;

/// Every target, by the name of its folder in `tests/corpus/`.
pub const TARGETS: [(&str, Target); 6] = [
    ("event-file", event_file),
    ("chunk", chunk),
    ("write", write),
    ("describe", describe),
    ("request", request),
    ("document", document),
];

/// An event file, in any of its forms, also by a map.
pub fn event_file(bytes: &[u8]) -> bool {
    const MAPPED: &str =
        "map=stream=subject.id,type=type,time=time:utc,data=*&without_time=1970-01-01T00:00:00Z&numbers=text";
    let mapped = MAPPED.parse().expect("options");
    read_events(bytes, FileOptions::default()) | read_events(bytes, mapped)
}

fn read_events(bytes: &[u8], options: FileOptions) -> bool {
    let Ok(file) = EventFile::from_reader(Box::new(Cursor::new(bytes.to_vec())), "a file") else { return false };
    let mut file = file.with(options);
    // An unpacked file may be much longer than the packed one; what is read of it is enough.
    for event in file.by_ref().take(10_000) {
        let Ok(event) = event else {
            assert!(file.next().is_none(), "the first error is the last item");
            return false;
        };
        for payload in [&event.event.data, &event.event.metadata] {
            assert_eq!(canonical(payload).as_ref(), Ok(payload), "payloads are canonical");
        }
        assert!(event.position != Some(0) && !event.event.id.is_empty());
    }
    true
}

/// A chunk frame, as a plugin reads it.
pub fn chunk(bytes: &[u8]) -> bool {
    let Ok(events) = Chunk::new(bytes) else { return false };
    let mut read = 0;
    for event in events {
        let Ok(event) = event else { return false };
        let mut again = Vec::new();
        event.encode(&mut again);
        assert_eq!(Event::decode(&mut &again[..]), Ok(event));
        read += 1;
    }
    // An empty frame is one, but nothing to learn from.
    read > 0
}

/// A write frame, as the host reads it.
pub fn write(bytes: &[u8]) -> bool {
    let Ok(writes) = Writes::new(bytes) else { return false };
    let Ok(writes) = writes.collect::<Result<Vec<Write<'_>>, _>>() else { return false };
    let mut again = WriteFrame::with_capacity(bytes.len());
    writes.iter().for_each(|write| again.add(write));
    let again = again.finish();
    let read: Result<Vec<_>, _> = Writes::new(&again).expect("a frame").collect();
    let some = !writes.is_empty();
    assert_eq!(read, Ok(writes));
    some
}

/// What `describe` returns.
pub fn describe(bytes: &[u8]) -> bool {
    let Ok(description) = Description::decode(bytes) else { return false };
    assert_eq!(Description::decode(&description.encode()).as_ref(), Ok(&description));
    validate(&description).is_ok()
}

/// A line of the control protocol.
pub fn request(bytes: &[u8]) -> bool {
    let Ok(request) = serde_json::from_slice::<Request>(bytes) else { return false };
    let line = serde_json::to_string(&request).expect("a request encodes");
    assert!(!line.contains('\n'), "a request is one line");
    let again: Request = serde_json::from_str(&line).expect("a request comes back");
    assert_eq!(serde_json::to_string(&again).expect("a request encodes"), line);
    true
}

/// A document of a row or a payload, as MessagePack and as JSON text.
pub fn document(bytes: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(document) = from_json(text)
    {
        assert_eq!(canonical(&document).as_ref(), Ok(&document), "what comes from JSON is canonical");
    }
    let mut rest = bytes;
    if let Ok(first) = split_document(&mut rest) {
        assert_eq!(first.len() + rest.len(), bytes.len());
        assert_eq!(check_document(first), Ok(()));
    }
    if check_document(bytes).is_err() {
        return false;
    }
    let shown = to_json(bytes);
    if let Ok(form) = canonical(bytes) {
        assert_eq!(canonical(&form).as_ref(), Ok(&form), "the canonical form is its own");
        assert_eq!(to_json(&form).is_ok(), shown.is_ok());
    }
    true
}
