//! What goes wrong again and again is counted, told, and does not go on for ever.

use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn faulty(events: usize, others: &[(usize, &'static str)]) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(events, others)));
    data.install(&plugin("faulty"));
    data
}

#[test]
fn retries_are_counted_where_operators_look() {
    let data = faulty(100, &[(10, "Transient"), (30, "Transient")]);
    let ended = data.exits(1, ["rebuild", "faulty"]);
    assert_eq!((&ended["status"], &ended["retries"]), (&json!("failed"), &json!(4)));
    assert_eq!(data.json(["status", "faulty"])["retries"], 4);
    // Parked after as many tries, each of them; counted on from before.
    let ended = data.exits(1, ["rebuild", "faulty", "--on-error", "park"]);
    assert_eq!(
        (&ended["trigger"]["status"], &ended["retries"], &ended["parked"]),
        (&json!("resumed"), &json!(12), &json!(5))
    );
    assert_eq!(data.json(["status", "faulty"])["retries"], 12);
    assert_eq!(data.list(["list", "--all"])[0]["retries"], 12);
    assert_eq!(data.json(["model", "receipt", "faulty", "--generation", "1"])["retries"], 12);
    assert_eq!(data.json(["status", "faulty"])["stalled"], false);
}

#[test]
fn a_rebuild_in_which_the_host_dies_again_and_again_is_left_failed_and_can_be_resumed() {
    // The first event keeps its handler busy: the checkpoint stays where it is.
    let data = faulty(50, &[(0, "Loop")]);
    let rebuild = data.start(["rebuild", "faulty", "--chunk-size", "5"]);
    let running = |status: &Value| status["status"] == "running";
    data.wait_for_host();
    data.wait_for("faulty", running);
    rebuild.kill();
    for _ in 0..2 {
        let host = data.serve();
        data.wait_for("faulty", running);
        host.kill();
    }
    let told = data.scratch("alert.json");
    let mut host = data.start(["--alert", &format!("cat > {}", told.display()), "serve"]);
    host.wait_for_line("serving");
    let left = data.json(["status", "faulty"]);
    assert_eq!((&left["status"], &left["position"]), (&json!("failed"), &json!(0)));
    assert!(left["error"].as_str().unwrap().contains("3 times in a row"), "{left:#}");
    // The host does not wait for the command.
    data.wait_for("faulty", |_| std::fs::read(&told).is_ok_and(|told| told.ends_with(b"\n")));
    let told: Value = serde_json::from_slice(&std::fs::read(told).unwrap()).unwrap();
    assert_eq!((&told["projectionName"], &told["status"]), (&json!("faulty"), &json!("failed")));

    let fixed = plugin_with("faulty", &["fixed"]);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
    assert_eq!(data.json(["resume", "faulty"])["status"], "completed");
    assert_eq!(data.rows("faulty/seen").len(), 40);
    drop(host);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

/// A host that dies often, but later each time, is on its way.
#[test]
fn a_rebuild_that_moves_between_the_deaths_of_its_hosts_goes_on() {
    let data = faulty(20_000, &[]);
    let mut host = data.start(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "500"]);
    data.wait_for_host();
    let mut reached = 0;
    for _ in 0..4 {
        let further = |status: &Value| status["position"].as_u64().unwrap() >= reached + 50;
        reached = data.wait_for("faulty", further)["position"].as_u64().unwrap();
        host.kill();
        host = data.serve();
        assert_eq!(data.json(["status", "faulty"])["status"], "running");
    }
    data.ok(["pause", "faulty"]);
    assert_eq!(data.json(["rebuild", "faulty", "--rate-limit", "1000000"])["status"], "completed");
    assert_eq!(data.rows("faulty/seen").len(), 40);
    drop(host);
}
