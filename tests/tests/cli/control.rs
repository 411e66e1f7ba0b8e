//! Commands from other terminals while a host runs, signals, and what readers see meanwhile.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};
use unspool_tests::{
    data::{Answer, Data},
    history, oracle,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with orders and `order-summary`.
fn with_orders(events: u64) -> (Data, Vec<Value>) {
    let data = Data::new(BINARY);
    let lines = history::orders(events, 11);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    (data, history::events(&lines))
}

/// A rebuild that is met in the middle on a busy machine too: tests end it, or let it go on without a limit.
const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "1000"];

fn processed(status: &Value) -> u64 {
    status["eventsProcessed"].as_u64().unwrap()
}

#[test]
fn another_terminal_watches_pauses_resumes_and_cancels() {
    let (data, _) = with_orders(30_000);
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    let seen = data.wait_for("order-summary", |status| processed(status) >= 40);
    assert_eq!((&seen["status"], &seen["totalEvents"]), (&json!("running"), &json!(30_000)));
    assert!(seen["eventsPerSecond"].as_f64().unwrap() > 0.0 && seen["estimatedRemainingMs"].as_u64().unwrap() > 0);
    assert_eq!(data.json(["list"])["projectionName"], "order-summary");
    assert_eq!(data.json(["rebuild", "order-summary", "--detach"])["status"], "already_running");
    data.run(["rebuild", "order-summary", "--restart", "--detach"]).refused(3, &["cancel it before"]);

    let paused = data.json(["pause", "order-summary"]);
    assert_eq!(paused["status"], "paused");
    assert_eq!(rebuild.end().exit, Some(130), "the rebuild's own terminal ends when it is paused elsewhere");
    let later = data.json(["status", "order-summary"]);
    assert_eq!(processed(&later), processed(&paused), "nothing is handled after a pause is acknowledged");

    let resumed = data.json(["resume", "order-summary", "--detach"]);
    assert_eq!((&resumed["status"], &resumed["fromEventId"]), (&json!("resumed"), &later["lastEventId"]));
    data.wait_for("order-summary", |status| processed(status) > processed(&later));
    assert_eq!(data.json(["cancel", "order-summary"])["status"], "cancelled");
    let answer: Answer = data.command(["--json", "cancel", "order-summary"]).output().unwrap().into();
    assert_eq!((answer.exit, answer.json()["status"].clone()), (Some(3), json!("not_running")));
    data.run(["resume", "order-summary"]).refused(3, &["cancelled", "nothing to resume"]);
    let answer: Answer = data.command(["--json", "cancel", "nobody"]).output().unwrap().into();
    assert_eq!((answer.exit, answer.json()["status"].clone()), (Some(3), json!("not_found")));
}

