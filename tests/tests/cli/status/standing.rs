//! Where rebuilds stand, what readers see meanwhile, and what is to be done.

use super::BINARY;
use rustix::process::Signal;
use serde_json::{Value, json};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::{plugin, plugin_with},
    postgres::shared,
};

const SLOW: [&str; 6] = ["rebuild", "faulty", "--chunk-size", "5", "--rate-limit", "100"];

fn faulty(events: usize, others: &[(usize, &'static str)]) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(events, others)));
    data.install(&plugin("faulty"));
    data
}

fn further(than: u64) -> impl Fn(&Value) -> bool {
    move |status| status["position"].as_u64().unwrap() > than
}

/// The first line below the headings that `list` shows people: the projection, and its status.
fn shown(data: &Data) -> Vec<String> {
    let list = data.run(["list"]).stdout;
    list.lines().nth(1).unwrap_or_default().split_whitespace().take(2).map(str::to_owned).collect()
}

/// What an operator has paused waits for them; what a host has left when it was killed goes on with the next one.
#[test]
fn what_stands_still_is_listed_with_the_reason() {
    let data = faulty(2_000, &[]);
    assert_eq!(data.ok(["list"]), "", "nothing has been rebuilt");
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("faulty", further(10));
    assert_eq!(data.list(["list"])[0]["status"], "running");
    assert!(data.json(["status", "faulty"]).get("next").is_none());
    data.ok(["pause", "faulty"]);
    rebuild.end();
    let listed = data.list(["list"]);
    assert_eq!((&listed[0]["status"], &listed[0]["interrupted"]), (&json!("paused"), &json!(false)));
    assert!(listed[0]["next"].as_str().unwrap().contains("unspool resume faulty"), "{listed:#?}");
    assert_eq!(shown(&data), ["faulty", "paused"]);

    let stood = listed[0]["position"].as_u64().unwrap();
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("faulty", further(stood));
    rebuild.kill();
    let listed = data.list(["list"]);
    assert_eq!((&listed[0]["status"], &listed[0]["interrupted"]), (&json!("paused"), &json!(true)));
    let next = listed[0]["next"].as_str().unwrap();
    assert!(next.contains("unspool serve") && next.contains("unspool resume faulty"), "{next}");
    assert_eq!(shown(&data), ["faulty", "interrupted"]);
    assert!(data.run(["status", "faulty"]).stdout.contains("interrupted\n"));

    data.ok(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert_eq!(data.ok(["list"]), "", "it is over");
    assert_eq!(data.list(["list", "--all"])[0]["status"], "completed");
}

/// After a rollback, and while a new generation is built, readers see another one than the latest rebuild builds.
#[test]
fn the_live_generation_is_shown_beside_the_latest_rebuild() {
    let data = faulty(1_000, &[]);
    data.ok(["rebuild", "faulty", "--to", "400"]);
    let status = data.json(["status", "faulty"]);
    assert_eq!((&status["generation"], &status["liveGeneration"]), (&json!(1), &json!(1)));
    assert!(status.get("live").is_none(), "they are one: {status:#}");
    data.ok(["rebuild", "faulty"]);
    data.ok(["model", "rollback", "faulty", "--now"]);
    for status in [data.json(["status", "faulty"]), data.list(["list", "--all"])[0].clone()] {
        assert_eq!((&status["generation"], &status["liveGeneration"]), (&json!(2), &json!(1)));
        let live = &status["live"];
        assert_eq!((&live["generation"], &live["position"], &live["events"]), (&json!(1), &json!(400), &json!(400)));
        assert_eq!((&live["status"], &live["follows"]), (&json!("completed"), &json!(false)));
        assert_eq!((&live["source"], &status["position"]), (&json!("log"), &json!(1_000)));
    }
}

/// What was built says the same of itself wherever it is asked, the commit that ended it included.
#[test]
fn a_receipt_counts_the_last_commit() {
    let data = faulty(2_000, &[]);
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("faulty", further(20));
    rebuild.signal(Signal::INT);
    let paused = rebuild.end();
    assert_eq!(paused.exit, Some(130));
    let first = data.json(["status", "faulty"])["stages"]["commits"].as_u64().unwrap();
    let ended = data.json(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert!(ended["stages"]["commits"].as_u64().unwrap() > first && first > 0, "{first}, then {ended:#}");
    let receipt = data.json(["model", "receipt", "faulty"]);
    for field in ["commits", "rowsCommitted"] {
        assert_eq!(ended["stages"][field], receipt["stages"][field], "{field}");
    }
    // One commit is all that a little history takes.
    let data = faulty(10, &[]);
    let ended = data.json(["rebuild", "faulty"]);
    let receipt = data.json(["model", "receipt", "faulty"]);
    assert_eq!((&receipt["stages"]["commits"], &receipt["stages"]["rowsCommitted"]), (&json!(1), &json!(10)));
    assert_eq!(ended["stages"], receipt["stages"]);
}

#[test]
fn the_advice_fits_what_has_failed() {
    for (kind, word) in [
        ("Error", "fix the handler"),
        ("Panic", "fix the handler"),
        ("Loop", "handler loops"),
        ("Memory", "--memory MIB"),
    ] {
        let data = faulty(50, &[(20, kind)]);
        let answer = data.run(["rebuild", "faulty"]);
        assert_eq!(answer.exit, Some(1), "{answer:#?}");
        assert!(answer.stdout.contains(word) && answer.stdout.contains("unspool resume faulty"), "{kind}: {answer:#?}");
        let status = data.json(["status", "faulty"]);
        assert!(status["next"].as_str().unwrap().contains(word), "{kind}: {status:#}");
        assert_eq!(data.list(["list"])[0]["next"], status["next"]);
    }
}

/// A history that cannot be read is nothing for which a handler is to blame.
#[test]
fn a_bad_event_is_to_be_corrected_in_its_source() {
    let database = shared().database("advice");
    database
        .client()
        .batch_execute(
            "CREATE TABLE events (position bigint PRIMARY KEY, id text, stream text, type text, data text, time timestamptz DEFAULT now());
             INSERT INTO events VALUES (1, 'a', 's', 'Fine', '{}'), (2, 'b', 's', 'Fine', '{\"n\": }')",
        )
        .unwrap();
    let url = database.url();
    let (user, rest) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let source = format!("postgres:generic?host={host}&port={port}&user={user}&dbname={name}&table=events&time=time");
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let answer = data.run(["rebuild", "faulty", "--source", &source]);
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    assert!(answer.stdout.contains("position 2"), "{answer:#?}");
    assert!(answer.stdout.contains("correct this event in its source"), "{answer:#?}");
    assert!(!answer.stdout.contains("fix the handler"), "{answer:#?}");
}

/// What is done says what it lacks; what was given up, how to begin again.
#[test]
fn what_is_over_says_what_is_left_to_do() {
    let data = faulty(200, &[(20, "Error")]);
    let answer: Answer = data.command(["rebuild", "faulty", "--on-error", "park"]).output().unwrap().into();
    assert!(answer.stdout.contains("parked: ") && answer.stdout.contains("was not promoted"), "{answer:#?}");
    let status = data.json(["status", "faulty"]);
    assert_eq!((&status["status"], &status["percentComplete"]), (&json!("completed"), &json!(100.0)));
    assert!(status["next"].as_str().unwrap().contains("dead-letters list faulty"), "{status:#}");

    let data = faulty(200, &[(100, "Error")]);
    data.exits(1, ["rebuild", "faulty"]);
    let failed = data.json(["status", "faulty"]);
    assert!(failed["percentComplete"].as_f64().unwrap() < 100.0);
    assert_eq!(failed["estimatedRemainingMs"], json!(null));
    data.ok(["cancel", "faulty"]);
    let status = data.json(["status", "faulty"]);
    assert_eq!(status["status"], "cancelled");
    assert!(status["next"].as_str().unwrap().contains("unspool rebuild faulty"), "{status:#}");
    let fixed = plugin_with("faulty", &["fixed"]);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
    let done = data.json(["rebuild", "faulty"]);
    assert!(done.get("next").is_none() && done["eventsPerSecond"].as_f64().unwrap() > 0.0, "{done:#}");
}
