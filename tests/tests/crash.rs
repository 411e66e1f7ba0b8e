//! Ends real processes as `kill -9` would, at every step that has a name and at random, and looks at what the next one
//! finds: everything fits together, nothing that was reported is lost, nothing is applied twice, readers see the old rows
//! or the new ones, and doing it again ends where an uninterrupted run ends.
//!
//! `UNSPOOL_KILLS` says how many of the random kills there are; `UNSPOOL_SEED` repeats a schedule.

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
    time::{Duration, Instant},
};
use unspool::store::{Commit, DataDir, RowChange, Store, StoreError};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history, oracle,
    plugins::{plugin, plugin_with},
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

/// What must hold after any kill: it all fits together, and nothing says that it runs.
#[track_caller]
fn intact(data: &Data, at: &str) {
    // Before anything is settled, and after.
    for _ in 0..2 {
        let report: Answer = data.command(["--json", "store", "check"]).output().unwrap().into();
        assert_eq!(report.exit, Some(0), "after a kill at {at}: {report:#?}");
        assert_eq!(report.json()["problems"], json!([]), "after a kill at {at}");
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
fn sealed(data: &Data, name: &str, digest: &str) {
    assert_eq!(data.digest(name), digest);
    assert_eq!(data.json(["model", "receipt", name])["digest"], digest);
    intact(data, "the end");
}

const ORDERS: usize = 3_000;
const EARLY: usize = 1_000;

/// Orders, of which readers see the first thousand; and what an uninterrupted run makes of them all.
struct Orders {
    data: Data,
    events: Vec<Value>,
    early: Rows,
    all: Rows,
    digest: String,
}

static ORDERS_BUILT: LazyLock<Orders> = LazyLock::new(|| {
    let data = Data::new(BINARY);
    let lines = history::orders(ORDERS as u64, 17);
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    let events = history::events(&lines);
    data.ok(["rebuild", "order-summary", "--to", &EARLY.to_string()]);
    let unbroken = data.copy();
    unbroken.ok(["rebuild", "order-summary"]);
    let digest = unbroken.digest("order-summary");
    let (early, all) = (oracle::orders(&events[..EARLY]).0, oracle::orders(&events).0);
    assert_eq!(unbroken.rows("order-summary/orders"), all);
    Orders { data, events, early, all, digest }
});

impl Orders {
    /// The rows of the latest generation are those of the events that its checkpoint counts, and readers are switched
    /// exactly where it is complete.
    #[track_caller]
    fn fits(&self, data: &Data, at: &str) -> Value {
        let found = status(data, "order-summary");
        let rows = data.rows_of("order-summary/orders", generation(&found));
        let handled = processed(&found);
        assert_eq!(rows, oracle::orders(&self.events[..handled]).0, "{at}: rows and checkpoint differ at {handled}");
        if handled > 0 {
            assert_eq!(found["lastEventId"], self.events[handled - 1]["id"], "{at}");
        }
        let seen = data.rows("order-summary/orders");
        if found["status"] == "completed" {
            assert_eq!(seen, rows, "{at}: complete, and readers are not switched");
        } else {
            assert_eq!(seen, self.early, "{at}: not complete, and readers see something else than before");
        }
        found
    }

    /// Goes on, or does it again, and ends as an uninterrupted run does.
    #[track_caller]
    fn finish(&self, data: &Data, at: &str) {
        if data.rows("order-summary/orders") != self.all {
            let ended = data.json(["rebuild", "order-summary", "--rate-limit", "4000000"]);
            assert_eq!((&ended["status"], processed(&ended)), (&json!("completed"), ORDERS), "{at}: {ended:#}");
        }
        assert_eq!(data.rows("order-summary/orders"), self.all, "{at}");
        sealed(data, "order-summary", &self.digest);
    }
}

/// Slow enough for several commits.
const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "50", "--rate-limit", "2500"];
const FAST: [&str; 4] = ["rebuild", "order-summary", "--chunk-size", "170"];

#[test]
fn a_rebuild_goes_on_from_its_checkpoint_wherever_it_was_killed() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let cases = [
        ("create-generation.before", &SLOW[..], 0),
        ("create-generation.written", &SLOW, 0),
        ("create-generation.after", &SLOW, 0),
        ("begin-attempt.after", &SLOW, 0),
        // The record of the attempt; later on, that of the receipt.
        ("record.written:1", &SLOW, 0),
        ("record.after:1", &SLOW, 0),
        ("record.written:2", &FAST, ORDERS),
        ("record.after:2", &FAST, ORDERS),
        ("commit.before:1", &SLOW, 0),
        ("commit.before:3", &SLOW, 1),
        ("journal.written:1", &SLOW, 0),
        ("journal.written:2", &SLOW, 1),
        // Into their tables, with the last commit.
        ("commit.rows-written", &SLOW, 1),
        ("commit.written:1", &SLOW, 0),
        ("commit.written:3", &SLOW, 1),
        ("commit.after:1", &SLOW, 1),
        ("commit.after:3", &SLOW, 1),
        // In the transaction that completes: it has not happened.
        ("promote.written", &FAST, 0),
        ("promote.written", &SLOW, 1),
        // Right behind that transaction: all of it has.
        ("seal.before", &FAST, ORDERS),
    ];
    for (at, args, at_least) in cases {
        let data = orders.data.copy();
        kill(&data, at, args.iter().copied());
        let found = orders.fits(&data, at);
        if !at.starts_with("create-generation") || at.ends_with("after") {
            assert_eq!(generation(&found), "2", "{at}");
            assert!(processed(&found) >= at_least, "{at}: {found:#}");
            let expected = if at_least == ORDERS { "completed" } else { "paused" };
            assert_eq!(found["status"], expected, "{at}");
        }
        orders.finish(&data, at);
    }
}

