//! A read model that stays up to date: new events are handled as they come, by the same commits as a rebuild's, while the model is
//! rebuilt, verified, repaired and rolled back.

use serde_json::{Value, json};
use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
};
use unspool_tests::{
    data::{Data, poll},
    history, oracle,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with `order-summary`, and a history in four files.
fn with_parts() -> (Data, Vec<PathBuf>, Vec<Value>) {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let (parts, events) = parts_of(&data, &history::orders(4_000, 13), 1_000);
    (data, parts, events)
}

/// The history in files of so many events, beside the data directory.
fn parts_of(data: &Data, lines: &[u8], events: usize) -> (Vec<PathBuf>, Vec<Value>) {
    let text = std::str::from_utf8(lines).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let parts = all.chunks(events).enumerate().map(|(number, part)| {
        let content = part.iter().map(|line| format!("{line}\n")).collect::<String>();
        data.file(&format!("part-{number}.ndjson"), content)
    });
    (parts.collect(), history::events(lines))
}

/// Waits until what readers see has so many events.
fn fresh(data: &Data, name: &str, events: u64) -> Value {
    data.wait_for(name, |status| {
        let live = status.get("live").map_or(&status["eventsProcessed"], |live| &live["events"]);
        *live == json!(events) && status["follow"]["events"] == 0
    })
}

fn live(data: &Data, name: &str) -> u64 {
    data.json(["status", name])["liveGeneration"].as_u64().expect("a live generation")
}

fn swap(data: &Data, name: &str, file: &Path) -> Value {
    data.json(["plugin", "swap", name, file.to_str().unwrap()])
}

#[test]
fn a_generation_that_was_completed_long_ago_is_kept_up_to_date() {
    let (data, parts, events) = with_parts();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary"]);
    data.import(&parts[1]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..1_000]).0);

    // Once, in this process.
    let caught_up = data.json(["catch-up", "order-summary"]);
    assert_eq!((&caught_up["status"], &caught_up["events"]), (&json!("caught_up"), &json!(1_000)));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0);
    assert_eq!(data.json(["catch-up", "order-summary"])["events"], 0, "there is nothing new");
    assert_eq!(data.json(["status", "order-summary"])["status"], "completed");

    // And on and on.
    let host = data.serve();
    assert_eq!(data.json(["follow", "order-summary"])["status"], "following");
    assert_eq!(data.json(["follow", "order-summary"])["status"], "already_following");
    data.import(&parts[2]);
    let status = fresh(&data, "order-summary", 3_000);
    assert_eq!((&status["status"], &status["following"]), (&json!("completed"), &json!("following")));
    assert_eq!(status["follow"], json!({ "events": 0, "ms": 0 }));
    assert_eq!(status["staleSince"], Value::Null);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..3_000]).0);

    // Killed, it goes on with the next host, and nobody has to say so.
    host.kill();
    let left = data.json(["status", "order-summary"]);
    assert_eq!((&left["following"], &left["follow"]["events"]), (&json!("following"), &Value::Null));
    assert!(left["staleSince"].is_i64(), "nobody follows it: {left:#}");
    let _host = data.serve();
    data.import(&parts[3]);
    fresh(&data, "order-summary", 4_000);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);

    // The receipt tells all of it.
    let receipt = data.json(["model", "receipt", "order-summary"]);
    assert_eq!((&receipt["events"]["handled"], &receipt["status"]), (&json!(4_000), &json!("completed")));
    assert_eq!(receipt["ranges"].as_array().unwrap().len(), 1);
    assert_eq!(receipt["digest"], json!(data.digest("order-summary")));

    assert_eq!(data.json(["unfollow", "order-summary"])["status"], "stopped");
    assert_eq!(data.exits(3, ["unfollow", "order-summary"])["status"], "not_following");
    assert_eq!(data.json(["status", "order-summary"]).get("following"), None);
    data.run(["pause", "order-summary"]).refused(3, &["completed", "only a running one can be paused"]);
}

