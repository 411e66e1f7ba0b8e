//! What the record of activity must say, whatever has happened.

use crate::data::Data;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What entries about one projection come to, one after another.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// The digest of its plugin.
    plugin: Value,
    /// Its live generation.
    live: Value,
    /// The status of each of its generations.
    generations: BTreeMap<u64, Value>,
}

/// Asserts that the record of activity is unbroken, and that its entries, one after another, come to what there is: so there is one for
/// every change. A killed host must have been recovered from; what is older than the record is left out.
#[track_caller]
pub fn assert_complete(data: &Data, at: &str) {
    let checked = data.json(["activity", "check"]);
    assert_eq!(checked["problem"], Value::Null, "{at}: {checked:#}");
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    for entry in data.list(["activity"]) {
        let (Some(name), change) = (entry["projection"].as_str(), &entry["change"]) else { continue };
        if change["what"] == "plugin" && change["before"].is_null() {
            told.insert(name.to_owned(), Told::default());
        }
        let Some(told) = told.get_mut(name) else { continue };
        let generation = change["generation"].as_u64();
        match (change["what"].as_str(), generation) {
            (Some("plugin"), _) => told.plugin = change["after"]["digest"].clone(),
            (Some("live"), _) => told.live = change["after"].clone(),
            (Some("generation"), Some(number)) if change["after"].is_null() => drop(told.generations.remove(&number)),
            (Some("generation"), Some(number)) => {
                told.generations.insert(number, change["after"]["status"].clone());
            }
            (Some("status"), Some(number)) => {
                let before = told.generations.insert(number, change["after"].clone());
                assert_eq!(before.as_ref(), Some(&change["before"]), "{at}: {entry:#}");
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    for plugin in data.list(["plugin", "list"]) {
        let name = plugin["projectionName"].as_str().expect("a name");
        let mut is =
            Told { plugin: plugin["digest"].clone(), live: plugin["liveGeneration"].clone(), ..Told::default() };
        for generation in data.list(["model", "generations", name]) {
            // What is built for a comparison is no read model.
            if generation["role"] != json!("scratch") {
                let number = generation["generation"].as_u64().expect("a number");
                is.generations.insert(number, generation["status"].clone());
            }
        }
        if told.contains_key(name) {
            found.insert(name.to_owned(), is);
        }
    }
    assert_eq!(told, found, "{at}");
}
