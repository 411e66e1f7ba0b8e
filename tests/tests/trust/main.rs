//! Why people can trust a read model: it is verified, has a receipt, says what it lacks, and goes back where it was.

mod determinism;
mod languages;
mod parking;
mod parking_orders;
mod past;
mod receipt;
mod store;
mod swap;
mod unreadable;
mod verify;
mod watch;

use serde_json::Value;
use unspool_tests::{data::Data, history, plugins::plugin};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with a complete `order-summary`, and its events.
fn orders(events: u64) -> (Data, Vec<Value>) {
    let data = Data::new(BINARY);
    let lines = history::orders(events, 51);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary"]);
    (data, history::events(&lines))
}
