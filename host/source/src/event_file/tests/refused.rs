//! What is refused: each time with the file, the position and the reason.

use super::*;
use std::io::{self, ErrorKind};

/// The message that reading `content` ends with.
fn refused(content: impl Into<Vec<u8>>) -> String {
    read(content).unwrap_err().to_string()
}

/// Checks the message for one bad event, as NDJSON after a good line and as MessagePack.
fn refuses(bad: &str, message: &str) {
    assert_eq!(refused(format!("{}\n{bad}\n", line(""))), format!("f, line 2: {message}"));
    let bad = serde_json::from_str::<serde_json::Value>(bad).map(|bad| rmp_serde::to_vec(&bad).unwrap()).unwrap();
    assert_eq!(refused([packed(&line("")), bad].concat()), format!("f, event 2: {message}"));
}

#[test]
fn missing_and_unknown_fields_are_named() {
    for field in ["id", "stream", "type"] {
        let without = line("").replace(&format!("\"{field}\""), "\"data\"");
        refuses(&without, &format!("the field \"{field}\" is missing; every event has one"));
    }
    refuses(
        &line("").replace("timestamp", "data"),
        "the field \"timestamp\" is missing; every event has one; --without-time last (that of the event before) or --without-time TIME says which time such events get",
    );
    refuses(
        &line(r#","datta":1"#),
        "there is no field \"datta\"; the fields are id, stream, type, timestamp, data, metadata, schemaVersion, position; put it into metadata, or say with --map id=FIELD,stream=FIELD,type=FIELD,time=FIELD,data=FIELD which fields are meant (a.b within an object)",
    );
    refuses("{}", "the field \"id\" is missing; every event has one");
}

#[test]
fn a_field_that_stands_twice_is_named() {
    assert_eq!(refused(line(r#","id":"e2""#)), "f, line 1: the field \"id\" stands twice");
    assert_eq!(refused(line(r#","data":null,"d\u0061ta":1"#)), "f, line 1: the field \"data\" stands twice");
    assert_eq!(refused(cloud(r#","time":"x""#)), "f, line 1: the field \"time\" stands twice");
    assert_eq!(
        refused(cloud(r#","x":1,"x":2"#)),
        "f, line 1: field \"metadata\": the key \"x\" stands twice in one map"
    );
    let twice = [&[0x82][..], b"\xa2id\xa1a\xa2id\xa1a"].concat();
    assert_eq!(refused(twice), "f, event 1: the field \"id\" stands twice");
}

#[test]
fn a_wrong_value_is_told_from_the_right_one() {
    let with = |from: &str, to: &str| line(",\"schemaVersion\":7,\"position\":8").replace(from, to);
    refuses(
        &with("\"e1\"", "5"),
        "field \"id\": expected text, found the number 5; --map id=id takes integers as text",
    );
    refuses(&with("\"e1\"", "{\"a\":1}"), "field \"id\": expected text, found an object");
    refuses(&with("\"order-1\"", "\"\""), "field \"stream\": expected text, found empty text");
    refuses(&with("\"order-1\"", "[]"), "field \"stream\": expected text, found an array");
    refuses(&with("\"e1\"", "\"a\\u0000\""), "field \"id\": expected text without NUL, found the text \"a\\u0000\"");
    refuses(
        &with("\"e1\"", &format!("\"{}\"", "x".repeat(4097))),
        "field \"id\": 4097 bytes are too many; 4096 are allowed",
    );
    for (bad, found) in [
        ("0", "the number 0"),
        ("-1", "the number -1"),
        ("1.5", "the number 1.5"),
        ("\"1\"", "the text \"1\""),
        ("true", "true"),
    ] {
        refuses(
            &with(":7", &format!(":{bad}")),
            &format!(
                "field \"schemaVersion\": expected an integer from 1 to 4294967295, found {found}; --map schema_version= keeps it in the metadata"
            ),
        );
        refuses(
            &with(":8", &format!(":{bad}")),
            &format!(
                "field \"position\": expected an integer from 1 to 18446744073709551615, found {found}; --map position= keeps it in the metadata, and counts the events"
            ),
        );
    }
    refuses(
        &with(":7", ":4294967296"),
        "field \"schemaVersion\": expected an integer from 1 to 4294967295, found the number 4294967296; --map schema_version= keeps it in the metadata",
    );
    let long = "1".repeat(100);
    assert!(refused(with(":8", &format!(":{long}"))).contains(&format!("found the number {}...; ", &long[..80])));
    assert!(read(line("").replace("e1", &"x".repeat(4096))).is_ok());
}

#[test]
fn a_wrong_time_is_shown() {
    let expected = "field \"timestamp\": expected milliseconds since 1970 as an integer, or RFC 3339 text like \"2024-01-31T12:00:00.000Z\", found";
    for (bad, found) in [
        ("1.5", "the number 1.5"),
        ("1700000000123.0", "the number 1700000000123.0; --map time=timestamp:ms reads it"),
        ("\"yesterday\"", "the text \"yesterday\""),
        ("\"2024-01-31\"", "the text \"2024-01-31\""),
        ("\"2024-01-31T12:00:00\"", "the text \"2024-01-31T12:00:00\"; --map time=timestamp:utc reads it"),
        ("\"1706702400\"", "the text \"1706702400\"; --map time=timestamp:s reads it"),
        ("\"2024-01-31T12:00:00.Z\"", "the text \"2024-01-31T12:00:00.Z\""),
        ("\"2024-01-31T12:00:00Z[UTC]\"", "the text \"2024-01-31T12:00:00Z[UTC]\""),
        ("\"2024-01-31T12:00:00.5\"", "the text \"2024-01-31T12:00:00.5\"; --map time=timestamp:utc reads it"),
        ("\"10000-01-01T00:00:00Z\"", "the text \"10000-01-01T00:00:00Z\""),
        ("\"2024-01-31T12:00:00+1:00\"", "the text \"2024-01-31T12:00:00+1:00\""),
        ("\"ééééééééééééééééééééé\"", "the text \"ééééééééééééééééééééé\""),
    ] {
        refuses(&line("").replace("1700000000123", bad), &format!("{expected} {found}"));
    }
    let message = refused(line("").replace("1700000000123", "\"2023-02-29T12:00:00Z\""));
    assert!(message.starts_with(&format!("f, line 1: {expected} the text \"2023-02-29T12:00:00Z\" (")), "{message}");
    for (bad, why) in [
        ("2024-01-31T24:00:00Z", "there is no such time of day"),
        ("2024-01-31T23:60:00Z", "there is no such time of day"),
        ("2024-01-31T12:00:61Z", "there is no such time of day"),
        ("2024-01-31T12:00:60Z", "a leap second is the last one of a day in UTC"),
        ("2018-04-05T18:31:00+24:00", "there is no such offset: they go up to 23:59"),
        ("2018-04-05T18:31:00-25:59", "there is no such offset: they go up to 23:59"),
        ("2018-04-05T18:31:00+23:60", "there is no such offset: they go up to 23:59"),
        ("9999-12-31T23:59:59-00:01", "it is outside of the years 0 to 9999"),
        ("0000-01-01T00:00:00+00:01", "it is outside of the years 0 to 9999"),
    ] {
        let text = line("").replace("1700000000123", &format!("\"{bad}\""));
        refuses(&text, &format!("{expected} the text \"{bad}\" ({why})"));
        let text = cloud("").replace("2024-01-31T12:00:00Z", bad);
        let expected = "field \"time\": expected RFC 3339 text like \"2024-01-31T12:00:00Z\", found";
        refuses(&text, &format!("{expected} the text \"{bad}\" ({why})"));
    }
}

/// Seconds of our days would be times of January 1970.
#[test]
fn a_number_that_may_count_seconds_is_no_time() {
    for number in ["1700000000", "631152000", "99999999999", "-1700000000"] {
        refuses(
            &line("").replace("1700000000123", number),
            &format!(
                "field \"timestamp\": the number {number} may count seconds, and is taken for milliseconds only where that is said: --map time=timestamp:s, or :ms"
            ),
        );
        let event = |unit: &str| {
            one_as(line("").replace("1700000000123", number), &format!("map=time=timestamp:{unit}")).unwrap().event
        };
        let number: i64 = number.parse().unwrap();
        assert_eq!((event("s").timestamp, event("ms").timestamp), (number * 1000, number));
    }
    for number in ["0", "1", "631151999", "100000000000", "-5"] {
        let event = one(line("").replace("1700000000123", number)).event;
        assert_eq!(event.timestamp, number.parse::<i64>().unwrap());
    }
}

#[test]
fn a_number_beyond_the_year_9999_is_no_time() {
    for (number, unit) in [
        ("1751826373563944000", Some("ns")),
        ("1751826373563944", Some("us")),
        ("253402300800000", None),
        ("-62167219200001", None),
        ("9223372036854775807", Some("ns")),
        ("-9223372036854775808", None),
        ("18446744073709551615", Some("ns")),
    ] {
        let other =
            unit.map_or_else(String::new, |unit| format!("; --map time=timestamp:{unit} reads them in another unit"));
        refuses(
            &line("").replace("1700000000123", number),
            &format!("field \"timestamp\": the number {number} milliseconds are outside of the years 0 to 9999{other}"),
        );
    }
}

#[test]
fn a_number_that_cannot_be_held_is_shown_with_its_path() {
    let message = |field: &str, number: &str, path: &str| {
        format!(
            "f, line 1: field \"{field}\": the number {number} at {path} cannot be held exactly; write it as text, or read such numbers as text (--numbers text) or as the nearest double (--numbers round)"
        )
    };
    for number in ["18446744073709551616", "1e400", "1e-400", "0.12345678901234567890"] {
        let text = line(&format!(r#","data":{{"lines":[{{"amount":{number}}}]}}"#));
        assert_eq!(refused(text), message("data", number, "lines[0].amount"));
    }
    assert_eq!(refused(line(r#","metadata":[1e400]"#)), message("metadata", "1e400", "[0]"));
    assert_eq!(refused(cloud(r#","ext":[1e400]"#)), message("ext", "1e400", "[0]"));
}

#[test]
fn data_that_are_no_document_are_refused() {
    assert_eq!(
        refused(line(r#","data":{"a":1,"a":2}"#)),
        "f, line 1: field \"data\": the key \"a\" stands twice in one map"
    );
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let message = "field \"data\": arrays and maps are nested more than 64 deep";
    assert_eq!(refused(line(&format!(",\"data\":{deep}"))), format!("f, line 1: {message}"));
    for (bad, escape, column) in [
        (r#"["\ud83d"]"#, r"\ud83d", 3),
        (r#"{"a":"x\\\ude00 low first"}"#, r"\ude00", 10),
        (r#"{"a\ud83d\u0041":1}"#, r"\ud83d", 4),
        (r#"["\ud83d\ude00\uD83D\ud83d\ude00"]"#, r"\uD83D", 15),
    ] {
        assert_eq!(
            refused(line(&format!(",\"data\":{bad}"))),
            format!(
                "f, line 1: field \"data\": half of a surrogate pair, {escape}, stands alone (line 1, column {column} of it): text was cut in the middle of a character; `jq -c .` puts U+FFFD in its place"
            )
        );
    }
    for bad in [line("").replace("e1", r"e\ud83d"), line("").replace("\"id\"", r#""i\ud83d":1,"id""#)] {
        assert!(refused(bad).contains(r"half of a surrogate pair, \ud83d, stands alone"));
    }
    let nan = [&packed(&line(""))[..], b"\x81\xa4data\xcb\x7f\xf8\0\0\0\0\0\0"].concat();
    assert_eq!(
        refused(nan),
        "f, event 2: not an event in MessagePack: the float at byte 0 is NaN, which JSON cannot show; write nil"
    );
    let deep = [&packed(&line(""))[..], b"\x81\xa4data", &[0x91; 65], &[0xc0]].concat();
    assert_eq!(refused(deep), "f, event 2: not an event in MessagePack: arrays and maps are nested more than 64 deep");
}

#[test]
fn a_cloud_event_without_what_it_needs_is_refused() {
    let expected = "field \"specversion\": expected \"1.0\", the version of CloudEvents that is read, found";
    for (bad, found) in [("\"0.3\"", "the text \"0.3\""), ("1.0", "the number 1.0"), ("null", "null")] {
        refuses(&cloud("").replace("\"1.0\"", bad), &format!("{expected} {found}"));
    }
    let without = |field: &str| cloud("").replace(&format!("\"{field}\""), "\"other\"");
    refuses(
        &without("time"),
        "the field \"time\" is missing; an event without a time cannot be replayed as it happened; --without-time last (that of the event before) or --without-time TIME says which time such events get",
    );
    for field in ["id", "source", "type"] {
        refuses(&without(field), &format!("the field \"{field}\" is missing; every event has one"));
    }
    refuses(&cloud(r#","subject":"""#), "field \"subject\": expected text, found empty text");
    refuses(
        &cloud(r#","data":1,"data_base64":"AQ==""#),
        "both \"data\" and \"data_base64\" are there; a CloudEvent has one of them",
    );
    for bad in ["\"A\"", "\"AQ\"", "\"!\"", "7"] {
        let message = refused(cloud(&format!(",\"data_base64\":{bad}")));
        assert!(message.contains("field \"data_base64\": expected base64 text"), "{message}");
    }
    refuses(
        &cloud("").replace("\"2024-01-31T12:00:00Z\"", "1700000000123"),
        "field \"time\": expected RFC 3339 text like \"2024-01-31T12:00:00Z\", found the number 1700000000123",
    );
}

#[test]
fn a_line_that_is_no_event_is_refused() {
    let line2 = |bad: &str| refused(format!("{}\n{bad}\n{}\n", line(""), line("")));
    assert_eq!(line2("hello"), "f, line 2: not JSON: expected value, at byte 1 of the line");
    assert_eq!(line2(r#"{"id" "x"}"#), "f, line 2: not JSON: expected `:`, at byte 7 of the line");
    let behind = format!("{} x", line(""));
    assert_eq!(
        line2(&behind),
        format!("f, line 2: not JSON: expected value, at byte {} of the line", line("").len() + 2)
    );
    assert_eq!(line2("\"text\""), "f, line 2: this is the text \"text\", not an event; an event is a map of fields");
    assert_eq!(line2("7"), "f, line 2: this is the number 7, not an event; an event is a map of fields");
    assert!(line2("{").starts_with("f, line 2: the event is cut off"));
    assert!(line2(r#"{"id":"a"#).starts_with("f, line 2: the event is cut off"));
    let latin_1 = [line("").as_bytes(), b"\n{\"id\":\"M\xfcller\"}"].concat();
    assert_eq!(refused(latin_1), "f, line 2: byte 9 of the line is not UTF-8; convert the file to UTF-8");
}

#[test]
fn a_stream_that_is_not_events_is_refused() {
    let event2 = |bad: &[u8]| refused([&packed(&line(""))[..], bad].concat());
    assert_eq!(event2(&[0x93, 1, 2, 3]), "f, event 2: this is the number 1, not an event; an event is a map of fields");
    assert_eq!(
        event2(&[0x92, 0x91, 0x80]),
        "f, event 2: this is an array within an array; events stand side by side, or in one array"
    );
    assert!(event2(&[&[0x92][..], &packed(&line(""))].concat()).starts_with("f, event 3: the event is cut off"));
    assert_eq!(
        event2(&[0x81, 0x01, 0x02]),
        "f, event 2: this is a map with the number 1 as a key, not an event; an event is a map of fields"
    );
    assert_eq!(
        event2(&[0xc1]),
        "f, event 2: not an event in MessagePack: byte 0 is 0xc1, which begins no MessagePack value"
    );
    assert!(event2(&packed(&line(""))[..20]).starts_with("f, event 2: the event is cut off"));
    assert!(event2(&[0xdf, 0xff, 0xff, 0xff, 0xff]).starts_with("f, event 2: the event is cut off"));
}

#[test]
fn nothing_larger_than_an_event_is_taken_in() {
    let larger =
        "the event has more than 67108864 bytes; keep large content elsewhere, and a reference to it in the event";
    // Endless, so that only a reader that stops finishes.
    let endless = io::Cursor::new(format!("{}\n{{\"id\":\"", line(""))).chain(io::repeat(b'x'));
    let last = EventFile::from_reader(Box::new(endless), "f").unwrap().last().unwrap();
    assert_eq!(last.unwrap_err().to_string(), format!("f, line 2: {larger}"));
    let endless = io::Cursor::new(b"\x81\xa2id\xdb\xff\xff\xff\xff").chain(io::repeat(b'x'));
    let last = EventFile::from_reader(Box::new(endless), "f").unwrap().last().unwrap();
    assert_eq!(last.unwrap_err().to_string(), format!("f, event 1: {larger}"));
    // Floats take more bytes in MessagePack than in JSON.
    let many = line(&format!(r#","data":[{}1e1]"#, "1e1,".repeat(10 << 20)));
    assert_eq!(refused(many), format!("f, line 1: {larger}"));
}

#[test]
fn other_formats_are_told() {
    for (content, format) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"PK\x03\x04abc", "a zip archive; unpack it first"),
        (b"\xff\xfe{\0\"\0", "UTF-16 text; convert it to UTF-8"),
        (b"\xfe\xff\0{\0\"", "UTF-16 text; convert it to UTF-8"),
        (b"\xff\xfe\0\0{\0\0\0\"\0\0\0", "UTF-32 text; convert it to UTF-8"),
        (b"\0\0\xfe\xff\0\0\0{\0\0\0\"", "UTF-32 text; convert it to UTF-8"),
        (b"{\0\0\0\"\0\0\0", "UTF-32 text; convert it to UTF-8"),
        (b"\0\0\0{\0\0\0\"", "UTF-32 text; convert it to UTF-8"),
        (b"{\0\"\0i\0", "UTF-16 text; convert it to UTF-8"),
        (b"\0{\0\"\0i", "UTF-16 text; convert it to UTF-8"),
        (b"\0\x01\x02\x03\x04", "something else that begins with the bytes 00 01 02 03"),
        (b"\xc3\xa9", "something else that begins with the bytes c3 a9"),
    ] {
        let message = format!("f: this is {format}; event files are JSON or MessagePack, also as gzip or zstd");
        assert_eq!(open(content).err().unwrap().to_string(), message);
        assert_eq!(open(zstd(content)).err().unwrap().to_string(), message);
    }
    let twice = open(gzip(&gzip(b"{}"))).err().unwrap().to_string();
    assert!(twice.starts_with("f: this is gzip within gzip or zstd; unpack it first"), "{twice}");
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let message = |path: &Path| EventFile::open(path).err().unwrap().to_string();
    let shown = directory.path().display();
    assert_eq!(message(directory.path()), format!("{shown}: this is a directory; name the files in it"));
    let missing = directory.path().join("orders.ndjson");
    assert_eq!(message(&missing), format!("{shown}/orders.ndjson: there is no such file"));
}

#[test]
fn an_error_of_the_reader_is_not_taken_for_a_bad_file() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(ErrorKind::UnexpectedEof, "the line is dead"))
        }
    }
    let content = format!("{}\n", line("")).repeat(50_000);
    let half = |content: Vec<u8>| {
        let len = content.len() / 2;
        io::Cursor::new(content[..len].to_vec()).chain(Failing)
    };
    for content in [content.clone().into_bytes(), gzip(content.as_bytes()), zstd(content.as_bytes())] {
        let mut events = EventFile::from_reader(Box::new(half(content)), "f").unwrap();
        let error = events.by_ref().last().unwrap().unwrap_err();
        assert_eq!(error.reason, Reason::Unreadable("the line is dead".into()));
        assert!(events.next().is_none());
    }
}

#[test]
fn truncated_and_corrupt_files_are_told_apart() {
    let content: String = (0..200).map(|n| format!("{}\n", line(&format!(",\"data\":{n}")))).collect();
    for (packed, compression) in [(gzip(content.as_bytes()), "gzip"), (zstd(content.as_bytes()), "zstd")] {
        for len in 4..packed.len() {
            let error = read(&packed[..len]).unwrap_err();
            assert_eq!(error.reason, Reason::Truncated(compression.into()), "cut at {len}");
        }
        let message = read(&packed[..packed.len() - 1]).unwrap_err().to_string();
        assert!(
            message.ends_with(&format!("the file is truncated: its {compression} data end too early; fetch it again"))
        );
        let error = read([&packed[..], b"more than a header of garbage"].concat()).unwrap_err();
        assert!(matches!(error.reason, Reason::Corrupt { .. }), "{error}");
    }
    // The header's flags, time and system are not checked; after it every byte counts.
    let packed = gzip(content.as_bytes());
    for at in 10..packed.len() {
        let mut packed = packed.clone();
        packed[at] ^= 0x55;
        assert!(read(packed).is_err(), "changed at {at}");
    }
    let mut packed = packed;
    let checksum = packed.len() - 8;
    packed[checksum] ^= 0x55;
    let message = read(packed).unwrap_err().to_string();
    assert!(message.starts_with("f, line 201: the gzip data are corrupt: "), "{message}");
}

#[test]
fn after_an_error_there_is_nothing_more() {
    let mut events = open(format!("{}\nx\n{}\n", line(""), line(""))).unwrap();
    assert!(events.next().unwrap().is_ok());
    assert!(events.next().unwrap().is_err());
    assert!(events.next().is_none());
    assert!(events.next().is_none());
}

#[test]
fn an_importer_can_add_its_own_reasons() {
    let error = EventFileError::at("orders.ndjson", Some(Place::Line(17)), "position 3 is not after 4");
    assert_eq!(error.to_string(), "orders.ndjson, line 17: position 3 is not after 4");
}