/// After a kill nobody has to serve: whoever is asked for it does it.
#[test]
fn what_a_host_followed_that_was_killed_is_caught_up_with_and_followed_without_another_one() {
    let (data, parts, events) = with_parts();
    let host = data.serve();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary", "--follow"]);
    fresh(&data, "order-summary", 1_000);
    host.kill();
    data.import(&parts[1]);
    let caught_up = data.json(["catch-up", "order-summary"]);
    assert_eq!((&caught_up["status"], &caught_up["events"]), (&json!("caught_up"), &json!(1_000)));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0);
    assert_eq!(data.json(["status", "order-summary"])["following"], "following", "once more does not end it");

    data.import(&parts[2]);
    let mut follower = data.start(["follow", "order-summary"]);
    data.wait_for_host();
    fresh(&data, "order-summary", 3_000);
    data.import(&parts[3]);
    fresh(&data, "order-summary", 4_000);
    assert!(follower.is_alive(), "it stays");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    data.ok(["unfollow", "order-summary"]);
    assert_eq!(follower.end().exit, Some(0), "it has nothing to stay for");
}

#[test]
fn what_cannot_be_followed_is_refused_and_stays_as_it_is() {
    let (data, parts, events) = with_parts();
    data.import(&parts[0]);
    data.run(["follow", "order-summary"]).refused(3, &["no read model yet", "unspool rebuild order-summary"]);
    data.ok(["rebuild", "order-summary", "--to", "500"]);
    data.run(["follow", "order-summary"]).refused(3, &["--to", "unspool rebuild order-summary --follow"]);
    data.run(["catch-up", "order-summary"]).refused(3, &["--to"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..500]).0);
    data.run(["follow", "nothing"]).refused(3, &["no projection is named nothing"]);
    data.run(["unfollow", "nothing"]).refused(3, &["no projection is named nothing"]);
}

/// The candidate is built beside what readers see, which goes on; it is promoted at a position that is not behind.
#[test]
fn a_rebuild_beside_a_followed_generation_takes_nobody_back() {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let (parts, events) = parts_of(&data, &history::orders(12_000, 13), 250);
    let _host = data.serve();
    for part in &parts[..24] {
        data.import(part);
    }
    data.ok(["rebuild", "order-summary", "--follow"]);
    fresh(&data, "order-summary", 6_000);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for part in &parts[24..] {
                data.import(part);
            }
        });
        // Readers never go back, whatever is done meanwhile.
        let looker = scope.spawn(|| {
            let (mut looks, mut newest) = (0, 0);
            while !over.load(Ordering::SeqCst) {
                let status = data.json(["status", "order-summary"]);
                let live = status.get("live").unwrap_or(&status);
                let position = live["position"].as_u64().expect("a position");
                assert!(position >= newest, "readers were taken back from {newest} to {position}: {status:#}");
                (newest, looks) = (position, looks + 1);
            }
            looks
        });
        data.ok(["rebuild", "order-summary", "--restart", "--chunk-size", "20"]);
        assert_eq!(live(&data, "order-summary"), 2);
        assert_eq!(data.json(["model", "verify", "order-summary"])["different"], 0);
        data.ok(["model", "rollback", "order-summary"]);
        assert_eq!(live(&data, "order-summary"), 1);
        data.ok(["model", "rollback", "order-summary"]);
        assert_eq!(live(&data, "order-summary"), 2);
        swap(&data, "order-summary", &plugin("order-summary"));
        fresh(&data, "order-summary", 12_000);
        over.store(true, Ordering::SeqCst);
        assert!(looker.join().unwrap() > 5, "nobody has looked");
    });
    assert_eq!(data.json(["status", "order-summary"])["following"], "following");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    // What they saw before stands where it stood, and is brought forward before they see it again.
    data.ok(["model", "rollback", "order-summary"]);
    assert_eq!(live(&data, "order-summary"), 1);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

#[test]
fn a_rollback_is_fresh_unless_it_is_to_be_now() {
    let (data, parts, events) = with_parts();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary"]);
    data.import(&parts[1]);
    data.ok(["rebuild", "order-summary"]);
    let switched = data.json(["model", "rollback", "order-summary"]);
    assert_eq!((&switched["liveGeneration"], switched.get("takenBackFrom")), (&json!(1), None));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0);

    data.import(&parts[2]);
    data.ok(["rebuild", "order-summary"]);
    let switched = data.json(["model", "rollback", "order-summary", "--now"]);
    assert_eq!(
        (&switched["liveGeneration"], &switched["takenBackFrom"], &switched["takenBackTo"]),
        (&json!(1), &json!(3_000), &json!(2_000))
    );
    // It has caught up since.
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..3_000]).0);
}

