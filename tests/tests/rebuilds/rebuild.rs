//! What a rebuild builds: the rows of a naive fold, whatever the chunk size, the interruptions and the source.

use serde_json::{Value, json};
use std::path::Path;
use unspool_tests::{
    data::{Data, Rows},
    history, oracle,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn with_orders(events: u64, seed: u64) -> (Data, Vec<Value>) {
    let data = Data::new(BINARY);
    let lines = history::orders(events, seed);
    let file = data.file("orders.ndjson", &lines);
    assert_eq!(data.import(&file), json!({ "read": events, "added": events, "duplicates": 0 }));
    data.install(&plugin("order-summary"));
    (data, history::events(&lines))
}

#[test]
fn every_row_equals_the_naive_fold() {
    let (data, events) = with_orders(20_000, 1);
    data.install(&plugin("inventory-levels"));
    data.install(&plugin("process-map"));
    let ended = data.ok(["rebuild", "--all"]);
    assert_eq!(ended.lines().count(), 3);
    for line in ended.lines() {
        let ended: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(20_000)), "{ended:#}");
        assert_eq!((&ended["percentComplete"], &ended["estimatedRemainingMs"]), (&json!(100.0), &json!(0)));
    }
    let (orders, stock) = oracle::orders(&events);
    assert_eq!(data.rows("order-summary/orders"), orders);
    assert_eq!(data.rows("inventory-levels/stock"), stock);
    for (table, rows) in oracle::process_map(&events) {
        assert_eq!(data.rows(&format!("process-map/{table}")), rows, "{table}");
    }
}

#[test]
fn importing_again_adds_nothing() {
    let (data, _) = with_orders(3_000, 2);
    let again = data.import(&data.scratch("orders.ndjson"));
    assert_eq!(again, json!({ "read": 3000, "added": 0, "duplicates": 3000 }));
    assert_eq!(data.json(["events", "stats"])["events"], 3000);
}

