//! Commands that read: nothing of a data directory is changed by them, whatever a host that was killed has left there.

use super::BINARY;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::plugin,
};

/// A projection whose events are in the log, and one with parked events whose events are in a file.
fn data() -> (Data, Value) {
    let data = Data::new(BINARY);
    let lines = history::orders(20_000, 11);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    data.install(&plugin("faulty"));
    let mixed = data.file("mixed.ndjson", history::mixed(300, &[(7, "Error")]));
    let source = format!("file:{}", mixed.display());
    data.exits(1, ["rebuild", "faulty", "--on-error", "park", "--source", &source]);
    data.ok(["model", "promote", "faulty", "--allow-parked"]);
    data.ok(["rebuild", "order-summary", "--to", "1000"]);
    (data, history::events(&lines)[0].clone())
}

/// Every command that reads, about what [`data`] has.
fn commands(event: &Value) -> Vec<Vec<String>> {
    let id = event["id"].as_str().unwrap();
    [
        "status order-summary",
        "status faulty",
        "list",
        "list --all",
        "plugin list",
        "plugin history faulty",
        "events stats",
        &format!("events show {id}"),
        "model get faulty/seen s01",
        "model scan order-summary/orders",
        "model digest order-summary",
        "model generations order-summary",
        "model receipt order-summary",
        "model receipt faulty",
        "dead-letters list faulty",
        "dead-letters show faulty e7",
        "model export order-summary/orders",
        "store check",
    ]
    .map(|command| command.split(' ').map(str::to_owned).collect())
    .to_vec()
}

/// Everything in a folder: the bytes of its files, with their rights.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
        if about.is_dir() {
            found.extend(everything(&path));
        }
        let bytes = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path, (bytes, about.mode()));
    }
    found
}

/// Asserts that `command` answers, and leaves everything as it is.
#[track_caller]
fn changes_nothing(data: &Data, command: &[String], before: &BTreeMap<PathBuf, (Vec<u8>, u32)>) {
    data.ok(command);
    let after = everything(&data.path());
    let changed: Vec<_> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "{command:?} changed {changed:?}");
}

/// Takes the right to write to everything in a folder from its owner too, or gives it back.
fn set_writable(folder: &Path, writable: bool) {
    for (path, (_, mode)) in everything(folder) {
        let mode = if writable { mode | 0o200 } else { mode & !0o222 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777)).unwrap();
    }
}

#[test]
fn commands_that_read_write_nothing() {
    let (data, event) = data();
    set_writable(&data.path(), false);
    let before = everything(&data.path());
    for command in commands(&event) {
        changes_nothing(&data, &command, &before);
    }
    set_writable(&data.path(), true);
    data.json(["rebuild", "order-summary"]);
}