/// Enough rows to be brought from the journal into their tables while the rebuild goes on.
#[test]
fn rows_of_a_journal_are_in_their_tables_once_wherever_the_host_was_killed() {
    let _count = Count;
    let events = 450_000;
    let whole = Data::new(BINARY);
    whole.import(&whole.file("orders.ndjson", history::orders(events, 5)));
    whole.install(&plugin("order-summary"));
    let unbroken = whole.copy();
    unbroken.ok(["rebuild", "order-summary", "--chunk-size", "500"]);
    let digest = unbroken.digest("order-summary");
    // Commits are far between where nothing slows the host down; each is large.
    let quick = ["rebuild", "order-summary"];
    for at in ["settle.written", "settle.after", "settle.written:3", "settle.after:4", "journal.written", "seal.before"]
    {
        let data = whole.copy();
        kill(&data, at, quick);
        if at != "seal.before" {
            let ended = data.json(["rebuild", "order-summary"]);
            assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(events)), "{at}");
        }
        sealed(&data, "order-summary", &digest);
    }
}

#[test]
fn a_host_that_is_killed_while_it_recovers_is_followed_by_one_that_does() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let killed = orders.data.copy();
    die(&killed, "commit.after:2", SLOW);
    for at in ["journal.recovered", "record.written", "record.after", "recover.settled"] {
        let data = killed.copy();
        kill(&data, at, ["status", "order-summary"]);
        let found = orders.fits(&data, at);
        assert_eq!(found["status"], "paused", "{at}");
        assert!(processed(&found) > 0, "{at}");
        orders.finish(&data, at);
    }
    // Again and again at the same place: it is left failed, and goes on from there as well.
    let data = killed.copy();
    for again in 0..4 {
        kill(&data, "commit.before", ["resume", "order-summary"]);
        let found = orders.fits(&data, "commit.before");
        assert_eq!(found["status"], if again == 0 { "paused" } else { "failed" }, "{found:#}");
    }
    orders.finish(&data, "commit.before");
}

