//! Ends real processes as `kill -9` would, at every step that has a name and at random, and looks at what the next one
//! finds: everything fits together, nothing that was reported is lost, nothing is applied twice, readers see the old rows
//! or the new ones, and doing it again ends where an uninterrupted run ends.
//!
//! `UNSPOOL_KILLS` says how many of the random kills there are; `UNSPOOL_SEED` repeats a schedule.

mod files;
mod followed;
mod layouts;
mod orders;
mod parked;
mod plugins;
mod readers;
mod rebuilds;
mod scripts;

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Stdio,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use unspool::store::{Commit, DataDir, RowChange, Store, StoreError};
use unspool_tests::{
    activity::assert_complete,
    data::{Answer, Data, Rows},
    history, oracle,
    plugins::{plugin, plugin_with},
    random::{Random, setting},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

static KILLS: AtomicU64 = AtomicU64::new(0);

/// Counts the kills of one test when it ends; the last line is the number of them all. Not captured, since it is a result.
struct Count;

impl Drop for Count {
    fn drop(&mut self) {
        drop(writeln!(std::io::stderr(), "kills so far: {}", KILLS.load(Ordering::SeqCst)));
    }
}

/// How many random kills there are.
fn kills() -> u64 {
    setting("UNSPOOL_KILLS", 20)
}

/// Random choices, and the seed that repeats them.
fn random() -> (u64, Random) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = setting("UNSPOOL_SEED", now);
    (seed, Random::new(seed))
}

/// Runs a command that must die at `at`, and checks what it leaves. The cases of a test name their points as literals:
/// `every_named_point_has_a_case` looks for them.
#[track_caller]
fn kill<S: Into<OsString>>(data: &Data, at: &str, args: impl IntoIterator<Item = S>) {
    die(data, at, args);
    intact(data, at);
}

/// Runs a command that must die at `at`, and leaves it at that.
#[track_caller]
fn die<S: Into<OsString>>(data: &Data, at: &str, args: impl IntoIterator<Item = S>) {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let output = data.command(&args).env("UNSPOOL_CRASH_AT", at).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.signal(), Some(9), "not killed at {at}: {args:?} {:#?}", Answer::from(output));
    KILLS.fetch_add(1, Ordering::SeqCst);
}

/// A command that may change something, finds nothing to do, and recovers what a killed host has left on its way.
const RECOVER: [&str; 2] = ["pause", "nothing"];

/// What must hold after any kill: it all fits together, and nothing says that it runs.
#[track_caller]
fn intact(data: &Data, at: &str) {
    // Before anything is recovered, and after.
    for recovered in [false, true] {
        if recovered {
            assert!(matches!(data.run(RECOVER).exit, Some(2 | 3)), "after a kill at {at}");
        }
        let report: Answer = data.command(["--json", "store", "check"]).output().unwrap().into();
        assert_eq!(report.exit, Some(0), "after a kill at {at}: {report:#?}");
        assert_eq!(report.json()["problems"], json!([]), "after a kill at {at}");
        if recovered {
            assert_complete(data, &format!("after a kill at {at}"));
        }
        for line in data.ok(["list", "--all"]).lines() {
            let status: Value = serde_json::from_str(line).unwrap();
            assert!(status["status"] != "running", "after a kill at {at}: {status:#}");
        }
    }
}

fn strings(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

/// `plugin VERB [NAME] FILE`.
fn with_file(args: &[&str], file: &Path) -> Vec<OsString> {
    let mut all = strings(args);
    all.insert(args.len().min(3), file.into());
    all
}

fn status(data: &Data, name: &str) -> Value {
    data.json(["status", name])
}

fn processed(status: &Value) -> usize {
    status["eventsProcessed"].as_u64().unwrap() as usize
}

fn generation(status: &Value) -> &str {
    status["checkpointId"].as_str().unwrap().split('/').nth(1).unwrap()
}

fn live(data: &Data, name: &str) -> Option<u64> {
    let list = data.ok(["plugin", "list"]);
    let list = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    list.into_iter().find(|plugin| plugin["projectionName"] == name).unwrap()["liveGeneration"].as_u64()
}

/// The receipt of the live generation names the digest that its rows have.
#[track_caller]
fn complete_with(data: &Data, name: &str, digest: &str) {
    assert_eq!(data.digest(name), digest);
    assert_eq!(data.json(["model", "receipt", name])["digest"], digest);
    intact(data, "the end");
}

/// A point without a case would be a promise that nobody tests.
#[test]
fn every_named_point_has_a_case() {
    fn files(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut sources = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host"), &mut sources);
    let mut points = BTreeSet::new();
    for call in sources.iter().flat_map(|source| source.split("crash::point(").skip(1)) {
        let call = call.split(");").next().unwrap();
        points.extend(call.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    assert!(points.len() > 30, "{points:?}");
    let mut cases = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), &mut cases);
    let cases = cases.concat();
    for point in points {
        let named = cases.contains(&format!("\"{point}\"")) || cases.contains(&format!("\"{point}:"));
        assert!(named, "no case kills at {point}");
    }
}