/// While it is followed, a rebuild that would end before it is refused.
#[test]
fn a_candidate_that_ends_before_the_live_generation_is_refused() {
    let (data, parts, _) = with_parts();
    let _host = data.serve();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary", "--follow"]);
    fresh(&data, "order-summary", 1_000);
    data.run(["rebuild", "order-summary", "--to", "500"])
        .refused(3, &["would take them back", "--no-promote", "unspool unfollow order-summary"]);
    data.ok(["rebuild", "order-summary", "--to", "500", "--no-promote"]);
    assert_eq!(
        (live(&data, "order-summary"), data.json(["status", "order-summary"])["generation"].clone()),
        (1, json!(2))
    );
    data.import(&parts[1]);
    fresh(&data, "order-summary", 2_000);
}

/// An event that cannot be handled: the rows stay readable, and the fixed plugin goes on from there by itself.
#[test]
fn a_follower_that_fails_keeps_its_rows_and_goes_on_with_the_fixed_plugin() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let alerts = data.scratch("alerts");
    let mut host = data.start(["--alert", &format!("cat >> {}", alerts.display()), "serve"]);
    host.wait_for_line("serving");
    let (parts, _) = parts_of(&data, &history::mixed(300, &[(150, "Error")]), 100);
    data.import(&parts[0]);
    data.ok(["rebuild", "faulty", "--follow"]);
    fresh(&data, "faulty", 100);
    data.import(&parts[1]);
    let failed = data.wait_for("faulty", |status| status["following"] == "failed");
    assert_eq!((&failed["status"], &failed["eventsProcessed"]), (&json!("completed"), &json!(150)));
    assert_eq!(failed["failure"]["eventId"], "e150");
    assert!(
        failed["staleSince"].is_i64() && failed["next"].as_str().unwrap().contains("unspool follow faulty"),
        "{failed:#}"
    );
    assert!(!data.rows("faulty/seen").is_empty(), "its rows stay readable");
    poll("the operator is told", || std::fs::read_to_string(&alerts).ok().filter(|told| told.contains("e150")));

    // A candidate beside it is untouched by that, and is followed where it is promoted.
    data.import(&parts[2]);
    swap(&data, "faulty", &plugin_with("faulty", &["fixed"]));
    let status = fresh(&data, "faulty", 300);
    assert_eq!((&status["following"], status.get("failure")), (&json!("following"), None));
    let ranges = data.json(["model", "receipt", "faulty"])["ranges"].clone();
    assert_eq!(ranges.as_array().unwrap().len(), 2, "who built what: {ranges:#}");
}

/// With `--on-error park` it goes past a bad event, whose stream waits in order; what was set aside is retried without a pause.
#[test]
fn a_follower_parks_and_its_dead_letters_are_retried_while_it_follows() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let _host = data.serve();
    let lines = history::mixed(300, &[(150, "Error")]);
    let (parts, _) = parts_of(&data, &lines, 100);
    data.import(&parts[0]);
    data.ok(["rebuild", "faulty", "--follow", "--on-error", "park", "--allow-parked"]);
    data.import(&parts[1]);
    data.import(&parts[2]);
    let status = data.wait_for("faulty", |status| status["position"] == 300 && status["follow"]["events"] == 0);
    let parked = status["parked"].as_u64().unwrap();
    assert!(parked > 0 && status["following"] == "following", "{status:#}");
    swap(&data, "faulty", &plugin_with("faulty", &["fixed"]));
    let retried = data.json(["dead-letters", "retry", "faulty"]);
    assert_eq!((&retried["handled"], &retried["parked"]), (&json!(parked), &json!(0)));
    assert_eq!(fresh(&data, "faulty", 300)["following"], "following");
    let stream = data.json(["rebuild", "faulty", "--stream", "s00"]);
    assert!(stream["events"].as_u64().unwrap() > 0, "{stream:#}");

    let right = Data::new(BINARY);
    right.install(&plugin_with("faulty", &["fixed"]));
    right.import(&right.file("events.ndjson", lines));
    right.ok(["rebuild", "faulty"]);
    assert_eq!(data.digest("faulty"), right.digest("faulty"));
    assert_eq!(data.json(["model", "verify", "faulty"])["different"], 0);
}

