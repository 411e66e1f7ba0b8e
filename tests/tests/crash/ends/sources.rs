//! Databases with events that do not answer, or are not there yet.

use super::{BINARY, ends, processed};
use rustix::process::Signal;
use serde_json::{Value, json};
use unspool_tests::{
    data::{Data, Running},
    history,
    plugins::plugin,
    postgres::{Server, Stop},
    stores::{Preset, fill},
};

/// A data directory with `process-map`, and a source of `events` in a database of `server`.
fn with_source(server: &Server, events: u64) -> (Data, String) {
    let database = server.database("shop");
    let mut client = database.client();
    client.batch_execute(Preset::Generic.schema()).unwrap();
    fill(&mut client, Preset::Generic, &history::orders(events, 29));
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let port = server.port();
    let source = format!(
        "postgres:generic?host=127.0.0.1&port={port}&user=admin&dbname=shop&table=events&metadata=metadata&time=time"
    );
    (data, source)
}

fn status(data: &Data) -> Value {
    data.json(["status", "process-map"])
}

fn waits_for_its_source(status: &Value) -> bool {
    status["waiting"]["kind"] == "source"
}

/// What reads from a source: a rebuild in the middle of it, or a follower at its end.
struct Reader {
    /// How it is stopped, and how it goes on.
    commands: [&'static str; 2],
    /// Whether its status is that of one that works, and of one that was stopped.
    works: fn(&Value) -> bool,
    stopped: fn(&Value) -> bool,
}

const REBUILD: Reader = Reader {
    commands: ["pause", "resume"],
    works: |status| status["status"] == "running",
    stopped: |status| status["status"] == "paused",
};

const FOLLOWER: Reader = Reader {
    commands: ["unfollow", "follow"],
    works: |status| status["status"] == "completed" && status["following"] == "following",
    stopped: |status| status["status"] == "completed" && status.get("following").is_none(),
};

/// Whoever asks for something has an answer, while what reads from the frozen `server` does; then it goes on.
fn keeps_nobody_waiting(data: &Data, server: &Server, host: Running, reader: &Reader, goes_on: impl Fn(&Data)) {
    let [stop, go_on] = reader.commands;
    let frozen = server.freeze();
    assert_eq!(ends(data.start(["status", "process-map"]), "its status").exit, Some(0));
    assert_eq!(ends(data.start(["list", "--all"]), "the list").exit, Some(0));
    let waits = data.wait_for("process-map", waits_for_its_source);
    assert!((reader.works)(&waits), "{waits:#}");
    let message = waits["waiting"]["error"].as_str().unwrap();
    assert!(message.contains("does not answer"), "{message}");
    assert_eq!(ends(data.start([stop, "process-map"]), "its stop").exit, Some(0));
    let stopped = status(data);
    assert!((reader.stopped)(&stopped), "{stopped:#}");
    drop(frozen);
    data.ok([go_on, "process-map", "--detach"]);
    data.wait_for("process-map", |status| !(reader.stopped)(status) && !waits_for_its_source(status));

    let frozen = server.freeze();
    host.signal(Signal::TERM);
    assert_eq!(ends(host, "the host").exit, Some(0));
    let host = data.serve();
    data.wait_for("process-map", waits_for_its_source);
    drop(frozen);
    goes_on(data);

    // Given up in the middle, and without a word from its source.
    if (reader.works)(&status(data)) {
        data.ok([stop, "process-map"]);
    }
    data.ok([
        "rebuild",
        "process-map",
        "--restart",
        "--detach",
        "--follow",
        "--chunk-size",
        "20",
        "--rate-limit",
        "100",
    ]);
    data.wait_for("process-map", |status| status["status"] == "running" && processed(status) > 0);
    let frozen = server.freeze();
    assert_eq!(ends(data.start(["cancel", "process-map"]), "its end").exit, Some(0));
    assert_eq!(status(data)["status"], "cancelled");
    drop(frozen);
    drop(host);
}

#[test]
fn a_source_that_does_not_answer_in_the_middle_keeps_nobody_waiting() {
    let server = Server::new();
    let (data, source) = with_source(&server, 20_000);
    // More than is read ahead.
    server
        .existing("shop")
        .client()
        .batch_execute("UPDATE events SET data = data || jsonb_build_object('x', repeat('x', 3000))")
        .unwrap();
    let host = data.serve();
    let rebuild = ["rebuild", "process-map", "--source", &source, "--detach"];
    data.ok([&rebuild[..], &["--chunk-size", "20", "--rate-limit", "500"]].concat());
    data.wait_for("process-map", |status| processed(status) > 0);
    keeps_nobody_waiting(&data, &server, host, &REBUILD, |data| {
        let before = processed(&status(data));
        data.wait_for("process-map", |status| processed(status) > before);
    });
}

/// Everything is read, and what was handled is to be counted.
#[test]
fn a_source_that_does_not_answer_at_the_end_keeps_nobody_waiting() {
    let server = Server::new();
    let (data, source) = with_source(&server, 400);
    let host = data.serve();
    let rebuild = ["rebuild", "process-map", "--source", &source, "--detach"];
    data.ok([&rebuild[..], &["--chunk-size", "20", "--rate-limit", "400"]].concat());
    data.wait_for("process-map", |status| processed(status) > 0);
    let frozen = server.freeze();
    let all = data.wait_for("process-map", |status| processed(status) == 400);
    assert_eq!(all["status"], "running", "nobody has counted: {all:#}");
    drop(frozen);
    data.wait_for("process-map", |status| status["status"] == "completed");
    drop(host);
}

#[test]
fn a_source_that_does_not_answer_a_follower_keeps_nobody_waiting() {
    let server = Server::new();
    let (data, source) = with_source(&server, 400);
    let host = data.serve();
    data.ok(["rebuild", "process-map", "--source", &source, "--follow", "--detach"]);
    data.wait_for("process-map", |status| status["follow"] == json!({ "events": 0, "ms": 0 }));
    keeps_nobody_waiting(&data, &server, host, &FOLLOWER, |data| {
        let more = "INSERT INTO events (id, stream, type, data) SELECT id || 'b', stream, type, data FROM events";
        server.existing("shop").client().batch_execute(more).unwrap();
        data.wait_for("process-map", |status| processed(status) == 800);
    });
}

/// Before anything was read, and with a host or without one.
#[test]
fn a_source_that_does_not_answer_at_the_beginning_is_named() {
    let server = Server::new();
    let (data, source) = with_source(&server, 400);
    let rebuild = ["rebuild", "process-map", "--source", &source, "--detach"];
    let frozen = server.freeze();
    let host = data.serve();
    let asked = data.start(rebuild);
    assert_eq!(ends(data.start(["list", "--all"]), "the list").exit, Some(0));
    let answer = ends(asked, "the rebuild");
    assert_eq!(answer.exit, Some(2), "{answer:#?}");
    assert!(answer.stderr.contains("does not answer"), "{answer:#?}");
    host.signal(Signal::TERM);
    assert_eq!(ends(host, "the host").exit, Some(0));
    let answer = ends(data.start(rebuild), "the rebuild without a host");
    assert_eq!(answer.exit, Some(2), "{answer:#?}");
    drop(frozen);
    assert_eq!(data.json(&rebuild[..4])["eventsProcessed"], 400);
}

#[test]
fn a_host_starts_before_its_source() {
    let mut server = Server::new();
    let (data, source) = with_source(&server, 400);
    let host = data.serve();
    data.ok(["rebuild", "process-map", "--source", &source, "--follow", "--detach"]);
    data.wait_for("process-map", |status| processed(status) == 400);
    host.signal(Signal::TERM);
    assert_eq!(host.end().exit, Some(0));
    server.stop(Stop::Fast);
    let _host = data.serve();
    let waits = data.wait_for("process-map", |status| status["waiting"]["tries"].as_u64() > Some(0));
    assert_eq!(waits["waiting"]["kind"], "source", "{waits:#}");
    server.start();
    let more = "INSERT INTO events (id, stream, type, data) SELECT id || 'b', stream, type, data FROM events";
    server.existing("shop").client().batch_execute(more).unwrap();
    let status = data.wait_for("process-map", |status| processed(status) == 800);
    assert!((FOLLOWER.works)(&status) && !waits_for_its_source(&status), "{status:#}");
}
