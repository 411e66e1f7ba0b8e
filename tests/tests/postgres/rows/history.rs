//! The history of a row that lives in a database, from a history in another one.

use super::orders::{BINARY, into};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use unspool_tests::{
    data::Data,
    history, oracle,
    plugins::plugin,
    postgres::shared,
    stores::{self, Preset},
};

#[test]
fn a_row_in_a_database_is_explained_by_a_history_in_a_database() {
    let (source, target) = (shared().database("history_source"), shared().database("history_target"));
    let lines = history::orders(1_200, 9);
    let mut client = source.client();
    client.batch_execute(Preset::Generic.schema()).unwrap();
    stores::fill(&mut client, Preset::Generic, &lines);
    // Positions have holes.
    let positions: BTreeMap<String, u64> =
        stores::read(&mut client, Preset::Generic).into_iter().map(|event| (event.id, event.position as u64)).collect();
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let settings = format!(
        "[sources.shop]\npreset = 'generic'\nconnection = '{}'\ntable = 'events'\ntime = 'time'\n",
        source.url()
    );
    std::fs::write(data.path().join("unspool.toml"), settings).unwrap();
    data.ok(["rebuild", "order-summary", "--source", "shop", "--into", &into(&target.url())]);

    let events = history::events(&lines);
    let rows = oracle::orders(&events).0;
    let (key, row) = rows.iter().max_by_key(|(_, row)| row["events"].as_u64()).unwrap();
    let stream = json!(format!("order-{key}"));
    let of_row: Vec<Value> = events.iter().filter(|event| event["stream"] == stream).cloned().collect();
    let history = ["model", "history", "order-summary/orders", key.as_str()];
    let told = data.list(history);
    assert!(told.len() > 5, "{told:#?}");
    let ids = |changes: &[Value]| changes.iter().map(|change| change["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&told), ids(&of_row));
    for (number, change) in told.iter().enumerate() {
        let id = change["id"].as_str().unwrap();
        assert_eq!((&change["position"], &change["timestamp"]), (&json!(positions[id]), &of_row[number]["timestamp"]));
        // What it changed leads from the row before it to the row after it.
        let state = |count: usize| oracle::orders(&of_row[..count]).0.remove(key);
        let (before, after) = (state(number), state(number + 1));
        for field in change["fields"].as_array().unwrap() {
            let name = field["field"].as_str().unwrap();
            let at = |row: &Option<Value>| match name {
                "." => row.clone(),
                name => row.as_ref().unwrap().pointer(&format!("/{}", name.replace('.', "/"))).cloned(),
            };
            assert_eq!((field.get("before").cloned(), field.get("after").cloned()), (at(&before), at(&after)));
            assert_ne!(at(&before), at(&after), "{change:#}");
        }
        let fields = change["fields"].as_array().unwrap();
        let touches = |name: &str| fields.iter().any(|field| field["field"] == name);
        assert!(touches(".") || (touches("path") && touches("events")), "{change:#}");
    }
    assert_eq!(
        told.last().unwrap()["fields"].as_array().unwrap().iter().find(|field| field["field"] == "path").unwrap()["after"],
        row["path"]
    );

    let damaged =
        "UPDATE \"unspool_order-summary_1\".orders SET document = document || '{\"path\": \"?\"}' WHERE key = $1";
    assert_eq!(target.client().execute(damaged, &[key]).unwrap(), 1);
    data.run(history).refused(1, &["path is \"?\" and not", "unspool model verify order-summary"]);
    // Nothing of it is left, here or there.
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'unspool\\_%'";
    assert_eq!(target.client().query_one(schemas, &[]).unwrap().get::<_, i64>(0), 1);
}
