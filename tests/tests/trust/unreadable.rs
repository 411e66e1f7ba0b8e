//! Events that a source cannot read: each is met in its place in the order, stops a rebuild there or is set aside with what
//! the source has for it, and can be taken up again when it has been corrected.

use postgres::Client;
use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
    postgres::{Database, shared},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A table whose payloads are bytes, as programs keep them that encrypt some.
const TABLE: &str = "CREATE TABLE events (position bigserial PRIMARY KEY, id text, stream text, type text, data bytea, \
                     time timestamptz NOT NULL DEFAULT '2024-01-31')";

/// Payloads that cannot be read, and what is said of each.
const BAD: [(&[u8], &str); 4] = [
    (b"{\"n\": }", "payload"),
    (b"\x8f\x01\xff encrypted", "not text"),
    (b"{\"n\": 1234567890123456789012345678}", "payload"),
    (b"<order/>", "XML"),
];

struct Table<'a> {
    database: Database<'a>,
    client: Client,
    data: Data,
}

impl Table<'_> {
    fn new(name: &str) -> Table<'static> {
        let database = shared().database(name);
        let mut client = database.client();
        client.batch_execute(TABLE).unwrap();
        let data = Data::new(BINARY);
        data.install(&plugin("faulty"));
        Table { database, client, data }
    }

    /// Appends events; each is named `e` and its position.
    fn append<'e>(&mut self, events: impl IntoIterator<Item = (&'e str, &'e str, &'e [u8])>) {
        for (stream, kind, payload) in events {
            let insert = "WITH next AS (SELECT nextval('events_position_seq') AS position) INSERT INTO events \
                          (position, id, stream, type, data) SELECT position, 'e' || position, $1, $2, $3 FROM next";
            self.client.execute(insert, &[&stream, &kind, &payload]).unwrap();
        }
    }

    fn source(&self) -> String {
        let url = self.database.url();
        let (user, rest) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).unwrap();
        let (address, database) = rest.split_once('/').unwrap();
        let (host, port) = address.split_once(':').unwrap();
        let database = database.split('?').next().unwrap();
        format!("postgres:generic?host={host}&port={port}&user={user}&dbname={database}&table=events&time=time")
    }

    fn rebuild(&self, exit: i32, options: &[&str]) -> Value {
        let source = self.source();
        self.data.exits(exit, [&["rebuild", "faulty", "--source", &source], options].concat())
    }

    fn parked(&self) -> Vec<String> {
        let of = |event: &Value, field: &str| event[field].as_str().unwrap_or("null").to_owned();
        let listed = self.data.list(["dead-letters", "list", "faulty"]);
        listed.iter().map(|event| format!("{} {}", of(event, "stream"), of(event, "id"))).collect()
    }

    fn counts(&self, generation: &str) -> Value {
        let rows = self.data.rows_of("faulty/seen", generation);
        rows.into_iter().map(|(stream, row)| (stream, row["count"].clone())).collect()
    }
}

/// Ten streams of events that are fine, with those of [`BAD`] in the middle of chunks and streams.
fn troubled(name: &str) -> Table<'static> {
    let mut table = Table::new(name);
    let streams: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let event = |number: usize| {
        let payload = match number {
            103 => BAD[0].0,
            214 => BAD[1].0,
            // Behind another one of its stream.
            233 => BAD[2].0,
            399 => BAD[3].0,
            _ => b"{}",
        };
        (streams[number % 10].as_str(), "Fine", payload)
    };
    table.append((0..400).map(event));
    table
}

/// The counts of the streams of [`troubled`] without the events that are set aside: all from 103 on in `s3`, from 214 on in
/// `s4`, and the last one in `s9`.
fn without_parked() -> Value {
    let count = |stream: usize| match stream {
        3 => 10,
        4 => 21,
        9 => 39,
        _ => 40,
    };
    (0..10).map(|stream| (format!("s{stream}"), json!(count(stream)))).collect()
}

