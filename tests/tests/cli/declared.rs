//! Projections that a file declares: what differs is said, and made so; twice does nothing.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::Path};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Writes the settings in the data directory.
fn declare(data: &Data, settings: &str) {
    fs::write(data.path().join("unspool.toml"), settings).unwrap();
}

/// The changes that a command names, and how it ended.
fn changes(answer: &Answer) -> (Option<i32>, Vec<(String, String)>) {
    let lines = answer.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let changes = lines.filter(|line| line.get("action").is_some());
    (answer.exit, changes.map(|line| (text(&line["projectionName"]), text(&line["action"]))).collect())
}

fn planned(data: &Data) -> (Option<i32>, Vec<(String, String)>) {
    changes(&data.run(["--json", "plan"]))
}

fn expected(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    changes.iter().map(|(name, action)| ((*name).to_owned(), (*action).to_owned())).collect()
}

fn projections(faulty: &Path) -> String {
    format!(
        "[projections.faulty]\nplugin = '{}'\nfollow = true\non_error = 'park'\n[projections.order-summary]\nplugin = '{}'\n\
         [projections.process-map]\nplugin = '{}'\nchunk_size = 50\npriority = 'normal'\n",
        faulty.display(),
        plugin("order-summary").display(),
        plugin("process-map").display()
    )
}

#[test]
fn three_projections_are_made_what_they_are_declared_to_be() {
    let data = Data::new(BINARY);
    data.make();
    declare(&data, &projections(&plugin("faulty")));
    let all = [
        ("faulty", "install"),
        ("faulty", "rebuild"),
        ("order-summary", "install"),
        ("order-summary", "rebuild"),
        ("process-map", "install"),
        ("process-map", "rebuild"),
    ];
    assert_eq!(planned(&data), (Some(10), expected(&all)), "nothing is there");
    data.import(&data.file("events.ndjson", history::orders(500, 7)));
    let _host = data.serve();
    assert_eq!(changes(&data.run(["--json", "apply"])), (Some(0), expected(&all)));
    let status = data.json(["status", "faulty"]);
    assert_eq!((&status["following"], &status["status"]), (&json!("following"), &json!("completed")));
    assert_eq!(data.json(["model", "receipt", "process-map"])["chunkSize"], 50);
    assert_eq!((planned(&data), changes(&data.run(["--json", "apply"]))), ((Some(0), vec![]), (Some(0), vec![])));

    // Another plugin: what is live is followed by it, and rebuilt with it beside.
    declare(&data, &projections(&plugin_with("faulty", &["fixed"])));
    let swapped = [("faulty", "swap"), ("faulty", "rebuild")];
    assert_eq!(planned(&data), (Some(10), expected(&swapped)));
    assert_eq!(changes(&data.run(["--json", "apply"])), (Some(0), expected(&swapped)));
    let status = data.json(["status", "faulty"]);
    assert_eq!((&status["liveGeneration"], &status["following"]), (&json!(2), &json!("following")));
    assert_eq!(planned(&data), (Some(0), vec![]));

    // Not followed any more.
    let settings = projections(&plugin_with("faulty", &["fixed"])).replace("follow = true", "follow = false");
    declare(&data, &settings);
    assert_eq!(changes(&data.run(["--json", "apply"])), (Some(0), expected(&[("faulty", "unfollow")])));
    assert_eq!(planned(&data), (Some(0), vec![]));
}

/// A host makes everything so before it serves, from a file that is elsewhere.
#[test]
fn a_host_applies_what_is_declared() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(300, &[])));
    let component = plugin("faulty");
    let settings = data
        .file("declared.toml", format!("[projections.faulty]\nplugin = '{}'\nfollow = true\n", component.display()));
    let settings = settings.to_str().unwrap();
    let mut host = data.start(["--config", settings, "serve", "--apply"]);
    host.wait_for_line("serving");
    data.wait_for("faulty", |status| status["following"] == "following" && status["follow"]["events"] == 0);
    let answer = data.run(["--json", "--config", settings, "plan"]);
    assert_eq!(changes(&answer), (Some(0), vec![]));
}

#[test]
fn what_is_declared_wrongly_is_refused_by_name() {
    let data = Data::new(BINARY);
    data.make();
    let plugin = plugin("faulty").display().to_string();
    let refused = |settings: &str, words: &[&str]| {
        declare(&data, settings);
        data.run(["plan"]).refused(2, words);
        data.run(["apply"]).refused(2, words);
    };
    data.run(["plan"]).refused(2, &["unspool.toml does not exist", "plugin = "]);
    refused("[projections.a]\nplugin = 'nothing.wasm'\n", &["nothing.wasm"]);
    refused(&format!("[projections.faulty]\nplugin = '{plugin}'\nfolow = true\n"), &["line 3", "folow"]);
    refused(&format!("[projections.faulty]\nplugin = '{plugin}'\non_error = 'ignore'\n"), &["line 3", "ignore"]);
    refused(&format!("[projections.faulty]\nplugin = '{plugin}'\nsource = 'shop'\n"), &["shop", "[sources.shop]"]);
    refused("[projections.faulty]\nfollow = true\n", &["faulty has no plugin"]);
    refused("[host]\nmemori = 3\n", &["line 2", "memori"]);
    refused("[host]\nmemory = 0\n", &["memory is 0", "1 to 1024"]);
    refused(&format!("[projections.faulty]\nplugin = '{plugin}'\nchunk_size = 0\n"), &["faulty", "chunk_size is 0"]);
    data.run(["--config", "/nowhere/unspool.toml", "plan"]).refused(2, &["/nowhere/unspool.toml does not exist"]);
    assert!(!data.path().join("store.redb").exists(), "nothing was begun");
    // Another name than the plugin's own.
    declare(&data, &format!("[projections.other]\nplugin = '{plugin}'\n"));
    data.run(["apply"]).refused(2, &["other", "faulty", "not installed"]);
    assert_eq!(data.list(["plugin", "list"]), Vec::<Value>::new(), "nothing was installed");
}

/// Without a host, what is to be followed is followed by the command until it is ended.
#[test]
fn what_is_to_be_followed_has_a_host() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(100, &[])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    declare(&data, &format!("[projections.faulty]\nplugin = '{}'\nfollow = true\n", plugin("faulty").display()));
    assert_eq!(planned(&data), (Some(10), expected(&[("faulty", "follow")])));
    let applying = data.start(["apply"]);
    data.wait_for_host();
    data.import(&data.file("more.ndjson", history::mixed(300, &[])));
    data.wait_for("faulty", |status| status["eventsProcessed"] == 300);
    applying.signal(Signal::TERM);
    assert_eq!(applying.end().exit, Some(0));
    assert_eq!(planned(&data), (Some(0), vec![]), "the next host follows it");
}
