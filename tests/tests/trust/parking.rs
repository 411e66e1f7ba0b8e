//! `--on-error park`: what cannot be handled is set aside, in order, and can be taken up again; nothing is lost, and
//! nothing is called whole that is not.

use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Events of the history that `faulty` cannot handle: in the middle of streams, at the start and the end of chunks, and
/// two of one stream.
const FAULTS: [(usize, &str); 7] = [
    (85, "Error"),
    (98, "Panic"),
    (210, "BadOutput"),
    (285, "Error"),
    (499, "ForeignTable"),
    (500, "Error"),
    (799, "Recursion"),
];
const EVENTS: usize = 800;

/// A data directory with that history and `faulty`.
fn faulty() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &FAULTS)));
    data.install(&plugin("faulty"));
    data
}

/// By stream, the ids that have to be parked, in order: from the first fault of the stream on.
fn expected() -> BTreeMap<String, Vec<String>> {
    let mut parked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..EVENTS {
        if FAULTS.iter().any(|(fault, _)| fault % 40 == number % 40 && *fault <= number) {
            parked.entry(format!("s{:02}", number % 40)).or_default().push(format!("e{number}"));
        }
    }
    parked
}

fn parked(data: &Data) -> BTreeMap<String, Vec<String>> {
    let mut parked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in data.list(["dead-letters", "list", "faulty"]) {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        parked.entry(text("stream")).or_default().push(text("id"));
    }
    parked
}

fn count(parked: &BTreeMap<String, Vec<String>>) -> usize {
    parked.values().map(Vec::len).sum()
}

fn digest(data: &Data, generation: u64) -> Value {
    data.json(["model", "digest", "faulty", "--generation", &generation.to_string()])["digest"].clone()
}

fn swap(data: &Data, file: &Path) {
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), file.as_os_str()]);
}

/// What a run with the fixed plugin alone comes to.
fn never_failed() -> String {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &FAULTS)));
    data.install(&plugin_with("faulty", &["fixed"]));
    data.ok(["rebuild", "faulty"]);
    data.digest("faulty")
}

#[test]
fn a_failing_event_and_the_later_ones_of_its_stream_are_set_aside_in_order() {
    let data = faulty();
    let ended = data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    let (expected, waiting) = (expected(), count(&expected()));
    assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(waiting)));
    assert_eq!((&ended["eventsProcessed"], &ended["totalEvents"]), (&json!(EVENTS - waiting), &json!(EVENTS)));
    assert_eq!((&ended["percentComplete"], &ended["position"]), (&json!(100.0), &json!(EVENTS)));
    assert_eq!(parked(&data), expected);
    let rows = data.list(["model", "export", "faulty/seen", "--generation", "1"]);
    for row in &rows {
        let stream = row["key"].as_str().unwrap();
        let behind = expected.get(stream).map_or(0, Vec::len);
        assert_eq!(row["value"]["count"], EVENTS / 40 - behind, "{stream} has what came before, and others everything");
    }
    assert_eq!(rows.len(), 40);

    let of_one = data.list(["dead-letters", "list", "faulty", "--stream", "s05"]);
    assert_eq!(of_one.len(), expected["s05"].len());
    assert!(of_one[0]["error"].as_str().unwrap().contains("cannot be handled"));
    assert_eq!(
        (&of_one[0]["id"], &of_one[0]["type"], &of_one[0]["position"]),
        (&json!("e85"), &json!("Error"), &json!(86))
    );
    // The second fault of the stream only waits: nobody has tried it.
    assert!(of_one[1..].iter().all(|event| event["error"].is_null()), "{of_one:#?}");
    let shown = data.json(["dead-letters", "show", "faulty", "e98"]);
    assert_eq!((&shown["stream"], &shown["failure"]["kind"]), (&json!("s18"), &json!("trap")));
    assert!(shown["failure"]["backtrace"].as_array().is_some_and(|stack| !stack.is_empty()));
    assert_eq!((&shown["data"], &shown["timestamp"]), (&json!({}), &json!(98_000)));
    data.run(["dead-letters", "show", "faulty", "e0"]).refused(3, &["e0"]);
    assert_eq!(data.ok(["dead-letters", "list", "faulty", "--stream", "s00"]), "");
}