#[test]
fn the_attempt_of_a_dead_host_commits_nothing_more() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    die(&data, "commit.after:1", SLOW);
    let open = || Store::open(&DataDir::open(&data.path()).unwrap()).unwrap();
    let dead = open().rebuild("order-summary", 2).unwrap();
    intact(&data, "commit.after:1");
    let row = RowChange { key: "late".into(), document: Some(vec![0x80].into()) };
    for status in [unspool::vocabulary::Status::Running, unspool::vocabulary::Status::Completed] {
        let mut checkpoint = dead.checkpoint.clone();
        checkpoint.status = status;
        let late = Commit {
            generation: 2,
            attempt: dead.attempt,
            plugin_digest: String::new(),
            checkpoint,
            retries: 0,
            active_ms: 0,
            rows: vec![vec![row.clone()]],
            journal: None,
            parked: Vec::new(),
            unparked: Vec::new(),
            discarded: 0,
            stages: dead.stages.clone(),
        };
        let store = open();
        // Also while the next attempt holds the claim.
        for _ in 0..2 {
            assert!(matches!(store.commit(std::slice::from_ref(&late)), Err(StoreError::Fenced { .. })));
            let start = unspool::store::AttemptStart {
                target: dead.target,
                total_events: dead.total_events,
                chunk_size: dead.chunk_size,
                chunks_per_call: 1,
                priority: dead.priority,
                rate_limit: None,
                promote: true,
                on_error: dead.on_error,
                allow_parked: false,
                follow: false,
            };
            store.begin_attempt("order-summary", 2, &start).unwrap();
        }
    }
    orders.fits(&data, "a late commit");
    orders.finish(&data, "a late commit");
}

#[test]
fn readers_are_switched_by_one_transaction() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let ready = orders.data.copy();
    ready.ok(["rebuild", "order-summary", "--no-promote"]);
    let promote = ["model", "promote", "order-summary"];
    let rows = |data: &Data| data.rows("order-summary/orders");
    for (at, switched) in [("promote.before", false), ("promote.written", false), ("promote.after", true)] {
        let data = ready.copy();
        kill(&data, at, promote);
        assert_eq!(rows(&data), if switched { &orders.all } else { &orders.early }.clone(), "promote, {at}");
        data.ok(promote);
        assert_eq!(rows(&data), orders.all);

        kill(&data, at, ["model", "rollback", "order-summary"]);
        assert_eq!(rows(&data), if switched { &orders.early } else { &orders.all }.clone(), "rollback, {at}");
        if !switched {
            data.ok(["model", "rollback", "order-summary"]);
        }
        assert_eq!(rows(&data), orders.early);
        data.ok(promote);
        sealed(&data, "order-summary", &orders.digest);
    }
}

#[test]
fn a_cancel_and_a_drop_have_happened_or_not() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let paused = orders.data.copy();
    kill(&paused, "commit.after:2", SLOW);
    for (at, expected) in [("record.written", "paused"), ("record.after", "cancelled")] {
        let data = paused.copy();
        kill(&data, at, ["cancel", "order-summary"]);
        assert_eq!(orders.fits(&data, at)["status"], expected, "{at}");
        data.run(["cancel", "order-summary"]);
        assert_eq!(status(&data, "order-summary")["status"], "cancelled");
        orders.finish(&data, at);
    }
    let as_of = orders.data.copy();
    as_of.ok(["model", "as-of", "order-summary", "--to", "500", "--name", "early"]);
    for (at, dropped) in [("drop.before", false), ("drop.written", false), ("drop.after", true)] {
        let data = as_of.copy();
        kill(&data, at, ["model", "drop", "order-summary", "early"]);
        let read = data.run(["model", "digest", "order-summary", "--generation", "early"]);
        assert_eq!(read.exit, Some(if dropped { 3 } else { 0 }), "{at}: {read:#?}");
        let again = data.run(["model", "drop", "order-summary", "early"]);
        assert_eq!(again.exit, Some(if dropped { 3 } else { 0 }), "{at}: {again:#?}");
        orders.finish(&data, at);
    }
}

#[test]
fn what_is_built_apart_is_complete_or_gone() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let as_of = ["model", "as-of", "order-summary", "--to", "500", "--name", "early"];
    for at in ["create-generation.after", "record.after:1", "commit.rows-written", "commit.after", "seal.before"] {
        let data = orders.data.copy();
        kill(&data, at, as_of);
        orders.fits(&data, at);
        let kept = data.run(["model", "digest", "order-summary", "--generation", "early"]).exit == Some(0);
        assert!(!kept || matches!(at, "commit.after" | "seal.before"), "{at}");
        if !kept {
            data.ok(as_of);
        }
        assert_eq!(data.rows_of("order-summary/orders", "early"), oracle::orders(&orders.events[..500]).0, "{at}");
        assert_eq!(data.rows("order-summary/orders"), orders.early);
    }
}

