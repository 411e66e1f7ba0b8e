//! A swap is a recorded decision: what changes is said before, where the new plugin begins is the operator's choice, and
//! what it would change can be tried first.

use serde_json::{Value, json};
use std::{ffi::OsStr, path::Path};
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
    store_file,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// The plugin that is wrong about `Late` events shows it after this event only.
const LATE: [(usize, &str); 2] = [(700, "Late"), (777, "Late")];
const EVENTS: usize = 1_000;

/// A data directory with that history, rebuilt by the plugin that is wrong about it.
fn off_by_one() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &LATE)));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty", "--chunk-size", "30"]);
    data
}

/// The digest of a run with the right plugin alone.
fn right_alone() -> String {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &LATE)));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    data.digest("faulty")
}

fn swap<'a>(file: &'a Path, how: &'a [&'a str]) -> Vec<&'a OsStr> {
    let mut args = vec!["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), file.as_os_str()];
    args.extend(how.iter().map(|arg| arg.as_ref() as &OsStr));
    args
}

fn ranges(data: &Data) -> Vec<(Value, Value, Value)> {
    let receipt = data.json(["model", "receipt", "faulty"]);
    let part = |range: &Value| (range["pluginDigest"].clone(), range["after"].clone(), range["through"].clone());
    receipt["ranges"].as_array().unwrap().iter().map(part).collect()
}

#[test]
fn a_swap_says_what_changes_and_what_follows() {
    let data = off_by_one();
    let right = plugin("faulty");
    let swapped = data.json(swap(&right, &["--continue"]));
    assert_eq!(
        (&swapped["fromVersion"], &swapped["toVersion"], &swapped["sameShape"]),
        (&json!(1), &json!(1), &json!(true))
    );
    assert_ne!(swapped["fromDigest"], swapped["toDigest"]);
    for field in ["addedEventTypes", "removedEventTypes", "addedTables", "removedTables"] {
        assert_eq!(swapped[field], json!([]), "{field}");
    }
    assert_eq!(swapped["rebuild"], Value::Null);
    assert!(swapped["next"].as_str().unwrap().contains("unspool rebuild faulty"), "{swapped:#}");
    assert_ne!(data.digest("faulty"), right_alone(), "what is built stays as it is");

    let reshaped = plugin_with("faulty", &["reshaped"]);
    let swapped = data.json(swap(&reshaped, &[]));
    assert_eq!((&swapped["toVersion"], &swapped["sameShape"]), (&json!(2), &json!(false)));
    assert_eq!((&swapped["addedTables"], &swapped["addedEventTypes"]), (&json!(["more"]), &json!(["New"])));
    let history = data.list(["plugin", "history", "faulty"]);
    let how: Vec<_> = history.iter().map(|install| install["how"].as_str().unwrap()).collect();
    assert_eq!(how, ["install", "swap", "swap"]);
}

#[test]
fn rewinding_to_before_the_bug_gives_the_rows_of_the_right_plugin_alone() {
    let expected = right_alone();
    let right = plugin("faulty");
    // By id, by position, by time: the event before the first late one, and the end of what was built.
    for (to, at) in [("e699", 700), ("123", 123), ("1970-01-01T00:05:00Z", 301), ("0", 0)] {
        let data = off_by_one();
        assert_ne!(data.digest("faulty"), expected);
        let answer = data.list(swap(&right, &["--rewind-to", to]));
        assert_eq!((&answer[0]["rebuild"]["status"], &answer[1]["status"]), (&json!("started"), &json!("completed")));
        assert_eq!(data.digest("faulty"), expected, "{to}");
        let (old, new) = (answer[0]["fromDigest"].clone(), answer[0]["toDigest"].clone());
        let parts = match at {
            0 => vec![(new, json!(0), json!(EVENTS))],
            at => vec![(old, json!(0), json!(at)), (new, json!(at), json!(EVENTS))],
        };
        assert_eq!(ranges(&data), parts, "{to}");
    }
}

