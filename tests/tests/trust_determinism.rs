//! `plugin verify` tells an author whether the rows depend on anything but the events.

use serde_json::{Value, json};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// Verifies `plugin` over the event file `events`.
fn verify(data: &Data, plugin: &std::path::Path, events: &std::path::Path) -> Answer {
    let args = ["--json".as_ref(), "plugin".as_ref(), "verify".as_ref(), plugin.as_os_str()];
    data.command(args).arg("--events").arg(events).output().unwrap().into()
}

#[test]
fn a_plugin_that_folds_its_events_passes_in_every_manner() {
    let data = Data::new(BINARY);
    let answer = verify(&data, &plugin("order-summary"), &data.file("orders.ndjson", history::orders(2_000, 31)));
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    let report = answer.json();
    assert_eq!((&report["projectionName"], &report["events"]), (&json!("order-summary"), &json!(2_000)));
    assert_eq!(report["difference"], Value::Null);
    let runs = report["runs"].as_array().unwrap();
    let manners: Vec<_> = runs.iter().map(|run| run["manner"].as_str().unwrap()).collect();
    let expected = [
        "chunks of 500",
        "one event at a time",
        "chunks of 7",
        "chunks of 5000",
        "chunks of 500, again",
        "chunks of 500, with a crash in the middle",
    ];
    assert_eq!(manners, expected);
    assert!(runs.iter().all(|run| run["same"] == true && run["digest"] == runs[0]["digest"]), "{report:#}");
    assert!(!data.path().exists(), "no data directory is made");

    // The digest is that of a rebuild.
    data.import(&data.scratch("orders.ndjson"));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary"]);
    assert_eq!(runs[0]["digest"], json!(data.digest("order-summary")));
}

#[test]
fn a_plugin_whose_rows_depend_on_the_chunks_is_caught_with_the_event_and_the_row() {
    let data = Data::new(BINARY);
    let events = data.file("events.ndjson", history::mixed(700, &[]));
    let answer = verify(&data, &plugin_with("faulty", &["chunk-dependent"]), &events);
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    let report = answer.json();
    let runs = report["runs"].as_array().unwrap();
    let same = |manner: &str| runs.iter().find(|run| run["manner"] == manner).unwrap()["same"].clone();
    assert_eq!((same("one event at a time"), same("chunks of 500, again")), (json!(false), json!(true)));
    let difference = &report["difference"];
    assert_eq!(difference["manner"], "one event at a time");
    // One event makes a chunk of one either way; a second one does not.
    assert_eq!((&difference["eventId"], &difference["position"]), (&json!("e1"), &json!(2)));
    let field = json!({ "field": "count", "expected": 2, "found": 1 });
    let row = json!({ "table": "seen", "key": "a chunk", "what": "different", "fields": [field] });
    assert_eq!(difference["first"], json!([row]));
}

/// Handled side by side, two streams that write one row would leave it to chance which write holds.
#[test]
fn two_streams_that_write_one_row_break_what_the_projection_says() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(700, &[])));
    data.install(&plugin_with("faulty", &["two-streams"]));
    data.run(["rebuild", "faulty"]).refused(1, &["partitioned by stream", "two streams write the row a chunk"]);
    let failed = data.json(["status", "faulty"]);
    assert_eq!((&failed["status"], &failed["eventsProcessed"]), (&json!("failed"), &json!(0)));
    assert_eq!(failed["failure"]["eventId"], Value::Null, "no single event is to blame");
}

/// The difference may begin late, and only where a resume cuts history elsewhere.
#[test]
fn events_that_cannot_be_handled_are_set_aside_in_every_manner() {
    let data = Data::new(BINARY);
    let events = data.file("events.ndjson", history::mixed(300, &[(100, "Error"), (120, "Panic"), (299, "BadOutput")]));
    let answer = verify(&data, &plugin("faulty"), &events);
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    let report = answer.json();
    // Streams 20, 0 and 19: those three events, and four or five behind the first two.
    let parked = (100..300).filter(|number| number % 40 == 20).count()
        + (120..300).filter(|number| number % 40 == 0).count()
        + 1;
    assert!(report["runs"].as_array().unwrap().iter().all(|run| run["parked"] == parked), "{report:#}");
}

#[test]
fn it_works_on_the_log_of_a_data_directory_and_leaves_that_as_it_is() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(200, &[])));
    let plugin = plugin("faulty");
    let args = ["plugin".as_ref(), "verify".as_ref(), plugin.as_os_str(), "--source".as_ref(), "log".as_ref()];
    assert_eq!(data.json(args)["events"], 200);
    let _host = data.serve();
    assert_eq!(data.json(args)["events"], 200);
    assert_eq!(data.ok(["plugin", "list"]), "", "the plugin is not installed");
}

#[test]
fn without_events_it_says_what_is_missing() {
    let data = Data::new(BINARY);
    let plugin = plugin("faulty");
    data.run(["plugin".as_ref(), "verify".as_ref(), plugin.as_os_str()]).refused(2, &["--events FILE", "--source log"]);
    let missing = data.scratch("missing.ndjson");
    let answer = verify(&data, &plugin, &missing);
    answer.refused(2, &["missing.ndjson"]);
    let text = data.file("text.wasm", b"hello");
    verify(&data, &text, &data.file("one.ndjson", history::of_types(["Fine"]))).refused(2, &["not a WebAssembly file"]);
    let nothing = data.file("none.ndjson", history::of_types(["Other"]));
    assert_eq!(verify(&data, &plugin, &nothing).exit, Some(0), "no event, no difference");
}