/// Five streams; `faulty` cannot handle some events of two of them, sooner or later.
fn trouble(events: usize) -> Vec<Value> {
    let fails = |index: usize| (index > 20 && index % 10 == 3) || (index > 200 && index % 10 == 6);
    let event = |index: usize| {
        json!({
            "id": format!("e{index}"), "stream": format!("s{}", index * 7 % 5), "timestamp": index,
            "type": if fails(index) { "Error" } else { "Fine" }, "data": {},
        })
    };
    (0..events).map(event).collect()
}

/// What `faulty` leaves when it parks: the counts of each stream, and the ids of the events that are set aside.
fn parking(events: &[Value]) -> (Rows, BTreeSet<String>) {
    let (mut counts, mut parked, mut blocked) = (BTreeMap::<String, u64>::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        let stream = event["stream"].as_str().unwrap().to_owned();
        if event["type"] == "Error" {
            blocked.insert(stream.clone());
        }
        if blocked.contains(&stream) {
            parked.insert(event["id"].as_str().unwrap().to_owned());
        } else {
            *counts.entry(stream).or_default() += 1;
        }
    }
    (counted(counts), parked)
}

fn counted(counts: BTreeMap<String, u64>) -> Rows {
    counts.into_iter().map(|(stream, count)| (stream, json!({ "count": count }))).collect()
}

fn all_counted(events: &[Value]) -> Rows {
    let mut counts = BTreeMap::<String, u64>::new();
    events.iter().for_each(|event| *counts.entry(event["stream"].as_str().unwrap().to_owned()).or_default() += 1);
    counted(counts)
}

fn parked(data: &Data) -> BTreeSet<String> {
    let lines = data.ok(["dead-letters", "list", "faulty"]);
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()).collect()
}

fn with_trouble(events: &[Value]) -> Data {
    let data = Data::new(BINARY);
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    data.import(&data.file("events.ndjson", lines));
    data.install(&plugin("faulty"));
    data
}

const PARK: [&str; 8] = ["rebuild", "faulty", "--on-error", "park", "--chunk-size", "7", "--rate-limit", "700"];

#[test]
fn an_event_is_parked_with_the_checkpoint_that_moves_over_it() {
    let _count = Count;
    let events = trouble(1_000);
    let whole = with_trouble(&events);
    for at in
        ["park.written", "park.written:3", "journal.written:2", "commit.written:2", "commit.after:2", "seal.before"]
    {
        let data = whole.copy();
        kill(&data, at, PARK);
        let found = status(&data, "faulty");
        let position = found["position"].as_u64().unwrap() as usize;
        let (rows, aside) = parking(&events[..position]);
        assert_eq!((data.rows_of("faulty/seen", "1"), parked(&data)), (rows, aside), "{at}");
        if found["status"] != "completed" {
            assert_eq!(data.run(["rebuild", "faulty", "--rate-limit", "4000000"]).exit, Some(1), "{at}");
        }
        let (rows, aside) = parking(&events);
        assert_eq!((data.rows_of("faulty/seen", "1"), parked(&data)), (rows, aside), "{at}");
        assert_eq!(live(&data, "faulty"), None, "{at}");
        intact(&data, at);
    }
}

