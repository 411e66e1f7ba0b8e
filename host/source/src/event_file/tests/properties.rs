//! What holds for every event and every content.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use unspool_vocabulary::canonical;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    ".{1,20}".prop_filter("no NUL", |name| !name.contains('\0'))
}

/// An event, and its fields as they are written.
fn event() -> impl Strategy<Value = (Event, Option<u64>, Value)> {
    let position = prop::option::of(1..=u64::MAX);
    let timestamp = (-62_167_219_200_000..=253_402_300_799_999_i64)
        .prop_filter("no seconds", |number| !(631_152_000..100_000_000_000).contains(&number.unsigned_abs()));
    (name(), name(), name(), timestamp, 1..=u32::MAX, value(), value(), position).prop_map(
        |(id, stream, kind, timestamp, schema_version, data, metadata, position)| {
            let written = json!({
                "data": data, "id": id, "stream": stream, "type": kind, "timestamp": timestamp,
                "schemaVersion": schema_version, "metadata": metadata, "position": position,
            });
            let document = |value: &Value| canonical(&rmp_serde::to_vec(value).unwrap()).unwrap();
            let (data, metadata) = (document(&data), document(&metadata));
            (Event { id, stream, kind, timestamp, schema_version, data, metadata }, position, written)
        },
    )
}

proptest! {
    #[test]
    fn an_event_is_read_back_as_it_was_written(events in prop::collection::vec(event(), 1..5)) {
        let lines: Vec<String> = events.iter().map(|(_, _, written)| written.to_string()).collect();
        let pretty: Vec<String> = events.iter().map(|(_, _, written)| format!("{written:#}")).collect();
        let packed: Vec<u8> = events.iter().flat_map(|(_, _, written)| rmp_serde::to_vec(written).unwrap()).collect();
        let packed_array = [&[0x90 | events.len() as u8][..], &packed].concat();
        let shapes = [
            lines.join("\n"),
            lines.concat(),
            pretty.join("\n"),
            pretty.concat(),
            format!("[{}]", lines.join(",")),
            format!("[\n{}\n]\n", pretty.join("\n,\n")),
            lines.iter().map(|line| format!("\u{1e}{line}\n")).collect(),
            lines.iter().map(|line| format!("\u{feff}{line}\r\n\r\n")).collect(),
            lines.iter().map(|line| format!("[{line}]\n")).collect(),
        ];
        for content in shapes.into_iter().map(String::into_bytes).chain([packed, packed_array]) {
            for content in [gzip(&content), [gzip(&content), vec![0; 700]].concat(), zstd(&content), content] {
                let read = read(content).unwrap();
                prop_assert_eq!(read.len(), events.len());
                for (read, (event, position, _)) in read.iter().zip(&events) {
                    prop_assert_eq!(&read.event, event);
                    prop_assert_eq!(read.position, *position);
                }
            }
        }
    }

    #[test]
    fn a_map_reads_what_was_renamed(events in prop::collection::vec(event(), 1..4), nested in any::<bool>()) {
        let renamed = |written: &Value| {
            let mut event = json!({
                "event_id": written["id"], "aggregate": written["stream"], "event_type": written["type"],
                "occurred": written["timestamp"], "version": written["schemaVersion"], "seq": written["position"],
                "payload": written["data"], "context": written["metadata"],
            });
            if nested {
                event["event_id"] = Value::Null;
                event["head"] = json!({ "id": written["id"], "deep": { "payload": written["data"] } });
                let fields = event.as_object_mut().unwrap();
                fields.remove("event_id");
                fields.remove("payload");
            }
            event
        };
        let paths = if nested { ("head.id", "head.deep.payload") } else { ("event_id", "payload") };
        let map = format!(
            "map=id={},stream=aggregate,type=event_type,time=occurred:ms,data={},metadata=context,schema_version=version,position=seq",
            paths.0, paths.1
        );
        let lines: Vec<String> = events.iter().map(|(_, _, written)| renamed(written).to_string()).collect();
        let packed: Vec<u8> =
            events.iter().flat_map(|(_, _, written)| rmp_serde::to_vec(&renamed(written)).unwrap()).collect();
        for content in [lines.join("\n").into_bytes(), packed] {
            let read: Vec<_> = open(content).unwrap().with(map.parse().unwrap()).map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), events.len());
            for (read, (event, position, _)) in read.iter().zip(&events) {
                prop_assert_eq!(&read.event, event);
                prop_assert_eq!(read.position, *position);
            }
        }
    }

    #[test]
    fn a_part_of_a_file_is_read_up_to_its_end(events in prop::collection::vec(event(), 1..4), part in 0.0..1.0_f64) {
        let lines: Vec<String> = events.iter().map(|(_, _, written)| written.to_string()).collect();
        let packed: Vec<u8> = events.iter().flat_map(|(_, _, written)| rmp_serde::to_vec(written).unwrap()).collect();
        for content in [lines.join("\n").into_bytes(), packed] {
            for (content, plain) in [(gzip(&content), false), (zstd(&content), false), (content, true)] {
                let len = (content.len() as f64 * part) as usize;
                if let Ok(file) = open(&content[..len]) {
                    let whole = file.take_while(Result::is_ok).count();
                    prop_assert!(whole <= events.len() && (!plain || whole < events.len() || len == content.len()));
                }
            }
        }
    }

    #[test]
    fn no_content_surprises_the_reader(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        start in prop::sample::select(vec![&b""[..], b"{", b"[", b"[{\"id\":", b"\x1e{", b"\x92", b"\x85", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"{\"id\":", b"\xde\0"]),
    ) {
        let content = [start, &bytes].concat();
        for content in [gzip(&content), content] {
            if let Ok(file) = open(content) {
                prop_assert!(file.count() <= 201);
            }
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_event(event in event(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (_, _, written) = event;
        for mut content in [written.to_string().into_bytes(), rmp_serde::to_vec(&written).unwrap()] {
            let at = at.index(content.len());
            content[at] = byte;
            if let Ok(file) = open(content) {
                prop_assert!(file.count() <= 60);
            }
        }
    }
}