#[test]
fn a_rebuild_stops_right_before_what_the_source_cannot_read() {
    let table = troubled("unreadable_stop");
    for chunk in ["1", "64", "1000"] {
        let ended = table.rebuild(1, &["--chunk-size", chunk, "--restart"]);
        assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("failed"), &json!(103)), "{ended:#}");
        assert_eq!((&ended["position"], &ended["lastEventId"]), (&json!(103), &json!("e103")));
        let failure = &ended["failure"];
        let facts = ["kind", "eventId", "eventType", "stream"].map(|fact| failure[fact].as_str().unwrap());
        assert_eq!(facts, ["source", "e104", "Fine", "s3"]);
        assert_eq!(failure["position"], 104);
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(BAD[0].1) && message.contains("--on-error park"), "{message}");
    }
    // It goes on where it stopped, and is told otherwise.
    let ended = table.data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(50)));
    let latest = ended["checkpointId"].as_str().unwrap().split_once('/').unwrap().1.to_owned();
    assert_eq!(table.counts(&latest), without_parked());
}

#[test]
fn what_the_source_cannot_read_is_set_aside_in_order_with_its_bytes() {
    let table = troubled("unreadable_parked");
    for chunk in ["1", "7", "1000"] {
        let ended = table.rebuild(1, &["--on-error", "park", "--chunk-size", chunk]);
        assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(50)), "{ended:#}");
        assert_eq!((&ended["eventsProcessed"], &ended["totalEvents"]), (&json!(350), &json!(400)));
    }
    assert_eq!(table.counts("3"), without_parked());
    let mut expected: Vec<String> = (103..400).step_by(10).map(|number| format!("s3 e{}", number + 1)).collect();
    expected.extend((214..400).step_by(10).map(|number| format!("s4 e{}", number + 1)));
    expected.push("s9 e400".into());
    assert_eq!(table.parked(), expected);

    let list = table.data.list(["dead-letters", "list", "faulty"]);
    let unreadable: Vec<_> = list.iter().filter(|event| event["unreadable"] == true).collect();
    // In the order of streams: what only waits behind another one says at once that it cannot be read either.
    for (event, (id, (_, why))) in
        unreadable.iter().zip([("e104", BAD[0]), ("e234", BAD[2]), ("e215", BAD[1]), ("e400", BAD[3])])
    {
        assert_eq!(event["id"], id);
        assert!(event["error"].as_str().is_some_and(|error| error.contains(why)), "{event:#}");
    }
    assert_eq!(unreadable.len(), 4);
    let shown = table.data.json(["dead-letters", "show", "faulty", "e104"]);
    assert_eq!(shown["raw"], json!({ "payload": "{\"n\": }" }));
    assert_eq!((&shown["failure"]["kind"], &shown["data"]), (&json!("source"), &Value::Null));
    let shown = table.data.json(["dead-letters", "show", "faulty", "e215"]);
    assert_eq!(shown["raw"], json!({ "payloadBase64": "jwH/IGVuY3J5cHRlZA==" }));
    assert_eq!(table.data.json(["store", "check"])["problems"], json!([]));

    // A generation that lacks events is verified like any other: what is built beside it lacks the same.
    table.data.ok(["model", "promote", "faulty", "--allow-parked"]);
    let verified = table.data.json(["model", "verify", "faulty"]);
    assert_eq!((&verified["different"], &verified["missing"]), (&json!(0), &json!(0)), "{verified:#}");
}