#[test]
fn a_retry_takes_an_event_off_with_the_rows_it_changes() {
    let _count = Count;
    // More than a page of parked events in a stream.
    let events = trouble(3_000);
    let whole = with_trouble(&events);
    whole.run(["rebuild", "faulty", "--on-error", "park"]);
    whole.ok(with_file(&["plugin", "swap", "faulty"], &plugin_with("faulty", &["fixed"])));
    let aside = parking(&events).1;
    assert_eq!(parked(&whole), aside);
    assert!(aside.len() > 1_000, "{}", aside.len());
    let all = all_counted(&events);
    let retry = ["dead-letters", "retry", "faulty", "--out-of-order"];

    let unbroken = whole.copy();
    unbroken.ok(retry);
    let digest = unbroken.digest("faulty");
    let cases = [
        "record.after",
        "commit.before:1",
        "commit.rows-written:2",
        "unpark.written:1",
        "unpark.written:2",
        "commit.after:1",
        "retry.page:2",
        "promote.written",
        "retry.page:4",
        "record.written:2",
    ];
    for at in cases {
        let data = whole.copy();
        kill(&data, at, retry);
        let left = parked(&data);
        let handled: Vec<_> =
            events.iter().filter(|event| !left.contains(event["id"].as_str().unwrap())).cloned().collect();
        assert_eq!(data.rows_of("faulty/seen", "1"), all_counted(&handled), "{at}");
        assert_eq!(live(&data, "faulty").is_some(), left.is_empty(), "{at}: readers get it with its last event");
        if !left.is_empty() {
            data.ok(retry);
        }
        assert_eq!((data.rows("faulty/seen"), parked(&data)), (all.clone(), BTreeSet::new()), "{at}");
        sealed(&data, "faulty", &digest);
    }

    let kept = parking(&events).0;
    for at in ["unpark.written:1", "discard.page:1", "discard.page:2"] {
        let data = whole.copy();
        kill(&data, at, ["dead-letters", "discard", "faulty", "--all"]);
        let left = parked(&data);
        assert!(left.is_subset(&aside));
        assert_eq!(data.rows_of("faulty/seen", "1"), kept, "{at}");
        data.ok(["dead-letters", "discard", "faulty", "--all"]);
        assert_eq!((data.rows("faulty/seen"), parked(&data)), (kept.clone(), BTreeSet::new()), "{at}");
        sealed(&data, "faulty", &data.digest("faulty"));
    }
}

#[test]
fn a_repair_switches_readers_or_leaves_them() {
    let _count = Count;
    let events = trouble(400);
    let whole = with_trouble(&events);
    whole.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    whole.ok(with_file(&["plugin", "swap", "faulty"], &plugin_with("faulty", &["fixed"])));
    let (wrong, right) = (parking(&events).0, all_counted(&events));
    for at in ["create-generation.after", "commit.after", "seal.before", "adopt.before", "adopt.written", "adopt.after"]
    {
        let data = whole.copy();
        assert_eq!(data.rows("faulty/seen"), wrong);
        kill(&data, at, ["model", "verify", "faulty", "--repair"]);
        let seen = data.rows("faulty/seen");
        assert_eq!(seen, if at == "adopt.after" { &right } else { &wrong }.clone(), "{at}");
        let again = data.run(["model", "verify", "faulty", "--repair"]);
        assert_eq!(again.exit, Some(i32::from(at != "adopt.after")), "{at}: {again:#?}");
        assert_eq!(data.rows("faulty/seen"), right, "{at}");
        let digest = data.digest("faulty");
        sealed(&data, "faulty", &digest);
    }
}

#[test]
fn the_rows_of_one_stream_are_replaced_as_a_whole() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary"]);
    let stream = orders.events[0]["stream"].as_str().unwrap();
    for at in
        ["record.after", "commit.rows-written", "commit.written", "commit.after", "stream.replaced", "record.written:2"]
    {
        let data = data.copy();
        kill(&data, at, ["rebuild", "order-summary", "--stream", stream]);
        assert_eq!(data.rows("order-summary/orders"), orders.all, "{at}");
        data.ok(["rebuild", "order-summary", "--stream", stream]);
        sealed(&data, "order-summary", &orders.digest);
    }
}

#[test]
fn a_plugin_is_installed_or_not_and_a_data_directory_made_or_not() {
    let _count = Count;
    let file = plugin("faulty");
    let cases = [
        // The store, then the log.
        ("file.empty:1", false),
        ("file.empty:2", false),
        ("file.tables-written:1", false),
        ("file.tables-written:2", false),
        ("file.made:1", false),
        ("file.made:2", false),
        // The key, then the compiled plugin.
        ("cache.draft:1", false),
        ("cache.draft:2", false),
        ("install.before", false),
        ("install.written", false),
        ("install.after", true),
    ];
    for (at, installed) in cases {
        let data = Data::new(BINARY);
        kill(&data, at, with_file(&["plugin", "install"], &file));
        assert_eq!(data.ok(["plugin", "list"]).lines().count(), usize::from(installed), "{at}");
        let again = data.json(with_file(&["plugin", "install"], &file));
        assert_eq!(again["status"], if installed { "already_installed" } else { "installed" }, "{at}");
        assert_eq!(data.ok(["plugin", "history", "faulty"]).lines().count(), 1, "{at}");
        data.import(&data.file("events.ndjson", history::of_types(["Fine", "Fine"])));
        assert_eq!(data.json(["rebuild", "faulty"])["status"], "completed", "{at}");
    }
}