#[test]
fn a_first_interrupt_pauses_and_a_rebuild_goes_on_from_there() {
    let (data, events) = with_orders(20_000);
    for signal in [Signal::INT, Signal::TERM] {
        let rebuild = data.start(SLOW);
        data.wait_for_host();
        let before = data.wait_for("order-summary", |status| status["status"] == "running" && processed(status) >= 20);
        rebuild.signal(signal);
        assert_eq!(rebuild.end().exit, Some(130));
        let left = data.json(["status", "order-summary"]);
        assert_eq!(left["status"], "paused");
        assert!(processed(&left) >= processed(&before));
        assert!(!data.path().join("control.sock").exists(), "the socket is removed");
    }
    let ended = data.json(["rebuild", "order-summary", "--rate-limit", "1000000"]);
    assert_eq!(ended["trigger"]["status"], "resumed");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

#[test]
fn the_socket_is_its_owners_and_a_stale_one_is_recognised() {
    let (data, _) = with_orders(1_000);
    let host = data.serve();
    let socket = data.path().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    data.run(["serve"]).refused(3, &["running", "already"]);
    host.kill();
    assert!(socket.exists(), "kill -9 leaves it");
    assert_eq!(data.json(["rebuild", "order-summary"])["status"], "completed");
    assert!(!socket.exists());
}

#[test]
fn a_host_that_serves_does_everything_for_other_terminals() {
    let (data, events) = with_orders(3_000);
    let mut host = data.serve();
    data.install(&plugin("process-map"));
    let more = data.file("more.ndjson", history::of_types(["Unknown"]));
    assert_eq!(data.import(&more)["added"], 1);
    let to = events[2_999]["id"].as_str().unwrap();
    assert_eq!(data.json(["rebuild", "order-summary", "--to", to])["status"], "completed");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    assert_eq!(data.json(["rebuild", "order-summary", "--detach", "--to", to])["status"], "started");
    data.wait_for("order-summary", |status| status["status"] == "completed");
    assert_eq!(data.ok(["model", "generations", "order-summary"]).lines().count(), 2);
    assert!(host.is_alive());
    host.signal(Signal::INT);
    assert_eq!(host.end().exit, Some(0));
}

#[test]
fn what_a_killed_host_left_running_goes_on_when_the_next_one_serves() {
    let (data, events) = with_orders(3_000);
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("order-summary", |status| processed(status) >= 100);
    rebuild.kill();
    let _host = data.serve();
    let resumed = data.wait_for("order-summary", |status| status["status"] != "paused");
    assert!(processed(&resumed) >= 100);
    data.wait_for("order-summary", |status| status["status"] == "completed");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

#[test]
fn readers_see_the_old_rows_until_the_end_and_a_rollback_brings_them_back() {
    let (data, events) = with_orders(20_000);
    let early = events[999]["id"].as_str().unwrap();
    data.ok(["rebuild", "order-summary", "--to", early]);
    let old = oracle::orders(&events[..1_000]).0;
    assert_eq!(data.rows("order-summary/orders"), old);

    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("order-summary", |status| status["status"] == "running" && processed(status) >= 1_200);
    assert_eq!(data.rows("order-summary/orders"), old, "a rebuild does not touch what readers see");
    assert_eq!(data.json(["status", "order-summary"])["status"], "running");
    data.ok(["pause", "order-summary"]);
    assert_eq!(rebuild.end().exit, Some(130));
    assert_eq!(data.rows("order-summary/orders"), old, "neither does a pause");
    data.ok(["rebuild", "order-summary", "--rate-limit", "1000000"]);
    let new = oracle::orders(&events).0;
    assert_eq!(data.rows("order-summary/orders"), new);

    data.ok(["model", "rollback", "order-summary", "--now"]);
    assert_eq!(data.rows("order-summary/orders"), old);
    data.ok(["model", "promote", "order-summary"]);
    assert_eq!(data.rows("order-summary/orders"), new);
}

#[test]
fn a_plugin_is_swapped_under_a_running_rebuild_between_two_chunks() {
    let data = Data::new(BINARY);
    let fixed = plugin_with("faulty", &["fixed"]);
    let types = vec!["Fine"; 20_000];
    data.import(&data.file("events.ndjson", history::of_types(types)));
    data.install(&plugin("faulty"));
    let rebuild = data.start(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "1000"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| processed(status) >= 50);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
    // It goes on by itself, with the new plugin, in the terminal where it was started.
    let swapped = processed(&data.json(["status", "faulty"]));
    data.wait_for("faulty", |status| status["status"] == "running" && processed(status) > swapped);
    data.ok(["pause", "faulty"]);
    assert_eq!(rebuild.end().exit, Some(130));
    data.ok(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert_eq!(data.rows("faulty/seen").len(), 20_000);
    let ranges = data.json(["model", "generations", "faulty"])["ranges"].clone();
    assert_eq!(ranges.as_array().unwrap().len(), 2, "{ranges:#}");
    assert_eq!(ranges[0]["through"], ranges[1]["after"]);
}

#[test]
fn rows_are_read_by_key_by_prefix_and_in_order() {
    let (data, events) = with_orders(2_000);
    data.ok(["rebuild", "order-summary"]);
    let rows = oracle::orders(&events).0;
    let (key, row) = rows.iter().nth(3).unwrap();
    assert_eq!(&data.json(["model", "get", "order-summary/orders", key])["value"], row);
    data.run(["model", "get", "order-summary/orders", "nobody"]).refused(3, &["nobody"]);
    let prefix = &key[..1];
    let scanned = data.ok(["model", "scan", "order-summary/orders", "--prefix", prefix, "--limit", "5"]);
    let expected: Vec<_> = rows.keys().filter(|key| key.starts_with(prefix)).take(5).collect();
    let found: Vec<Value> = scanned.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.iter().map(|row| row["key"].as_str().unwrap()).collect::<Vec<_>>(), expected);
}

/// Bytes that each thread of `process` has written to files, with its nice value.
fn written(process: rustix::process::Pid) -> BTreeMap<String, (u64, i64)> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    let thread = |task: std::path::PathBuf| {
        let stat = std::fs::read_to_string(task.join("stat")).ok()?;
        let io = std::fs::read_to_string(task.join("io")).ok()?;
        let (head, fields) = stat.rsplit_once(") ")?;
        let name = head.split_once('(')?.1.to_owned();
        let bytes = io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse().ok()?;
        // The 19th field of the line; the first two are in front of this.
        Some((name, (bytes, fields.split(' ').nth(16)?.parse().ok()?)))
    };
    tasks.filter_map(|task| thread(task.ok()?.path())).collect()
}

#[test]
fn a_rebuild_is_committed_at_its_priority() {
    // A host gives way from where it was started, and never takes more than it was given.
    let own = i64::from(rustix::process::getpriority_process(None).unwrap());
    for (priority, works, rests, nice, handles) in [
        ("low", "low committer", "committer", own.max(10), own.max(19)),
        ("normal", "committer", "low committer", own, own),
    ] {
        let (data, _) = with_orders(20_000);
        let slow = ["--chunk-size", "50", "--rate-limit", "1000", "--priority", priority];
        let rebuild = data.start([&["rebuild", "order-summary"], &slow[..]].concat());
        data.wait_for_host();
        data.wait_for("order-summary", |status| processed(status) > 400);
        let threads = written(rebuild.pid());
        assert!(threads[works].0 > 10_000, "{priority}: {threads:?}");
        assert!(threads[rests].0 < 1_000, "{priority}: {threads:?}");
        assert_eq!((threads[works].1, threads["rebuild order-s"].1), (nice, handles), "{priority}: {threads:?}");
        rebuild.signal(Signal::INT);
        assert_eq!(rebuild.end().exit, Some(130));
    }
}

/// What was paused, and what failed, goes on by one command, which says where there is nothing of the kind.
#[test]
fn all_that_can_go_on_does_by_one_command() {
    let (data, _) = with_orders(2_000);
    data.install(&plugin("faulty"));
    data.run(["resume", "--all"]).refused(3, &["nothing to resume"]);
    let mixed = data.file("mixed.ndjson", history::mixed(1_000, &[(500, "Error")]));
    data.run(["rebuild", "faulty", "--source", &format!("file:{}", mixed.display())]).refused(1, &["Error"]);
    let host = data.serve();
    data.ok(["rebuild", "order-summary", "--rate-limit", "100", "--detach"]);
    data.wait_for("order-summary", |status| processed(status) > 0);
    data.ok(["pause", "order-summary"]);
    data.ok(["rebuild", "order-summary", "--rate-limit", "1000000", "--no-promote", "--dry-run"]);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), plugin_with("faulty", &["fixed"]).as_os_str()]);
    let resumed = data.list(["resume", "--all", "--detach"]);
    let names: Vec<_> = resumed.iter().map(|answer| (&answer["projectionName"], &answer["status"])).collect();
    assert_eq!(names, [(&json!("faulty"), &json!("resumed")), (&json!("order-summary"), &json!("resumed"))]);
    data.wait_for("faulty", |status| status["status"] == "completed");
    data.ok(["cancel", "order-summary"]);
    data.run(["resume", "--all"]).refused(3, &["nothing to resume"]);
    data.run(["resume", "faulty", "--all"]).refused(2, &["cannot be used with"]);
    host.kill();
}