#[test]
fn corrected_events_are_read_again_by_a_retry() {
    let mut table = troubled("unreadable_retried");
    table.rebuild(1, &["--on-error", "park"]);
    let counts = table.counts("1");
    let again = table.data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&again["handled"], &again["parked"]), (&json!(0), &json!(50)));
    assert_eq!(again["failures"].as_array().unwrap().len(), 3);
    assert!(again["failures"][0]["message"].as_str().unwrap().contains(BAD[0].1), "{again:#}");
    assert_eq!(table.counts("1"), counts);

    // Corrected up to the next one of its stream.
    table.client.execute("UPDATE events SET data = '{}' WHERE position = 104", &[]).unwrap();
    let one = table.data.exits(1, ["dead-letters", "retry", "faulty", "--stream", "s3"]);
    assert_eq!((&one["handled"], &one["parked"]), (&json!(13), &json!(37)));
    assert_eq!(one["failures"][0]["eventId"], "e234");

    // Another event in the place of one is not taken for it, nor is one that is gone.
    table.client.execute("UPDATE events SET data = '{}', id = 'other' WHERE position = 234", &[]).unwrap();
    table.client.execute("DELETE FROM events WHERE position = 215", &[]).unwrap();
    let none = table.data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&none["handled"], &none["parked"]), (&json!(0), &json!(37)));
    let messages: Vec<&str> =
        none["failures"].as_array().unwrap().iter().map(|failure| failure["message"].as_str().unwrap()).collect();
    assert!(messages[0].contains("any more") && messages[1].contains("another event"), "{messages:#?}");

    table.client.execute("UPDATE events SET data = '{}', id = 'e234' WHERE position = 234", &[]).unwrap();
    table.client.execute("UPDATE events SET data = '{}' WHERE position = 400", &[]).unwrap();
    let rest = table.data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&rest["handled"], &rest["parked"]), (&json!(18), &json!(19)));
    let gone = table.data.json(["dead-letters", "discard", "faulty", "--stream", "s4"]);
    assert_eq!((&gone["discarded"], &gone["parked"]), (&json!(19), &json!(0)));
    let receipt = table.data.json(["model", "receipt", "faulty", "--generation", "1"]);
    let (handled, discarded) = (&receipt["events"]["handled"], &receipt["events"]["discarded"]);
    assert_eq!((handled, discarded), (&json!(381), &json!(19)), "{receipt:#}");
    let counted = table.counts("1");
    assert_eq!((&counted["s3"], &counted["s4"], &counted["s9"]), (&json!(40), &json!(21), &json!(40)));
}

#[test]
fn an_unreadable_event_matters_only_to_those_who_handle_its_type() {
    let mut table = Table::new("unreadable_type");
    table.append([
        ("a", "Fine", &b"{}"[..]),
        ("a", "Unheard", BAD[0].0),
        ("b", "Error", b"{}"),
        ("b", "Fine", BAD[1].0),
        ("a", "Fine", b"{}"),
    ]);
    let ended = table.rebuild(1, &["--on-error", "park"]);
    assert_eq!((&ended["eventsProcessed"], &ended["parked"]), (&json!(2), &json!(2)), "{ended:#}");
    assert_eq!(table.parked(), ["b e3", "b e4"]);
    // Of the two of `b`, one is readable and refused, the other waits and is not.
    table.data.ok([
        "plugin".as_ref(),
        "swap".as_ref(),
        "faulty".as_ref(),
        plugin_with("faulty", &["fixed"]).as_os_str(),
    ]);
    let retried = table.data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&retried["handled"], &retried["parked"]), (&json!(1), &json!(1)));
    assert_eq!((table.counts("1"), table.parked()), (json!({ "a": 2, "b": 1 }), vec!["b e4".to_owned()]));
}