/// Until its magic number is written a redb file is no redb file; whoever is killed before that must not leave a directory
/// that is refused for ever.
#[test]
fn a_data_directory_whose_making_was_killed_is_made_again() {
    let _count = Count;
    let unborn = |header: &[u8]| {
        let mut file = vec![0; 1 << 20];
        file[..header.len()].copy_from_slice(header);
        file
    };
    let data = Data::new(BINARY);
    std::fs::create_dir(data.path()).unwrap();
    for (file, content) in [("store.redb", unborn(&[0; 9])), ("log.redb", unborn(b"\0\0\0\0\0\0\0\0\0\x02\0\0\x10"))] {
        std::fs::write(data.path().join(file), content).unwrap();
        assert_eq!(data.json(["events", "stats"])["events"], 0, "{file}");
    }
    // Where there is something to lose it is left alone.
    for content in [b"something else".to_vec(), vec![0; 100], [unborn(&[]), b"something".to_vec()].concat()] {
        let data = Data::new(BINARY);
        std::fs::create_dir(data.path()).unwrap();
        std::fs::write(data.path().join("store.redb"), &content).unwrap();
        data.run(["events", "stats"]).refused(2, &["does not belong to unspool"]);
        assert_eq!(std::fs::read(data.path().join("store.redb")).unwrap(), content);
    }
    // And at any moment of a first start.
    let mut random = Random::new();
    for _ in 0..kills(20) / 4 {
        let data = Data::new(BINARY);
        let started = Instant::now();
        let first = data.start(["events", "stats"]);
        let until = Duration::from_micros(random.below(20_000));
        while started.elapsed() < until {
            std::hint::spin_loop();
        }
        first.kill();
        KILLS.fetch_add(1, Ordering::SeqCst);
        assert_eq!(data.json(["events", "stats"])["events"], 0, "{until:?}, {random}");
    }
}

#[test]
fn a_file_is_imported_whole_or_not_at_all() {
    let _count = Count;
    // Two rounds of 48 MiB, on top of a block that is reopened.
    let before = Data::new(BINARY);
    before.import(&before.file("before.ndjson", history::of_types(["Fine"; 100])));
    let text = "x".repeat(1 << 20);
    let mut lines = Vec::new();
    for index in 0..100 {
        let event =
            json!({ "id": format!("big{index}"), "stream": "s", "type": "Big", "timestamp": index, "data": text });
        writeln!(lines, "{event}").unwrap();
    }
    let big = before.file("big.ndjson", &lines).into_os_string();
    let import = [OsString::from("events"), "import".into(), big];
    let count = |data: &Data| data.json(["events", "stats"])["events"].as_u64().unwrap();
    for (at, there) in [
        ("import.round:1", false),
        ("import.round:2", false),
        ("import.before-commit", false),
        ("import.after-commit", true),
    ] {
        let data = Data::new(BINARY);
        for file in ["store.redb", "log.redb"] {
            std::fs::create_dir_all(data.path()).unwrap();
            std::fs::copy(before.path().join(file), data.path().join(file)).unwrap();
        }
        kill(&data, at, &import);
        assert_eq!(count(&data), if there { 200 } else { 100 }, "{at}");
        let (added, known) = if there { (0, 100) } else { (100, 0) };
        assert_eq!(data.json(&import), json!({ "read": 100, "added": added, "duplicates": known }), "{at}");
        assert_eq!(count(&data), 200, "{at}");
        assert_eq!(data.json(["events", "show", "e99"])["position"], 100);
        assert_eq!(data.json(["events", "show", "big99"])["position"], 200);
        intact(&data, at);
    }
}

#[test]
fn the_index_of_a_file_is_complete_or_made_again() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    for at in [
        "file.made:1",
        "import.round",
        "import.before-commit",
        "import.after-commit",
        "file-index.draft",
        "file-index.ready",
    ] {
        let data = orders.data.copy();
        let source = format!("file:{}", data.scratch("orders.ndjson").display());
        let rebuild = ["rebuild", "order-summary", "--source", &source];
        kill(&data, at, rebuild);
        assert_eq!(data.rows("order-summary/orders"), orders.early, "{at}");
        data.ok(rebuild);
        assert_eq!(data.rows("order-summary/orders"), orders.all, "{at}");
        sealed(&data, "order-summary", &orders.digest);
    }
}