/// Killed in the moment in which it is complete and readers are given it: the next host gives it to them, or finds it given.
#[test]
fn a_kill_when_it_has_caught_up_is_recovered_by_the_next_host() {
    for at in ["caught-up.before", "caught-up.written", "caught-up.after"] {
        let (data, parts, events) = with_parts();
        data.import(&parts[0]);
        let mut rebuild = data.command(["rebuild", "order-summary", "--follow"]);
        let ended = rebuild.env("UNSPOOL_CRASH_AT", at).stdin(Stdio::null()).output().unwrap();
        assert_eq!(ended.status.signal(), Some(9), "not killed at {at}: {ended:#?}");
        assert_eq!(data.json(["store", "check"])["problems"], json!([]), "after a kill at {at}");
        let _host = data.serve();
        data.import(&parts[1]);
        fresh(&data, "order-summary", 2_000);
        assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0, "after a kill at {at}");
    }
}

/// Who reads what they wrote: an answer has the events that are asked for, or says how far it is.
#[test]
fn reads_wait_for_the_events_that_they_ask_for() {
    let (data, parts, events) = with_parts();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary"]);
    let expected = oracle::orders(&events[..2_000]).0;
    let (key, row) =
        expected.iter().find(|(key, row)| oracle::orders(&events[..1_000]).0.get(*key) != Some(row)).unwrap();
    let get = |more: &[&str]| data.run([&["--json", "model", "get", "order-summary/orders", key], more].concat());
    assert!(get(&["--at-least", "1000"]).exit.is_some_and(|exit| exit == 0 || exit == 3));
    get(&["--at-least", "2000"]).refused(3, &["up to position 1000", "not up to 2000", "unspool status order-summary"]);
    let last = events[1_999]["id"].as_str().unwrap();
    get(&["--at-least-event", last]).refused(3, &["no event with the id"]);
    get(&["--at-least", "2000", "--at-least-event", last]).refused(2, &["cannot be used with"]);
    get(&["--at-least", "2000", "--wait", "soon"]).refused(2, &["no time"]);

    let _host = data.serve();
    data.ok(["follow", "order-summary"]);
    std::thread::scope(|scope| {
        // It is asked for before it is there.
        let asked = scope.spawn(|| get(&["--at-least", "2000", "--wait", "1m"]));
        data.import(&parts[1]);
        let answer = asked.join().unwrap();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
        let found = answer.json();
        assert_eq!((&found["value"], &found["position"], &found["generation"]), (row, &json!(2_000), &json!(1)));
    });
    assert_eq!(get(&["--at-least-event", last, "--wait", "1m"]).json()["value"], *row);
    let scanned = data.list(["model", "scan", "order-summary/orders", "--at-least", "2000", "--limit", "100000"]);
    assert_eq!(scanned.len(), expected.len());
}

/// Kept up to date like the live one, the previous generation is there in no time.
#[test]
fn the_previous_generation_may_be_kept_current() {
    let (data, parts, events) = with_parts();
    std::fs::write(data.path().join("unspool.toml"), "[projections.order-summary]\nkeep_previous = 'current'\n")
        .unwrap();
    data.import(&parts[0]);
    let host = data.serve();
    data.ok(["rebuild", "order-summary", "--follow"]);
    data.ok(["rebuild", "order-summary"]);
    assert_eq!(live(&data, "order-summary"), 2);
    data.import(&parts[1]);
    fresh(&data, "order-summary", 2_000);
    let positions = |data: &Data| {
        let generations = data.list(["model", "generations", "order-summary"]);
        generations.iter().map(|one| one["position"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    data.wait_for("order-summary", |_| positions(&data) == [2_000, 2_000]);
    // Also after a restart, and once another one is live: then the one before that is let go.
    host.kill();
    let _host = data.serve();
    data.import(&parts[2]);
    data.wait_for("order-summary", |_| positions(&data) == [3_000, 3_000]);
    data.ok(["rebuild", "order-summary"]);
    assert_eq!(live(&data, "order-summary"), 3);
    data.import(&parts[3]);
    data.wait_for("order-summary", |_| positions(&data).ends_with(&[4_000, 4_000]));
    data.ok(["model", "rollback", "order-summary"]);
    assert_eq!(live(&data, "order-summary"), 2);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}
