//! What event files may hold, and how they are read.

mod mapped;
mod properties;
mod refused;
mod shapes;

use super::*;
use std::io::{Cursor, Write};
use unspool_vocabulary::{from_json, to_json};

fn open(content: impl Into<Vec<u8>>) -> Result<EventFile, EventFileError> {
    EventFile::from_reader(Box::new(Cursor::new(content.into())), "f")
}

fn read(content: impl Into<Vec<u8>>) -> Result<Vec<FileEvent>, EventFileError> {
    open(content)?.collect()
}

/// The one event of a file that has one.
fn one(content: impl Into<Vec<u8>>) -> FileEvent {
    let mut events = read(content).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// The one event that the options make of a content that they read.
fn one_as(content: impl Into<Vec<u8>>, options: &str) -> Result<FileEvent, EventFileError> {
    let mut events = open(content)?.with(options.parse().unwrap()).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(events.len(), 1);
    Ok(events.remove(0))
}

/// An event with nothing special about it.
fn plain(event: Event, position: Option<u64>, place: Place) -> FileEvent {
    FileEvent { event, position, place, cloud: false, without_time: None, raw: None }
}

/// A whole event of ours, with `more` after its fields.
fn line(more: &str) -> String {
    format!(r#"{{"id":"e1","stream":"order-1","type":"OrderCreated","timestamp":1700000000123{more}}}"#)
}

/// A whole CloudEvent, with `more` after its attributes.
fn cloud(more: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"c1","source":"/shop","type":"created","time":"2024-01-31T12:00:00Z"{more}}}"#
    )
}

/// The same fields in MessagePack.
fn packed(line: &str) -> Vec<u8> {
    from_json(line).unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(content, 1).unwrap()
}

fn doc(json: &str) -> Vec<u8> {
    from_json(json).unwrap()
}

/// Gives one byte at a time.
struct Slow(Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}

