//! Orders, and what an uninterrupted rebuild makes of them.

use super::*;

pub const ORDERS: usize = 3_000;

pub const EARLY: usize = 1_000;

/// Orders, of which readers see the first thousand; and what an uninterrupted run makes of them all.
pub struct Orders {
    pub data: Data,
    pub events: Vec<Value>,
    pub early: Rows,
    pub all: Rows,
    pub digest: String,
}

pub static ORDERS_BUILT: LazyLock<Orders> = LazyLock::new(|| {
    let data = Data::new(BINARY);
    let lines = history::orders(ORDERS as u64, 17);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    let events = history::events(&lines);
    data.ok(["rebuild", "order-summary", "--to", &EARLY.to_string()]);
    let unbroken = data.copy();
    unbroken.ok(["rebuild", "order-summary"]);
    let digest = unbroken.digest("order-summary");
    let (early, all) = (oracle::orders(&events[..EARLY]).0, oracle::orders(&events).0);
    assert_eq!(unbroken.rows("order-summary/orders"), all);
    Orders { data, events, early, all, digest }
});

impl Orders {
    /// The rows of the latest generation are those of the events that its checkpoint counts, and readers are switched
    /// exactly where it is complete.
    #[track_caller]
    pub fn fits(&self, data: &Data, at: &str) -> Value {
        let found = status(data, "order-summary");
        let rows = data.rows_of("order-summary/orders", generation(&found));
        let handled = processed(&found);
        assert_eq!(rows, oracle::orders(&self.events[..handled]).0, "{at}: rows and checkpoint differ at {handled}");
        if handled > 0 {
            assert_eq!(found["lastEventId"], self.events[handled - 1]["id"], "{at}");
        }
        let seen = data.rows("order-summary/orders");
        if found["status"] == "completed" {
            assert_eq!(seen, rows, "{at}: complete, and readers are not switched");
        } else {
            assert_eq!(seen, self.early, "{at}: not complete, and readers see something else than before");
        }
        found
    }

    /// Goes on, or does it again, and ends as an uninterrupted run does.
    #[track_caller]
    pub fn finish(&self, data: &Data, at: &str) {
        if data.rows("order-summary/orders") != self.all {
            let ended = data.json(["rebuild", "order-summary", "--rate-limit", "4000000"]);
            assert_eq!((&ended["status"], processed(&ended)), (&json!("completed"), ORDERS), "{at}: {ended:#}");
        }
        assert_eq!(data.rows("order-summary/orders"), self.all, "{at}");
        complete_with(data, "order-summary", &self.digest);
    }
}

/// Slow enough for several commits.
pub const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "50", "--rate-limit", "2500"];

pub const FAST: [&str; 4] = ["rebuild", "order-summary", "--chunk-size", "170"];
