//! Operators are told of what goes wrong, once, and when it is over, whatever restarts or is away meanwhile; and nobody waits for them.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{fs, os::unix::fs::PermissionsExt};
use unspool_tests::{
    data::{Data, Running, poll},
    history,
    plugins::{plugin, plugin_with},
    receiver::{Answers, Got, Receiver},
    store_file,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with `faulty`, these settings, and a history in which the event `e20` cannot be handled.
fn data(settings: &str) -> Data {
    let data = Data::new(BINARY);
    data.make();
    set(&data, settings);
    data.import(&data.file("events.ndjson", history::mixed(50, &[(20, "Error")])));
    data.install(&plugin("faulty"));
    data
}

fn set(data: &Data, settings: &str) {
    fs::write(data.path().join("unspool.toml"), settings).unwrap();
}

fn webhook(name: &str, on: &[&str], url: &str) -> String {
    format!("[[alert]]\nname = \"{name}\"\non = {on:?}\nto = {{ webhook = \"{url}\" }}\n")
}

fn said(got: &[Got]) -> Vec<String> {
    got.iter().map(Got::said).collect()
}

fn serve(data: &Data) -> Running {
    let mut host = data.start(["serve"]);
    host.wait_for_line("serving");
    host
}

fn route(data: &Data, name: &str) -> Value {
    let routes = data.list(["alert", "list"]);
    routes.iter().find(|route| route["name"] == name).unwrap_or_else(|| panic!("{routes:#?}")).clone()
}

fn fix(data: &Data) {
    let fixed = plugin_with("faulty", &["fixed"]);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
}

#[test]
fn a_failure_is_told_once_and_when_it_is_over_whatever_restarts_meanwhile() {
    let receiver = Receiver::start(Answers::Status(204));
    let key = [7; 32];
    let url = format!("{}/hooks/T0", receiver.url());
    let settings = format!(
        "[[alert]]\nname = \"ops\"\non = [\"failed\", \"completed\"]\n\
         to = {{ webhook = \"{url}\", secret_file = \"ops.secret\" }}\n"
    );
    let data = data("");
    let secret = data.path().join("ops.secret");
    fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(key))).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    set(&data, &settings);

    let host = serve(&data);
    data.ok(["rebuild", "faulty", "--detach"]);
    receiver.wait("it is told", |got| !got.is_empty());
    poll("that is noted", || (route(&data, "ops")["delivered"] == 1).then_some(()));
    host.kill();
    let host = serve(&data);
    // It fails again where it stands, and nobody is told twice.
    data.ok(["resume", "faulty", "--detach"]);
    let again = |status: &Value| status["status"] == "failed";
    data.wait_for("faulty", again);
    receiver.wait("it has failed again", |got| got.len() >= 3);
    // What was not noted before a kill would come again, under its id.
    poll("that is noted", || (route(&data, "ops")["delivered"] == 3).then_some(()));
    host.kill();
    let _host = serve(&data);
    fix(&data);
    data.ok(["resume", "faulty", "--detach"]);
    // From an event file it is the same.
    let file = data.file("fine.ndjson", history::mixed(10, &[]));
    data.wait_for("faulty", |status| status["status"] == "completed");
    data.ok(["rebuild", "faulty", "--source", &format!("file:{}", file.display()), "--no-promote"]);
    let got = receiver.wait("it is over", |got| got.len() >= 6);
    let failed = ["failed failed", "failed resolved"];
    let expected = [&failed[..], &failed, &["completed completed"; 2]].concat();
    assert_eq!(said(&got), expected);

    let mut ids = Vec::new();
    for message in &got {
        let header = |name: &str| message.headers[name].as_str();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", message.body).as_bytes());
        let signed = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!((header("webhook-signature"), header("content-type")), (signed.as_str(), "application/json"));
        assert_eq!(message.path, "/hooks/T0");
        assert!(timestamp.parse::<u64>().is_ok_and(|seconds| seconds > 1_700_000_000), "{timestamp}");
        ids.push(id.to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each message has its own id");
    let [first, over] = [got[0].json(), got[1].json()];
    assert_eq!((&first["type"], &over["type"]), (&json!("alert.firing"), &json!("alert.resolved")));
    assert_eq!(first["data"]["failure"]["eventId"], "e20");
    assert_eq!(first["data"]["checkpointId"], "faulty/1");
    assert_eq!(first["data"]["fingerprint"], over["data"]["fingerprint"]);
    assert!(first["timestamp"].as_str().unwrap().ends_with('Z') && over["data"]["ended"].is_i64(), "{over:#}");
}

#[test]
fn what_nobody_took_goes_on_with_the_next_host() {
    let address = Receiver::nowhere();
    let data = data(&webhook("ops", &["failed"], &format!("http://{address}")));
    // Without a host, the command does not wait for who is away.
    data.exits(1, ["rebuild", "faulty"]);
    let waits = route(&data, "ops");
    assert_eq!((&waits["waiting"], &waits["delivered"]), (&json!(1), &json!(0)));
    assert!(waits["last"]["error"].as_str().unwrap().contains(&address.to_string()), "{waits:#}");
    let receiver = Receiver::at(address, Answers::Status(503));
    let host = serve(&data);
    receiver.wait("it refuses", |got| got.len() >= 2);
    let refused = poll("that is noted", || {
        Some(route(&data, "ops")).filter(|route| route["last"]["error"].as_str().is_some_and(|e| e.contains("503")))
    });
    assert!(refused["last"]["error"].as_str().unwrap().ends_with("not today"), "{refused:#}");
    host.kill();
    receiver.answers(Answers::Ends);
    let host = serve(&data);
    let came = receiver.came();
    poll("it ends connections", || (receiver.came() > came).then_some(()));
    receiver.answers(Answers::Status(200));
    let got = receiver.wait("it takes it", |got| got.last().is_some_and(|got| got.status == 200));
    let ids: Vec<&String> = got.iter().map(|got| &got.headers["webhook-id"]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "the same message: {ids:?}");
    poll("that is noted", || (route(&data, "ops")["waiting"] == 0).then_some(()));
    drop(host);
    assert_eq!(route(&data, "ops")["delivered"], 1);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

/// The alert is in the transaction that completes the rebuild: it is not told where that was not made, and is where it was.
#[test]
fn what_is_told_is_what_was_committed() {
    for (at, told) in [("commit.written", false), ("commit.after", true)] {
        let receiver = Receiver::start(Answers::Status(200));
        let data = Data::new(BINARY);
        data.make();
        set(&data, &webhook("ops", &["completed"], &receiver.url()));
        data.import(&data.file("events.ndjson", history::mixed(10, &[])));
        data.install(&plugin("faulty"));
        let killed = data.command(["rebuild", "faulty"]).env("UNSPOOL_CRASH_AT", at).output().unwrap();
        assert_eq!(killed.status.code(), None);
        assert_eq!(receiver.came(), 0, "{at}");
        let status = data.json(["status", "faulty"]);
        assert_eq!(status["status"] == "completed", told, "{at}: {status:#}");
        if told {
            let _host = serve(&data);
            receiver.wait("it is told", |got| got.len() == 1);
        } else {
            data.ok(["resume", "faulty"]);
            assert_eq!(said(&receiver.got()), ["completed completed"], "the command has seen to it");
        }
    }
}

/// Neither the rebuild, nor other receivers, nor the end of the host.
#[test]
fn a_receiver_that_neither_reads_nor_answers_holds_nothing_up() {
    let (silent, receiver) = (Receiver::start(Answers::Nothing), Receiver::start(Answers::Status(200)));
    let on = ["failed", "completed"];
    let data = data(&(webhook("silent", &on, &silent.url()) + &webhook("ops", &on, &receiver.url())));
    let host = serve(&data);
    data.ok(["rebuild", "faulty", "--detach"]);
    receiver.wait("another one is told", |got| !got.is_empty());
    poll("the silent one is asked", || (silent.came() == 1).then_some(()));
    fix(&data);
    assert_eq!(data.json(["rebuild", "faulty"])["status"], "completed");
    receiver.wait("another one is told", |got| got.len() == 3);
    host.signal(Signal::TERM);
    assert_eq!(host.end().exit, Some(0));
    let left = route(&data, "silent");
    assert_eq!(
        (&left["failed"], &left["waiting"]),
        (&json!(0), &json!(2)),
        "nobody has waited for its answer: {left:#}"
    );
    assert_eq!(silent.came(), 1);
}

#[test]
fn an_alertmanager_is_told_again_while_it_lasts() {
    let receiver = Receiver::start(Answers::Status(200));
    let data = data(&format!(
        "[[alert]]\nname = \"am\"\non = [\"failed\", \"completed\"]\n\
         to = {{ webhook = \"{}\", format = \"alertmanager\", repeat = \"1s\" }}\n",
        receiver.url()
    ));
    let _host = serve(&data);
    data.ok(["rebuild", "faulty", "--detach"]);
    let got = receiver.wait("it is told again", |got| got.len() >= 3);
    let alerts: Vec<Value> = got.iter().map(|got| got.json()[0].clone()).collect();
    let (labels, since) = (&alerts[0]["labels"], &alerts[0]["startsAt"]);
    assert_eq!((&labels["alertname"], &labels["projection"]), (&json!("UnspoolFailed"), &json!("faulty")));
    assert!(alerts.iter().all(|alert| alert["labels"] == *labels && alert["startsAt"] == *since), "{alerts:#?}");
    let until = |alert: &Value| alert["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(until(&alerts[2]) > until(&alerts[0]) && until(&alerts[0]) > jiff::Timestamp::now(), "{alerts:#?}");
    assert!(got.iter().all(|got| got.path == "/api/v2/alerts" && !got.headers.contains_key("webhook-id")), "{got:#?}");
    fix(&data);
    data.ok(["resume", "faulty", "--detach"]);
    let of = |got: &[Got], name: &str| {
        let mut alerts = got.iter().map(|got| got.json()[0].clone());
        alerts.rfind(|alert| alert["labels"]["alertname"] == name)
    };
    let got = receiver.wait("it is over", |got| {
        of(got, "UnspoolCompleted").is_some()
            && of(got, "UnspoolFailed").is_some_and(|alert| until(&alert) <= jiff::Timestamp::now())
    });
    assert_eq!(of(&got, "UnspoolFailed").unwrap()["labels"], *labels);
}

#[test]
fn dead_letters_and_rows_that_differ_are_told_and_when_they_are_gone() {
    let receiver = Receiver::start(Answers::Status(200));
    let data = data(&webhook("ops", &["parked", "verify-differs"], &receiver.url()));
    data.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    assert_eq!(said(&receiver.got()), ["parked parked"]);
    data.ok(["dead-letters", "discard", "faulty", "--all"]);
    store_file::set_rows(&data, "rows/faulty/1/seen", &[("nobody", Some(json!({ "made": "up" })))]);
    data.exits(1, ["model", "verify", "faulty"]);
    // It lasts as long as nothing is done about it.
    data.exits(1, ["model", "verify", "faulty"]);
    data.exits(1, ["model", "verify", "faulty", "--repair"]);
    let _host = serve(&data);
    let got = receiver.wait("all is told", |got| got.len() >= 5);
    let mut told = said(&got);
    told.sort();
    // What was discarded was set aside again when the rows were built again.
    assert_eq!(
        told,
        [
            "parked parked",
            "parked parked",
            "parked resolved",
            "verify-differs resolved",
            "verify-differs verify-differs"
        ]
    );
    assert_eq!(data.list(["alert", "list"])[0]["waiting"], 0);
}

/// A follower that cannot keep up is behind until it has come to the end, and that is told once.
#[test]
fn a_follower_that_is_behind_is_told_of_when_that_has_lasted() {
    let told = Data::new(BINARY);
    let file = told.scratch("told");
    let command =
        format!("[[alert]]\nname = \"ops\"\non = [\"behind\"]\nto = {{ command = \"cat >> {}\" }}\n", file.display());
    let patient = "[[alert]]\nname = \"patient\"\non = [\"behind\"]\nfor = \"1h\"\nto = { command = \"false\" }\n";
    let data = Data::new(BINARY);
    data.make();
    set(&data, &(command + patient));
    data.import(&data.file("one.ndjson", history::mixed(20, &[])));
    data.install(&plugin("faulty"));
    let _host = serve(&data);
    data.ok(["rebuild", "faulty", "--follow", "--rate-limit", "10", "--chunk-size", "5"]);
    data.import(&data.file("two.ndjson", history::mixed(100, &[])));
    data.wait_for("faulty", |status| status["eventsProcessed"] == 100);
    let lines = poll("it is told", || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.iter().any(|line| line["status"] == "resolved").then_some(lines)
    });
    let statuses: Vec<&str> = lines.iter().filter_map(|line| line["status"].as_str()).collect();
    assert_eq!(statuses, ["behind", "resolved"]);
    let patient = route(&data, "patient");
    assert_eq!((&patient["waiting"], &patient["failed"]), (&json!(0), &json!(0)), "it has not lasted: {patient:#}");
}

#[test]
fn a_test_says_what_each_receiver_answered() {
    let [good, bad] = [200, 500].map(|status| Receiver::start(Answers::Status(status)));
    let on = ["failed"];
    let data = data("");
    data.run(["alert", "test"]).refused(3, &["no [[alert]]"]);
    assert_eq!(data.list(["alert", "list"]), [] as [Value; 0]);
    set(&data, &(webhook("good", &on, &good.url()) + &webhook("bad", &on, &format!("{}/token", bad.url()))));
    let answer = data.run(["--json", "alert", "test"]);
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    let rows: Vec<Value> = answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&rows[0]["delivered"], &rows[1]["delivered"], &rows[2]),
        (&json!(true), &json!(false), &json!({ "tested": 2, "failed": 1 }))
    );
    let error = rows[1]["error"].as_str().unwrap();
    assert!(error.contains("answers 500") && error.contains("not today") && !error.contains("token"), "{error}");
    assert_eq!(good.got()[0].json()["type"], "alert.test");
    data.ok(["alert", "test", "good"]);
    data.run(["alert", "test", "nobody"]).refused(3, &["nobody", "good, bad"]);
    let acts = data.list(["activity"]);
    assert!(acts.iter().any(|act| act["request"] == "alert-test"), "{acts:#?}");
    let command = "[[alert]]\nname = \"a\"\non = [\"failed\"]\nto = { command = \"exit 7\" }\n";
    set(&data, command);
    let answer = data.run(["alert", "test"]);
    assert!(answer.exit == Some(1) && answer.stdout.contains("exit status: 7"), "{answer:#?}");
}

#[test]
fn what_settings_of_alerts_get_wrong_is_refused_by_name_and_nothing_is_changed() {
    let data = data("");
    let before = data.json(["activity", "check"])["last"].clone();
    let secret = data.path().join("secret");
    fs::write(&secret, format!("whsec_{}", STANDARD.encode([1; 32]))).unwrap();
    let with = |rest: &str| format!("[[alert]]\nname = \"ops\"\non = [\"failed\"]\n{rest}\n");
    let signed = with("to = { webhook = \"http://localhost\", secret_file = \"secret\" }");
    let refused = |settings: &str, mode: u32, words: &[&str]| {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        set(&data, settings);
        data.run(["pause", "faulty"]).refused(2, words);
    };
    refused(&signed, 0o640, &["unspool.toml", "ops", "mode 640", "chmod 600"]);
    fs::write(&secret, "hunter2").unwrap();
    refused(&signed, 0o600, &["secret", "whsec_"]);
    fs::remove_file(&secret).unwrap();
    fs::write(data.path().join("secret"), "").unwrap();
    refused(&with("to = { webhook = \"http://localhost\", secret_file = \"none\" }"), 0o600, &["none", "No such file"]);
    refused(&with("on_ = 1\nto = { command = \"true\" }"), 0o600, &["on_", "line 4"]);
    refused(&with("to = { webhook = \"localhost\" }"), 0o600, &["no URL"]);
    refused("[[alert]]\nname = \"command\"\non = [\"failed\"]\nto = { command = \"true\" }\n", 0o600, &["--alert"]);
    set(&data, "");
    assert_eq!(data.json(["activity", "check"])["last"], before);
}
