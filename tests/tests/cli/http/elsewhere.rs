//! Commands to a host elsewhere: the same output and the same exit codes as on its machine.

use super::data;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};
use unspool_tests::{
    data::{Answer, Data, poll},
    history,
    http::{Asker, HttpHost},
    plugins::{plugin, plugin_with},
    postgres::tls,
};

/// A token in a file, for a command elsewhere.
pub(super) fn token(data: &Data, name: &str, role: &str, payloads: &str) -> String {
    let made = data.json(["token", "add", name, "--role", role, "--payloads", payloads]);
    let file = data.file(&format!("{name}.token"), made["token"].as_str().unwrap());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    file.display().to_string()
}

/// Runs a command elsewhere: with a data directory that is not there.
pub(super) fn elsewhere(data: &Data, host: &str, token: &str, args: &[&str]) -> Answer {
    let mut command = data.command(["--host", host, "--token-file", token]);
    command.args(args).env("UNSPOOL_DATA", "/nowhere").stdin(Stdio::null());
    let all: Vec<_> = command.get_args().map(|arg| arg.to_owned()).collect();
    let at = all.iter().position(|arg| arg == "--data").unwrap();
    let mut without = std::process::Command::new(command.get_program());
    without.args(&all[..at]).args(&all[at + 2..]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => without.env(name, value),
            None => without.env_remove(name),
        };
    }
    without.stdin(Stdio::null()).output().unwrap().into()
}

/// By the command from elsewhere, by its own path, and as a metric: those whom the host tells, and not who asks.
#[test]
fn who_is_told_of_what_goes_wrong_is_seen_and_tested_from_elsewhere() {
    let data = data();
    let settings = "[[alert]]\nname = \"ops\"\non = [\"completed\"]\nto = { command = \"true\" }\n\n\
        [[alert]]\nname = \"deaf\"\non = [\"failed\"]\nto = { command = \"exit 3\" }\n";
    fs::write(data.path().join("unspool.toml"), settings).unwrap();
    let host = HttpHost::start(&data, &[]);
    let (operator, asker) = (token(&data, "op", "operator", "none"), Asker::token(&data, "asks", "operator", "none"));
    let tested = host.post(&asker, "/v1/alerts/test", &json!({ "name": "ops" }));
    let expected =
        json!({ "tested": 1, "failed": 0, "routes": [{ "name": "ops", "to": "command", "delivered": true }] });
    assert_eq!(tested.json(), expected);
    data.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    let told = || Some(host.get(&asker, "/v1/alerts")).filter(|routes| routes["routes"][1]["delivered"] == 1);
    let routes = poll("it is told", told)["routes"].clone();
    assert_eq!(routes, Value::Array(data.list(["alert", "list"])));
    assert_eq!(host.get(&asker, "/v1/host")["alertRoutes"], routes);
    let metrics = host.ask(&asker, "GET", "/metrics", None).body;
    assert!(metrics.contains("unspool_alert_deliveries_total{route=\"ops\",outcome=\"delivered\"} 1"), "{metrics}");
    let answer = elsewhere(&data, &host.url(), &operator, &["alert", "test"]);
    assert!(answer.exit == Some(1) && answer.stdout.contains("exit status: 3"), "{answer:#?}");
    assert_eq!(elsewhere(&data, &host.url(), &operator, &["alert", "test", "ops"]).exit, Some(0));
    elsewhere(&data, &host.url(), &operator, &["alert", "test", "nobody"]).refused(3, &["deaf"]);
}

#[test]
fn commands_give_the_same_from_elsewhere() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = token(&data, "root", "admin", "full");
    for command in [
        "status faulty",
        "list --all",
        "plugin list",
        "plugin history faulty",
        "events stats",
        "events show e1",
        "model get faulty/seen s01",
        "model scan faulty/seen --limit 3",
        "model digest faulty",
        "model generations faulty",
        "model export faulty/seen",
        "model history faulty/seen s01",
        "dead-letters list faulty",
        "dead-letters show faulty e7",
        "pause faulty",
        "pause nothing",
        "model get faulty/seen nothing",
        "rebuild faulty --dry-run",
        "rebuild faulty --source nowhere",
    ] {
        let words: Vec<&str> = ["--json"].into_iter().chain(command.split(' ')).collect();
        let (here, there) = (data.run(&words), elsewhere(&data, &host.url(), &admin, &words));
        // How long ago something was goes on meanwhile.
        let settled = |answer: &Answer| answer.stdout.replace(char::is_numeric, "0");
        assert_eq!((here.exit, settled(&here)), (there.exit, settled(&there)), "{command}: {here:#?} {there:#?}");
    }
}