#[test]
fn shells_and_man_know_every_command() {
    let data = Data::new(BINARY);
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef unspool"), ("fish", "complete -c unspool")] {
        let script = data.ok(["completions", shell]);
        assert!(script.contains(word) && script.contains("dead-letters") && script.contains("rate-limit"), "{shell}");
    }
    let dir = data.scratch("man");
    let written = data.json(["man".as_ref(), dir.as_os_str()]);
    assert!(written["pages"].as_u64() > Some(20), "{written}");
    let page = std::fs::read_to_string(dir.join("unspool-rebuild.1")).unwrap();
    assert!(page.contains("rate") && page.contains("Events per second"), "{page}");
    assert!(!data.path().exists(), "no data directory is made");
}

/// What a host cannot be told any more is not taken for granted.
#[test]
fn options_of_a_host_that_runs_already_are_refused() {
    let (data, _) = with_orders(2_000);
    let host = data.serve();
    for option in [["--memory", "128"], ["--instances", "2"]] {
        for command in [&["rebuild", "order-summary", "--detach"][..], &["resume", "order-summary"]] {
            data.run([&option[..], command].concat()).refused(3, &["was started with", option[0]]);
            data.run([command, &option[..]].concat()).refused(3, &["was started with", option[0]]);
        }
    }
    let output = data.command(["rebuild", "order-summary", "--detach"]).env("UNSPOOL_INSTANCES", "2").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "what the environment says holds for hosts that are started");
    host.kill();
}
