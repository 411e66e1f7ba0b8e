//! `model verify` finds what differs from history, exactly, and repairs it; nobody who reads notices, and nothing is left
//! behind.

use super::{BINARY, orders};
use serde_json::{Value, json};
use unspool_tests::{
    data::{Answer, Data},
    history, oracle,
    plugins::{plugin, plugin_with},
    store_file,
};

fn roles(data: &Data, name: &str) -> Vec<String> {
    let role = |generation: &Value| generation["role"].as_str().unwrap().to_owned();
    data.list(["model", "generations", name]).iter().map(role).collect()
}

#[test]
fn a_model_that_is_right_verifies_and_nothing_is_left_behind() {
    let (data, events) = orders(3_000);
    let before = store_file::tables(&data);
    for _ in 0..2 {
        let found = data.json(["model", "verify", "order-summary"]);
        let rows = oracle::orders(&events).0.len();
        assert_eq!((&found["rows"], &found["position"]), (&json!(rows), &json!(3_000)));
        assert_eq!((&found["missing"], &found["extra"], &found["different"]), (&json!(0), &json!(0), &json!(0)));
        assert_eq!((&found["first"], &found["repairedBy"]), (&json!([]), &Value::Null));
    }
    assert_eq!(roles(&data, "order-summary"), ["live"]);
    assert_eq!(store_file::tables(&data), before);
    assert_eq!(
        data.json(["status", "order-summary"])["checkpointId"],
        "order-summary/1",
        "the latest rebuild is the same"
    );
}

#[test]
fn what_differs_is_found_exactly_and_repaired() {
    let (data, events) = orders(3_000);
    let rows = oracle::orders(&events).0;
    let keys: Vec<&String> = rows.keys().collect();
    let (flipped, gone) = (keys[10].as_str(), keys[20].as_str());
    let mut document = rows[flipped].clone();
    document["totalCents"] = json!(-1);
    document["lines"] = json!({ "SKU-X": 5 });
    let planted = [(flipped, Some(document)), (gone, None), ("nobody", Some(json!({ "made": "up" })))];
    store_file::set_rows(&data, "rows/order-summary/1/orders", &planted);

    let found = data.exits(1, ["model", "verify", "order-summary"]);
    assert_eq!((&found["missing"], &found["extra"], &found["different"]), (&json!(1), &json!(1), &json!(1)));
    let first = found["first"].as_array().unwrap();
    let of = |what: &str| first.iter().find(|row| row["what"] == what).unwrap();
    assert_eq!((&of("missing")["key"], &of("extra")["key"]), (&json!(gone), &json!("nobody")));
    assert_eq!(of("missing")["fields"][0]["expected"], rows[gone]);
    assert_eq!(of("extra")["fields"][0]["found"], json!({ "made": "up" }));
    let different = of("different");
    assert_eq!((&different["table"], &different["key"]), (&json!("orders"), &json!(flipped)));
    let fields = different["fields"].as_array().unwrap();
    let total = json!({ "field": "totalCents", "expected": rows[flipped]["totalCents"], "found": -1 });
    assert!(fields.contains(&total), "{fields:#?}");
    assert!(fields.contains(&json!({ "field": "lines.SKU-X", "found": 5 })), "{fields:#?}");
    let lines = rows[flipped]["lines"].as_object().unwrap();
    assert_eq!(fields.len(), 2 + lines.len(), "no other field is named: {fields:#?}");
    assert_ne!(data.rows("order-summary/orders"), rows, "without --repair nothing is changed");
    assert_eq!(roles(&data, "order-summary"), ["live"]);

    let repaired = data.exits(1, ["model", "verify", "order-summary", "--repair"]);
    assert_eq!(repaired["different"], 1);
    assert_eq!(data.rows("order-summary/orders"), rows);
    let clean = data.json(["model", "verify", "order-summary"]);
    assert_eq!(clean["generation"], repaired["repairedBy"]);
    assert_eq!(roles(&data, "order-summary"), ["previous", "live"], "what was found wrong is kept for a look");
    let receipt = data.json(["model", "receipt", "order-summary"]);
    assert_eq!((&receipt["purpose"], &receipt["digest"]), (&json!("rebuild"), &json!(data.digest("order-summary"))));
}

#[test]
fn rows_are_read_while_a_model_is_verified() {
    let (data, events) = orders(40_000);
    let rows = oracle::orders(&events).0;
    let (key, row) = rows.first_key_value().unwrap();
    let mut verify = data.start(["model", "verify", "order-summary"]);
    data.wait_for_host();
    let mut read = 0;
    while verify.is_alive() {
        let answer: Answer =
            data.command(["--json", "model", "get", "order-summary/orders", key]).output().unwrap().into();
        if answer.stderr.contains("has ended; try again") {
            // It has just done its work.
            break;
        }
        assert_eq!((answer.exit, &answer.json()["value"]), (Some(0), row), "{answer:#?}");
        read += 1;
    }
    assert!(read > 0);
    assert_eq!(verify.end().exit, Some(0));
}

#[test]
fn a_killed_verification_leaves_nothing_behind() {
    let (data, _) = orders(40_000);
    let before = store_file::tables(&data);
    let verify = data.start(["model", "verify", "order-summary"]);
    data.wait_for_host();
    let scratch = |data: &Data| data.ok(["model", "generations", "order-summary"]).contains("scratch");
    while !scratch(&data) {}
    verify.kill();
    assert_eq!(roles(&data, "order-summary"), ["live"], "the next command that looks finds it gone");
    assert_eq!(store_file::tables(&data), before);
    data.json(["model", "verify", "order-summary"]);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

/// Readers who were switched meanwhile are not switched back to an older position.
#[test]
fn a_repair_gives_way_to_a_rebuild_that_completes_meanwhile() {
    let (data, events) = orders(40_000);
    let key = oracle::orders(&events[..100]).0.first_key_value().unwrap().0.clone();
    store_file::set_rows(&data, "rows/order-summary/1/orders", &[(&key, None)]);
    let verify = data.start(["model", "verify", "order-summary", "--repair"]);
    data.wait_for_host();
    while !data.ok(["model", "generations", "order-summary"]).contains("scratch") {}
    let to = events[99]["id"].as_str().unwrap();
    let ended = data.json(["rebuild", "order-summary", "--to", to]);
    assert_eq!(ended["status"], "completed");
    verify.end().refused(3, &["verify again"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..100]).0);
    assert_eq!(roles(&data, "order-summary"), ["previous", "live"]);
}

#[test]
fn another_plugin_in_place_is_seen_in_the_rows_it_would_change() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(400, &[(250, "Late")])));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty"]);
    data.json(["model", "verify", "faulty"]);
    let right = plugin("faulty");
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), right.as_os_str()]);
    let found = data.exits(1, ["model", "verify", "faulty"]);
    assert_eq!((&found["extra"], &found["different"], &found["missing"]), (&json!(1), &json!(1), &json!(0)));
    let expected = json!([
        { "table": "seen", "key": "s10", "what": "different", "fields": [{ "field": "count", "expected": 10, "found": 11 }] },
        { "table": "seen", "key": "s10, too late", "what": "extra", "fields": [{ "field": ".", "found": { "count": 1 } }] },
    ]);
    assert_eq!(found["first"], expected);
}

#[test]
fn there_must_be_something_to_verify() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data.run(["model", "verify", "nobody"]).refused(3, &["nobody"]);
    data.run(["model", "verify", "faulty"]).refused(3, &["unspool rebuild faulty"]);
}
