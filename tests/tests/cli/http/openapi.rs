//! The description of the interface: it is complete, and it is true.

use super::data;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Command};
use unspool::http::ROUTES;
use unspool_tests::{
    http::{Asker, HttpHost, Reply},
    plugins::{plugin, plugin_with},
    schema::Described,
};

/// Asks, and checks what comes back against the description.
struct Checked<'a> {
    host: &'a HttpHost,
    described: Described,
    /// The operations that were carried out, and how many answers were checked.
    done: BTreeSet<String>,
    checked: usize,
    /// Where the description is not true.
    wrong: Vec<String>,
}

impl Checked<'_> {
    /// Asks for the operation of `method` and `template`, at `path` below it.
    #[track_caller]
    fn ask(&mut self, asker: &Asker, method: &str, template: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
        let reply = self.host.ask(asker, method, path, body);
        let operation = &self.described.0["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {template} is not described");
        let response = &operation["responses"][reply.status.to_string()];
        if !response.is_object() {
            self.wrong.push(format!("{method} {template} has no status {}: {reply:#?}", reply.status));
            return reply;
        }
        let response = match response["$ref"].as_str() {
            Some(reference) => self.described.0.pointer(reference.trim_start_matches('#')).expect("it is there"),
            None => response,
        };
        let at = format!("{method} {path} {}", reply.status);
        let kind = reply.headers.get("content-type").map_or("", |kind| kind.split(';').next().unwrap());
        if response["content"].is_null() {
            assert_eq!(reply.body, "", "{at}");
        } else {
            let content = &response["content"][kind];
            assert!(content.is_object(), "{at}: no {kind} is described: {reply:#?}");
            let values = match kind {
                "application/x-ndjson" => reply.lines(),
                kind if kind.ends_with("json") => vec![reply.json()],
                _ => Vec::new(),
            };
            for value in values {
                self.checked += 1;
                self.wrong.extend(self.described.check(&content["schema"], &value, &at).err());
            }
        }
        if reply.status < 300 {
            self.done.insert(format!("{method} {template}"));
        }
        reply
    }

    /// The same, where it is carried out.
    #[track_caller]
    fn does(&mut self, asker: &Asker, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Reply {
        let bare = path.split('?').next().unwrap();
        let fits = |template: &&String| {
            let (parts, of) = (bare.split('/').collect::<Vec<_>>(), template.split('/').collect::<Vec<_>>());
            parts.len() == of.len() && parts.iter().zip(&of).all(|(part, of)| part == of || of.starts_with('{'))
        };
        let templates = self.described.0["paths"].as_object().unwrap();
        // What is written out goes before what is named in braces.
        let template =
            templates.keys().filter(fits).min_by_key(|template| template.matches('{').count()).unwrap().clone();
        let reply = self.ask(asker, method, &template, path, body);
        if reply.status >= 300 {
            self.wrong.push(format!("{method} {path}: {reply:#?}"));
        }
        reply
    }

    #[track_caller]
    fn post(&mut self, asker: &Asker, path: &str, body: &Value) -> Reply {
        self.does(asker, "POST", path, Some(("application/json", body.to_string().as_bytes())))
    }
}

fn document() -> (unspool_tests::data::Data, HttpHost, Asker, Value) {
    let data = data();
    let host = HttpHost::start(&data, &["--alert", "true"]);
    let admin = Asker::token(&data, "root", "admin", "full");
    let document = host.get(&admin, "/v1/openapi.json");
    (data, host, admin, document)
}

/// `UNSPOOL_UPDATE=1` writes it anew: read the difference, it is what clients are generated from.
#[test]
fn the_description_is_what_it_was_and_has_every_route() {
    let (_data, host, _, document) = document();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/http/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    if std::env::var_os("UNSPOOL_UPDATE").is_some() {
        fs::write(&kept, &text).unwrap();
    }
    assert!(fs::read_to_string(&kept).unwrap() == text, "the description differs: UNSPOOL_UPDATE=1 writes it anew");
    assert_eq!(host.ask(&Asker::default(), "GET", "/v1/openapi.json", None).status, 401);
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method.to_lowercase()];
        let at = format!("{} {}", route.method, route.path);
        assert_eq!(operation["summary"], route.about, "{at}");
        assert!(["viewer", "operator", "admin"].contains(&operation["x-unspool"]["role"].as_str().unwrap()), "{at}");
        assert_eq!(operation["x-unspool"]["recorded"], route.method != "GET" && !at.ends_with("/store/check"), "{at}");
        for parameter in route.query {
            let found = operation["parameters"].as_array().unwrap().iter().find(|one| one["name"] == parameter.name);
            assert_eq!(found.unwrap_or_else(|| panic!("{at}: {}", parameter.name))["description"], parameter.about);
        }
        let needs = operation["x-unspool"]["mustMatch"] == true;
        assert_eq!(operation["responses"]["428"].is_object(), needs, "{at}");
    }
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert_eq!(operation["security"] == json!([]), operation["x-unspool"]["role"].is_null(), "{path}");
        }
    }
}