#[test]
fn files_of_commands_elsewhere_are_sent() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = token(&data, "root", "admin", "full");
    let run = |args: &[&str]| elsewhere(&data, &host.url(), &admin, args);
    let more = data.file("more.ndjson", history::mixed(400, &[(7, "Error")]));
    let answer = run(&["--json", "events", "import", more.to_str().unwrap()]);
    assert_eq!((answer.exit, answer.json()["read"].as_u64()), (Some(0), Some(400)), "{answer:#?}");
    let fixed = plugin_with("faulty", &["errors-fixed"]);
    let answer = run(&["--json", "plugin", "try", "faulty", fixed.to_str().unwrap(), "--last", "100"]);
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert_eq!(run(&["plugin", "swap", "faulty", fixed.to_str().unwrap()]).exit, Some(0));
    assert_eq!(run(&["plugin", "install", plugin("order-summary").to_str().unwrap()]).exit, Some(0));
    let rebuilt = run(&["--json", "rebuild", "faulty", "--restart", "--reason", "it was mended"]);
    assert_eq!(rebuilt.exit, Some(0), "{rebuilt:#?}");
    let acts = data.list(["activity", "--actor", "root"]);
    assert!(acts.iter().any(|act| act["reason"] == "it was mended"), "{acts:#?}");
    let none = run(&["plugin", "install", "nowhere.wasm"]);
    assert_eq!(none.exit, Some(2), "{none:#?}");
    let wrong = data.file("wrong.wasm", "no component");
    run(&["plugin", "install", wrong.to_str().unwrap()]).refused(2, &["wrong.wasm: not a WebAssembly file"]);
}

#[test]
fn what_is_wrong_with_a_host_elsewhere_is_said() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let viewer = token(&data, "look", "viewer", "none");
    let url = host.url();
    elsewhere(&data, &url, &viewer, &["cancel", "faulty"]).refused(2, &["look has the role viewer"]);
    elsewhere(&data, &url, &viewer, &["model", "scan", "faulty/seen"]).refused(2, &["may not see rows"]);
    let wide = data.file("wide.token", "unspool_0");
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o644)).unwrap();
    elsewhere(&data, &url, wide.to_str().unwrap(), &["list"]).refused(2, &["chmod 600"]);
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o600)).unwrap();
    elsewhere(&data, &url, wide.to_str().unwrap(), &["list"]).refused(2, &["lets nobody in"]);
    elsewhere(&data, "http://127.0.0.1:1", &viewer, &["list"]).refused(1, &["cannot be reached"]);
    elsewhere(&data, "prod", &viewer, &["list"]).refused(2, &["hosts.toml"]);
    elsewhere(&data, &url, &viewer, &["demo"]).refused(2, &["on the host's machine"]);
    // What is in production is asked about.
    let config = data.scratch("config");
    fs::create_dir_all(config.join("unspool")).unwrap();
    let operator = token(&data, "op", "operator", "none");
    let hosts = format!("[hosts.prod]\nurl = \"{url}\"\ntoken_file = \"{operator}\"\nproduction = true\n");
    fs::write(config.join("unspool/hosts.toml"), hosts).unwrap();
    let prod = |args: &[&str]| -> Answer {
        let mut command = data.command(["--host", "prod"]);
        command.args(args).env("XDG_CONFIG_HOME", &config).stdin(Stdio::null());
        command.output().unwrap().into()
    };
    assert_eq!(prod(&["list"]).exit, Some(0));
    prod(&["rebuild", "faulty", "--restart", "--detach"]).refused(3, &["--yes"]);
    assert_eq!(prod(&["--yes", "rebuild", "faulty", "--restart", "--detach"]).exit, Some(0));
}

/// Over TLS, with an authority that only the hosts file names.
#[test]
fn a_host_elsewhere_is_who_it_says() {
    let data = data();
    let dir = data.scratch("tls");
    fs::create_dir(&dir).unwrap();
    tls::certify(&dir);
    let file = |name: &str| dir.join(name).display().to_string();
    let (certificate, key) = (file(tls::CERTIFICATE), file(tls::KEY));
    let admin = token(&data, "root", "admin", "full");
    let mut host = data.start(["serve", "--listen", "0.0.0.0:0", "--tls-cert", &certificate, "--tls-key", &key]);
    let lines = host.wait_for_line("serving");
    let line = lines.iter().find(|line| line.contains("listening on https://localhost:")).expect("it says where");
    let url = line.split("listening on ").nth(1).unwrap().trim();
    elsewhere(&data, url, &admin, &["list"]).refused(1, &["cannot be reached", url]);
    let config = data.scratch("config");
    fs::create_dir_all(config.join("unspool")).unwrap();
    let hosts = format!("[hosts.here]\nurl = \"{url}\"\ntoken_file = \"{admin}\"\nca = \"{}\"\n", file(tls::AUTHORITY));
    fs::write(config.join("unspool/hosts.toml"), hosts).unwrap();
    let mut command = data.command(["--host", "here", "--json", "model", "digest", "faulty"]);
    let answer: Answer = command.env("XDG_CONFIG_HOME", &config).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!((answer.exit, answer.json()), (Some(0), data.json(["model", "digest", "faulty"])), "{answer:#?}");
    let cookie = data.json(["ui"])["url"].as_str().unwrap().to_owned();
    assert!(cookie.starts_with(url), "{cookie}");
}

/// A host that was ended or stopped: a command elsewhere says so, and does not take it for an answer.
#[test]
fn a_host_elsewhere_that_ends_in_the_middle_is_no_answer() {
    let data = data();
    let host = HttpHost::start(&data, &[]);
    let admin = token(&data, "root", "admin", "full");
    data.ok([
        "rebuild",
        "faulty",
        "--restart",
        "--detach",
        "--rate-limit",
        "50",
        "--chunk-size",
        "5",
        "--on-error",
        "park",
    ]);
    let mut watch = data.command(["--host", &host.url(), "--token-file", &admin, "rebuild", "faulty"]);
    let child = watch.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(20));
    host.host.kill();
    let answer: Answer = child.wait_with_output().unwrap().into();
    answer.refused(1, &["ended before it answered"]);
}