#[test]
fn what_lacks_events_is_not_given_to_readers_unless_that_is_said() {
    let data = faulty();
    let waiting = count(&expected());
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    assert_eq!(data.json(["status", "faulty"])["parked"], waiting);
    let receipt = data.json(["model", "receipt", "faulty", "--generation", "1"]);
    assert_eq!(
        receipt["events"],
        json!({ "matching": EVENTS, "handled": EVENTS - waiting, "parked": waiting, "discarded": 0, "missing": 0, "filtered": 0, "leftOut": {} })
    );
    data.run(["model", "export", "faulty/seen"]).refused(3, &["no read model yet"]);
    data.run(["model", "promote", "faulty"]).refused(3, &["dead letters", "--allow-parked"]);
    data.ok(["model", "promote", "faulty", "--allow-parked"]);
    assert_eq!(data.rows("faulty/seen").len(), 40);

    let ended = data.json(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(waiting)));
    assert_eq!(data.json(["model", "digest", "faulty"])["generation"], 2);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

#[test]
fn after_a_fix_the_parked_events_are_handled_as_if_none_had_failed() {
    let data = faulty();
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    let (expected, total) = (expected(), count(&expected()));

    // The plugin is as broken as before: everything stays where it is.
    let before = digest(&data, 1);
    let again = data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&again["handled"], &again["parked"]), (&json!(0), &json!(total)));
    assert_eq!(again["failures"].as_array().unwrap().len(), expected.len(), "one reason for each stream");
    assert_eq!((parked(&data), digest(&data, 1)), (expected.clone(), before));

    swap(&data, &plugin_with("faulty", &["fixed"]));
    data.run(["dead-letters", "retry", "faulty", "--stream", "s00"]).refused(3, &["s00", "dead-letters list"]);
    let one = data.json(["dead-letters", "retry", "faulty", "--stream", "s05"]);
    assert_eq!(
        (&one["handled"], &one["parked"]),
        (&json!(expected["s05"].len()), &json!(total - expected["s05"].len()))
    );
    data.run(["model", "export", "faulty/seen"]).refused(3, &["no read model yet"]);
    let rest = data.json(["dead-letters", "retry", "faulty"]);
    assert_eq!((&rest["parked"], &rest["failures"]), (&json!(0), &json!([])));
    assert!(parked(&data).is_empty());

    // It is promoted as the trigger asked, and its receipt is that of a whole generation.
    assert_eq!(data.digest("faulty"), never_failed());
    let receipt = data.json(["model", "receipt", "faulty"]);
    assert_eq!(receipt["digest"], json!(data.digest("faulty")));
    assert_eq!(receipt["events"]["handled"], EVENTS);
    assert_eq!(data.json(["status", "faulty"])["eventsProcessed"], EVENTS);
    data.run(["dead-letters", "retry", "faulty"]).refused(3, &["no dead letters"]);
    data.json(["model", "verify", "faulty"]);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

#[test]
fn a_retry_stops_at_the_next_event_of_a_stream_that_fails() {
    let data = Data::new(BINARY);
    let events = [("a", "Error"), ("b", "Fine"), ("a", "Fine"), ("a", "Panic"), ("a", "Fine")];
    data.import(&data.file("events.ndjson", history::on_streams(events)));
    data.install(&plugin("faulty"));
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    swap(&data, &plugin_with("faulty", &["errors-fixed"]));
    let retried = data.exits(1, ["dead-letters", "retry", "faulty"]);
    assert_eq!((&retried["handled"], &retried["parked"]), (&json!(2), &json!(2)));
    let left = data.list(["dead-letters", "list", "faulty"]);
    assert_eq!((&left[0]["id"], &left[1]["id"]), (&json!("e3"), &json!("e4")));
    assert!(left[0]["error"].as_str().unwrap().contains("asked to panic"));
    let row = data.json(["model", "get", "faulty/seen", "a", "--generation", "1"]);
    assert_eq!(row["value"], json!({ "count": 2 }), "what the panic's chunk had done before it is kept");
}