#[test]
fn an_event_has_all_that_its_line_says() {
    let more = r#","data":{"b":[1,2.5,null],"a":-3},"metadata":"m","schemaVersion":7,"position":18446744073709551615"#;
    let expected = Event {
        id: "e1".into(),
        stream: "order-1".into(),
        kind: "OrderCreated".into(),
        timestamp: 1_700_000_000_123,
        schema_version: 7,
        data: doc(r#"{"a":-3,"b":[1,2.5,null]}"#),
        metadata: doc(r#""m""#),
    };
    let event = one(line(more));
    assert_eq!(event, plain(expected.clone(), Some(u64::MAX), Place::Line(1)));
    let event = one(packed(&line(more)));
    assert_eq!(event, plain(expected, Some(u64::MAX), Place::Event(1)));
}

#[test]
fn what_is_absent_or_null_has_its_default() {
    let nulls = r#","data":null,"metadata":null,"schemaVersion":null,"position":null"#;
    for content in [line("").into_bytes(), line(nulls).into_bytes(), packed(&line("")), packed(&line(nulls))] {
        let FileEvent { event, position, .. } = one(content);
        assert_eq!((event.data, event.metadata), (vec![0xc0], vec![0xc0]));
        assert_eq!((event.schema_version, position), (1, None));
    }
}

#[test]
fn escapes_in_names_and_values_are_read() {
    let event =
        one(r#" { "\u0069d" : "a\n\u00e9\ud83d\ude00" , "stream":"s" , "type":"t\"", "timestamp" : -1 } "#).event;
    assert_eq!((event.id.as_str(), event.kind.as_str(), event.timestamp), ("a\né😀", "t\"", -1));
}

#[test]
fn timestamps_are_milliseconds_or_rfc_3339() {
    for (written, expected) in [
        ("0", 0),
        ("-62167219200000", -62_167_219_200_000),
        ("253402300799999", 253_402_300_799_999),
        (r#""0000-01-01T00:00:00Z""#, -62_167_219_200_000),
        (r#""9999-12-31T23:59:59.999Z""#, 253_402_300_799_999),
        (r#""9999-12-31T23:59:59.999999999999Z""#, 253_402_300_799_999),
        (r#""1970-01-01T00:00:00+23:59""#, -86_340_000),
        (r#""1970-01-01T00:00:00Z""#, 0),
        (r#""1969-12-31T23:59:59.999Z""#, -1),
        (r#""2024-01-31T12:00:00.120000000+02:00""#, 1_706_695_200_120),
        (r#""2024-01-31 12:00:00-00:00""#, 1_706_702_400_000),
        (r#""2024-02-29t12:00:00z""#, 1_709_208_000_000),
    ] {
        let text = line("").replace("1700000000123", written);
        assert_eq!(one(text.clone()).event.timestamp, expected, "{written}");
        assert_eq!(one(packed(&text)).event.timestamp, expected, "{written}");
    }
}

#[test]
fn lines_may_end_in_any_way_and_be_blank() {
    let (a, b) = (line(""), line("").replace("e1", "e2"));
    let content = format!("\u{feff}{a}\r\n\r\n   \n\t{b}");
    let places = |content: &str| read(content).unwrap().iter().map(|event| event.place).collect::<Vec<_>>();
    assert_eq!(places(&content), [Place::Line(1), Place::Line(4)]);
    assert_eq!(places(&format!("{content}\n\n")), [Place::Line(1), Place::Line(4)]);
    assert_eq!(places(&format!("\n{a}\n")), [Place::Line(2)]);
}

#[test]
fn nothing_is_no_events() {
    for content in ["", "\n", "\u{feff}", "\r\n \n"] {
        assert_eq!(read(content), Ok(vec![]));
        assert_eq!(read(gzip(content.as_bytes())), Ok(vec![]));
        assert_eq!(read(zstd(content.as_bytes())), Ok(vec![]));
    }
}

#[test]
fn every_member_and_frame_is_unpacked() {
    let lines: Vec<_> =
        (0..3).map(|n| format!("{}\n", line("").replace("e1", &format!("e{n}"))).into_bytes()).collect();
    let expected = read(lines.concat()).unwrap();
    let skipped = b"\x5f\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    let frames = lines.iter().map(|line| zstd(line)).collect::<Vec<_>>().concat();
    assert_eq!(read(lines.iter().map(|line| gzip(line)).collect::<Vec<_>>().concat()), Ok(expected.clone()));
    assert_eq!(read(frames.clone()), Ok(expected.clone()));
    assert_eq!(read([skipped, frames].concat()), Ok(expected.clone()));
    let packed: Vec<_> = lines.iter().map(|line| packed(std::str::from_utf8(line).unwrap())).collect();
    let ids = |events: Vec<FileEvent>| events.into_iter().map(|event| event.event.id).collect::<Vec<_>>();
    assert_eq!(ids(read(gzip(&packed.concat())).unwrap()), ids(expected.clone()));
    assert_eq!(ids(read(zstd(&packed.concat())).unwrap()), ids(expected));
}

#[test]
fn a_slow_reader_changes_nothing() {
    let lines = format!("{}\n{}", line(""), cloud(""));
    for content in [lines.clone().into_bytes(), gzip(lines.as_bytes()), zstd(lines.as_bytes()), packed(&line(""))] {
        let slow = EventFile::from_reader(Box::new(Slow(Cursor::new(content.clone()))), "f").unwrap();
        assert_eq!(slow.collect::<Result<Vec<_>, _>>(), read(content));
    }
}

#[test]
fn a_cloud_event_becomes_an_event() {
    let more = r#","subject":"order-9","datacontenttype":"application/json","tenant":{"b":2,"a":1},"position":5,"n":null,"data":[1]"#;
    for content in [cloud(more).into_bytes(), packed(&cloud(more))] {
        let FileEvent { event, position, .. } = one(content);
        assert_eq!((event.id.as_str(), event.stream.as_str(), event.kind.as_str()), ("c1", "order-9", "created"));
        assert_eq!((event.timestamp, event.schema_version, position), (1_706_702_400_000, 1, None));
        assert_eq!(event.data, doc("[1]"));
        let metadata = r#"{"source":"/shop","datacontenttype":"application/json","tenant":{"a":1,"b":2},"position":5}"#;
        assert_eq!(event.metadata, doc(metadata));
    }
    let event = one(cloud("")).event;
    assert_eq!((event.stream.as_str(), event.metadata, event.data), ("/shop", doc("{}"), doc("null")));
}

#[test]
fn a_cloud_event_may_hold_binary() {
    let event = one(cloud(r#","data_base64":"AQL/""#)).event;
    assert_eq!(event.data, [0xc4, 3, 1, 2, 0xff]);
    assert_eq!(to_json(&event.data).unwrap(), "AQL/");
}

/// Whatever it is written in, and before 1970 too, a time is rounded down; what that loses is kept, and is no content.
#[test]
fn a_finer_time_is_rounded_down_and_kept() {
    for (time, timestamp) in [
        ("2024-01-31T12:00:00.123456789Z", 1_706_702_400_123),
        ("2024-01-31T12:00:00.123999999999999Z", 1_706_702_400_123),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("1969-12-31T23:59:59.0009Z", -1000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ("2016-12-31T18:59:60.5-05:00", 1_483_228_799_500),
    ] {
        let kept = doc(&format!(r#"{{"time":"{time}"}}"#));
        let written = cloud("").replace("2024-01-31T12:00:00Z", time);
        for content in [written.clone().into_bytes(), packed(&written)] {
            let FileEvent { event, without_time, .. } = one(content);
            assert_eq!((event.timestamp, &event.metadata), (timestamp, &kept));
            assert_eq!(without_time, Some(doc("{}")));
        }
        let written = line("").replace("1700000000123", &format!("\"{time}\""));
        let with = |metadata: &str| one(written.replace('}', &format!(",\"metadata\":{metadata}}}")));
        for event in [one(written.clone()), one(packed(&written)), with("null")] {
            assert_eq!((event.event.timestamp, &event.event.metadata), (timestamp, &kept));
            assert_eq!(event.without_time, Some(doc("null")));
        }
        let event = with(r#"{"a":1,"z":2}"#);
        assert_eq!(event.event.metadata, doc(&format!(r#"{{"z":2,"time":"{time}","a":1}}"#)));
        assert_eq!(event.without_time, Some(doc(r#"{"a":1,"z":2}"#)));
        // No room for it.
        for metadata in [r#"{"time":"mine"}"#, "[1]", "\"text\""] {
            let FileEvent { event, without_time, .. } = with(metadata);
            assert_eq!((event.timestamp, event.metadata, without_time), (timestamp, doc(metadata), None));
        }
    }
}

#[test]
fn timestamps_of_message_pack_are_times() {
    let with = |time: &[u8]| {
        let fields = &packed(r#"{"id":"e1","stream":"s","type":"T"}"#)[1..];
        one([&[0x84][..], fields, b"\xa9timestamp", time].concat())
    };
    assert_eq!(with(&[0xd6, 0xff, 0x65, 0xba, 0x34, 0xc0]).event.timestamp, 1_706_702_016_000);
    let nanoseconds = ((123_456_789_u64 << 34) | 1_706_702_400).to_be_bytes();
    let event = with(&[&[0xd7, 0xff][..], &nanoseconds].concat());
    assert_eq!(event.event.timestamp, 1_706_702_400_123);
    assert_eq!(event.event.metadata, doc(r#"{"time":"2024-01-31T12:00:00.123456789Z"}"#));
    let before = [&[0xc7, 12, 0xff][..], &999_000_000_u32.to_be_bytes(), &(-1_i64).to_be_bytes()].concat();
    assert_eq!(with(&before).event.timestamp, -1);
}

#[test]
fn events_without_a_time_get_the_one_that_is_said() {
    let (with, without) = (line(""), r#"{"id":"e2","stream":"s","type":"T"}"#);
    let cloud = cloud("").replace(r#""time":"2024-01-31T12:00:00Z""#, r#""time":null"#);
    let read = |content: String, options: &str| {
        let events = open(content).unwrap().with(options.parse().unwrap());
        let times = events.map(|event| event.map(|event| event.event.timestamp));
        times.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())
    };
    let last = "without_time=last";
    assert_eq!(read(format!("{with}\n{without}\n{cloud}"), last), Ok(vec![1_700_000_000_123; 3]));
    assert!(read(without.to_owned(), last).unwrap_err().contains("--without-time TIME"));
    let zero = "without_time=1970-01-01T00:00:00Z";
    assert_eq!(read(format!("{without}\n{with}\n{cloud}"), zero), Ok(vec![0, 1_700_000_000_123, 0]));
    for content in [without.to_owned(), cloud] {
        assert!(read(content, "").unwrap_err().contains("--without-time last"));
    }
}

#[test]
fn numbers_that_cannot_be_held_become_what_is_said() {
    let content = line(
        r#","data":{"n":[18446744073709551616,1e400,0.12345678901234567890,1.5,7]},"metadata":123456789012345678901"#,
    );
    let event = one_as(content.clone(), "numbers=text").unwrap().event;
    assert_eq!(event.data, doc(r#"{"n":["18446744073709551616","1e400","0.12345678901234567890",1.5,7]}"#));
    assert_eq!(event.metadata, doc("\"123456789012345678901\""));
    let event = one_as(content.replace("1e400", "1e-400"), "numbers=round").unwrap().event;
    assert_eq!(event.data, doc(r#"{"n":[1.8446744073709552e19,0.0,0.12345678901234568,1.5,7]}"#));
    assert!(one_as(content, "numbers=round").unwrap_err().to_string().contains("the number 1e400 at n[1]"));
}

#[test]
fn both_kinds_stand_in_one_file() {
    let events = read(format!("{}\n{}\n{}\n", line(""), cloud(""), line(""))).unwrap();
    assert_eq!(events.iter().map(|event| event.event.id.as_str()).collect::<Vec<_>>(), ["e1", "c1", "e1"]);
}

#[test]
fn progress_is_counted_in_stored_bytes() {
    let content = gzip(format!("{}\n", line("")).repeat(1000).as_bytes());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &content).unwrap();
    let mut events = EventFile::open(file.path()).unwrap();
    assert_eq!(events.name(), file.path().display().to_string());
    assert_eq!(events.bytes_total(), Some(content.len() as u64));
    assert_eq!(events.by_ref().map(Result::unwrap).count(), 1000);
    assert_eq!(events.bytes_read(), content.len() as u64);
    assert_eq!(open(content).unwrap().bytes_total(), None);
}

#[test]
fn events_larger_than_any_buffer_are_read() {
    let data = "x".repeat(3 << 20);
    let text = line(&format!(r#","data":"{data}""#));
    assert_eq!(read(format!("{text}\n{text}")).unwrap().len(), 2);
    let events = read([packed(&text), packed(&line("")), packed(&text)].concat()).unwrap();
    assert_eq!(
        events.iter().map(|event| event.event.data.len()).collect::<Vec<_>>(),
        [data.len() + 5, 1, data.len() + 5]
    );
}
