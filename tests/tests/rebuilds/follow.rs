//! A read model that stays up to date: new events in the log are handled as they come, by the same commits as a rebuild's.

use serde_json::{Value, json};
use std::{os::unix::process::ExitStatusExt, path::PathBuf, process::Stdio};
use unspool_tests::{data::Data, history, oracle, plugins::plugin};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with `order-summary`, and a history in four files.
fn with_parts() -> (Data, Vec<PathBuf>, Vec<Value>) {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let lines = history::orders(4_000, 13);
    let text = std::str::from_utf8(&lines).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let parts = all.chunks(1_000).enumerate().map(|(number, part)| {
        let content = part.iter().map(|line| format!("{line}\n")).collect::<String>();
        data.file(&format!("part-{number}.ndjson"), content)
    });
    let parts = parts.collect();
    (data, parts, history::events(&lines))
}

fn caught_up(data: &Data, events: u64) -> Value {
    data.wait_for("order-summary", |status| status["eventsProcessed"] == events)
}

#[test]
fn new_events_of_the_log_are_handled_as_they_come() {
    let (data, parts, events) = with_parts();
    let host = data.serve();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary", "--follow", "--detach"]);
    let status = caught_up(&data, 1_000);
    assert_eq!(status["status"], "running");
    // Readers see it from the moment that it has caught up, and then everything that comes.
    data.wait_for("order-summary", |_| data.run(["model", "digest", "order-summary"]).exit == Some(0));
    data.import(&parts[1]);
    let status = caught_up(&data, 2_000);
    assert_eq!(status["follow"], json!({ "events": 0, "ms": 0 }));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0);

    // Whoever looks at what readers see needs it to stand still.
    data.run(["model", "verify", "order-summary"]).refused(3, &["follows its history", "unspool pause order-summary"]);

    // Killed, it goes on with the next host.
    host.kill();
    let host = data.serve();
    data.import(&parts[2]);
    caught_up(&data, 3_000);

    // Paused, it stands still; resumed, it follows again.
    data.ok(["pause", "order-summary"]);
    data.import(&parts[3]);
    assert_eq!(data.json(["model", "verify", "order-summary"])["different"], json!(0));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..3_000]).0);
    data.ok(["resume", "order-summary", "--detach"]);
    caught_up(&data, 4_000);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    data.ok(["cancel", "order-summary"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0, "readers keep what they had");
    drop(host);
}

/// A follower goes on with another plugin of the same shape, and does not take readers back who were sent elsewhere.
#[test]
fn a_follower_is_swapped_and_promotes_once() {
    let (data, parts, _) = with_parts();
    let _host = data.serve();
    data.import(&parts[0]);
    data.ok(["rebuild", "order-summary"]);
    data.ok(["rebuild", "order-summary", "--follow", "--detach"]);
    caught_up(&data, 1_000);
    let live = |generation: u64| {
        let generations = data.list(["model", "generations", "order-summary"]);
        generations.iter().any(|one| one["role"] == "live" && one["generation"] == generation)
    };
    data.wait_for("order-summary", |_| live(2));
    data.ok(["model", "rollback", "order-summary"]);
    data.import(&parts[1]);
    caught_up(&data, 2_000);
    assert!(live(1), "the operator's word counts");
    data.ok(["model", "rollback", "order-summary"]);
    assert!(live(2), "and a follower may be given back to readers");
    let swap = ["plugin", "swap", "order-summary", &plugin("order-summary").display().to_string()].map(str::to_owned);
    data.ok(swap);
    data.import(&parts[2]);
    assert_eq!(caught_up(&data, 3_000)["status"], "running");
}

/// Killed in the moment in which readers are given it: the next host gives it to them, or finds it given.
#[test]
fn a_kill_when_it_has_caught_up_is_made_good_by_the_next_host() {
    for at in ["caught-up.before", "caught-up.written", "caught-up.after"] {
        let (data, parts, events) = with_parts();
        data.import(&parts[0]);
        let mut rebuild = data.command(["rebuild", "order-summary", "--follow"]);
        let ended = rebuild.env("UNSPOOL_CRASH_AT", at).stdin(Stdio::null()).output().unwrap();
        assert_eq!(ended.status.signal(), Some(9), "not killed at {at}: {ended:#?}");
        assert_eq!(data.json(["store", "check"])["problems"], json!([]), "after a kill at {at}");
        let _host = data.serve();
        data.import(&parts[1]);
        caught_up(&data, 2_000);
        data.wait_for("order-summary", |_| data.run(["model", "digest", "order-summary"]).exit == Some(0));
        assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..2_000]).0, "after a kill at {at}");
    }
}
