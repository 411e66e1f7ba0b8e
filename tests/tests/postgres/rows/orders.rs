//! Orders, their read models in the store, and data directories whose readers look into a database.

use ::postgres::Client;
use serde_json::Value;
use std::{os::unix::process::ExitStatusExt, process::Stdio, sync::LazyLock};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history,
    plugins::plugin,
    postgres::Database,
};

pub const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

pub const ORDERS: u64 = 3_000;

/// Orders, of which no read model has been built yet; and what those in the store come to.
pub struct Orders {
    pub data: Data,
    pub digests: Vec<(&'static str, String)>,
    pub all: Rows,
    pub early: Rows,
}

/// Where the first generation ends in tests that build two.
pub const EARLY: &str = "1000";

pub static ORDERS_BUILT: LazyLock<Orders> = LazyLock::new(|| {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(ORDERS, 23)));
    let names = ["order-summary", "inventory-levels"];
    names.iter().for_each(|name| data.install(&plugin(name)));
    let unbroken = data.copy();
    unbroken.ok(["rebuild", "order-summary", "--to", EARLY]);
    let early = unbroken.rows("order-summary/orders");
    unbroken.ok(["rebuild", "--all"]);
    let digests = names.map(|name| (name, unbroken.digest(name))).to_vec();
    Orders { data, digests, all: unbroken.rows("order-summary/orders"), early }
});

impl Orders {
    pub fn digest(&self, name: &str) -> &str {
        &self.digests.iter().find(|(known, _)| *known == name).expect("a projection").1
    }
}

pub fn into(url: &str) -> String {
    format!("postgres:{url}")
}

/// What readers of a view see.
pub fn seen(client: &mut Client, view: &str) -> Rows {
    let rows = client.query(&format!("SELECT key, document::text FROM {view}"), &[]).unwrap();
    rows.iter().map(|row| (row.get(0), serde_json::from_str::<Value>(row.get(1)).unwrap())).collect()
}

/// Runs a command that must die at `at`; `false` where it does not get there, and succeeds.
pub fn dies(data: &Data, at: &str, args: &[&str]) -> bool {
    let output = data.command(args).env("UNSPOOL_CRASH_AT", at).stdin(Stdio::null()).output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{at}: {:#?}", Answer::from(output));
    killed
}

/// A data directory whose readers see the first orders, in `database`.
pub fn with_early(database: &Database<'_>) -> Data {
    let data = ORDERS_BUILT.data.copy();
    data.ok(["rebuild", "order-summary", "--to", EARLY, "--into", &into(&database.url())]);
    data
}

/// Slow enough for several commits.
pub const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "50", "--rate-limit", "6000"];

pub const VIEW: &str = "\"order-summary\".orders";