/// Everything up to the end is the earlier plugin's then; the new one waits for later events.
#[test]
fn rewinding_to_the_checkpoint_itself_leaves_all_to_the_plugin_before() {
    let data = off_by_one();
    let before = data.digest("faulty");
    let answer = data.list(swap(&plugin("faulty"), &["--rewind-to", "e999"]));
    assert_eq!(answer[1]["status"], "completed");
    assert_eq!(data.digest("faulty"), before);
    assert_eq!(ranges(&data), [(answer[0]["fromDigest"].clone(), json!(0), json!(EVENTS))]);
}

#[test]
fn a_rewound_rebuild_that_is_killed_goes_on_with_the_plugin_of_its_part() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &LATE)));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "300"]);
    let right = plugin("faulty");
    for (part, beyond) in [(1, 100), (2, 500)] {
        let rebuild = if part == 1 {
            data.start(swap(&right, &["--rewind-to", "e399"]))
        } else {
            data.start(["resume", "faulty"])
        };
        data.wait_for_host();
        let there =
            |status: &Value| status["checkpointId"] == "faulty/2" && status["position"].as_u64().unwrap() >= beyond;
        data.wait_for("faulty", there);
        rebuild.kill();
    }
    data.ok(["resume", "faulty"]);
    assert_eq!(data.digest("faulty"), right_alone());
    let parts = ranges(&data);
    assert_eq!(parts.iter().map(|part| part.2.clone()).collect::<Vec<_>>(), [json!(400), json!(EVENTS)]);
}

#[test]
fn a_rewind_keeps_the_range_of_the_rebuild() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &LATE)));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty", "--from", "e100", "--to", "e899"]);
    for how in [&["--rewind-to", "e499"][..], &["--restart"]] {
        let fresh = if how.len() == 2 { plugin("faulty") } else { plugin_with("faulty", &["fixed"]) };
        let answer = data.list(swap(&fresh, how));
        assert_eq!((&answer[1]["eventsProcessed"], &answer[1]["position"]), (&json!(800), &json!(900)), "{how:?}");
        assert_eq!(data.json(["model", "receipt", "faulty"])["after"], 100);
    }
}

#[test]
fn a_rewind_is_refused_where_it_makes_no_sense_and_changes_nothing() {
    let data = off_by_one();
    let right = plugin("faulty");
    let later = json!({ "id": "later", "stream": "s00", "type": "Fine", "timestamp": 0, "data": {} });
    data.import(&data.file("later.ndjson", later.to_string()));
    data.run(swap(&right, &["--rewind-to", "later"])).refused(2, &["beyond the checkpoint", "1000"]);
    data.run(swap(&right, &["--rewind-to", "nothing"])).refused(3, &["nothing"]);
    let reshaped = plugin_with("faulty", &["reshaped"]);
    data.run(swap(&reshaped, &["--rewind-to", "e5"])).refused(2, &["--restart"]);
    data.run(swap(&right, &["--rewind-to", "e5", "--restart"])).refused(2, &["cannot be used with"]);
    assert_eq!(data.list(["plugin", "history", "faulty"]).len(), 1);
    assert_eq!(data.list(["model", "generations", "faulty"]).len(), 1);

    let fresh = Data::new(BINARY);
    fresh.install(&plugin_with("faulty", &["off-by-one"]));
    fresh.run(swap(&right, &["--rewind-to", "5"])).refused(2, &["never been rebuilt"]);
}

#[test]
fn a_restart_builds_everything_with_the_new_plugin() {
    let data = off_by_one();
    let answer = data.list(swap(&plugin("faulty"), &["--restart"]));
    assert_eq!(
        (&answer[0]["rebuild"]["checkpointId"], &answer[1]["status"]),
        (&json!("faulty/2"), &json!("completed"))
    );
    assert_eq!(data.digest("faulty"), right_alone());
    assert_eq!(ranges(&data), [(answer[0]["toDigest"].clone(), json!(0), json!(EVENTS))]);
    assert_eq!(data.json(["model", "receipt", "faulty"])["chunkSize"], 30, "the manner is that of the rebuild before");
}

