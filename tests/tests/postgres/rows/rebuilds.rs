//! Rows in a database are those in the store, also after something has happened to them.

use super::orders::{BINARY, EARLY, ORDERS, ORDERS_BUILT, VIEW, into, seen};
use ::postgres::Client;
use serde_json::json;
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, script},
    postgres::shared,
};

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

#[test]
fn rows_of_a_script_in_a_database_are_those_of_its_twin_in_the_store() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("script_rows"));
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(ORDERS, 23)));
    data.install(&script("order-summary"));
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    assert_eq!(data.digest("order-summary"), orders.digest("order-summary"));
    assert_eq!(seen(&mut database.client(), VIEW), orders.all);
}

#[test]
fn what_unspool_toml_says_of_a_projection_holds_for_every_rebuild() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("settings"));
    let (data, mut client) = (orders.data.copy(), database.client());
    let set = |index: &str| {
        let text = format!(
            "[projections.order-summary]\ninto = \"{}\"\n[projections.order-summary.tables.orders]\nindexes = [\"{index}\"]\n",
            into(&database.url())
        );
        std::fs::write(data.path().join("unspool.toml"), text).unwrap();
    };
    set("create index by_customer on orders ((document->>'customerId'))");
    let indexes = |client: &mut Client| {
        let rows =
            client.query("SELECT schemaname::text FROM pg_indexes WHERE indexname = 'by_customer' ORDER BY 1", &[]);
        rows.unwrap().iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    data.ok(["rebuild", "order-summary"]);
    client
        .batch_execute(&format!(
            "CREATE VIEW theirs AS SELECT count(*) FROM {VIEW}; GRANT SELECT ON {VIEW} TO pg_monitor"
        ))
        .unwrap();
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    assert_eq!(indexes(&mut client), ["unspool_order-summary_1"]);
    data.ok(["model", "promote", "order-summary"]);
    assert_eq!(indexes(&mut client), ["unspool_order-summary_1", "unspool_order-summary_2"]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    // What others have built on the view, and may do with it, stays.
    client.batch_execute("SELECT * FROM theirs").unwrap();
    let may = client.query_one(&format!("SELECT has_table_privilege('pg_monitor', '{VIEW}', 'SELECT')"), &[]).unwrap();
    assert!(may.get::<_, bool>(0));
    for (index, problem) in [("create index on stock (key)", "stock"), ("drop table x", "CREATE INDEX")] {
        set(index);
        data.run(["rebuild", "order-summary"]).refused(2, &[problem]);
    }
    std::fs::write(data.path().join("unspool.toml"), "[projections.order-summary.tables.stock]\n").unwrap();
    data.run(["rebuild", "order-summary"]).refused(2, &["order-summary/stock"]);
    std::fs::write(data.path().join("unspool.toml"), "[projections.order-summary]\nino = 1\n").unwrap();
    data.run(["rebuild", "order-summary"]).refused(2, &["unspool.toml", "ino"]);
}

#[test]
fn a_damaged_row_is_found_and_made_good() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("damaged"));
    let (data, mut client) = (orders.data.copy(), database.client());
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    let damage = |client: &mut Client, generation: u64| {
        let table = format!("\"unspool_order-summary_{generation}\".orders");
        let damaged = format!(
            "UPDATE {table} SET document = document || '{{\"path\": \"?\"}}' WHERE key = (SELECT min(key) FROM {table}) RETURNING key"
        );
        client.query_one(&damaged, &[]).unwrap().get::<_, String>(0)
    };
    let key = damage(&mut client, 1);
    let found = data.exits(1, ["model", "verify", "order-summary"]);
    assert_eq!((&found["different"], &found["first"][0]["key"]), (&json!(1), &json!(key)));
    assert_eq!(data.exits(1, ["model", "verify", "order-summary", "--repair"])["repairedBy"], 3);
    assert_eq!((seen(&mut client, VIEW), data.rows("order-summary/orders")), (orders.all.clone(), orders.all.clone()));
    // One entity alone, in what readers see.
    let key = damage(&mut client, 3);
    assert_ne!(seen(&mut client, VIEW), orders.all);
    let events = history::events(&history::orders(ORDERS, 23));
    let stream = events.iter().find(|event| event["data"]["orderId"] == *key).unwrap()["stream"].as_str().unwrap();
    data.ok(["rebuild", "order-summary", "--stream", stream]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    assert_eq!(data.json(["model", "receipt", "order-summary"])["digest"], *orders.digest("order-summary"));
    // An earlier state is built beside it, in the store.
    data.ok(["model", "as-of", "order-summary", "--to", EARLY]);
    assert_eq!(data.rows_of("order-summary/orders", &format!("as-of-{EARLY}")), orders.early);
    // A check reads rows where they live: those of the first generation are still damaged.
    let problems = data.exits(1, ["store", "check"])["problems"].clone();
    let named =
        problems[0].as_str().is_some_and(|problem| problem.starts_with("order-summary/1: its rows have the digest"));
    assert!(named && problems.as_array().map(Vec::len) == Some(1), "{problems}");
}

#[test]
fn a_document_that_jsonb_does_not_hold_ends_the_rebuild_at_its_event() {
    let database = shared().database("nul");
    let data = Data::new(BINARY);
    let event = |number: u64, customer: &str| {
        let event = json!({
            "id": format!("e{number}"), "stream": format!("order-{number}"), "type": "OrderCreated", "timestamp": number,
            "data": { "orderId": format!("o{number}"), "customerId": customer }, "metadata": null,
        });
        format!("{event}\n")
    };
    let events = [event(1, "ada"), event(2, "bob\0by"), event(3, "eve")].concat();
    data.import(&data.file("orders.ndjson", events));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary", "--into", "store"]);
    let failed = data.run(["rebuild", "order-summary", "--into", &into(&database.url())]);
    failed.refused(1, &["order-summary/orders row o2", "NUL", "customerId", "event e2"]);
    let status = data.json(["status", "order-summary"]);
    assert_eq!((&status["status"], &status["eventsProcessed"]), (&json!("failed"), &json!(1)));
    let rows: i64 =
        database.client().query_one("SELECT count(*) FROM \"unspool_order-summary_2\".orders", &[]).unwrap().get(0);
    assert_eq!(rows, 1);
}
