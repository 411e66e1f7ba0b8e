//! Files whose fields have other names.

use super::*;

fn mapped(content: &str, map: &str) -> FileEvent {
    one_as(content, &format!("map={map}")).unwrap()
}

fn refused(content: &str, map: &str) -> String {
    one_as(content, &format!("map={map}")).unwrap_err().to_string()
}

const AGGREGATE: &str = r#"{"event_id":"evt-1","event_type":"DoseRecorded","aggregate_type":"dose","aggregate_id":17,"occurred_at":"2026-09-12T16:00:00+08:00","version":"1.2","payload":{"lot":"A"}}"#;
const AGGREGATES: &str = "id=event_id,stream=aggregate_id,type=event_type,time=occurred_at,data=payload";

#[test]
fn a_map_says_which_fields_make_an_event() {
    let event = mapped(AGGREGATE, AGGREGATES).event;
    assert_eq!((event.id.as_str(), event.stream.as_str(), event.kind.as_str()), ("evt-1", "17", "DoseRecorded"));
    assert_eq!((event.timestamp, event.schema_version), (1_789_200_000_000, 1));
    assert_eq!(event.data, doc(r#"{"lot":"A"}"#));
    // What no part takes is not lost.
    assert_eq!(event.metadata, doc(r#"{"aggregate_type":"dose","version":"1.2"}"#));
    let flat = mapped(AGGREGATE, "id=event_id,stream=aggregate_id,type=event_type,time=occurred_at,data=*").event;
    assert_eq!(flat.data, doc(r#"{"aggregate_type":"dose","version":"1.2","payload":{"lot":"A"}}"#));
    assert_eq!(flat.metadata, doc("null"));
}

#[test]
fn fields_within_objects_are_taken_out_of_them() {
    let text = r#"{"meta":{"id":"e1","at":{"s":5},"by":"me"},"a.b":"s1","event":{"name":"T","body":{"n":1}}}"#;
    let event = mapped(text, "id=meta.id,stream=a.b,type=event.name,time=meta.at.s:s,data=event.body").event;
    assert_eq!(
        (event.id.as_str(), event.stream.as_str(), event.kind.as_str(), event.timestamp),
        ("e1", "s1", "T", 5000)
    );
    assert_eq!((event.data, event.metadata), (doc(r#"{"n":1}"#), doc(r#"{"meta":{"by":"me"}}"#)));
    // One field may be two parts.
    let event = mapped(text, "id=meta.id,stream=meta.id,type=event.name,time=meta.at.s:s,data=event").event;
    assert_eq!((event.stream.as_str(), event.data), ("e1", doc(r#"{"name":"T","body":{"n":1}}"#)));
}

#[test]
fn metadata_that_are_mapped_have_the_rest_beside_them() {
    let with = |meta: &str| format!(r#"{{"id":"e1","stream":"s","type":"T","timestamp":0,"meta":{meta},"more":1}}"#);
    assert_eq!(mapped(&with(r#"{"a":2}"#), "metadata=meta").event.metadata, doc(r#"{"a":2,"more":1}"#));
    assert_eq!(mapped(&with("null"), "metadata=meta").event.metadata, doc(r#"{"more":1}"#));
    assert_eq!(mapped(&with("[1]"), "metadata=meta").event.metadata, doc(r#"{"meta":[1],"more":1}"#));
    assert!(refused(&with(r#"{"more":2}"#), "metadata=meta").contains("the key \"more\" stands twice"));
    assert_eq!(mapped(&with("[1]"), "metadata=meta,data=more").event.metadata, doc("[1]"));
}

#[test]
fn times_come_in_units() {
    let text = |time: &str| format!(r#"{{"id":"e1","stream":"s","type":"T","ts":{time}}}"#);
    for (time, form, timestamp, kept) in [
        ("1706702400", ":s", 1_706_702_400_000, None),
        ("1706702400.123", ":s", 1_706_702_400_123, None),
        ("1.706702400123e9", ":s", 1_706_702_400_123, None),
        ("1706702400.123456", ":s", 1_706_702_400_123, Some("2024-01-31T12:00:00.123456Z")),
        ("\"1706702400.5\"", ":s", 1_706_702_400_500, None),
        ("1706702400123", ":ms", 1_706_702_400_123, None),
        ("1706702400123", "", 1_706_702_400_123, None),
        ("1706702400123000", ":us", 1_706_702_400_123, None),
        ("1706702400123456", ":us", 1_706_702_400_123, Some("2024-01-31T12:00:00.123456Z")),
        ("1706702400123456789", ":ns", 1_706_702_400_123, Some("2024-01-31T12:00:00.123456789Z")),
        ("-1", ":ns", -1, Some("1969-12-31T23:59:59.999999999Z")),
        // Finer than a nanosecond is nothing.
        ("1706702400.0000000001", ":s", 1_706_702_400_000, None),
        ("1706702400.1230000000001", ":s", 1_706_702_400_123, None),
        ("1706702400", ":ms", 1_706_702_400, None),
        ("5", "", 5, None),
        ("-0.0005", ":s", -1, Some("1969-12-31T23:59:59.9995Z")),
        ("\"2024-01-31T12:00:00.5\"", ":utc", 1_706_702_400_500, None),
        ("\"2024-01-31 12:00:00.1234567\"", ":utc", 1_706_702_400_123, Some("2024-01-31 12:00:00.1234567")),
        ("\"2024-01-31T12:00:00+01:00\"", ":utc", 1_706_698_800_000, None),
    ] {
        let event = mapped(&text(time), &format!("time=ts{form}"));
        let kept = kept.map_or_else(|| doc("null"), |kept| doc(&format!(r#"{{"time":"{kept}"}}"#)));
        assert_eq!((event.event.timestamp, event.event.metadata), (timestamp, kept), "{time}{form}");
    }
    for (time, form, words) in [
        ("\"soon\"", ":s", "expected seconds since 1970 as a number, found the text \"soon\""),
        ("1706702400123456789", ":s", "seconds are outside of the years 0 to 9999; --map time=ts:ns"),
        ("1706702400123456789", "", "milliseconds are outside of the years 0 to 9999; --map time=ts:ns"),
        (
            "1706702400",
            "",
            "the number 1706702400 may count seconds, and is taken for milliseconds only where that is said: --map time=ts:s, or :ms",
        ),
        ("1e40", ":s", "expected seconds since 1970"),
        ("true", ":us", "found true"),
        ("\"2024-01-31T12:00:00\"", "", "expected milliseconds since 1970 as an integer, or RFC 3339 text"),
    ] {
        let message = refused(&text(time), &format!("time=ts{form}"));
        assert!(message.contains(words), "{message}");
    }
}

/// An event that comes again is told from another one by what is left without the time that was kept.
#[test]
fn a_time_that_was_kept_is_found_again() {
    let text = |time: &str| format!(r#"{{"id":"e1","stream":"s","type":"T","ts":{time}}}"#);
    let mut kept = 0;
    for places in 0..25 {
        for (before, digit) in [("1706702400.", '5'), ("-1.", '9'), ("1706702400.123", '1')] {
            let event = mapped(&text(&format!("{before}{}{digit}", "0".repeat(places))), "time=ts:s");
            let found = without_time(&event.event.metadata, event.event.timestamp);
            assert_eq!(found.is_some(), event.without_time.is_some(), "{before} {places} {digit}");
            kept += usize::from(found.is_some());
        }
    }
    assert!(kept > 10, "{kept} times are kept");
}

#[test]
fn text_that_holds_json_is_read() {
    let text = r#"{"eventId":"e1","eventType":"T","streamId":"s","data":"{\"n\":1}","metaData":"","updated":"2024-01-31T12:00:00Z"}"#;
    let map = "id=eventId,stream=streamId,type=eventType,time=updated,data=data:json,metadata=metaData:json";
    let event = mapped(text, map).event;
    assert_eq!((event.data, event.metadata), (doc(r#"{"n":1}"#), doc("null")));
    assert!(refused(&text.replace(r#"{\"n\":1}"#, "{n"), map).contains("field \"data\": it is not JSON"));
    let plain = mapped(text, "id=eventId,stream=streamId,type=eventType,time=updated").event;
    assert_eq!(plain.data, doc(r#""{\"n\":1}""#));
}

#[test]
fn positions_and_versions_are_taken_where_they_can_be() {
    let text = r#"{"global_position":7,"id":"e1","stream_name":"s","position":0,"type":"T","data":null,"time":"2024-01-31T12:00:00.123456"}"#;
    let map = "stream=stream_name,time=time:utc,position=global_position";
    let event = mapped(text, map);
    assert_eq!(event.position, Some(7));
    assert_eq!(event.event.metadata, doc(r#"{"position":0,"time":"2024-01-31T12:00:00.123456"}"#));
    let event = mapped(text, "stream=stream_name,time=time:utc,position=");
    assert_eq!((event.position, event.event.timestamp), (None, 1_706_702_400_123));
    assert!(refused(text, "stream=stream_name,time=time:utc").contains("position= leaves positions out"));
    assert!(
        refused(AGGREGATE, &format!("{AGGREGATES},schema_version=version")).contains("schema_version= is left empty")
    );
}

#[test]
fn a_map_that_cannot_be_meant_is_refused() {
    for (map, words) in [
        ("id", "not of the form PART=FIELD"),
        ("", "not of the form PART=FIELD"),
        ("identity=x", "no part \"identity\"; a map names id, stream, type, time, data"),
        ("id=a,id=b", "names id twice"),
        ("time=ts:hours", "no form \"hours\"; it has s, ms, us, ns"),
        ("data=x:yaml", "no form \"yaml\""),
        ("id=x:s", "id has no forms"),
        ("id=", "id= names no field"),
        ("id=*", "only data can be the rest"),
        ("data=a&b", "cannot name a field with & or ?"),
    ] {
        let refused = map.parse::<Mapping>().unwrap_err();
        assert!(refused.contains(words), "{map}: {refused}");
    }
    let map: Mapping = AGGREGATES.parse().unwrap();
    assert_eq!(map.to_string().parse::<Mapping>(), Ok(map));
}

/// A misspelt field must not become nothing.
#[test]
fn a_field_that_no_event_has_is_named() {
    let map = AGGREGATES.replace("payload", "paylod");
    let message = refused(AGGREGATE, &map);
    assert!(message.contains("no event of the file has the field \"paylod\" that the map names"), "{message}");
    let without = AGGREGATE.replace(r#","payload":{"lot":"A"}"#, "");
    let content = format!("{without}\n{}\n", AGGREGATE.replace("evt-1", "evt-2"));
    let events = open(content).unwrap().with(format!("map={AGGREGATES}").parse().unwrap());
    let data: Vec<_> = events.map(|event| event.unwrap().event.data).collect();
    assert_eq!(data, [doc("null"), doc(r#"{"lot":"A"}"#)]);
    assert!(refused(AGGREGATE, &AGGREGATES.replace("event_id", "evt_id")).contains("the field \"evt_id\" is missing"));
}

#[test]
fn a_source_has_its_options_behind_its_path() {
    for text in ["/a/b.ndjson", "/a/what?.ndjson", "/a?b=c", "/a?x?y"] {
        assert_eq!(FileOptions::split(text), Ok((text, FileOptions::default())));
    }
    let text = "map=id=event_id,time=ts:ns&without_time=last&numbers=text";
    let options: FileOptions = text.parse().unwrap();
    assert_eq!(options.to_string(), text);
    assert_eq!(FileOptions::split(&format!("/a?b.json?{text}")), Ok(("/a?b.json", options)));
    for bad in ["/a?map=x", "/a?numbers=some", "/a?without_time=soon", "/a?numbers=text&speed=9"] {
        assert!(FileOptions::split(bad).is_err(), "{bad}");
    }
}

/// What a message advises is accepted.
#[test]
fn events_of_others_are_recognised() {
    for (text, map) in [
        (AGGREGATE, AGGREGATES),
        (
            r#"{"eventId":"e1","eventType":"T","eventNumber":0,"streamId":"order-1","data":"{\"n\":1}","metaData":"","updated":"2024-01-31T12:00:00.1234567Z"}"#,
            "id=eventId,stream=streamId,type=eventType,time=updated,data=data:json,metadata=metaData:json",
        ),
        (
            r#"{"global_position":1,"id":"e1","stream_name":"order-1","position":0,"type":"T","data":{},"metadata":null,"time":"2024-01-31T12:00:00.123456"}"#,
            "stream=stream_name,time=time:utc,position=global_position",
        ),
        (r#"{"id":"e1","stream":"s","type":"T","ts":1751826373563944000}"#, "time=ts:ns"),
        (r#"{"id":"e1","stream":"s","event":"T","ts":1700000000.5,"data":1}"#, "type=event,time=ts:s"),
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.ends_with(&format!("; read it with --map {map}")), "{message}");
        assert!(one_as(text, &format!("map={map}")).is_ok(), "{map}");
    }
    let message =
        read(r#"{"ts":"2026-02-24T23:02:34.123851Z","run_id":"vm-1","event_type":"gate","data":{}}"#).unwrap_err();
    let words = "read it with --map id=FIELD,stream=run_id,type=event_type,time=ts; if its events have no ids, number them first: `jq -c";
    assert!(message.to_string().contains(words), "{message}");
}
