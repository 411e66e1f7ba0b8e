//! No value becomes another without a word: columns of all kinds, and what stands in them.

use super::seen::{Seen, events, events_of, named, refused, source};
use serde_json::{Value, json};
use std::collections::HashSet;
use unspool::{
    source::Source,
    vocabulary::{Matcher, Position},
};
use unspool_tests::postgres::{Database, shared};

const TABLE: &str = "CREATE TABLE events (position bigserial PRIMARY KEY, id uuid DEFAULT gen_random_uuid(), stream text DEFAULT 's', \
                     type text DEFAULT 'T', data jsonb, metadata jsonb, at timestamptz DEFAULT '2024-05-01T10:00:00Z');";
const OPTIONS: &str = "&table=events&metadata=metadata&time=at";

fn table(name: &str, more: &str) -> Database<'static> {
    let database = shared().database(name);
    database.client().batch_execute(&format!("{TABLE}{more}")).unwrap();
    database
}

fn only(mut events: Vec<Seen>) -> Seen {
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[test]
fn types_and_streams_of_every_type_are_compared_as_text() {
    for (number, (kind, stream, value)) in [
        ("kind", "uuid", "'11111111-1111-1111-1111-111111111111'"),
        ("kind_domain", "smallint", "7"),
        ("char(12)", "name", "'s'"),
        ("text_domain", "text_domain", "'s'"),
        ("varchar(5)", "char(9)", "'s'"),
    ]
    .into_iter()
    .enumerate()
    {
        let types = "CREATE TYPE kind AS ENUM ('Fine', 'Other'); CREATE DOMAIN kind_domain AS kind; \
                     CREATE DOMAIN text_domain AS text CHECK (value <> '');";
        let columns = format!(
            "ALTER TABLE events ALTER type DROP DEFAULT, ALTER stream DROP DEFAULT; \
             ALTER TABLE events ALTER type TYPE {kind} USING type::{kind}, ALTER stream TYPE {stream} USING NULL; \
             INSERT INTO events (type, stream) VALUES ('Fine', {value}), ('Other', {value}), ('Fine', {value});"
        );
        let database = table(&format!("kinds_{number}"), &format!("{types}{columns}"));
        let source = source(&database, "generic", OPTIONS).unwrap();
        let matcher = Matcher::Types(HashSet::from(["Fine".to_owned(), "NeverSeen".to_owned()]));
        let seen = events_of(&source, &matcher).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let all = seen.iter().map(|event| (event.kind.as_str(), event.stream.as_str())).collect::<Vec<_>>();
        assert_eq!(all, [("Fine", value.trim_matches('\'')); 2], "{kind}");
        assert_eq!(source.locate(&seen[1].id).unwrap().found().unwrap().position, Position::number(3));
    }
}

#[test]
fn jsonb_writes_doubles_out_and_decimals_have_options() {
    let database = table(
        "numbers",
        "INSERT INTO events (data) VALUES ('{\"limit\": 1.7976931348623157E+308, \"wei\": 1e20, \"low\": -1E+30, \"bits\": \
         18446744073709551616, \"small\": 5e-324}');",
    );
    let doubles = only(events(&database, "generic", OPTIONS).unwrap()).data;
    let expected =
        [("limit", f64::MAX), ("wei", 1e20), ("low", -1e30), ("bits", 18446744073709551616.0), ("small", 5e-324)];
    for (field, value) in expected {
        assert_eq!(doubles[field].as_f64(), Some(value), "{field}");
    }
    let decimals = "{\"max\": 79228162514264337593543950335, \"fine\": 0.1234567890123456789012}";
    database.client().execute("UPDATE events SET data = $1::text::jsonb", &[&decimals]).unwrap();
    refused(
        events(&database, "generic", OPTIONS),
        &["79228162514264337593543950335 at max", "numbers=text", "numbers=round"],
    );
    let taken = |how: &str| only(events(&database, "generic", &format!("{OPTIONS}&numbers={how}")).unwrap()).data;
    assert_eq!(taken("text"), json!({ "max": "79228162514264337593543950335", "fine": "0.1234567890123456789012" }));
    assert_eq!(taken("round"), json!({ "max": 79228162514264337593543950335.0, "fine": 0.12345678901234568 }));
    refused(events(&database, "generic", &format!("{OPTIONS}&numbers=some")), &["exact, text or round"]);
    // What no double comes near.
    let far = "ALTER TABLE events ALTER data TYPE json USING '{\"far\": 1e400}'";
    database.client().batch_execute(far).unwrap();
    for numbers in ["", "&numbers=round"] {
        let e = events(&database, "generic", &format!("{OPTIONS}{numbers}")).unwrap_err();
        assert!(e.message.contains("numbers=text") && !e.message.contains("numbers=round"), "{}", e.message);
    }
    assert_eq!(taken("text"), json!({ "far": "1e400" }));
    // What json keeps as it was written is taken as in a file.
    database
        .client()
        .batch_execute("ALTER TABLE events ALTER data TYPE json USING '{\"n\": 100000000000000000000}'")
        .unwrap();
    refused(events(&database, "generic", OPTIONS), &["100000000000000000000 at n"]);
}

#[test]
fn payloads_that_are_empty_marked_or_written_twice() {
    let database = table("payloads", "ALTER TABLE events ALTER data TYPE bytea USING NULL, ALTER metadata TYPE text;");
    let mut client = database.client();
    client
        .batch_execute(
            "INSERT INTO events (data, metadata) VALUES ('', ''), (NULL, NULL), ('\\xefbbbf', ' '), ('\\xefbbbf7b7d', '\"PL-SMO\"')",
        )
        .unwrap();
    let seen = events(&database, "generic", OPTIONS).unwrap();
    let documents: Vec<_> = seen.into_iter().map(|event| (event.data, event.metadata)).collect();
    let empty = (Value::Null, Value::Null);
    assert_eq!(documents, [empty.clone(), empty.clone(), empty, (json!({}), json!("PL-SMO"))]);
    client
        .batch_execute(
            "DELETE FROM events; INSERT INTO events (data) VALUES ('\"{\\\\\"a\\\\\": 1e20}\"'::text::bytea)",
        )
        .unwrap();
    refused(events(&database, "generic", OPTIONS), &["a text that holds JSON", "nested=read", "nested=keep"]);
    let taken = |how: &str| only(events(&database, "generic", &format!("{OPTIONS}&nested={how}")).unwrap()).data;
    assert_eq!(taken("read"), json!({ "a": 1e20 }));
    assert_eq!(taken("keep"), json!("{\"a\": 1e20}"));
    // Not text, or not JSON.
    for (bytes, words) in [("\\xff00", "not text in UTF-8"), ("\\x7b", "it is not JSON")] {
        client.execute("UPDATE events SET data = $1::text::bytea", &[&bytes]).unwrap();
        refused(events(&database, "generic", OPTIONS), &[words]);
    }
}

#[test]
fn rails_event_store_is_read_through_its_second_serialiser() {
    let database = shared().database("written_twice");
    let tables = "CREATE TABLE event_store_events (id bigserial PRIMARY KEY, event_id uuid NOT NULL UNIQUE, event_type varchar NOT NULL, \
                  metadata jsonb, data jsonb NOT NULL, created_at timestamp NOT NULL DEFAULT now(), valid_at timestamp); \
                  CREATE TABLE event_store_events_in_streams (id bigserial PRIMARY KEY, stream varchar NOT NULL, position integer, \
                  event_id uuid NOT NULL, created_at timestamp NOT NULL DEFAULT now()); \
                  INSERT INTO event_store_events (event_id, event_type, metadata, data) VALUES (gen_random_uuid(), 'T', \
                  to_jsonb('{\"user\":7}'::text), to_jsonb('{\"orderId\":\"1\"}'::text))";
    database.client().batch_execute(tables).unwrap();
    let event = only(events(&database, "rails-event-store", "").unwrap());
    assert_eq!((event.data, event.metadata), (json!({ "orderId": "1" }), json!({ "user": 7 })));
}

#[test]
fn times_come_from_columns_of_every_kind() {
    const AT: i64 = 1_714_557_600_123;
    for (number, (kind, value, option, time)) in [
        ("timestamp", "'2024-05-01 10:00:00.1239'", "at", AT),
        ("timestamptz", "'2024-05-01 12:00:00.1239+02'", "at", AT),
        ("timestamptz", "'1969-12-31 23:59:59.9999+00'", "at", -1),
        ("timestamp", "'0044-03-15 BC'", "at", -63_517_824_000_000),
        ("date", "'2024-05-01'", "at", 1_714_521_600_000),
        ("text", "'2024-05-01T10:00:00.123Z'", "at", AT),
        ("bigint", "1714557600123", "at", AT),
        ("bigint", "1714557600", "at:s", 1_714_557_600_000),
        ("bigint", "1714557600123999999", "at:ns", AT),
        ("numeric", "1714557600.1239", "at:s", AT),
        ("double precision", "1714557600123999", "at:us", AT),
        ("varchar(20)", "'1714557600123'", "at:ms", AT),
    ]
    .into_iter()
    .enumerate()
    {
        let column = format!(
            "ALTER TABLE events ALTER at DROP DEFAULT; ALTER TABLE events ALTER at TYPE {kind} USING NULL; \
             INSERT INTO events (at) VALUES ({value});"
        );
        let database = table(&format!("times_{number}"), &column);
        let options = format!("&table=events&time={option}");
        let source = source(&database, "generic", &options).unwrap_or_else(|e| panic!("{kind} {value}: {e}"));
        let event = only(events_of(&source, &Matcher::All).unwrap_or_else(|e| panic!("{kind} {value}: {e}")));
        assert_eq!(event.timestamp, time, "{kind} {value}");
        assert_eq!(source.until(time).unwrap(), Some(Position::number(1)), "{kind} {value}");
        assert_eq!(source.until(time - 1).unwrap(), Some(Position::START), "{kind} {value}");
    }
}

#[test]
fn what_is_no_time_is_not_1970() {
    for (number, (kind, value, option, words)) in [
        ("timestamptz", "NULL", "at", "it has no time: name another column, or time=none"),
        ("timestamptz", "'infinity'", "at", "infinite"),
        ("timestamptz", "'12000-01-01'", "at", "beyond the year 9999"),
        ("date", "'-infinity'", "at", "infinite"),
        ("bigint", "1714557600", "at", "may count seconds; say what it counts, as in time=COLUMN:s"),
        ("bigint", "0", "at", "may count seconds"),
        ("bigint", "1714557600123456789", "at", "beyond the year 9999; say what it counts"),
        ("numeric", "1714557600", "at", "must be named with what it counts: time=COLUMN:s"),
        ("double precision", "'NaN'", "at:s", "no number"),
        ("text", "'yesterday'", "at", "its time is the text"),
        ("text", "'1700000000000'", "at", "say what it counts, as in time=COLUMN:s"),
        ("text", "'2024-01-01 00:00:00'", "at", "SELECT \"at\"::timestamp AS \"at\""),
        ("interval", "'1 day'", "at", "must be timestamp"),
    ]
    .into_iter()
    .enumerate()
    {
        let column = format!(
            "ALTER TABLE events ALTER at DROP DEFAULT; ALTER TABLE events ALTER at TYPE {kind} USING NULL; \
             INSERT INTO events (at) VALUES ({value});"
        );
        let database = table(&format!("no_times_{number}"), &column);
        refused(events(&database, "generic", &format!("&table=events&time={option}")), &[words]);
        assert_eq!(only(events(&database, "generic", "&table=events&time=none").unwrap()).timestamp, 0);
    }
}

#[test]
fn times_in_payloads_are_text_or_named() {
    let database = shared().database("times_in_payloads");
    let table = "CREATE TABLE stored_events (originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text, state bytea, \
                 notification_id bigserial, PRIMARY KEY (originator_id, originator_version)); \
                 CREATE UNIQUE INDEX ON stored_events (notification_id); INSERT INTO stored_events VALUES \
                 ('11111111-1111-1111-1111-111111111111', 1, 'dogs:Dog.Registered', '{\"timestamp\":\"2024-05-01T10:00:00.123456Z\"}')";
    database.client().batch_execute(table).unwrap();
    assert_eq!(only(events(&database, "eventsourcing", "").unwrap()).timestamp, 1_714_557_600_123);
    database.client().batch_execute("UPDATE stored_events SET state = '{\"timestamp\": 1714557600.5}'").unwrap();
    refused(events(&database, "eventsourcing", ""), &["the timestamp of its payload is 1714557600.5", "time=none"]);
    database.client().batch_execute("UPDATE stored_events SET state = '{}'").unwrap();
    refused(events(&database, "eventsourcing", ""), &["no timestamp", "time=none"]);
    assert_eq!(only(events(&database, "eventsourcing", "&time=none").unwrap()).timestamp, 0);
    refused(events(&database, "eventsourcing", "&time=state"), &["the preset knows where the times are"]);
}

#[test]
fn a_version_that_is_no_number_stays_text() {
    let database = shared().database("revisions");
    let table = "CREATE TABLE domain_event_entry (global_index bigserial PRIMARY KEY, event_identifier varchar(255) UNIQUE, meta_data bytea, \
                 payload bytea NOT NULL, payload_revision varchar(255), payload_type varchar(255) NOT NULL, time_stamp varchar(255) \
                 NOT NULL, aggregate_identifier varchar(255) NOT NULL, sequence_number bigint NOT NULL, type varchar(255)); \
                 INSERT INTO domain_event_entry (event_identifier, meta_data, payload, payload_revision, payload_type, time_stamp, \
                 aggregate_identifier, sequence_number) SELECT 'e' || n, '{\"user\":1}', '{}', version, 'T', \
                 '2024-01-01T00:00:00.000Z', 'a', n FROM unnest(ARRAY[NULL, '2.0', '3', '1.1', 'v2']) WITH ORDINALITY AS of(version, n)";
    database.client().batch_execute(table).unwrap();
    let seen = events(&database, "axon", "").unwrap();
    let versions: Vec<_> = seen.into_iter().map(|event| (event.version, event.metadata)).collect();
    let user = json!({ "user": 1 });
    let text = |text: &str| (0, json!({ "schemaVersion": text, "user": 1 }));
    assert_eq!(versions, [(1, user.clone()), (2, user.clone()), (3, user), text("1.1"), text("v2")]);
}

#[test]
fn versions_of_messages_are_read() {
    let database = shared().database("message_versions");
    database.client().batch_execute(unspool_tests::stores::Preset::Emmett.schema()).unwrap();
    let insert = "INSERT INTO emt_messages (stream_id, stream_position, message_schema_version, message_id, message_type, \
                  message_data, message_metadata, transaction_id) SELECT 's', n, version, 'm' || n, 'T', '{}', '{\"user\":1}', \
                  pg_current_xact_id() FROM unnest(ARRAY['1', '2', '3', 'v2']) WITH ORDINALITY AS of(version, n)";
    database.client().batch_execute(insert).unwrap();
    let seen = events(&database, "emmett", "").unwrap();
    let versions: Vec<_> = seen.into_iter().map(|event| (event.version, event.metadata)).collect();
    let user = json!({ "user": 1 });
    let text = (0, json!({ "schemaVersion": "v2", "user": 1 }));
    assert_eq!(versions, [(1, user.clone()), (2, user.clone()), (3, user), text]);
}

#[test]
fn positions_from_0_are_shifted_on_demand() {
    let database = table(
        "from_0",
        "ALTER TABLE events ALTER position DROP DEFAULT; INSERT INTO events (position) SELECT generate_series(0, 4);",
    );
    refused(source(&database, "generic", OPTIONS), &["position 0", "shift=1"]);
    let positions = |events: Vec<Seen>| events.iter().map(|event| event.position).collect::<Vec<_>>();
    let shifted = source(&database, "generic", &format!("{OPTIONS}&shift=1")).unwrap();
    let seen = events_of(&shifted, &Matcher::All).unwrap();
    assert_eq!(shifted.locate(&seen[2].id).unwrap().found().unwrap().position, Position::number(3));
    assert_eq!(shifted.back(&Matcher::All, Position::number(5), 2).unwrap(), Some(Position::number(3)));
    assert_eq!(positions(seen), [1, 2, 3, 4, 5]);
    // As a query counts them.
    let query = "table = 'events'\nquery = 'SELECT position + 1 AS position, id, stream, type, data, at FROM events;'\ntime = 'at'";
    assert_eq!(positions(events_of(&named(&database, query).unwrap(), &Matcher::All).unwrap()), [1, 2, 3, 4, 5]);
    database.client().batch_execute("UPDATE events SET position = -8 WHERE position = 0").unwrap();
    refused(source(&database, "generic", &format!("{OPTIONS}&shift=1")), &["position -8", "shift=9"]);
    assert_eq!(positions(events(&database, "generic", &format!("{OPTIONS}&shift=9")).unwrap()), [1, 10, 11, 12, 13]);
    // One that comes where there was none is seen, too.
    let empty = table("from_0_later", "ALTER TABLE events ALTER position DROP DEFAULT;");
    let source = source(&empty, "generic", OPTIONS).unwrap();
    empty.client().batch_execute("INSERT INTO events (position) VALUES (0), (1)").unwrap();
    let read = source.read(&Matcher::All, Position::START, Position::number(1)).unwrap().next().map(|_| ());
    refused(read, &["its position is 0", "shift=1"]);
}

#[test]
fn positions_are_whole_numbers_of_any_type() {
    for (number, kind) in ["smallint", "integer", "numeric(20)", "numeric"].into_iter().enumerate() {
        let more =
            format!("ALTER TABLE events ALTER position TYPE {kind}; INSERT INTO events (data) VALUES ('1'), ('2');");
        let database = table(&format!("whole_numbers_{number}"), &more);
        let seen = events(&database, "generic", OPTIONS).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(seen.iter().map(|event| event.position).collect::<Vec<_>>(), [1, 2], "{kind}");
    }
    let database = table(
        "no_whole_numbers",
        "ALTER TABLE events ALTER position TYPE numeric; INSERT INTO events (position) VALUES (1.5);",
    );
    refused(events(&database, "generic", OPTIONS), &["position 1.5 is no whole number"]);
}

/// The end of the history and its events come from the same numbers.
#[test]
fn a_query_that_counts_in_its_own_way_is_read_to_its_end() {
    let database =
        table("own_numbers", "INSERT INTO events (data) SELECT to_jsonb(n) FROM generate_series(1, 100) AS n;");
    for (number, positions) in
        [("position * 100", 100), ("row_number() OVER (ORDER BY position)", 100), ("position", 100)]
    {
        let query = format!(
            "table = 'events'\nquery = \"SELECT {number} AS position, id, stream, type, data, at FROM events\"\ntime = 'at'"
        );
        let source = named(&database, &query).unwrap();
        assert_eq!(events_of(&source, &Matcher::All).unwrap().len(), positions, "{number}");
        assert!(source.stable().unwrap() > Position::START, "{number}");
    }
    let renamed = "table = 'events'\nposition = 'number'\ntime = 'happened'\n\
                   query = 'SELECT position AS number, id, stream, type, data, at AS happened FROM events WHERE position > 90 -- new'";
    assert_eq!(events_of(&named(&database, renamed).unwrap(), &Matcher::All).unwrap().len(), 10);
}