/// Every operation is carried out on real data, and what it answers is what is described; so are its refusals.
#[test]
fn what_is_answered_is_what_is_described() {
    let (data, host, admin, document) = document();
    let described = Described(document.clone());
    let mut checked = Checked { host: &host, described, done: BTreeSet::new(), checked: 0, wrong: Vec::new() };
    let name = "/v1/projections/faulty";
    let at = |rest: &str| format!("{name}{rest}");
    let lines = admin.clone().with("Accept", "application/x-ndjson");
    let bytes = |file: std::path::PathBuf| fs::read(file).unwrap();
    let seen = |checked: &mut Checked| {
        let tag = checked.does(&admin, "GET", name, None).headers["etag"].clone();
        admin.clone().with("If-Match", &tag)
    };
    data.ok(["model", "as-of", "faulty", "--to", "100", "--name", "early"]);
    for path in [
        "/v1/openapi.json",
        "/v1/host",
        "/v1/log",
        "/v1/projections",
        "/v1/plugins",
        "/v1/alerts",
        "/v1/events/stats",
        "/v1/events/schema?type=Fine",
        "/v1/events/e1",
        "/v1/activity?limit=1000",
        "/v1/activity/check",
        "/metrics",
        "/livez",
        "/readyz",
    ] {
        checked.does(&admin, "GET", path, None);
    }
    for rest in [
        "",
        "/status",
        "/plugins",
        "/generations",
        "/generations/live",
        "/generations/early",
        "/generations/1/digest",
        "/samples",
        "/generations/live/tables/seen/rows?limit=3",
        "/generations/live/tables/seen/rows/s01",
        "/generations/live/tables/seen/rows/s01/history",
        "/diff?left=early",
        "/dead-letters",
        "/dead-letters/e7",
        "/export",
        "/generations/live/tables/seen/rows/s01?documents=text",
    ] {
        checked.does(&admin, "GET", &at(rest), None);
    }
    for rest in ["", "/plugins", "/generations/live/digest", "/diff?left=early", "/dead-letters"] {
        checked.does(&lines, "GET", &at(rest), None);
    }
    // What has been done before is another rebuild, whose pace leaves time to act on it.
    let events: Vec<u8> = unspool_tests::history::on_streams([("s01", "Fine"), ("s02", "Late")]);
    let events = String::from_utf8(events).unwrap().replace("\"e0\"", "\"n0\"").replace("\"e1\"", "\"n1\"");
    checked.does(&lines, "POST", "/v1/events", Some(("application/octet-stream", events.as_bytes())));
    checked.does(&admin, "PUT", "/v1/plugins", Some(("application/wasm", &bytes(plugin("order-summary")))));
    checked.post(&admin, &at("/rebuild"), &json!({ "dryRun": true }));
    for (path, body) in [
        ("/follow", json!({})),
        ("/unfollow", json!({})),
        ("/catch-up", json!({})),
        ("/rebuild-stream", json!({ "stream": "s01" })),
        ("/dead-letters/retry", json!({ "stream": "s07" })),
        ("/as-of", json!({ "to": "50", "label": "earlier" })),
    ] {
        checked.post(&admin, &at(path), &body);
    }
    let acts = seen(&mut checked);
    checked.does(&acts, "DELETE", &at("/generations/earlier"), None);
    let fixed = bytes(plugin_with("faulty", &["errors-fixed"]));
    checked.does(&admin, "POST", &at("/try?last=100"), Some(("application/wasm", &fixed)));
    checked.does(&admin, "PUT", &at("/plugin"), Some(("application/wasm", &fixed)));
    checked.post(&lines, &at("/verify"), &json!({}));
    checked.post(&admin, &at("/verify"), &json!({}));
    checked.post(&admin, &at("/plugin-rollback"), &json!({}));
    let slow = json!({ "restart": true, "rateLimit": 20, "chunkSize": 5, "onError": "park", "noPromote": true });
    checked.post(&admin, &at("/rebuild"), &slow);
    checked.post(&admin, &at("/pause"), &json!({}));
    checked.does(&admin, "GET", &at("/status"), None);
    checked.post(&admin, &at("/resume"), &json!({}));
    let acts = seen(&mut checked);
    checked.post(&acts, &at("/cancel"), &json!({}));
    checked.post(&admin, &at("/rebuild"), &json!({ "restart": true, "onError": "park", "noPromote": true }));
    data.wait_for("faulty", |status| status["status"] != "running");
    let acts = seen(&mut checked);
    checked.post(&acts, &at("/promote"), &json!({ "allowParked": true }));
    let acts = seen(&mut checked);
    checked.post(&acts, &at("/rollback"), &json!({ "now": true }));
    let acts = seen(&mut checked);
    checked.post(&acts, &at("/dead-letters/discard"), &json!({}));
    checked.post(&admin, "/v1/alerts/test", &json!({}));
    checked.post(&admin, "/v1/store/check", &json!({}));
    let copy = data.scratch("copy.redb").display().to_string();
    checked.post(&admin, "/v1/store/backup", &json!({ "file": copy }));
    checked.does(&admin, "POST", "/v1/uploads", Some(("application/octet-stream", b"a file")));
    checked.post(&admin, "/v1/control", &json!({ "request": "events-stats" }));
    let secret = admin.headers[0].1.trim_start_matches("Bearer ").to_owned();
    checked.post(&Asker::default(), "/v1/session", &json!({ "token": secret }));
    checked.does(&admin, "DELETE", "/v1/session", None);
    // What was done is told in many ways.
    checked.does(&admin, "GET", "/v1/activity?limit=1000", None);
    checked.does(&admin, "GET", "/v1/projections", None);
    checked.does(&admin, "GET", "/v1/log", None);
    // What goes on until nobody listens is tested where it is heard.
    let goes_on = ["GET /v1/stream".to_owned(), format!("GET {}", "/v1/projections/{name}/changes")];
    checked.done.extend(goes_on);

    // Refused: to nobody, by another name, of what is not there, and of what is not possible.
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            described.insert(format!("{method} {path}"));
            let nothing = path.replace("{name}", "nothing").replace("{id}", "nothing").replace(['{', '}'], "");
            let body = (method != "GET").then_some(("application/json", &b"{"[..]));
            checked.ask(&admin.clone().with("Host", "elsewhere.example"), &method, path, &nothing, body);
            if operation["security"].is_null() {
                checked.ask(&Asker::default(), &method, path, &nothing, body);
            }
            let ends = !["/v1/stream", "/changes"].iter().any(|end| path.ends_with(end));
            if ends {
                checked.ask(&admin, &method, path, &nothing, body);
            }
        }
    }
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
    assert_eq!(checked.done, described, "every operation was carried out");
    assert!(checked.checked > 250, "{}", checked.checked);
    for refused in ["/pause", "/promote"] {
        checked.ask(
            &admin,
            "POST",
            &format!("/v1/projections/{{name}}{refused}"),
            &at(refused),
            Some(("application/json", b"{}")),
        );
    }
}

/// What others make of the description: thousands of requests that it allows, and as many that it does not.
#[test]
#[ignore = "needs schemathesis (a package of Python) as st on the PATH, and some minutes"]
fn requests_that_a_generator_makes_of_the_description_are_answered_as_it_says() {
    let (_data, host, admin, _) = document();
    let (name, value) = &admin.headers[0];
    let tested = Command::new("st")
        .args(["run", &format!("{}/v1/openapi.json", host.url()), "--header", &format!("{name}: {value}")])
        .args(["--checks", "not_a_server_error,status_code_conformance,response_schema_conformance"])
        .args(["--exclude-path-regex", "stream|changes|session|uploads|control|backup", "--max-examples", "20"])
        .status()
        .unwrap();
    assert!(tested.success());
}