#[test]
fn the_digest_depends_on_rows_alone() {
    let (data, _) = with_orders(6_000, 3);
    let mut digests = Vec::new();
    for chunk in ["1", "7", "500", "5000"] {
        data.ok(["rebuild", "order-summary", "--chunk-size", chunk]);
        digests.push(data.digest("order-summary"));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:#?}");
    let (other, _) = with_orders(5_999, 3);
    other.ok(["rebuild", "order-summary"]);
    assert_ne!(other.digest("order-summary"), digests[0]);
}

#[test]
fn a_killed_rebuild_goes_on_from_its_checkpoint_and_ends_with_the_same_rows() {
    let (data, events) = with_orders(40_000, 4);
    let mut reached = 0;
    for kill in 0..10 {
        // Slow enough to be met in the middle; each attempt gets some way before it is killed.
        let rebuild = data.start(["rebuild", "order-summary", "--chunk-size", "37", "--rate-limit", "1200"]);
        let goal = reached + 200 + 37 * (kill % 3);
        data.wait_for_host();
        let seen = data.wait_for("order-summary", |status| status["eventsProcessed"].as_u64().unwrap() >= goal);
        rebuild.kill();
        let left = data.json(["status", "order-summary"]);
        assert_eq!(left["status"], "paused");
        assert!(left["eventsProcessed"].as_u64() >= seen["eventsProcessed"].as_u64(), "what was reported is durable");
        reached = left["eventsProcessed"].as_u64().unwrap();
        assert_eq!(left["lastEventId"], events[reached as usize - 1]["id"]);
    }
    let ended = data.json(["rebuild", "order-summary", "--rate-limit", "4000000"]);
    assert_eq!((&ended["status"], &ended["trigger"]["status"]), (&json!("completed"), &json!("resumed")));
    assert_eq!(ended["trigger"]["fromEventId"], events[reached as usize - 1]["id"]);
    assert_eq!(ended["eventsProcessed"], 40_000);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

#[test]
fn a_file_is_a_source_like_the_log() {
    let (data, events) = with_orders(3_000, 5);
    data.ok(["rebuild", "order-summary"]);
    let digest = data.digest("order-summary");
    let file = format!("file:{}", data.scratch("orders.ndjson").display());
    let ended = data.json(["rebuild", "order-summary", "--source", &file]);
    assert_eq!(ended["eventsProcessed"], 3_000);
    assert_eq!(data.digest("order-summary"), digest);

    // It resumes as well, and only from the history it began with.
    let rebuild =
        data.start(["rebuild", "order-summary", "--source", &file, "--chunk-size", "10", "--rate-limit", "200"]);
    data.wait_for_host();
    let part = |status: &Value| status["status"] == "running" && status["eventsProcessed"].as_u64().unwrap() >= 100;
    data.wait_for("order-summary", part);
    rebuild.kill();
    let lines = std::fs::read(data.scratch("orders.ndjson")).unwrap();
    data.file("orders.ndjson", [lines.as_slice(), b"{}"].concat());
    data.run(["rebuild", "order-summary"]).refused(2, &["line 3001"]);
    data.file("orders.ndjson", history::orders(2_999, 5));
    data.run(["rebuild", "order-summary"]).refused(2, &["another history", "--restart"]);
    data.file("orders.ndjson", &lines);
    let ended = data.json(["rebuild", "order-summary", "--rate-limit", "4000000"]);
    assert_eq!((&ended["status"], &ended["trigger"]["status"]), (&json!("completed"), &json!("resumed")));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

#[test]
fn a_range_holds_what_a_fold_of_the_range_holds() {
    let (data, events) = with_orders(2_000, 6);
    let to = events[1_233]["id"].as_str().unwrap();
    let ended = data.json(["rebuild", "order-summary", "--to", to]);
    assert_eq!((&ended["eventsProcessed"], &ended["lastEventId"]), (&json!(1_234), &json!(to)));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..1_234]).0);
    data.install(&plugin("process-map"));
    let from = events[700]["id"].as_str().unwrap();
    data.ok(["rebuild", "process-map", "--from", from, "--to", "1500"]);
    for (table, rows) in oracle::process_map(&events[700..1_500]) {
        assert_eq!(data.rows(&format!("process-map/{table}")), rows, "{table}");
    }
}

#[test]
fn events_of_other_types_move_the_checkpoint_and_nothing_else() {
    let data = Data::new(BINARY);
    let lines = history::of_types(["Fine", "Other", "Fine", "Other", "Other"]);
    data.import(&data.file("events.ndjson", lines));
    data.install(&plugin("faulty"));
    let ended = data.json(["rebuild", "faulty"]);
    assert_eq!(
        (&ended["eventsProcessed"], &ended["totalEvents"], &ended["position"]),
        (&json!(2), &json!(2), &json!(5))
    );
    assert_eq!(ended["lastEventId"], "e2");
    assert_eq!(data.rows("faulty/seen").len(), 2);
}

#[test]
fn nothing_one_event_and_no_matching_event_complete() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let ended = data.json(["rebuild", "faulty"]);
    assert_eq!(
        (&ended["status"], &ended["eventsProcessed"], &ended["lastEventId"]),
        (&json!("completed"), &json!(0), &Value::Null)
    );
    assert_eq!(data.rows("faulty/seen"), Rows::new());
    data.import(&data.file("one.ndjson", history::of_types(["Other"])));
    assert_eq!(data.json(["rebuild", "faulty"])["status"], "completed");
    data.import(&data.file("two.ndjson", history::of_types(["Other", "Fine"])));
    let ended = data.json(["rebuild", "faulty"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(1)));
}

#[test]
fn a_dry_run_says_what_would_happen_and_changes_nothing() {
    let (data, _) = with_orders(1_000, 7);
    let plan = data.json(["rebuild", "order-summary", "--dry-run"]);
    assert_eq!(
        (&plan["wouldBe"], &plan["events"], &plan["chunkSize"]),
        (&json!("started"), &json!(1_000), &json!(500))
    );
    data.run(["status", "order-summary"]).refused(3, &["never been rebuilt"]);
}

