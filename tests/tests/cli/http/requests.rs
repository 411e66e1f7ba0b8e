//! What is requested over HTTP, and what comes of it.

use super::{BINARY, data};
use serde_json::{Value, json};
use unspool_tests::{
    activity::assert_complete,
    data::Data,
    history,
    http::{Asker, HttpHost},
    plugins::{plugin, plugin_with},
};

/// The ETag of a projection.
fn tag(host: &HttpHost, asker: &Asker, name: &str) -> String {
    let reply = host.ask(asker, "GET", &format!("/v1/projections/{name}"), None);
    let tag = reply.headers["etag"].clone();
    assert_eq!(json!(tag.trim_matches('"')), reply.json()["etag"]);
    tag
}

#[test]
fn what_is_read_is_what_the_command_line_gives() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = Asker::token(&data, "root", "admin", "full");
    let projection = "/v1/projections/faulty";
    let one: [(&str, &[&str]); 6] = [
        ("/generations/live", &["model", "receipt", "faulty"]),
        ("/generations/1/digest", &["model", "digest", "faulty", "--generation", "1"]),
        ("/generations/live/tables/seen/rows/s01", &["model", "get", "faulty/seen", "s01"]),
        ("/dead-letters/e7", &["dead-letters", "show", "faulty", "e7"]),
        ("/../../events/stats", &["events", "stats"]),
        ("/../../events/e1", &["events", "show", "e1"]),
    ];
    for (path, command) in one {
        let path = match path.strip_prefix("/../..") {
            Some(rest) => format!("/v1{rest}"),
            None => format!("{projection}{path}"),
        };
        assert_eq!(host.get(&admin, &path), data.json(command), "{path}");
    }
    let many: [(&str, &str, &[&str]); 6] = [
        ("/plugins", "installs", &["plugin", "history", "faulty"]),
        ("/generations", "generations", &["model", "generations", "faulty"]),
        ("/generations/live/tables/seen/rows", "rows", &["model", "scan", "faulty/seen"]),
        ("/generations/live/tables/seen/rows/s01/history", "changes", &["model", "history", "faulty/seen", "s01"]),
        ("/dead-letters", "deadLetters", &["dead-letters", "list", "faulty"]),
        ("/dead-letters?stream=s07", "deadLetters", &["dead-letters", "list", "faulty", "--stream", "s07"]),
    ];
    for (path, field, command) in many {
        let found = host.get(&admin, &format!("{projection}{path}"));
        assert_eq!(found[field], Value::Array(data.list(command)), "{path}");
    }
    // Page by page it is the same.
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page = host.get(&admin, &format!("{projection}/generations/live/tables/seen/rows?limit=3&after={after}"));
        rows.extend(page["rows"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(Value::Array(rows), Value::Array(data.list(["model", "scan", "faulty/seen", "--limit", "1000"])));
    let lines = host.ask(&admin, "GET", &format!("{projection}/export?table=seen"), None);
    let exported: Vec<Value> = lines.lines().into_iter().filter(|line| !line["key"].is_null()).collect();
    assert_eq!(exported.len(), data.rows("faulty/seen").len());
    let entries = host.get(&admin, "/v1/activity?projection=faulty&limit=3");
    assert_eq!(entries["entries"], Value::Array(data.list(["activity", "faulty", "--last", "3"])));
}

/// Every status of a refusal, with the words of the command line.
#[test]
fn refusals_are_problems_with_the_words_and_the_exit_code_of_the_command_line() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = Asker::token(&data, "root", "admin", "full");
    let problem = |reply: unspool_tests::http::Reply, status: u16, exit: i64| -> Value {
        assert_eq!(reply.status, status, "{reply:#?}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let document = reply.json();
        assert_eq!((&document["status"], &document["exit"]), (&json!(status), &json!(exit)), "{document:#}");
        document
    };
    let post = |path: &str, body: Value| host.post(&admin, &format!("/v1/projections/{path}"), &body);
    let refused = problem(post("faulty/pause", json!({})), 409, 3);
    assert_eq!(refused["detail"], data.exits(3, ["pause", "faulty"])["message"]);
    let unknown = problem(post("nothing/pause", json!({})), 404, 3);
    assert_eq!(unknown["detail"], data.exits(3, ["pause", "nothing"])["message"]);
    problem(post("faulty/pause", json!({ "hard": true })), 422, 2);
    problem(post("faulty/rebuild", json!({ "chunkSize": "many" })), 422, 2);
    problem(host.ask(&admin, "POST", "/v1/projections/faulty/pause", Some(("application/json", b"{"))), 422, 2);
    problem(host.ask(&admin, "POST", "/v1/projections/faulty/pause", Some(("text/plain", b"{}"))), 415, 2);
    problem(host.ask(&admin, "GET", "/v1/projections/faulty/plugins?pretty=1", None), 422, 2);
    problem(host.ask(&admin, "GET", "/v1/nothing", None), 404, 2);
    problem(host.ask(&admin, "DELETE", "/v1/projections", None), 405, 2);
    problem(post("faulty/rebuild", json!({ "source": "postgres:marten?host=nowhere.invalid&dbname=x" })), 422, 2);
    // Readers are switched, or something goes: what was seen must be said.
    problem(post("faulty/cancel", json!({})), 428, 2);
    let old = tag(&host, &admin, "faulty");
    data.ok(["rebuild", "faulty", "--restart", "--detach", "--on-error", "park"]);
    data.wait_for("faulty", |status| status["status"] != "running");
    let stale = admin.clone().with("If-Match", &old);
    let changed = problem(host.post(&stale, "/v1/projections/faulty/promote", &json!({ "allowParked": true })), 412, 3);
    let now = tag(&host, &admin, "faulty");
    assert_eq!(json!(now.trim_matches('"')), changed["current"]["etag"]);
    let fresh = admin.clone().with("If-Match", &now);
    let promoted = host.post(&fresh, "/v1/projections/faulty/promote", &json!({ "allowParked": true }));
    assert_eq!((promoted.status, &promoted.json()["liveGeneration"]), (200, &json!(2)), "{promoted:#?}");
    problem(host.post(&fresh, "/v1/projections/faulty/rollback", &json!({})), 412, 3);
    let large = vec![b'x'; (64 << 20) + 1];
    let reply = host.ask(&admin, "PUT", "/v1/plugins", Some(("application/wasm", &large)));
    assert!(matches!(reply.status, 0 | 413), "{}", reply.status);
    let refused = problem(host.ask(&admin, "PUT", "/v1/plugins", Some(("application/wasm", b"no plugin"))), 422, 2);
    assert!(refused["detail"].as_str().unwrap().starts_with("the file that was sent: "), "{refused:#}");
    assert_complete(&data, "after refusals");
}

/// A day of an operator who has nothing but HTTP.
#[test]
fn a_failed_rebuild_is_mended_and_goes_on() {
    let data = Data::new(BINARY);
    data.make();
    let host = HttpHost::start(&data, &[]);
    let admin = Asker::token(&data, "root", "admin", "full").with("Unspool-Reason", "a%20bad%20day");
    let events = history::mixed(2_000, &[(900, "Error")]);
    let reply = host.ask(&admin, "POST", "/v1/events", Some(("application/x-ndjson", &events)));
    assert_eq!((reply.status, &reply.json()["added"]), (200, &json!(2_000)), "{reply:#?}");
    let component = |file: std::path::PathBuf| std::fs::read(file).unwrap();
    let put = |path: &str, bytes: &[u8]| host.ask(&admin, "PUT", path, Some(("application/wasm", bytes)));
    assert_eq!(put("/v1/plugins", &component(plugin("faulty"))).json()["status"], "installed");
    let plan = host.post(&admin, "/v1/projections/faulty/rebuild", &json!({ "dryRun": true })).json();
    assert_eq!(plan["wouldBe"], "started", "{plan:#}");
    let started = host.post(&admin, "/v1/projections/faulty/rebuild", &json!({})).json();
    assert_eq!(started["status"], "started", "{started:#}");
    data.wait_for("faulty", |status| status["status"] == "failed");
    let actions = host.get(&admin, "/v1/projections/faulty")["actions"].clone();
    let allowed = |name: &str| {
        let action = actions.as_array().unwrap().iter().find(|action| action["name"] == name);
        action.unwrap_or_else(|| panic!("{name}: {actions:#}"))["allowed"].clone()
    };
    assert_eq!(
        ["resume", "cancel", "pause", "promote", "rollback"].map(allowed),
        [true, true, false, false, false].map(Value::Bool)
    );
    let fixed = component(plugin_with("faulty", &["errors-fixed"]));
    let tried = host.ask(&admin, "POST", "/v1/projections/faulty/try?last=500", Some(("application/wasm", &fixed)));
    assert_eq!(tried.status, 200, "{tried:#?}");
    let swapped = put("/v1/projections/faulty/plugin", &fixed).json();
    assert_eq!(swapped["sameShape"], true, "{swapped:#}");
    assert_eq!(host.post(&admin, "/v1/projections/faulty/resume", &json!({})).json()["status"], "resumed");
    data.wait_for("faulty", |status| status["status"] == "completed");
    let lines =
        host.ask(&admin.clone().with("Accept", "application/x-ndjson"), "POST", "/v1/projections/faulty/verify", None);
    let last = lines.lines().pop().unwrap();
    assert_eq!(last["done"]["different"], 0, "{last:#}");
    assert_eq!(host.get(&admin, "/v1/projections/faulty")["lastVerify"]["differences"], 0);
    let acts = data.list(["activity", "--actor", "root"]);
    assert!(acts.len() > 5 && acts.iter().all(|act| act["via"] == "http" && act["reason"] == "a bad day"), "{acts:#?}");
    assert_complete(&data, "after the day");
}

#[test]
fn a_page_is_told_what_goes_on_as_it_happens() {
    use std::io::{BufRead, BufReader, Write};
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let asker = Asker::token(&data, "page", "viewer", "none");
    let mut stream = std::net::TcpStream::connect(host.address).unwrap();
    let (name, value) = &asker.headers[0];
    write!(stream, "GET /v1/stream HTTP/1.1\r\nHost: {}\r\n{name}: {value}\r\n\r\n", host.address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut lines = BufReader::new(stream).lines().map(|line| line.unwrap());
    let mut next = |event: &str| -> Value {
        lines.find(|line| *line == format!("event: {event}") || *line == format!("event:{event}")).unwrap();
        let data = lines.find(|line| line.starts_with("data:")).unwrap();
        serde_json::from_str(data.trim_start_matches("data:").trim()).unwrap()
    };
    let status = next("status");
    assert_eq!(status["projections"][0]["name"], "faulty", "{status:#}");
    data.exits(3, ["pause", "faulty"]);
    let entry = next("activity");
    assert_eq!((&entry["request"], &entry["outcome"]), (&json!("pause"), &json!("refused")));
    data.ok(["rebuild", "faulty", "--restart", "--detach", "--on-error", "park"]);
    while next("status")["projections"][0]["rebuild"]["generation"] != 2 {}
}