#[test]
fn discarded_events_are_forgotten_and_counted() {
    let data = faulty();
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    let (expected, total) = (expected(), count(&expected()));
    let before = digest(&data, 1);
    data.run(["dead-letters", "discard", "faulty"]).refused(2, &["--stream", "--all"]);
    data.run(["dead-letters", "discard", "faulty", "--stream", "s00"]).refused(3, &["s00"]);
    let one = data.json(["dead-letters", "discard", "faulty", "--stream", "s05"]);
    let in_s05 = expected["s05"].len();
    assert_eq!((&one["discarded"], &one["parked"]), (&json!(in_s05), &json!(total - in_s05)));
    assert!(!parked(&data).contains_key("s05"));
    let all = data.json(["dead-letters", "discard", "faulty", "--all"]);
    assert_eq!((&all["discarded"], &all["parked"]), (&json!(total - in_s05), &json!(0)));
    assert_eq!(digest(&data, 1), before, "no row changes");
    let receipt = data.json(["model", "receipt", "faulty"]);
    assert_eq!(
        receipt["events"],
        json!({ "matching": EVENTS, "handled": EVENTS - total, "parked": 0, "discarded": total, "missing": 0, "filtered": 0, "leftOut": {} })
    );
    assert_eq!(data.json(["status", "faulty"])["percentComplete"], 100.0);
    data.run(["dead-letters", "discard", "faulty", "--all"]).refused(3, &["no dead letters"]);
}

#[test]
fn the_same_events_are_parked_however_history_is_cut_and_interrupted() {
    let data = faulty();
    let mut digests = Vec::new();
    for (generation, chunk) in (1..).zip(["1", "7", "500"]) {
        data.exits(1, ["rebuild", "faulty", "--on-error", "park", "--chunk-size", chunk]);
        assert_eq!(parked(&data), expected(), "chunks of {chunk}");
        digests.push(digest(&data, generation));
    }
    for (generation, how) in (4..).zip(["kill", "pause"]) {
        let mut reached = 0;
        for _ in 0..3 {
            let mut slow = vec!["rebuild", "faulty", "--chunk-size", "9", "--rate-limit", "200"];
            if reached == 0 {
                slow.extend(["--on-error", "park"]);
            }
            let rebuild = data.start(slow);
            data.wait_for_host();
            let further = |status: &Value| {
                status["checkpointId"] == format!("faulty/{generation}")
                    && status["position"].as_u64().unwrap() >= reached + 150
            };
            reached = data.wait_for("faulty", further)["position"].as_u64().unwrap();
            if how == "kill" {
                rebuild.kill();
            } else {
                data.ok(["pause", "faulty"]);
                rebuild.end();
            }
            let so_far: usize = count(&parked(&data));
            let status = data.json(["status", "faulty"]);
            assert_eq!(status["parked"], so_far);
            let passed = status["eventsProcessed"].as_u64().unwrap() + so_far as u64;
            assert_eq!(status["position"], passed, "no event is lost between the handled and the parked ones");
        }
        data.exits(1, ["rebuild", "faulty", "--rate-limit", "1000000"]);
        assert_eq!(parked(&data), expected(), "{how}");
        digests.push(digest(&data, generation));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:#?}");
}

/// A paused rebuild can be mended on the way: what is retried then is not parked when it goes on.
#[test]
fn parked_events_of_a_paused_rebuild_are_retried_too() {
    let data = faulty();
    let rebuild = data.start(["rebuild", "faulty", "--on-error", "park", "--chunk-size", "10", "--rate-limit", "150"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["position"].as_u64().unwrap() >= 250);
    data.ok(["pause", "faulty"]);
    rebuild.end();
    assert!(count(&parked(&data)) > 0);
    swap(&data, &plugin_with("faulty", &["fixed"]));
    assert_eq!(data.json(["dead-letters", "retry", "faulty"])["parked"], 0);
    assert_eq!(data.json(["status", "faulty"])["status"], "paused");
    let ended = data.json(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert_eq!(
        (&ended["status"], &ended["parked"], &ended["eventsProcessed"]),
        (&json!("completed"), &json!(0), &json!(EVENTS))
    );
    assert_eq!(data.digest("faulty"), never_failed());
}
