//! What a plugin does wrong stops its rebuild exactly there, says what and where, and hurts nobody else.

use serde_json::{Value, json};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory whose log has events of the given types, and the plugin `faulty`.
fn faulty(types: &[&str]) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::of_types(types.iter().copied())));
    data.install(&plugin("faulty"));
    data
}

/// Rebuilds `faulty`, which must fail, and returns its last progress.
#[track_caller]
fn fail(data: &Data) -> Value {
    let answer: Answer = data.command(["--json", "rebuild", "faulty"]).output().unwrap().into();
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    let ended = answer.json();
    assert_eq!(ended["status"], "failed");
    assert_eq!(data.json(["status", "faulty"])["status"], "failed");
    ended
}

#[test]
fn every_misbehaviour_stops_at_its_event_and_is_told_apart() {
    let cases = [
        ("Error", "handler", "cannot be handled"),
        ("Panic", "trap", "src/lib.rs"),
        ("Loop", "deadline", "processor time"),
        ("Memory", "memory", "64.0 MiB"),
        ("Recursion", "stack", "recurses too deeply"),
        ("BadOutput", "bad_output", "write frame"),
        ("ForeignTable", "bad_output", "describe does not name"),
    ];
    for (kind, expected, words) in cases {
        let data = faulty(&["Fine", "Fine", kind, "Fine"]);
        let ended = fail(&data);
        assert_eq!(ended["lastEventId"], "e1", "{kind}");
        assert_eq!((&ended["eventsProcessed"], &ended["position"]), (&json!(2), &json!(2)), "{kind}");
        let failure = &ended["failure"];
        assert_eq!(failure["kind"], expected, "{failure:#}");
        assert_eq!(
            (&failure["eventId"], &failure["eventType"], &failure["position"]),
            (&json!("e2"), &json!(kind), &json!(3))
        );
        let error = ended["error"].as_str().unwrap();
        for word in ["e2", kind, "position 3", words] {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(failure["pluginDigest"].as_str().is_some_and(|digest| digest.len() == 64));
        data.run(["model", "export", "faulty/seen"]).refused(3, &["no read model yet"]);
        let generation = data.ok(["model", "export", "faulty/seen", "--generation", "1"]);
        assert_eq!(generation.lines().count(), 2, "the rows before the failure are there, and no other: {kind}");
    }
}

#[test]
fn a_panic_names_file_and_line_and_shows_the_call_stack() {
    let data = faulty(&["Fine", "Panic"]);
    let failure = &fail(&data)["failure"];
    let message = failure["message"].as_str().unwrap();
    let line = message.split("src/lib.rs:").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let source = std::fs::read_to_string(unspool_tests::plugins::source("faulty").join("src/lib.rs")).unwrap();
    assert!(source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().contains("panic!"), "{message}");
    let stack = failure["backtrace"].as_array().unwrap();
    assert!(stack.iter().any(|frame| frame.as_str().unwrap().contains("faulty")), "{stack:#?}");
}

#[test]
fn a_transient_error_is_retried_and_counted_before_it_fails() {
    let data = faulty(&["Fine", "Transient", "Fine"]);
    let ended = fail(&data);
    assert_eq!((&ended["lastEventId"], &ended["failure"]["transient"]), (&json!("e0"), &json!(true)));
    assert_eq!((&ended["retries"], &ended["failure"]["tries"]), (&json!(4), &json!(5)));
}

#[test]
fn a_flood_of_log_lines_does_no_harm() {
    let data = faulty(&["Fine", "LogFlood", "Fine"]);
    let answer = data.run(["rebuild", "faulty"]);
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert!(answer.stderr.lines().count() < 200);
    assert!(answer.stderr.contains("were not shown"));
    assert_eq!(data.rows("faulty/seen").len(), 3);
}

#[test]
fn a_fixed_plugin_goes_on_where_the_broken_one_stopped() {
    let types = ["Fine", "Panic", "Fine", "Error", "BadOutput", "Loop", "Fine"];
    let data = faulty(&types);
    fail(&data);
    data.run(["resume", "faulty"]).refused(1, &["e1"]);
    let fixed = plugin_with("faulty", &["fixed"]);
    let swapped = data.json(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
    assert_eq!(swapped["sameShape"], true);
    let ended = data.json(["resume", "faulty"]);
    assert_eq!((&ended["status"], &ended["trigger"]["status"]), (&json!("completed"), &json!("resumed")));
    assert_eq!((&ended["trigger"]["fromEventId"], &ended["eventsProcessed"]), (&json!("e0"), &json!(types.len())));

    let never_failed = Data::new(BINARY);
    never_failed.import(&data.scratch("events.ndjson"));
    never_failed.install(&fixed);
    never_failed.ok(["rebuild", "faulty"]);
    assert_eq!(data.digest("faulty"), never_failed.digest("faulty"));

    let generations = data.json(["model", "generations", "faulty"]);
    let ranges = generations["ranges"].as_array().unwrap();
    assert_eq!(ranges.len(), 2, "which plugin built which part is recorded: {generations:#}");
    let history = data.ok(["plugin", "history", "faulty"]);
    assert_eq!(history.lines().count(), 2);
    data.ok(["plugin", "rollback", "faulty"]);
    assert_eq!(data.ok(["plugin", "history", "faulty"]).lines().count(), 3);
}

#[test]
fn a_healthy_rebuild_beside_them_completes() {
    for kind in ["Loop", "Memory", "Recursion"] {
        let data = faulty(&["Fine", kind]);
        data.install(&plugin("process-map"));
        let answer: Answer = data.command(["--json", "rebuild", "--all"]).output().unwrap().into();
        assert_eq!(answer.exit, Some(1));
        let ended: Vec<Value> = answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let status = |name: &str| ended.iter().find(|ended| ended["projectionName"] == name).unwrap()["status"].clone();
        assert_eq!((status("faulty"), status("process-map")), (json!("failed"), json!("completed")), "{kind}");
    }
}

#[test]
fn the_operator_is_alerted_with_the_failure_as_json() {
    let data = faulty(&["Fine", "Error"]);
    let told = data.scratch("alert.json");
    let answer = data.run(["--alert", &format!("cat > {}", told.display()), "rebuild", "faulty"]);
    assert_eq!(answer.exit, Some(1));
    assert!(answer.stderr.contains("ERROR"), "{answer:#?}");
    let told: Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!(
        (&told["projectionName"], &told["status"], &told["failure"]["eventId"]),
        (&json!("faulty"), &json!("failed"), &json!("e1"))
    );
}

/// Calls that are too much for one instance are found out once, and no event is lost or handled twice on the way.
#[test]
fn calls_that_are_too_much_for_one_instance_become_smaller() {
    let data = Data::new(BINARY);
    let text = "x".repeat(200 << 10);
    let event = |n: usize| json!({ "id": format!("e{n}"), "stream": format!("s{}", n % 3), "type": "Fine", "timestamp": n, "data": text });
    let lines: String = (0..150).map(|n| format!("{}\n", event(n))).collect();
    data.import(&data.file("events.ndjson", lines));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    let digest = data.digest("faulty");
    let tight = data.run(["--memory", "4", "rebuild", "faulty"]);
    assert_eq!(tight.exit, Some(0), "{tight:#?}");
    assert!(tight.stderr.contains("calls are smaller from now on"), "{tight:#?}");
    assert!(tight.stderr.matches("calls are smaller").count() < 6, "it is found out again and again: {tight:#?}");
    assert_eq!(data.digest("faulty"), digest);
}