#[test]
fn a_backup_is_complete_or_not_there() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary"]);
    for at in ["backup.copied", "backup.draft"] {
        let copy = data.scratch(at);
        let backup = [OsString::from("store"), "backup".into(), copy.clone().into()];
        kill(&data, at, &backup);
        assert!(!copy.exists(), "{at}");
        data.ok(&backup);
        let restored = data.copy();
        std::fs::rename(&copy, restored.path().join("store.redb")).unwrap();
        assert_eq!(restored.rows("order-summary/orders"), orders.all, "{at}");
        sealed(&restored, "order-summary", &orders.digest);
    }
    sealed(&data, "order-summary", &orders.digest);
}

#[test]
fn a_swap_leaves_one_plugin_or_the_other_in_place_and_a_rebuild_that_goes_on() {
    let _count = Count;
    let events = vec![json!(null); 1_500];
    let whole = Data::new(BINARY);
    let lines = history::of_types(vec!["Fine"; events.len()]);
    whole.import(&whole.file("events.ndjson", lines));
    whole.install(&plugin("faulty"));
    let paused = whole.copy();
    kill(&paused, "commit.after:2", ["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "2000"]);
    let fixed = plugin_with("faulty", &["fixed"]);
    let ends = |data: &Data, at: &str| {
        data.ok(["rebuild", "faulty", "--rate-limit", "4000000"]);
        assert_eq!(data.rows("faulty/seen").len(), events.len(), "{at}");
        assert!(data.rows("faulty/seen").values().all(|row| row["count"] == 1), "{at}");
        let digest = data.digest("faulty");
        sealed(data, "faulty", &digest);
    };
    let plugins = |data: &Data| data.ok(["plugin", "history", "faulty"]).lines().count();
    let steps = [
        ("swap.stopped", 1),
        ("install.before", 1),
        ("install.written", 1),
        ("install.after", 2),
        ("swap.installed", 2),
        ("create-generation.written", 2),
        ("create-generation.after", 2),
        ("begin-attempt.after", 2),
    ];
    for how in [&[][..], &["--restart"], &["--rewind-to", "100"]] {
        for (at, expected) in steps {
            if how.is_empty() && (at.starts_with("create") || at.starts_with("begin")) {
                continue;
            }
            let data = paused.copy();
            let swap = with_file(&[&["plugin", "swap", "faulty"], how].concat(), &fixed);
            kill(&data, at, &swap);
            assert_eq!(plugins(&data), expected, "{how:?} {at}");
            assert_eq!(status(&data, "faulty")["status"], "paused", "{how:?} {at}");
            if at == "swap.stopped" {
                // In place of doing it again: as if it had never been asked for.
                ends(&data.copy(), at);
            }
            if how.is_empty() {
                data.ok(&swap);
            }
            ends(&data, at);
            assert_eq!(plugins(&data), if how.is_empty() { 2 } else { expected }, "{how:?} {at}");
        }
    }

    // Under a rebuild that runs: it is stopped durably first, and the host dies between two steps of the swap.
    for (at, expected) in
        [("swap.stopped", 1), ("install.written", 1), ("swap.installed", 2), ("begin-attempt.after:2", 2)]
    {
        let data = whole.copy();
        let mut command = data.command(["rebuild", "faulty", "--chunk-size", "10", "--rate-limit", "1000"]);
        let mut host = command.env("UNSPOOL_CRASH_AT", at).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        data.wait_for_host();
        let seen = data.wait_for("faulty", |status| processed(status) >= 50);
        let swap = with_file(&["plugin", "swap", "faulty"], &fixed);
        assert_ne!(data.command(&swap).output().unwrap().status.code(), Some(0), "{at}");
        assert_eq!(host.wait().unwrap().signal(), Some(9), "{at}");
        KILLS.fetch_add(1, Ordering::SeqCst);
        intact(&data, at);
        let left = status(&data, "faulty");
        assert_eq!((&left["status"], plugins(&data)), (&json!("paused"), expected), "{at}");
        assert!(processed(&left) >= processed(&seen), "{at}");
        assert_eq!(data.rows_of("faulty/seen", "1").len(), processed(&left), "{at}");
        data.ok(&swap);
        ends(&data, at);
        let receipt = data.json(["model", "receipt", "faulty"]);
        assert_eq!(receipt["ranges"].as_array().unwrap().len(), 2, "{at}: {receipt:#}");
    }
}

/// A generator with a seed (splitmix64): a schedule can be run again.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Random {
        let given = std::env::var("UNSPOOL_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        Random { seed, state: seed }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

impl std::fmt::Display for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UNSPOOL_SEED={}", self.seed)
    }
}

fn kills(few: u64) -> u64 {
    std::env::var("UNSPOOL_KILLS").ok().map_or(few, |kills| kills.parse().unwrap())
}

/// One rebuild after another, each of another chunk size, killed again and again: at a number of events that somebody saw,
/// and at whatever point is reached as the N-th.
#[test]
fn a_rebuild_that_is_killed_at_random_ends_like_one_that_is_not() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let mut random = Random::new();
    let (mut left, wanted) = (kills(20), kills(20));
    while left > 0 {
        let data = orders.data.copy();
        let chunk = (1 + random.below(400)).to_string();
        let rate = (3_000 + random.below(9_000)).to_string();
        let rebuild = ["rebuild", "order-summary", "--chunk-size", &chunk, "--rate-limit", &rate];
        let mut reached = 0;
        for round in 0..10.min(left) {
            let context = format!("{random}, kill {}, chunk size {chunk}, rate {rate}", wanted - left);
            let killed = if random.below(2) == 0 {
                let goal = reached + random.below(800) as usize;
                killed_at_progress(&data, &rebuild, goal, &mut reached)
            } else {
                let at = format!("any:{}", 1 + random.below(if round == 0 { 30 } else { 24 }));
                let output = data.command(rebuild).env("UNSPOOL_CRASH_AT", &at).stdin(Stdio::null()).output().unwrap();
                assert!(
                    output.status.signal() == Some(9) || output.status.code() == Some(0),
                    "{context}, {at}: {output:?}"
                );
                output.status.signal().is_some()
            };
            if killed {
                left -= 1;
                KILLS.fetch_add(1, Ordering::SeqCst);
            }
            intact(&data, &context);
            let found = orders.fits(&data, &context);
            if found["status"] == "completed" && generation(&found) != "1" {
                break;
            }
            if generation(&found) != "1" {
                assert!(processed(&found) >= reached, "{context}: what was reported is durable");
                reached = processed(&found);
            }
        }
        orders.finish(&data, &random.to_string());
    }
}