/// Whatever it is that cannot be read, all that the source has is shown.
#[test]
fn what_the_source_has_is_shown_whole() {
    let mut table = Table::new("unreadable_columns");
    table.append((0..5).map(|_| ("s", "Fine", &b"{}"[..])));
    let columns = "ALTER TABLE events ADD COLUMN metadata bytea DEFAULT '{}', ADD COLUMN at text DEFAULT '2024-01-31T12:00:00Z', \
                   ADD COLUMN version text DEFAULT '2'; \
                   UPDATE events SET stream = 's' || position; \
                   UPDATE events SET metadata = '{\"by\": ' WHERE position = 2; \
                   UPDATE events SET metadata = '\\xff01' WHERE position = 3; \
                   UPDATE events SET at = 'yesterday' WHERE position = 4; \
                   UPDATE events SET version = 'v2', metadata = '[]' WHERE position = 5";
    table.client.batch_execute(columns).unwrap();
    let source = table.source().replace("&time=time", "&time=at&metadata=metadata&schema_version=version");
    let ended = table.data.exits(1, ["rebuild", "faulty", "--source", &source, "--on-error", "park"]);
    assert_eq!((&ended["eventsProcessed"], &ended["parked"]), (&json!(1), &json!(4)), "{ended:#}");
    let at = "2024-01-31T12:00:00Z";
    for (id, why, raw) in [
        ("e2", "metadata", json!({ "payload": "{}", "metadata": "{\"by\": ", "time": at, "schemaVersion": "2" })),
        ("e3", "metadata", json!({ "payload": "{}", "metadataBase64": "/wE=", "time": at, "schemaVersion": "2" })),
        ("e4", "yesterday", json!({ "payload": "{}", "metadata": "{}", "time": "yesterday", "schemaVersion": "2" })),
        ("e5", "v2", json!({ "payload": "{}", "metadata": "[]", "time": at, "schemaVersion": "v2" })),
    ] {
        let shown = table.data.json(["dead-letters", "show", "faulty", id]);
        assert_eq!(shown["raw"], raw, "{id}");
        let message = shown["failure"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{id}: {message}");
    }
}

/// Without its id or its stream nobody knows in whose place it would be set aside.
#[test]
fn what_cannot_be_told_from_others_stops_a_rebuild() {
    for (column, value) in [("stream", "NULL"), ("id", "NULL"), ("stream", "''")] {
        let mut table = Table::new(&format!("unreadable_{column}_{}", value.len()));
        table.append((0..50).map(|_| ("a", "Fine", &b"{}"[..])));
        table.client.batch_execute(&format!("UPDATE events SET {column} = {value} WHERE position = 40")).unwrap();
        let ended = table.rebuild(1, &["--on-error", "park"]);
        assert_eq!((&ended["status"], &ended["parked"]), (&json!("failed"), &json!(0)), "{ended:#}");
        assert_eq!(
            (&ended["eventsProcessed"], &ended["position"]),
            (&json!(39), &json!(39)),
            "what came before counts"
        );
        let message = ended["failure"]["message"].as_str().unwrap();
        assert!(message.contains("position 40") && message.contains(column), "{message}");
        // That the history cannot be read says nothing of the plugin.
        let (plugin, source) = (plugin("faulty"), table.source());
        let args = ["plugin".as_ref(), "verify".as_ref(), plugin.as_os_str(), "--source".as_ref(), source.as_ref()];
        let verified = table.data.run(args);
        assert_eq!(verified.exit, Some(1), "{verified:#?}");
        assert!(verified.stderr.contains("position 40") && verified.stdout.is_empty(), "{verified:#?}");
    }
}

/// Tables are read in large pieces: where one ends nothing is another than elsewhere.
#[test]
fn what_cannot_be_read_may_stand_at_the_end_of_what_is_read_at_once() {
    let mut table = Table::new("unreadable_batch");
    let fill = "INSERT INTO events (position, id, stream, type, data) SELECT n, 'e' || n, 's' || n % 50, 'Fine', '{}' \
                FROM generate_series(1, 60000) AS n; UPDATE events SET data = '<order/>' WHERE position = 50000";
    table.client.batch_execute(fill).unwrap();
    let ended = table.rebuild(0, &["--on-error", "park", "--allow-parked"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(59_799)), "{ended:#}");
    assert_eq!(ended["parked"], 201);
}

/// Behind the last event of its types a history goes on: what is read of it counts, whatever became of that event.
#[test]
fn a_checkpoint_moves_on_behind_the_last_event_that_cannot_be_read() {
    let mut table = Table::new("unreadable_last");
    table.append([
        ("a", "Fine", &b"{}"[..]),
        ("b", "Fine", BAD[0].0),
        ("c", "Unheard", b"{}"),
        ("d", "Unheard", b"{}"),
    ]);
    for chunk in ["1", "100"] {
        let ended = table.rebuild(0, &["--on-error", "park", "--allow-parked", "--chunk-size", chunk]);
        assert_eq!((&ended["status"], &ended["position"]), (&json!("completed"), &json!(4)), "{ended:#}");
        assert_eq!((&ended["percentComplete"], &ended["parked"]), (&json!(100.0), &json!(1)));
    }
    let source = table.source();
    let options = ["--follow", "--on-error", "park", "--allow-parked", "--restart"];
    let follower = table.data.start([&["rebuild", "faulty", "--source", &source][..], &options].concat());
    table.data.wait_for_host();
    table.data.wait_for("faulty", |status| status["position"] == 4 && status["follow"]["events"] == 0);
    table.append([("b", "Fine", BAD[0].0), ("c", "Unheard", b"{}")]);
    let status = table.data.wait_for("faulty", |status| status["position"] == 6);
    assert_eq!((&status["stalled"], &status["parked"]), (&json!(false), &json!(2)), "{status:#}");
    assert_eq!((&status["status"], &status["following"]), (&json!("completed"), &json!("following")), "{status:#}");
    table.data.ok(["unfollow", "faulty"]);
    assert_eq!(follower.end().exit, Some(0), "it has nothing to stay for");
}

/// A candidate is tried, a past state built and one stream replayed over a history that has such events.
#[test]
fn other_ways_through_a_history_meet_them_too() {
    let mut table = Table::new("unreadable_elsewhere");
    table.append([("a", "Fine", &b"{}"[..]), ("b", "Fine", BAD[1].0), ("a", "Fine", b"{}"), ("b", "Fine", b"{}")]);
    table.rebuild(0, &["--on-error", "park", "--allow-parked"]);
    let source = table.source();
    let one = table.data.json(["rebuild", "faulty", "--stream", "a"]);
    assert_eq!(one["events"], 2);
    table.data.run(["rebuild", "faulty", "--stream", "b"]).refused(3, &["dead letters"]);
    let checked = table.data.json([
        "plugin".as_ref(),
        "verify".as_ref(),
        plugin("faulty").as_os_str(),
        "--source".as_ref(),
        source.as_ref(),
    ]);
    assert!(checked["difference"].is_null(), "{checked:#}");
    assert!(checked["runs"].as_array().unwrap().iter().all(|run| run["parked"] == 2), "{checked:#}");
    // Without its parked events a stream is replayed up to what cannot be read.
    table.data.json(["dead-letters", "discard", "faulty", "--all"]);
    table.data.run(["rebuild", "faulty", "--stream", "b"]).refused(1, &["e2", "not text"]);
    let past = table.data.json(["model", "as-of", "faulty", "--to", "3", "--source", &source]);
    assert_eq!((&past["eventsProcessed"], &past["parked"]), (&json!(2), &json!(1)), "{past:#}");
}

/// A follower sets aside what comes in, and goes on.
#[test]
fn a_follower_sets_it_aside_and_goes_on() {
    let mut table = Table::new("unreadable_followed");
    table.append([("a", "Fine", &b"{}"[..])]);
    let source = table.source();
    let follower = table.data.start([
        "rebuild",
        "faulty",
        "--source",
        &source,
        "--follow",
        "--on-error",
        "park",
        "--allow-parked",
    ]);
    table.data.wait_for_host();
    table.append([("b", "Fine", BAD[0].0), ("a", "Fine", b"{}"), ("b", "Fine", b"{}")]);
    // Where it is at the end, the rebuild may not have ended yet.
    let ready = |status: &Value| status["position"] == 4 && status["following"] == "following";
    let status = table.data.wait_for("faulty", ready);
    assert_eq!((&status["parked"], &status["eventsProcessed"]), (&json!(2), &json!(2)), "{status:#}");
    table.data.ok(["unfollow", "faulty"]);
    assert_eq!(follower.end().exit, Some(0), "it has nothing to stay for");
    assert_eq!((table.counts("1"), table.parked()), (json!({ "a": 2 }), vec!["b e2".to_owned(), "b e4".to_owned()]));
    // What the embedded log has was checked on its way in: such a line is refused there.
    let lines = history::on_streams([("a", "Fine")]);
    let broken = [
        &lines[..],
        b"{\"id\": \"x\", \"stream\": \"b\", \"type\": \"Fine\", \"timestamp\": 1, \"data\": {\"n\": }}\n",
    ]
    .concat();
    let file = table.data.file("broken.ndjson", broken);
    table.data.run(["events".as_ref(), "import".as_ref(), file.as_os_str()]).refused(2, &["line 2"]);
}
