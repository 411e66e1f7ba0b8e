//! Databases with rows that do not answer, or are not there yet.

use super::{ends, processed, with_orders};
use rustix::process::Signal;
use serde_json::json;
use unspool_tests::{
    data::{Data, Running},
    oracle,
    plugins::plugin,
    postgres::{Server, Stop},
};

/// `order-summary` from the log into a database of `server`, `process-map` into the store, both slowly.
fn into_a_database(data: &Data, server: &Server) -> Running {
    data.install(&plugin("process-map"));
    let host = data.serve();
    let into = format!("postgres:{}", server.database("model").url());
    data.ok(["rebuild", "order-summary", "--rate-limit", "300", "--into", &into, "--detach"]);
    data.ok(["rebuild", "process-map", "--rate-limit", "300", "--detach"]);
    data.wait_for("order-summary", |status| processed(status) > 0);
    data.wait_for("process-map", |status| processed(status) > 0);
    host
}

#[test]
fn a_database_that_does_not_answer_keeps_nobody_waiting() {
    let (data, _, _) = with_orders(40_000);
    let server = Server::new();
    let host = into_a_database(&data, &server);
    let frozen = server.freeze();
    let pausing = data.start(["pause", "order-summary"]);
    assert_eq!(ends(data.start(["pause", "process-map"]), "the pause of another rebuild").exit, Some(0));
    assert_eq!(ends(data.start(["status", "order-summary"]), "its status").exit, Some(0));
    assert_eq!(ends(data.start(["list", "--all"]), "the list").exit, Some(0));
    assert_eq!(ends(pausing, "its pause").exit, Some(0));
    assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
    host.signal(Signal::TERM);
    assert_eq!(ends(host, "the host").exit, Some(0));
    drop(frozen);
    let _host = data.serve();
    assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
    data.ok(["resume", "order-summary", "--detach"]);
    let before = processed(&data.json(["status", "order-summary"]));
    data.wait_for("order-summary", |status| processed(status) > before);
}

/// Only the database knows the last commit of a host that was killed; who asks is not kept waiting for that.
#[test]
fn what_a_killed_host_has_left_is_told_although_its_database_does_not_answer() {
    let (data, _, _) = with_orders(40_000);
    let server = Server::new();
    into_a_database(&data, &server).kill();
    let frozen = server.freeze();
    let asked = ends(data.start(["status", "order-summary"]), "its status");
    assert_eq!(asked.exit, Some(0), "{asked:#?}");
    assert!(asked.stderr.contains("not known whether the last commit of order-summary/1 was made"), "{asked:#?}");
    assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
    drop(frozen);
    data.ok(["resume", "order-summary", "--detach"]);
    let before = processed(&data.json(["status", "order-summary"]));
    data.wait_for("order-summary", |status| processed(status) > before);
    data.ok(["pause", "order-summary"]);
}

#[test]
fn a_host_ends_although_its_database_does_not_answer_and_the_next_one_waits_for_it() {
    let (data, _, _) = with_orders(40_000);
    let server = Server::new();
    let host = into_a_database(&data, &server);
    let frozen = server.freeze();
    host.signal(Signal::TERM);
    assert_eq!(ends(host, "the host").exit, Some(0));
    let host = data.serve();
    let status = data.json(["status", "order-summary"]);
    assert_eq!(status["status"], "paused", "it waits for its database: {status:#}");
    data.wait_for("process-map", |status| status["status"] == "running");
    drop(frozen);
    data.wait_for("order-summary", |status| status["status"] == "running");
    drop(host);
}

#[test]
fn a_host_starts_before_its_database() {
    let (data, _, _) = with_orders(40_000);
    let mut server = Server::new();
    let host = into_a_database(&data, &server);
    host.signal(Signal::TERM);
    assert_eq!(host.end().exit, Some(0));
    server.stop(Stop::Fast);
    let _host = data.serve();
    let waits = data.wait_for("order-summary", |status| status["waiting"]["tries"].as_u64() > Some(0));
    assert_eq!(waits["waiting"]["kind"], "store", "{waits:#}");
    server.start();
    data.wait_for("order-summary", |status| status["status"] == "running");
}

/// Over the network and over a local socket: what waits for an answer says that none comes, and has changed nothing.
#[test]
fn a_database_that_is_silent_is_named() {
    let (data, _, events) = with_orders(200);
    let server = Server::new();
    let url = server.database("model").url();
    let folder: &std::path::Path = server.as_ref();
    let local = format!("host={} port={} user=admin dbname=model", folder.display(), server.port());
    let key = oracle::orders(&events).0.into_keys().next().unwrap();
    for into in [url, local] {
        let into = format!("postgres:{into}");
        let rebuild = ["rebuild", "order-summary", "--restart", "--into", &into];
        let early = data.json([&rebuild[..], &["--to", "50"]].concat());
        let early = early["checkpointId"].as_str().unwrap().rsplit('/').next().unwrap();
        data.ok(rebuild);
        let digest = data.digest("order-summary");
        let frozen = server.freeze();
        // A host asks for all of them at once, but for those that change what the one before changes.
        let host = data.serve();
        let asked: [&[&str]; 6] = [
            &["model", "digest", "order-summary"],
            &["model", "get", "order-summary/orders", &key],
            &["model", "scan", "order-summary/orders"],
            &["model", "export", "order-summary/orders"],
            &["model", "verify", "order-summary"],
            &["model", "promote", "order-summary", early],
        ];
        let names = |args: &[&str], running| {
            let answer = ends(running, &args.join(" "));
            assert_eq!(answer.exit, Some(1), "{args:?}: {answer:#?}");
            assert!(answer.stderr.contains("does not answer"), "{args:?}: {answer:#?}");
        };
        for (args, running) in asked.map(|args| (args, data.start(args))) {
            names(args, running);
        }
        let in_turn: [&[&str]; 2] =
            [&["model", "rollback", "order-summary", "--now"], &["model", "drop", "order-summary", early]];
        for args in in_turn {
            names(args, data.start(args));
        }
        host.signal(Signal::TERM);
        assert_eq!(ends(host, "the host").exit, Some(0));
        drop(frozen);
        assert_eq!(data.digest("order-summary"), digest);
        assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..100]).0);
        assert_eq!(data.json(["store", "check"])["problems"], json!([]));
        data.ok(["model", "promote", "order-summary", early]);
        data.ok(["rebuild", "order-summary", "--restart", "--into", "store"]);
        for generation in data.list(["model", "generations", "order-summary"]) {
            if generation["role"] != "live" {
                data.ok(["model", "drop", "order-summary", &generation["generation"].to_string()]);
            }
        }
    }
}