#[test]
fn they_show_what_a_killed_host_left_without_recovering_it() {
    let (data, event) = data();
    let rebuild = data.start(["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "1000"]);
    data.wait_for_host();
    let reached = |status: &Value| status["generation"] == 2 && status["eventsProcessed"].as_u64() >= Some(400);
    let seen = data.wait_for("order-summary", reached);
    rebuild.kill();
    let before = everything(&data.path());
    for command in commands(&event) {
        changes_nothing(&data, &command, &before);
    }
    let status = data.json(["status", "order-summary"]);
    assert_eq!((&status["status"], &status["interrupted"]), (&json!("paused"), &json!(true)));
    assert!(status["eventsProcessed"].as_u64() >= seen["eventsProcessed"].as_u64(), "reported work is there: {status}");
    assert!(status["next"].as_str().unwrap().contains("unspool resume order-summary"), "{status}");
    let receipt = data.json(["model", "receipt", "order-summary", "--generation", "2"]);
    assert_eq!((&receipt["status"], &receipt["digest"]), (&json!("paused"), &Value::Null));
    let digest = |data: &Data| data.json(["model", "digest", "order-summary", "--generation", "2"]);
    let (unrecovered, generations) = (digest(&data), data.list(["model", "generations", "order-summary"]));
    let (copy, restored) = (data.scratch("copy.redb"), Data::new(BINARY));
    changes_nothing(&data, &["store", "backup", copy.to_str().unwrap()].map(str::to_owned), &before);
    restored.make();
    fs::copy(copy, restored.path().join("store.redb")).unwrap();
    assert_eq!(digest(&restored), unrecovered, "a copy has what a journal has");

    // The next command that changes something recovers it, and finds what was shown.
    data.ok(["pause", "order-summary"]);
    assert_ne!(everything(&data.path()), before);
    assert_eq!(digest(&data), unrecovered);
    let recovered = data.list(["model", "generations", "order-summary"]);
    let shown = |generations: &[Value]| -> Vec<_> {
        let fields = ["generation", "role", "status", "position", "eventsProcessed", "ranges"];
        generations.iter().map(|generation| fields.map(|field| generation[field].clone())).collect()
    };
    assert_eq!(shown(&recovered), shown(&generations));
}

/// Three hosts in a row that end at the same place are what the next one calls a failure; whoever reads says so before.
#[test]
fn they_show_a_rebuild_that_ends_its_hosts_as_failed() {
    let (data, _) = data();
    for _ in 0..3 {
        let answer = data.command(["rebuild", "order-summary"]).env("UNSPOOL_CRASH_AT", "begin-attempt.after").output();
        assert_ne!(answer.unwrap().status.code(), Some(0));
    }
    let before = everything(&data.path());
    let status = data.json(["status", "order-summary"]);
    assert_eq!(status["status"], "failed", "{status}");
    assert!(status["error"].as_str().unwrap().contains("3 times in a row"), "{status}");
    assert_eq!(everything(&data.path()), before);
}

/// Engines reserve more than a hundred gibibytes of addresses for what plugins may use.
#[test]
fn they_start_no_engine() {
    let (data, event) = data();
    let little = |args: &[String]| -> Answer {
        let command = data.command(["--json"]);
        let mut limited = Command::new("bash");
        limited.args(["-c", "ulimit -v 4000000 && exec \"$@\"", "bash"]).arg(command.get_program());
        limited.args(command.get_args()).args(args).output().unwrap().into()
    };
    for command in commands(&event) {
        let answer = little(&command);
        assert_eq!(answer.exit, Some(0), "{command:?}: {answer:#?}");
    }
    assert_eq!(little(&["rebuild".into(), "order-summary".into()]).exit, Some(1), "with an engine there is no room");
}

/// Each locks what it reads, and none keeps another one from reading it.
#[test]
fn they_read_at_the_same_time() {
    let (data, _) = data();
    let store = fs::File::open(data.path().join("store.redb")).unwrap();
    store.lock_shared().unwrap();
    data.ok(["status", "order-summary"]);
    data.run(["pause", "order-summary"]).refused(2, &["in use"]);
    let (table, copy) = (data.scratch("orders.csv"), data.scratch("copy.redb"));
    let export = ["model", "export", "order-summary/orders", "--format", "csv", "--out", table.to_str().unwrap()];
    let before = everything(&data.path());
    for command in [&["store", "check"][..], &["store", "backup", copy.to_str().unwrap()], &export] {
        let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
        changes_nothing(&data, &command, &before);
    }
    assert!(fs::read_to_string(&table).unwrap().lines().count() > 1);
}

/// What takes long is not in the way of others who read; who wants to change something is told what is.
#[test]
fn a_long_one_keeps_others_from_changing_what_it_reads() {
    let (data, _) = data();
    data.ok(["rebuild", "order-summary"]);
    let export = data.command(["model", "export", "order-summary/orders"]).stdout(Stdio::piped()).spawn();
    let mut export = export.unwrap();
    // Nobody reads the rest: it is in the middle of it for as long as that is so.
    let mut first = String::new();
    BufReader::with_capacity(1, export.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("key"), "{first}");
    assert!(!data.path().join("control.sock").exists(), "it is no host for others");
    data.ok(["status", "order-summary"]);
    data.ok(["store", "check"]);
    let pid = format!("pid {}", export.id());
    data.run(["rebuild", "order-summary"]).refused(2, &["in use", &pid, "model export", "wait for its end"]);
    export.kill().unwrap();
    export.wait().unwrap();
    assert_eq!(data.json(["rebuild", "order-summary"])["status"], "completed");
}