#[test]
fn a_restart_that_cannot_be_begun_changes_nothing() {
    let data = Data::new(BINARY);
    let events = data.file("events.ndjson", history::mixed(EVENTS, &LATE));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty", "--source", &format!("file:{}", events.display())]);
    std::fs::remove_file(&events).unwrap();
    data.run(swap(&plugin("faulty"), &["--restart"])).refused(2, &["events.ndjson"]);
    assert_eq!(data.list(["plugin", "history", "faulty"]).len(), 1);
    // Nor where its rows would go.
    data.file("events.ndjson", history::of_types(["Other"]));
    data.run(swap(&plugin("faulty"), &["--restart"])).refused(3, &["--allow-empty"]);
    assert_eq!(data.list(["plugin", "history", "faulty"]).len(), 1);
    assert_eq!(data.list(["model", "generations", "faulty"]).len(), 1);
}

#[test]
fn a_running_rebuild_is_rewound_in_the_host_that_runs_it() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(EVENTS, &LATE)));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    let right = plugin("faulty");
    let host = data.serve();
    data.ok(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "200", "--detach"]);
    data.wait_for("faulty", |status| status["position"].as_u64().unwrap() >= 200);
    let swapped = data.json(swap(&right, &["--rewind-to", "e99"]));
    assert_eq!(swapped["rebuild"]["checkpointId"], "faulty/2");
    data.wait_for("faulty", |status| status["status"] == "completed");
    assert_eq!(data.digest("faulty"), right_alone());
    assert_eq!(ranges(&data).len(), 2);
    drop(host);
}

#[test]
fn a_candidate_is_tried_on_the_last_events_and_nothing_is_kept() {
    let data = off_by_one();
    let (before, tables) = (data.digest("faulty"), store_file::tables(&data));
    let right = plugin("faulty");
    let attempt = |last: &str| {
        data.json([
            "plugin".as_ref(),
            "try".as_ref(),
            "faulty".as_ref(),
            right.as_os_str(),
            "--last".as_ref(),
            OsStr::new(last),
        ])
    };
    // Both late events are among the last 300, one of them among the last 250, none among the last 100.
    let tried = attempt("300");
    assert_eq!((&tried["after"], &tried["rows"]), (&json!(700), &json!(42)));
    assert_eq!((&tried["different"], &tried["extra"], &tried["missing"]), (&json!(2), &json!(2), &json!(0)));
    let differs = json!({ "table": "seen", "key": "s17", "what": "different", "fields": [{ "field": "count", "expected": 25, "found": 26 }] });
    assert!(tried["first"].as_array().unwrap().contains(&differs), "{tried:#}");
    let tried = attempt("250");
    assert_eq!((&tried["after"], &tried["different"]), (&json!(750), &json!(1)));
    let tried = attempt("100");
    assert_eq!((&tried["different"], &tried["extra"], &tried["first"]), (&json!(0), &json!(0), &json!([])));
    assert_eq!(attempt("0")["different"], 0);
    assert_eq!(attempt("100000")["after"], 0);

    assert_eq!(data.digest("faulty"), before);
    assert_eq!(data.list(["model", "generations", "faulty"]).len(), 1);
    assert_eq!(store_file::tables(&data), tables);
    assert_eq!(data.list(["plugin", "history", "faulty"]).len(), 1, "it is not in place");
    let other = plugin("process-map");
    data.run(["plugin".as_ref(), "try".as_ref(), "faulty".as_ref(), other.as_os_str()]).refused(2, &["process-map"]);
}

#[test]
fn a_candidate_is_tried_on_parked_events_too() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(400, &[(50, "Error"), (60, "Panic")])));
    data.install(&plugin("faulty"));
    data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    let fixed = plugin_with("faulty", &["fixed"]);
    let tried = data.json([
        "plugin".as_ref(),
        "try".as_ref(),
        "faulty".as_ref(),
        fixed.as_os_str(),
        "--last".as_ref(),
        "10".as_ref(),
    ]);
    assert_eq!(tried["parked"], json!([18, 0]), "{tried:#}");
    assert_eq!(tried["different"], 2, "the two streams get what was parked");
    assert_eq!(data.json(["status", "faulty"])["parked"], 18);
}
