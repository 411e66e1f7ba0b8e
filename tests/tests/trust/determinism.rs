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
fn a_plugin_that_folds_its_events_passes_in_every_run_mode() {
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
        "each stream by itself",
        "one event at a time",
        "chunks of 7",
        "chunks of 5000",
        "chunks of 500, again",
        "chunks of 500, with a crash in the middle",
        "streams side by side on 2 instances",
        "streams side by side on 5 instances",
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
    let verified = verify(&data, &plugin_with("faulty", &["two-streams"]), &data.scratch("events.ndjson"));
    assert_eq!(verified.exit, Some(1), "{verified:#?}");
    assert!(verified.json()["difference"]["problem"].as_str().unwrap().contains("two streams write"), "{verified:#?}");
}

/// A stream that reads what another one writes comes to other rows where they are handled side by side. One instance would hide it.
#[test]
fn a_stream_that_reads_what_another_writes_ends_the_rebuild_however_many_instances_there_are() {
    let whole = Data::new(BINARY);
    whole.import(&whole.file("events.ndjson", history::mixed(700, &[(45, "Late")])));
    for (feature, words) in [
        ("neighbours", ["stream s05 reads the row s00 of table seen", "which stream s00 writes"]),
        ("scanning", ["stream s05 scans table seen by the prefix \"\"", "writes the row s0"]),
    ] {
        for (instances, on_error) in [("1", "stop"), ("1", "park"), ("2", "stop")] {
            let data = whole.copy();
            data.install(&plugin_with("faulty", &[feature]));
            let refused = data.run(["--instances", instances, "rebuild", "faulty", "--on-error", on_error]);
            refused.refused(1, &words);
            let failed = data.json(["status", "faulty"]);
            assert_eq!((&failed["status"], &failed["eventsProcessed"]), (&json!("failed"), &json!(0)));
            assert_eq!(
                (&failed["failure"]["kind"], &failed["failure"]["eventId"]),
                (&json!("bad_output"), &Value::Null)
            );
            assert_eq!(failed["parked"], 0, "a projection that is not what it says is no event's fault");
        }
    }
    // Without such an event it is what it says.
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(700, &[])));
    data.install(&plugin_with("faulty", &["neighbours"]));
    data.ok(["--instances", "2", "rebuild", "faulty"]);
}

/// Late in a history, and with what it reads far behind: where the result does not depend on who works beside whom a rebuild goes through,
/// but `plugin verify` knows whose row it was, and one stream alone would come to other rows.
#[test]
fn what_another_stream_wrote_long_ago_is_found_too() {
    let data = Data::new(BINARY);
    let fine = (0..1_200).map(|_| ("x", "Fine"));
    let lines = history::on_streams([("s00", "Fine")].into_iter().chain(fine).chain([("b", "Late"), ("c", "Fine")]));
    let events = data.file("events.ndjson", lines);
    let plugin = plugin_with("faulty", &["neighbours"]);
    let verified = verify(&data, &plugin, &events);
    assert_eq!(verified.exit, Some(1), "{verified:#?}");
    let problem = verified.json()["difference"]["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("stream b reads the row s00 of table seen, which stream s00 writes"), "{problem}");

    // Also where an event behind it, in the same call, cannot be handled.
    let fine = (0..1_200).map(|_| ("x", "Fine"));
    let late = [("b", "Late"), ("d", "Error"), ("c", "Fine")];
    let failing =
        data.file("failing.ndjson", history::on_streams([("s00", "Fine")].into_iter().chain(fine).chain(late)));
    let verified = verify(&data, &plugin, &failing);
    assert_eq!(verified.exit, Some(1), "{verified:#?}");
    assert!(verified.json()["difference"]["problem"].as_str().unwrap().contains("which stream s00 writes"));

    data.import(&events);
    data.install(&plugin);
    data.ok(["rebuild", "faulty", "--chunk-size", "100"]);
    data.run(["rebuild", "faulty", "--stream", "b"]).refused(3, &["stream b reads the row s00 of table seen"]);
    assert_eq!(data.json(["rebuild", "faulty", "--stream", "c"])["rows"], 1);
}

/// In the middle of a history, several instances: any run comes to the rows of one instance, or to none.
#[test]
fn no_rows_come_of_chance() {
    let data = Data::new(BINARY);
    // Each stream but `s00` asks for its row now and then.
    let faults: Vec<_> = (3_000..3_040).filter(|number| number % 40 != 0).map(|number| (number, "Late")).collect();
    data.import(&data.file("events.ndjson", history::mixed(4_000, &faults)));
    data.install(&plugin_with("faulty", &["neighbours"]));
    let ended = data.run(["--instances", "2", "rebuild", "faulty", "--chunk-size", "1000"]);
    ended.refused(1, &["reads the row s00 of table seen", "which stream s00 writes"]);
    assert_eq!(data.json(["status", "faulty"])["eventsProcessed"], 3_000, "what came before is as good as ever");
}

/// The difference may begin late, and only where a resume cuts history elsewhere.
#[test]
fn events_that_cannot_be_handled_are_set_aside_in_every_run_mode() {
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
    verify(&data, &plugin, &nothing).refused(3, &["nothing was compared"]);
}
