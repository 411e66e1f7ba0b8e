//! `model receipt` says how a generation came to be, and its digest depends on rows alone.

use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with `faulty`, and a history of which it handles all but every fifth event.
fn faulty(events: usize) -> Data {
    let data = Data::new(BINARY);
    let others: Vec<_> = (0..events).filter(|number| number % 5 == 4).map(|number| (number, "Other")).collect();
    data.import(&data.file("events.ndjson", history::mixed(events, &others)));
    data.install(&plugin("faulty"));
    data
}

fn swap(data: &Data, file: &std::path::Path) -> Value {
    data.json(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), file.as_os_str()])
}

fn receipt(data: &Data) -> Value {
    data.json(["model", "receipt", "faulty"])
}

#[test]
fn a_receipt_says_what_was_built_from_what_by_what() {
    let data = faulty(1_000);
    let before = now();
    data.ok(["rebuild", "faulty", "--chunk-size", "33", "--from", "e100", "--to", "e899"]);
    let receipt = receipt(&data);
    assert_eq!((&receipt["projectionName"], &receipt["generation"]), (&json!("faulty"), &json!(1)));
    assert_eq!((&receipt["source"], &receipt["status"]), (&json!("log"), &json!("completed")));
    assert_eq!((&receipt["after"], &receipt["through"]), (&json!(100), &json!(900)));
    let events = json!({ "matching": 640, "handled": 640, "parked": 0, "discarded": 0, "missing": 0, "filtered": 160, "leftOut": {} });
    assert_eq!(receipt["events"], events);
    assert_eq!(receipt["chunkSize"], 33);
    let digest = data.json(["plugin", "list"])["digest"].clone();
    assert_eq!(receipt["ranges"], json!([{ "pluginDigest": digest, "after": 100, "through": 900, "chunkSize": 33 }]));
    let (started, ended) = (receipt["startedAt"].as_i64().unwrap(), receipt["endedAt"].as_i64().unwrap());
    assert!(before <= started && started <= ended && ended <= now(), "{receipt:#}");
    let found = data.json(["model", "digest", "faulty"]);
    assert_eq!((&receipt["digest"], &receipt["rows"]), (&found["digest"], &found["rows"]));
    assert_eq!(receipt["sourceIdentity"].as_str().map(str::len), Some(32));
    data.run(["model", "receipt", "faulty", "--generation", "7"]).refused(3, &["generation 7"]);
}

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn the_plugins_of_a_rebuild_are_named_with_their_ranges() {
    let data = faulty(2_000);
    let fixed = plugin_with("faulty", &["fixed"]);
    let rebuild = data.start(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "200"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64().unwrap() >= 50);
    let swapped = swap(&data, &fixed);
    data.ok(["pause", "faulty"]);
    assert_eq!(rebuild.end().exit, Some(130));
    data.ok(["rebuild", "faulty", "--chunk-size", "100", "--rate-limit", "1000000"]);
    let receipt = receipt(&data);
    let ranges = receipt["ranges"].as_array().unwrap();
    let digests: Vec<_> = ranges.iter().map(|range| range["pluginDigest"].clone()).collect();
    let (old, new) = (swapped["fromDigest"].clone(), swapped["toDigest"].clone());
    assert_ne!(old, new);
    assert_eq!((&digests[0], digests.last().unwrap()), (&old, &new));
    assert_eq!(ranges.last().unwrap()["chunkSize"], 100, "a range says how it was cut: {ranges:#?}");
    assert_eq!(ranges[0]["chunkSize"], 10);
    let mut after = json!(0);
    for range in ranges {
        assert_eq!(range["after"], after, "no event without its plugin: {ranges:#?}");
        after = range["through"].clone();
    }
    assert_eq!(after, 2_000);
    assert_eq!(
        receipt["events"],
        json!({ "matching": 1600, "handled": 1600, "parked": 0, "discarded": 0, "missing": 0, "filtered": 400, "leftOut": {} })
    );
}

#[test]
fn the_digest_is_the_same_however_the_rows_came_to_be() {
    let data = faulty(2_000);
    let mut digests = Vec::new();
    for chunk in ["1", "7", "500", "5000"] {
        data.ok(["rebuild", "faulty", "--chunk-size", chunk]);
        digests.push(receipt(&data)["digest"].clone());
    }
    let slow = ["rebuild", "faulty", "--chunk-size", "11", "--rate-limit", "250"];
    for (round, how) in ["pause", "kill"].into_iter().enumerate() {
        let mut reached = 0;
        for stop in 0..3 {
            let rebuild = data.start(slow);
            data.wait_for_host();
            let further = |status: &Value| {
                status["checkpointId"] == format!("faulty/{}", 5 + round)
                    && status["eventsProcessed"].as_u64().unwrap() >= reached + 60
            };
            reached = data.wait_for("faulty", further)["eventsProcessed"].as_u64().unwrap();
            assert!(reached < 1_600, "stopped in the middle, {stop} times before");
            if how == "pause" {
                data.ok(["pause", "faulty"]);
                rebuild.end();
            } else {
                rebuild.kill();
            }
        }
        let ended = data.json(["rebuild", "faulty", "--rate-limit", "1000000"]);
        assert_eq!(ended["trigger"]["status"], "resumed");
        digests.push(receipt(&data)["digest"].clone());
    }
    assert_eq!(digests.len(), 6);
    assert!(digests.iter().all(|digest| *digest == digests[0] && digest.is_string()), "{digests:#?}");
    assert_eq!(digests[0], json!(data.digest("faulty")));
}

/// The digest is taken after the last commit: a host that dies in between leaves it to whoever asks.
#[test]
fn a_receipt_without_a_digest_gets_it_when_it_is_asked_for() {
    let data = faulty(100);
    data.ok(["rebuild", "faulty"]);
    let digest = receipt(&data)["digest"].clone();
    unspool_tests::store_file::change_record(&data, "faulty", 1, "/sealed", Value::Null);
    assert_eq!(receipt(&data)["digest"], digest);
}