/// Compares with the real logs and what other programs made of them.
#[test]
#[ignore = "needs UNSPOOL_SHARED_DATA, a folder of real logs with expected results"]
fn real_logs_give_the_expected_rows() {
    let shared = history::shared();
    for name in ["running-example", "roadtraffic100", "receipt", "reviewing"] {
        process_map_of(&shared, name);
    }
    let data = Data::new(BINARY);
    data.import(&shared.join("orders/orders-1k.ndjson.gz"));
    data.install(&plugin("order-summary"));
    data.install(&plugin("inventory-levels"));
    data.ok(["rebuild", "--all"]);
    let expected = |file: &str, key: &str| -> Rows {
        let lines = std::fs::read_to_string(shared.join("orders").join(file)).unwrap();
        let row = |line: &str| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let key = row.as_object_mut().unwrap().remove(key).unwrap();
            (key.as_str().unwrap().to_owned(), row)
        };
        lines.lines().map(row).collect()
    };
    assert_eq!(data.rows("order-summary/orders"), expected("orders-1k.orders.ndjson", "orderId"));
    assert_eq!(data.rows("inventory-levels/stock"), expected("orders-1k.inventory.ndjson", "sku"));
}

fn process_map_of(shared: &Path, name: &str) {
    let data = Data::new(BINARY);
    data.import(&shared.join(format!("{name}.ndjson.gz")));
    data.install(&plugin("process-map"));
    data.ok(["rebuild", "process-map"]);
    let expected: Value =
        serde_json::from_slice(&std::fs::read(shared.join(format!("expected/{name}.json"))).unwrap()).unwrap();
    let counts = |table: &str| -> Value {
        data.rows(&format!("process-map/{table}")).into_iter().map(|(key, row)| (key, row["count"].clone())).collect()
    };
    let mut follows = json!({});
    for row in data.rows("process-map/follows").into_values() {
        follows[row["from"].as_str().unwrap()][row["to"].as_str().unwrap()] = row["count"].clone();
    }
    for (table, found) in [
        ("activities", counts("activities")),
        ("startActivities", counts("starts")),
        ("endActivities", counts("ends")),
        ("directlyFollows", follows),
    ] {
        if !expected[table].is_null() {
            assert_eq!(found, expected[table], "{name}: {table}");
        }
    }
    let cases = data.rows("process-map/cases");
    if let Some(durations) = expected["durationMsByCase"].as_object() {
        for (case, duration) in durations {
            let row = &cases[case];
            let found = row["lastTimestamp"].as_i64().unwrap() - row["firstTimestamp"].as_i64().unwrap();
            assert_eq!(Some(found), duration.as_i64(), "{name}: {case}");
        }
    }
}

/// An event near the limit of 64 MiB, among small ones. An instance needs several times its size.
#[test]
fn a_large_event_is_imported_and_handled() {
    let large = "x".repeat(60 << 20);
    let event = |id: &str, stream: &str, data: Value| {
        json!({ "id": id, "stream": stream, "type": "Any", "timestamp": 1, "data": data, "metadata": null }).to_string()
            + "\n"
    };
    let lines = event("a", "s", json!({})) + &event("b", "s", json!({ "large": large })) + &event("c", "s", json!({}));
    let data = Data::new(BINARY);
    data.import(&data.file("large.ndjson", lines));
    data.install(&plugin("process-map"));
    let refused = data.exits(1, ["rebuild", "process-map"]);
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("memory") && error.contains("--memory"), "{error}");
    let ended = data.json(["--memory", "512", "resume", "process-map"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(3)));
    assert_eq!(data.rows("process-map/cases")["s"]["events"], json!(3));
}

/// A chunk size that an operator asks for holds, up to the bytes that a call may have.
#[test]
fn chunks_of_a_hundred_thousand_events_give_the_same_rows() {
    let (data, _) = with_orders(120_000, 5);
    data.ok(["rebuild", "order-summary"]);
    let usual = data.digest("order-summary");
    data.ok(["rebuild", "order-summary", "--chunk-size", "100000"]);
    assert_eq!(data.digest("order-summary"), usual);
}