/// Kills a rebuild once `status` says that `goal` events are done; `false` where it was complete before.
fn killed_at_progress(data: &Data, rebuild: &[&str], goal: usize, reached: &mut usize) -> bool {
    let mut running = data.start(rebuild);
    while running.is_alive() {
        let answer: Answer = data.command(["--json", "status", "order-summary"]).output().unwrap().into();
        if answer.exit != Some(0) {
            continue;
        }
        let found = answer.json();
        // Before it has begun, the status is that of what readers see.
        if generation(&found) != "1" {
            *reached = processed(&found).max(*reached);
            if *reached >= goal {
                running.kill();
                return true;
            }
        }
    }
    false
}

/// A point without a case would be a promise that nobody tests.
#[test]
fn every_named_point_has_a_case() {
    fn files(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut sources = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src"), &mut sources);
    let mut points = BTreeSet::new();
    for call in sources.iter().flat_map(|source| source.split("crash::point(").skip(1)) {
        let call = call.split(");").next().unwrap();
        points.extend(call.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    assert!(points.len() > 30, "{points:?}");
    let cases = concat!(
        include_str!("crash.rs"),
        include_str!("follow.rs"),
        include_str!("postgres_home/kills.rs"),
        include_str!("postgres_home/switches.rs")
    );
    for point in points {
        let named = cases.contains(&format!("\"{point}\"")) || cases.contains(&format!("\"{point}:"));
        assert!(named, "no case kills at {point}");
    }
}
