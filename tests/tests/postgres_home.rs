//! Read models in PostgreSQL: the same rows as in the store, exactly once, wherever something ends or is cut.

use ::postgres::Client;
use serde_json::{Value, json};
use std::{os::unix::process::ExitStatusExt, process::Stdio, sync::LazyLock};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history,
    plugins::plugin,
    postgres::{Database, Proxy, Server, Stop, shared},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

const ORDERS: u64 = 3_000;

/// Orders, of which no read model has been built yet; and what those in the store come to.
struct Orders {
    data: Data,
    digests: Vec<(&'static str, String)>,
    all: Rows,
    early: Rows,
}

/// Where the first generation ends in tests that build two.
const EARLY: &str = "1000";

static ORDERS_BUILT: LazyLock<Orders> = LazyLock::new(|| {
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
    fn digest(&self, name: &str) -> &str {
        &self.digests.iter().find(|(known, _)| *known == name).expect("a projection").1
    }
}

fn into(url: &str) -> String {
    format!("postgres:{url}")
}

/// What readers of a view see.
fn seen(client: &mut Client, view: &str) -> Rows {
    let rows = client.query(&format!("SELECT key, document::text FROM {view}"), &[]).unwrap();
    rows.iter().map(|row| (row.get(0), serde_json::from_str::<Value>(row.get(1)).unwrap())).collect()
}

#[test]
fn rows_in_a_database_are_those_in_the_store() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("same_rows"));
    let data = orders.data.copy();
    data.ok(["rebuild", "--all", "--into", &into(&database.url())]);
    for (name, digest) in &orders.digests {
        assert_eq!(data.digest(name), *digest, "{name}");
        assert_eq!(data.json(["model", "receipt", name])["digest"], **digest);
        let verified = data.json(["model", "verify", name]);
        assert_eq!(
            (&verified["missing"], &verified["extra"], &verified["different"]),
            (&json!(0), &json!(0), &json!(0))
        );
    }
    let mut client = database.client();
    assert_eq!(seen(&mut client, "\"order-summary\".orders"), orders.all);
    assert_eq!(data.rows("order-summary/orders"), orders.all);
    // Remembered for the next rebuild.
    data.ok(["rebuild", "order-summary"]);
    assert_eq!(data.digest("order-summary"), orders.digest("order-summary"));
    let generations = data.list(["model", "generations", "order-summary"]);
    assert_eq!(
        generations.iter().map(|g| &g["into"]).collect::<Vec<_>>(),
        [&into(&database.url()), &into(&database.url())]
    );
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}
