//! The store is copied while it is used, checked as a whole, and gives its space back.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use unspool_tests::{
    data::Data,
    history, oracle,
    plugins::{plugin, plugin_with},
    store_file,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn with_orders(events: u64) -> (Data, Vec<Value>) {
    let data = Data::new(BINARY);
    let lines = history::orders(events, 61);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    (data, history::events(&lines))
}

#[test]
fn a_backup_of_a_store_in_use_is_a_store_from_which_everything_goes_on() {
    let (data, events) = with_orders(6_000);
    data.install(&plugin("faulty"));
    let to = events[99]["id"].as_str().unwrap();
    data.ok(["rebuild", "order-summary", "--to", to]);
    let early = data.rows("order-summary/orders");
    let rebuild = data.start(["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "500"]);
    data.wait_for_host();
    data.wait_for("order-summary", |status| {
        status["checkpointId"] == "order-summary/2" && status["position"].as_u64().unwrap() >= 400
    });
    let copy = data.scratch("copy.redb");
    let command = ["store".as_ref(), "backup".as_ref(), copy.as_os_str()];
    let written = data.json(command);
    let metadata = fs::metadata(&copy).unwrap();
    assert_eq!((&written["bytes"], metadata.permissions().mode() & 0o777), (&json!(metadata.len()), 0o600));
    data.run(command).refused(3, &["copy.redb", "overwrites nothing"]);
    let now = data.json(["status", "order-summary"]);
    assert_eq!(now["status"], "running", "the rebuild goes on meanwhile");
    rebuild.signal(Signal::INT);
    assert_eq!(rebuild.end().exit, Some(130));
    let before = fs::read(&copy).unwrap();
    data.run(command).refused(3, &["overwrites nothing"]);
    assert_eq!(fs::read(&copy).unwrap(), before);

    let restored = Data::new(BINARY);
    restored.make();
    fs::copy(data.path().join("log.redb"), restored.path().join("log.redb")).unwrap();
    fs::copy(&copy, restored.path().join("store.redb")).unwrap();
    let checked = restored.json(["store", "check"]);
    assert_eq!((&checked["problems"], &checked["generations"]), (&json!([]), &json!(2)));
    assert_eq!(restored.rows("order-summary/orders"), early);
    let left = restored.json(["status", "order-summary"]);
    assert_eq!(left["status"], "paused");
    let position = left["position"].as_u64().unwrap();
    assert!((400..=now["position"].as_u64().unwrap()).contains(&position));
    let ended = restored.json(["rebuild", "order-summary", "--rate-limit", "1000000"]);
    assert_eq!((&ended["status"], &ended["trigger"]["status"]), (&json!("completed"), &json!("resumed")));
    assert_eq!(restored.rows("order-summary/orders"), oracle::orders(&events).0);
    assert_eq!(restored.list(["plugin", "list"]).len(), 2);
}

#[test]
fn parked_events_are_part_of_a_backup() {
    let data = parked();
    let copy = data.scratch("copy.redb");
    data.json(["store".as_ref(), "backup".as_ref(), copy.as_os_str()]);
    let before = data.list(["dead-letters", "list", "faulty"]);
    fs::rename(&copy, data.path().join("store.redb")).unwrap();
    assert_eq!(data.list(["dead-letters", "list", "faulty"]), before);
    let checked = data.json(["store", "check"]);
    assert_eq!((&checked["problems"], &checked["parked"]), (&json!([]), &json!(before.len())));
    let nowhere = data.scratch("no/such/folder.redb");
    data.run(["store".as_ref(), "backup".as_ref(), nowhere.as_os_str()]).refused(2, &["folder.redb"]);
}

/// A complete `faulty` with parked events.
fn parked() -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(800, &[(500, "Error")])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    data
}

/// The problems of a store that `spoil` has spoilt.
#[track_caller]
fn problems(spoil: impl FnOnce(&Data)) -> Vec<String> {
    let data = parked();
    let clean = data.json(["store", "check"]);
    assert_eq!((&clean["problems"], &clean["rows"], &clean["parked"]), (&json!([]), &json!(40), &json!(8)));
    spoil(&data);
    let found = data.exits(1, ["store", "check"]);
    found["problems"].as_array().unwrap().iter().map(|problem| problem.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn assert_one(problems: &[String], words: &[&str]) {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for word in words {
        assert!(problems[0].contains(word), "no {word:?} in {problems:#?}");
    }
}

#[test]
fn a_check_finds_what_was_changed_behind_the_products_back() {
    let row = |data: &Data| store_file::set_rows(data, "rows/faulty/1/seen", &[("s07", Some(json!({ "count": 21 })))]);
    assert_one(&problems(row), &["faulty/1", "digest", "receipt"]);
    let gone = |data: &Data| store_file::set_rows(data, "rows/faulty/1/seen", &[("s07", None)]);
    assert_one(&problems(gone), &["faulty/1", "digest"]);
    let orphan = |data: &Data| store_file::set_rows(data, "rows/faulty/9/seen", &[("s07", Some(json!({})))]);
    assert_one(&problems(orphan), &["rows/faulty/9/seen", "belongs to no generation"]);
    assert_one(&problems(store_file::remove_components), &["faulty", "is not stored"]);
    let ahead = |data: &Data| store_file::change_record(data, "faulty", 1, "/checkpoint/position", json!([0, 801]));
    assert_one(&problems(ahead), &["faulty/1", "receipt ends at 800", "stands at 801"]);
    let lost = |data: &Data| store_file::change_record(data, "faulty", 1, "/parked", json!(9));
    assert_one(&problems(lost), &["faulty/1", "8 dead letters", "says 9"]);
    let early = |data: &Data| store_file::change_record(data, "faulty", 1, "/target", json!([0, 900]));
    assert_one(&problems(early), &["faulty/1", "completed at 800", "target 900"]);
}

/// What is checked is one state of the store, however much it changes meanwhile.
#[test]
fn a_check_of_a_store_in_use_finds_nothing() {
    let data = Data::new(BINARY);
    let others: Vec<_> = (0..4_000).filter(|number| number % 100 == 7).map(|number| (number, "Error")).collect();
    data.import(&data.file("events.ndjson", history::mixed(4_000, &others)));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty", "--to", "7"]);
    let rebuild = data.start(["rebuild", "faulty", "--on-error", "park", "--chunk-size", "5", "--rate-limit", "60"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["checkpointId"] == "faulty/2");
    // Some see events set aside, as those at every hundredth position are.
    let mut checked = 0;
    while checked < 5 || data.json(["status", "faulty"])["parked"].as_u64().unwrap() < 3 {
        assert_eq!(data.json(["store", "check"])["problems"], json!([]));
        checked += 1;
    }
    assert_eq!(data.json(["status", "faulty"])["status"], "running");
    rebuild.signal(Signal::INT);
    assert_eq!(rebuild.end().exit, Some(130));
}

#[test]
fn compaction_gives_the_space_of_dropped_generations_back() {
    let (data, events) = with_orders(60_000);
    data.ok(["rebuild", "order-summary"]);
    // Every other one stays, and something is written after them: what is free lies between what is used, where redb leaves it.
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    for name in names {
        data.ok(["model", "as-of", "order-summary", "--to", "60000", "--name", name]);
    }
    let bytes = || fs::metadata(data.path().join("store.redb")).unwrap().len();
    let full = bytes();
    let digest_of =
        |name: &str| data.json(["model", "digest", "order-summary", "--generation", name])["digest"].clone();
    let digest = digest_of("l");
    for dropped in names.iter().step_by(2) {
        data.ok(["model", "drop", "order-summary", dropped]);
    }
    data.ok(["model", "as-of", "order-summary", "--to", "1000", "--name", "after"]);
    let before = bytes();
    let host = data.serve();
    data.run(["store", "compact"]).refused(3, &["a host is running"]);
    host.kill();
    assert_eq!(data.json(["store", "compact"])["compacted"], true);
    let left = bytes();
    assert!(
        left < before / 10 * 9,
        "{left} of {before} ({full} at first): it gives nothing back, or there was nothing to give"
    );
    for kept in names.iter().skip(1).step_by(2) {
        assert_eq!(digest_of(kept), digest);
    }
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

/// Whoever asks a process that works on something of its own is not left alone when that is done.
#[test]
fn a_rebuild_from_another_terminal_outlives_the_command_in_which_it_runs() {
    let (data, events) = with_orders(150_000);
    data.ok(["rebuild", "order-summary"]);
    data.install(&plugin_with("faulty", &["fixed"]));
    data.import(&data.file("events.ndjson", history::mixed(2_000, &[])));
    let mut verify = data.start(["model", "verify", "order-summary"]);
    data.wait_for_host();
    assert_eq!(data.json(["rebuild", "faulty", "--rate-limit", "200", "--detach"])["status"], "started");
    assert!(verify.is_alive(), "it was quicker than the rebuild's beginning: this says nothing");
    assert!(!data.path().join("host.log").exists(), "a host of its own was started for it");
    assert_eq!(verify.end().exit, Some(0));
    let ended = data.json(["status", "faulty"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(2_000)));
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
}

/// The command ends with `exit`, says `words`, and does not panic.
#[track_caller]
fn refuses(data: &Data, exit: i32, command: &[&str], words: &[&str]) {
    let answer = data.run(command);
    assert_eq!(answer.exit, Some(exit), "{command:?}: {answer:#?}");
    for word in words {
        assert!(
            answer.stderr.contains(word) || answer.stdout.contains(word),
            "no {word:?} in {command:?}: {answer:#?}"
        );
    }
    assert!(!answer.stderr.contains("panicked"), "{command:?}: {answer:#?}");
}

/// Flips one bit in every page that holds `content`: some of these pages are in use.
fn flip(file: &Path, content: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let holds = |page: &[u8]| page.windows(content.len()).any(|window| window == content);
    let mut flipped = 0;
    for page in bytes.chunks_mut(4096).filter(|page| holds(page)) {
        *page.iter_mut().filter(|byte| **byte != 0).nth(20).unwrap() ^= 4;
        flipped += 1;
    }
    assert!(flipped > 0, "no page holds it");
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_damaged_store_is_named_and_carried_nowhere() {
    let (data, _) = with_orders(6_000);
    data.ok(["rebuild", "order-summary"]);
    let key = data.rows("order-summary/orders").into_keys().nth(40).unwrap();
    flip(&data.path().join("store.redb"), key.as_bytes());
    data.run(["model", "export", "order-summary/orders"]).refused(2, &["store.redb is damaged: its bytes", "restore"]);
    refuses(&data, 2, &["model", "digest", "order-summary"], &["store.redb is damaged"]);
    // With debug assertions redb reads everything when it opens a file, and check has nothing to check.
    let answer = data.run(["--json", "store", "check"]);
    assert!(matches!(answer.exit, Some(1 | 2)), "{answer:#?}");
    assert!((answer.stdout + &answer.stderr).contains("store.redb is damaged: its bytes"));
    let copy = data.scratch("copy.redb");
    refuses(&data, 2, &["store", "backup", copy.to_str().unwrap()], &["store.redb is damaged"]);
    assert!(!copy.exists() && !data.scratch("copy.redb.draft").exists());
    refuses(&data, 2, &["store", "compact"], &["store.redb is damaged"]);
    // A host, where it comes up, says the same, and all the time.
    let _host = data.start(["serve"]);
    for _ in 0..3 {
        refuses(&data, 2, &["model", "export", "order-summary/orders"], &["store.redb is damaged"]);
    }
}

#[test]
fn a_damaged_log_is_built_from_by_nobody() {
    let (data, events) = with_orders(6_000);
    data.ok(["rebuild", "order-summary"]);
    let log = data.path().join("log.redb");
    let good = fs::read(&log).unwrap();
    // Every page of sections, of which some are read by whatever reads anything.
    let mut bytes = good.clone();
    for page in bytes.chunks_mut(4096).skip(2).filter(|page| page.iter().filter(|byte| **byte != 0).count() > 2_000) {
        page[2_000] ^= 1;
    }
    fs::write(&log, &bytes).unwrap();
    refuses(&data, 2, &["rebuild", "order-summary", "--restart", "--no-promote"], &["log.redb is damaged: its bytes"]);
    refuses(&data, 2, &["model", "verify", "order-summary", "--repair"], &["log.redb is damaged"]);
    refuses(&data, 2, &["events", "show", events[50]["id"].as_str().unwrap()], &["log.redb is damaged"]);
    let more = data.file("more.ndjson", history::mixed(10, &[]));
    refuses(&data, 2, &["events", "import", more.to_str().unwrap()], &["log.redb is damaged"]);
    let answer = data.run(["--json", "store", "check"]);
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0, "readers see what they saw");
    // Where not even its beginning is right, rows are still there.
    let mut bytes = good.clone();
    bytes[100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    refuses(&data, 2, &["events", "stats"], &["log.redb is damaged"]);
    refuses(&data, 1, &["store", "check"], &["log.redb is damaged"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    assert_eq!(fs::read(&log).unwrap(), bytes, "it is left as it is");
    fs::write(&log, good).unwrap();
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

#[test]
fn a_file_that_has_been_there_is_not_made_anew() {
    let (original, events) = with_orders(600);
    original.ok(["rebuild", "order-summary"]);
    for gone in ["store.redb", "log.redb"] {
        for empty in [false, true] {
            let data = original.copy();
            let path = data.path().join(gone);
            fs::remove_file(&path).unwrap();
            if empty {
                fs::write(&path, "").unwrap();
            }
            for command in [&["events", "stats"][..], &["rebuild", "order-summary", "--restart"]] {
                refuses(&data, 2, command, &[gone, "missing or empty"]);
            }
            // With a store it is something to be found; without one there is nothing to check.
            let exit = if gone == "log.redb" { 1 } else { 2 };
            refuses(&data, exit, &["store", "check"], &[gone, "missing or empty"]);
            if gone == "log.redb" {
                assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
            }
            assert_eq!(fs::metadata(&path).map_or(0, |metadata| metadata.len()), 0, "nothing was made");
            // Whoever means it can begin anew.
            let kept = fs::read_to_string(data.path().join("kept")).unwrap();
            fs::write(data.path().join("kept"), kept.replace(&format!("{gone}\n"), "")).unwrap();
            data.import(&data.file("one.ndjson", history::of_types(["Fine"])));
            let events = if gone == "log.redb" { 1 } else { 601 };
            assert_eq!(data.json(["events", "stats"])["events"], events);
            assert_eq!(data.json(["list", "--all"]).is_null(), gone == "store.redb");
        }
    }
    // A directory that nothing was noted of, from a release that did not or a copy of the store alone.
    let data = original.copy();
    fs::remove_file(data.path().join("kept")).unwrap();
    fs::remove_file(data.path().join("log.redb")).unwrap();
    refuses(&data, 2, &["events", "stats"], &["log.redb", "missing or empty"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
    // The log alone is a beginning.
    let data = Data::new(BINARY);
    data.make();
    fs::copy(original.path().join("log.redb"), data.path().join("log.redb")).unwrap();
    data.import(&data.file("one.ndjson", history::of_types(["Fine"])));
    assert_eq!(data.json(["events", "stats"])["events"], 601);
}

/// `tests/fixtures/format-1` is a data directory of the release before pages had checksums, as a killed host left it: 40
/// events, a projection `echo` with a row for each.
#[test]
fn a_directory_of_the_release_before_opens() {
    let data = Data::new(BINARY);
    data.make();
    let files = ["store.redb", "log.redb"];
    for name in files {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format-1").join(format!("{name}.gz"));
        let mut content = flate2::read::GzDecoder::new(fs::File::open(fixture).unwrap());
        std::io::copy(&mut content, &mut fs::File::create(data.path().join(name)).unwrap()).unwrap();
    }
    let rows = data.rows("echo/rows");
    assert_eq!((rows.len(), &rows["ev-039"]["data"]["n"]), (40, &json!(39)));
    assert_eq!(data.json(["events", "stats"])["events"], 40);
    assert_eq!(data.json(["events", "show", "ev-000"])["position"], 1);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
    assert_eq!(data.json(["status", "echo"])["status"], "completed");
    for name in files {
        assert!(fs::read(data.path().join(name)).unwrap().starts_with(b"unspool\n"), "{name} has checksums");
        assert!(!data.path().join(format!("{name}.draft")).exists());
    }
}

/// A name that is taken out of the note is one thing; a note that was changed by chance is another.
#[test]
fn a_note_of_what_is_kept_that_was_changed_by_chance_is_damage() {
    let (data, _) = with_orders(20);
    let note = data.path().join("kept");
    let whole = fs::read_to_string(&note).unwrap();
    for changed in
        [String::new(), "xyz\n".to_owned(), whole.replace("log.redb", "mog.redb"), whole.replace("keeps", "keepz")]
    {
        fs::write(&note, &changed).unwrap();
        fs::rename(data.path().join("log.redb"), data.scratch("aside")).unwrap();
        data.run(["events", "stats"]).refused(2, &["kept is not as it was written"]);
        assert!(!data.path().join("log.redb").exists(), "nothing is made in its place");
        fs::rename(data.scratch("aside"), data.path().join("log.redb")).unwrap();
    }
    fs::write(&note, whole.replace("log.redb\n", "")).unwrap();
    assert_eq!(data.json(["events", "stats"])["events"], 20);
}
