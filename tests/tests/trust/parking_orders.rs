//! Parking with the example plugins: orders whose events are broken, and a real log with exactly 120 impossible events.

use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path};
use unspool_tests::{
    data::{Data, Rows},
    history, oracle,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// An order history in which one event of each of three orders is broken: a quantity or a total that is no number. With
/// it, the ids that have to be parked: the broken events and all later ones of their streams.
fn broken_orders() -> (Vec<Value>, BTreeSet<String>) {
    let mut events = history::events(&history::orders(4_000, 41));
    let mut broken = BTreeSet::new();
    for event in &mut events[500..] {
        let stream = event["stream"].as_str().unwrap().to_owned();
        let field = match event["type"].as_str().unwrap() {
            "ItemAdded" => "qty",
            "OrderConfirmed" => "totalCents",
            _ => continue,
        };
        if broken.len() < 3 && broken.insert(stream) {
            event["data"][field] = json!("two");
        }
    }
    let mut failed = BTreeSet::new();
    let mut parked = BTreeSet::new();
    for event in &events {
        let stream = event["stream"].as_str().unwrap();
        let is_broken = event["data"]["qty"] == "two" || event["data"]["totalCents"] == "two";
        if is_broken || failed.contains(stream) {
            failed.insert(stream.to_owned());
            parked.insert(event["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(failed.len(), 3);
    (events, parked)
}

fn lines(events: &[Value]) -> Vec<u8> {
    events.iter().map(|event| format!("{event}\n")).collect::<String>().into_bytes()
}

/// Every event at the position that the log gives it.
fn with_positions(events: Vec<Value>) -> Vec<Value> {
    let numbered = |(index, mut event): (usize, Value)| {
        event["position"] = json!(index + 1);
        event
    };
    events.into_iter().enumerate().map(numbered).collect()
}

fn parked(data: &Data, name: &str) -> BTreeSet<String> {
    let id = |event: &Value| event["id"].as_str().unwrap().to_owned();
    data.list(["dead-letters", "list", name]).iter().map(id).collect()
}

#[test]
fn orders_with_a_broken_event_stop_there_and_all_others_are_whole() {
    let (events, broken) = broken_orders();
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", lines(&events)));
    data.install(&plugin("order-summary"));
    let ended = data.json(["rebuild", "order-summary", "--on-error", "park", "--allow-parked"]);
    assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(broken.len())));
    assert_eq!(parked(&data, "order-summary"), broken);
    let whole = |event: &Value| !broken.contains(event["id"].as_str().unwrap());
    let applied: Vec<_> = with_positions(events).into_iter().filter(whole).collect();
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&applied).0);
    let first = &data.list(["dead-letters", "list", "order-summary"])[0];
    let reason = first["error"].as_str().unwrap();
    assert!(reason.contains("qty") || reason.contains("totalCents"), "{reason}");
    // Nothing has been mended: the events stay where they are.
    assert_eq!(data.exits(1, ["dead-letters", "retry", "order-summary"])["handled"], 0);
    assert_eq!(data.json(["model", "verify", "order-summary"])["first"], json!([]));
}

/// Stock is shared by all orders: events of other streams that came later have been applied already.
#[test]
fn a_projection_that_is_not_partitioned_does_not_retry_out_of_order_by_itself() {
    let (events, broken) = broken_orders();
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", lines(&events)));
    data.install(&plugin("inventory-levels"));
    let ended = data.exits(1, ["rebuild", "inventory-levels", "--on-error", "park"]);
    assert_eq!(parked(&data, "inventory-levels"), broken);
    data.run(["dead-letters", "retry", "inventory-levels"])
        .refused(3, &["not partitioned by stream", "rebuild inventory-levels --restart", "--out-of-order"]);
    assert_eq!(parked(&data, "inventory-levels"), broken);
    let stream = data.list(["dead-letters", "list", "inventory-levels"])[0]["stream"].as_str().unwrap().to_owned();
    let tried = data.exits(1, ["dead-letters", "retry", "inventory-levels", "--stream", &stream, "--out-of-order"]);
    assert_eq!((&tried["handled"], &tried["parked"]), (&json!(0), &ended["parked"]));
}

#[test]
#[ignore = "needs UNSPOOL_SHARED_DATA, a folder of real logs with expected results"]
fn a_real_log_parks_its_120_impossible_events_and_no_other() {
    let shared = history::shared();
    let folder = shared.join("orders");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let totals: Value = serde_json::from_str(&read("orders-20k-dirty.dedupe.json")).unwrap();
    let skipped: u64 = totals["skipped"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(skipped, 120);
    let log = folder.join("orders-20k-dirty.ndjson.gz");
    for chunk in ["7", "500"] {
        let data = Data::new(BINARY);
        // Repeated events of this log come with the time of their repetition.
        assert_eq!(data.import(&log)["duplicates"], totals["duplicatesSkipped"]);
        data.install(&plugin("order-summary"));
        data.install(&plugin("inventory-levels"));
        let rebuild = ["rebuild", "--all", "--on-error", "park", "--allow-parked", "--chunk-size", chunk];
        for ended in data.list(rebuild) {
            assert_eq!((&ended["status"], &ended["parked"]), (&json!("completed"), &json!(skipped)), "{ended:#}");
            assert_eq!(ended["eventsProcessed"], totals["applied"]);
        }
        assert_eq!(parked(&data, "order-summary").len() as u64, skipped);
        assert_eq!(parked(&data, "order-summary"), parked(&data, "inventory-levels"));
        let expected = |file: &Path, key: &str| -> Rows {
            let row = |line: &str| {
                let mut row: Value = serde_json::from_str(line).unwrap();
                let key = row.as_object_mut().unwrap().remove(key).unwrap();
                (key.as_str().unwrap().to_owned(), row)
            };
            std::fs::read_to_string(file).unwrap().lines().map(row).collect()
        };
        let orders = expected(&folder.join("orders-20k-dirty.dedupe.orders.ndjson"), "orderId");
        assert_eq!(data.rows("order-summary/orders"), orders, "chunks of {chunk}");
        let stock = expected(&folder.join("orders-20k-dirty.dedupe.inventory.ndjson"), "sku");
        assert_eq!(data.rows("inventory-levels/stock"), stock, "chunks of {chunk}");
    }
}
