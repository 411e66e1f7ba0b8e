//! How things end and begin: signals, closed pipes, hosts and servers that do not answer, and what is not made by reading.

mod databases;
mod sources;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
    time::{Duration, Instant},
};
use unspool_tests::{
    data::{Answer, Data, Running},
    history, oracle,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A data directory with `order-summary` and orders in two files, the first of them imported.
fn with_orders(events: u64) -> (Data, std::path::PathBuf, Vec<Value>) {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let lines = history::orders(events, 17);
    let text = std::str::from_utf8(&lines).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let half = all.len() / 2;
    let file =
        |name: &str, part: &[&str]| data.file(name, part.iter().map(|line| format!("{line}\n")).collect::<String>());
    let (first, second) = (file("first.ndjson", &all[..half]), file("second.ndjson", &all[half..]));
    data.import(&first);
    (data, second, history::events(&lines))
}

fn processed(status: &Value) -> u64 {
    status["eventsProcessed"].as_u64().unwrap()
}

const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "1000"];

/// The error as programs read it: the last line of standard output.
fn error(answer: &Answer) -> Value {
    let last = answer.stdout.lines().last().unwrap_or_else(|| panic!("nothing on standard output: {answer:#?}"));
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{e} in {answer:#?}"))
}

/// Waits for the end of a command for less than a minute: it must not depend on what is frozen.
#[track_caller]
fn ends(running: Running, what: &str) -> Answer {
    let mut running = running;
    let until = Instant::now() + Duration::from_secs(50);
    while running.is_alive() {
        assert!(Instant::now() < until, "{what} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.end()
}

#[test]
fn a_host_that_is_ended_ends_well_and_the_next_one_goes_on() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let (data, more, events) = with_orders(1_000);
        let host = data.serve();
        data.ok(["rebuild", "order-summary", "--follow", "--detach"]);
        data.wait_for("order-summary", |status| processed(status) == 500 && status["status"] == "completed");
        host.signal(signal);
        assert_eq!(host.end().exit, Some(0), "{signal:?}");
        assert!(!data.path().join("control.sock").exists());
        let left = data.json(["status", "order-summary"]);
        assert_eq!((&left["status"], &left["following"]), (&json!("completed"), &json!("following")), "{left:#}");
        assert_eq!(left["follow"], json!({ "events": null, "ms": null }), "nobody follows it");
        assert!(left["staleSince"].is_i64(), "{left:#}");
        let host = data.serve();
        data.import(&more);
        data.wait_for("order-summary", |status| processed(status) == 1_000);
        assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);

        // What an operator does not have followed stays so, and a host may be ended as often as one likes.
        data.ok(["unfollow", "order-summary"]);
        host.signal(signal);
        assert_eq!(host.end().exit, Some(0));
        let _host = data.serve();
        let left = data.json(["status", "order-summary"]);
        assert_eq!((&left["status"], left.get("following")), (&json!("completed"), None), "{left:#}");
    }
}

/// A host that was ended has left it to the next; an operator decides otherwise.
#[test]
fn what_is_held_after_its_host_was_ended_does_not_go_on() {
    let (data, _, _) = with_orders(20_000);
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("order-summary", |status| processed(status) >= 100);
    rebuild.signal(Signal::HUP);
    assert_eq!(rebuild.end().exit, Some(130));
    assert_eq!(data.json(["pause", "order-summary"])["status"], "paused");
    let host = data.serve();
    assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
    drop(host);
}

/// SIGTERM says nothing about a rebuild, Ctrl-C does.
#[test]
fn a_rebuild_in_the_foreground_that_is_ended_is_wanted_and_one_that_is_interrupted_is_not() {
    for (signal, then) in [(Signal::TERM, "running"), (Signal::INT, "paused")] {
        let (data, _, _) = with_orders(20_000);
        let rebuild = data.start(SLOW);
        data.wait_for_host();
        let seen = processed(&data.wait_for("order-summary", |status| processed(status) >= 100));
        rebuild.signal(signal);
        assert_eq!(rebuild.end().exit, Some(130));
        let left = data.json(["status", "order-summary"]);
        assert!(left["status"] == "paused" && processed(&left) >= seen, "{left:#}");
        let _host = data.serve();
        if then == "running" {
            data.wait_for("order-summary", |status| status["status"] == "running");
        } else {
            assert_eq!(data.json(["status", "order-summary"])["status"], "paused");
        }
    }
}

/// The same for one that has come to its end and is followed since.
#[test]
fn what_is_followed_in_the_foreground_and_ended_is_followed_on_and_what_is_interrupted_is_not() {
    for (signal, goes_on) in [(Signal::TERM, true), (Signal::HUP, true), (Signal::INT, false)] {
        let (data, more, events) = with_orders(1_000);
        let rebuild = data.start(["rebuild", "order-summary", "--follow"]);
        data.wait_for_host();
        data.wait_for("order-summary", |status| status["follow"]["events"] == 0 && processed(status) == 500);
        rebuild.signal(signal);
        assert_eq!(rebuild.end().exit, Some(130), "{signal:?}");
        let left = data.json(["status", "order-summary"]);
        assert_eq!((&left["status"], left.get("following").is_some()), (&json!("completed"), goes_on), "{left:#}");
        let _host = data.serve();
        data.import(&more);
        if goes_on {
            data.wait_for("order-summary", |status| processed(status) == 1_000);
            assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events).0);
        } else {
            assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..500]).0);
            assert_eq!(data.json(["status", "order-summary"]).get("following"), None);
        }
    }
}

#[test]
fn a_host_that_began_without_hangups_outlives_its_terminal() {
    let (data, _, _) = with_orders(1_000);
    let mut nohup = std::process::Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", BINARY]).arg("--data").arg(data.path()).arg("serve");
    let child = nohup.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut host = Running::from(child);
    host.wait_for_line("serving");
    host.signal(Signal::HUP);
    assert_eq!(data.json(["rebuild", "order-summary"])["status"], "completed", "it serves");
    assert!(host.is_alive());
    host.signal(Signal::TERM);
    assert_eq!(host.end().exit, Some(0));
}

#[test]
fn a_command_that_works_on_something_ends_when_it_is_asked_to() {
    let (data, _, _) = with_orders(40_000);
    data.ok(["rebuild", "order-summary"]);
    // It may be quicker than the signal, but not each time.
    let ended = (0..20).any(|_| {
        let verify = data.start(["model", "verify", "order-summary"]);
        data.wait_for_host();
        verify.signal(Signal::TERM);
        let answer = verify.end();
        assert!([Some(130), Some(0)].contains(&answer.exit), "{answer:#?}");
        answer.exit == Some(130)
    });
    assert!(ended, "it goes on to its end whatever it is asked");
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1, "nothing of it is left");
}

#[test]
fn a_reader_that_goes_ends_no_command() {
    let (data, _, _) = with_orders(6_000);
    let mut rebuild = data.command(["rebuild", "order-summary", "--rate-limit", "20000"]);
    let mut child = rebuild.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("started"), "{first}");
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(data.json(["status", "order-summary"])["status"], "completed");

    for args in [&["--help"][..], &["plugin", "list"], &["model", "export", "order-summary/orders"]] {
        let mut command = data.command(args.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
    // Nor one of errors.
    let mut command = data.command(["status", "nobody"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn an_answer_that_is_not_delivered_is_a_failure() {
    let (data, _, _) = with_orders(100);
    for args in [&["--help"][..], &["plugin", "list"], &["--json", "events", "stats"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let answer: Answer = data.command(args.iter().copied()).stdout(full).output().unwrap().into();
        answer.refused(1, &["standard output"]);
    }
}

#[test]
fn a_host_that_is_stopped_is_named() {
    let (data, _, _) = with_orders(20_000);
    let mut rebuild = data.start(SLOW);
    data.wait_for_host();
    data.wait_for("order-summary", |status| processed(status) > 0);
    let pid = rebuild.pid().as_raw_nonzero().to_string();
    rebuild.signal(Signal::STOP);
    for args in [["status", "order-summary"], ["pause", "order-summary"], ["list", "--all"], ["plugin", "list"]] {
        data.run(args).refused(1, &[&pid, "does not answer", "is stopped", "kill -CONT"]);
    }
    let answer: Answer = data.command(["--json", "status", "order-summary"]).output().unwrap().into();
    assert_eq!(error(&answer)["kind"], "host", "{answer:#?}");
    rebuild.signal(Signal::CONT);
    data.wait_for("order-summary", |status| status["status"] == "running");
    assert!(rebuild.is_alive());
}

/// In the middle of an answer, too; and what takes long is not taken for silence.
#[test]
fn a_host_that_is_stopped_in_the_middle_of_an_answer_is_named() {
    let (data, _, _) = with_orders(20_000);
    let host = data.serve();
    let watching = data.start(SLOW);
    data.wait_for("order-summary", |status| processed(status) > 0);
    let pid = host.pid().as_raw_nonzero().to_string();
    host.signal(Signal::STOP);
    let answer = watching.end();
    assert_eq!(answer.exit, Some(1), "{answer:#?}");
    assert!(answer.stderr.contains(&pid) && answer.stderr.contains("is stopped"), "{answer:#?}");
    host.signal(Signal::CONT);
    data.wait_for("order-summary", |status| status["status"] == "running");
}

/// A command that is not a host, and holds the data directory.
#[test]
fn a_command_that_holds_the_data_directory_is_named() {
    let (data, _, _) = with_orders(100);
    let _held = unspool::store::Store::open(&unspool::store::DataDir::open(&data.path()).unwrap()).unwrap();
    data.run(["plugin", "list"]).refused(2, &["in use", &format!("pid {}", std::process::id())]);
}

#[test]
fn commands_that_read_make_nothing() {
    let data = Data::new(BINARY);
    let commands: [&[&str]; 41] = [
        &["status", "x"],
        &["list"],
        &["list", "--all"],
        &["pause", "x"],
        &["resume", "x"],
        &["cancel", "x"],
        &["follow", "x"],
        &["follow", "x", "--detach"],
        &["unfollow", "x"],
        &["catch-up", "x"],
        &["rebuild", "x"],
        &["rebuild", "x", "--detach"],
        &["rebuild", "x", "--dry-run"],
        &["rebuild", "x", "--stream", "s"],
        &["events", "stats"],
        &["events", "show", "x"],
        &["plugin", "list"],
        &["plugin", "history", "x"],
        &["plugin", "swap", "x", "x.wasm"],
        &["plugin", "rollback", "x"],
        &["plugin", "try", "x", "x.wasm"],
        &["plugin", "verify", "x.wasm", "--source", "log"],
        &["model", "get", "x/y", "z"],
        &["model", "scan", "x/y"],
        &["model", "export", "x/y"],
        &["model", "digest", "x"],
        &["model", "generations", "x"],
        &["model", "promote", "x"],
        &["model", "verify", "x"],
        &["model", "as-of", "x", "--to", "1"],
        &["model", "drop", "x", "1"],
        &["model", "rollback", "x"],
        &["model", "receipt", "x"],
        &["dead-letters", "list", "x"],
        &["dead-letters", "show", "x", "e"],
        &["dead-letters", "retry", "x"],
        &["dead-letters", "discard", "x", "--all"],
        &["store", "check"],
        &["store", "compact"],
        &["store", "adopt"],
        &["store", "backup", "/nowhere/x"],
    ];
    for args in commands {
        data.run(args.iter().copied()).refused(2, &["no data directory", "--data"]);
        assert!(!data.path().exists(), "{args:?}");
    }
    // An empty directory is none either, and stays empty.
    data.make();
    for args in commands {
        data.run(args.iter().copied()).refused(2, &["no data directory", "--data"]);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "{args:?}");
    }
}

/// Where the log is missing, reading does not make another.
#[test]
fn a_log_that_is_missing_is_not_made_by_reading() {
    let (data, _, _) = with_orders(100);
    std::fs::remove_file(data.path().join("log.redb")).unwrap();
    std::fs::remove_dir_all(data.path().join("compiled")).unwrap();
    let there = || std::fs::read_dir(data.path()).unwrap().count();
    let before = there();
    for args in [&["list", "--all"][..], &["plugin", "list"], &["plugin", "history", "order-summary"]] {
        assert_eq!(data.run(args.iter().copied()).exit, Some(0), "{args:?}");
        assert_eq!(there(), before, "{args:?}");
    }
    data.run(["events", "stats"]).refused(2, &["log.redb", "missing or empty"]);
    assert_eq!(there(), before);
}

/// Nor where there never was one: a copy of the store alone, of rows that came from elsewhere.
#[test]
fn a_store_without_a_log_is_read_as_it_is() {
    let original = Data::new(BINARY);
    original.install(&plugin("order-summary"));
    let file = original.file("orders.ndjson", history::orders(100, 17));
    original.ok(["rebuild", "order-summary", "--source", &format!("file:{}", file.display())]);
    let data = Data::new(BINARY);
    data.make();
    std::fs::copy(original.path().join("store.redb"), data.path().join("store.redb")).unwrap();
    for args in [
        &["list", "--all"][..],
        &["status", "order-summary"],
        &["plugin", "list"],
        &["model", "export", "order-summary/orders"],
        &["store", "check"],
    ] {
        let answer = data.run(args);
        assert_eq!(answer.exit, Some(0), "{args:?}: {answer:#?}");
        let left = std::fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["store.redb"], "{args:?}");
    }
    assert_eq!(data.rows("order-summary/orders"), original.rows("order-summary/orders"));
}

#[test]
fn an_error_is_an_object_for_programs() {
    let (data, _, _) = with_orders(4_000);
    let cases: [(&[&str], i32, &str); 6] = [
        (&["status", "nobody"], 3, "not_found"),
        (&["status", "order-summary"], 3, "not_possible"),
        (&["rebuild", "order-summary", "--source", "file:/nowhere.ndjson"], 2, "source"),
        (&["frobnicate"], 2, "usage"),
        (&["model", "scan", "x"], 2, "usage"),
        (&["events", "import", "/nowhere.ndjson"], 2, "refused"),
    ];
    for (args, exit, kind) in cases {
        let answer: Answer = data.command(["--json"]).args(args).stdin(Stdio::null()).output().unwrap().into();
        assert_eq!(answer.exit, Some(exit), "{answer:#?}");
        let error = error(&answer);
        assert_eq!(error["kind"], kind, "{answer:#?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{answer:#?}");
        assert!(error["next"].is_string() || error["next"].is_null(), "{answer:#?}");
        assert_eq!(answer.stdout.lines().count(), 1, "{answer:#?}");
    }
}

#[test]
fn a_rebuild_that_runs_with_other_options_is_not_taken_for_the_one_that_was_asked_for() {
    let (data, _, events) = with_orders(20_000);
    let rebuild = data.start(["rebuild", "order-summary", "--chunk-size", "20", "--rate-limit", "200"]);
    data.wait_for_host();
    data.wait_for("order-summary", |status| processed(status) > 0);
    let early = events[9].get("id").and_then(Value::as_str).unwrap();
    let others: [&[&str]; 9] = [
        &["--chunk-size", "30"],
        &["--rate-limit", "2000"],
        &["--priority", "normal"],
        &["--on-error", "park"],
        &["--no-promote"],
        &["--allow-parked"],
        &["--follow"],
        &["--from", early],
        &["--to", early],
    ];
    for other in others {
        let asked = [&["rebuild", "order-summary", "--detach"], other].concat();
        data.run(asked.iter().copied()).refused(3, &["running already", other[0]]);
    }
    for same in
        [&[][..], &["--chunk-size", "20"], &["--rate-limit", "200"], &["--priority", "low"], &["--source", "log"]]
    {
        let asked = [&["rebuild", "order-summary", "--detach"], same].concat();
        assert_eq!(data.json(asked)["status"], "already_running");
    }
    drop(rebuild);
}

/// Whoever meets a host that is killed does without it.
#[test]
fn a_command_that_meets_a_dying_host_does_without_it() {
    let (data, _, _) = with_orders(1_000);
    for _ in 0..10 {
        let host = data.serve();
        let asking: Vec<_> = (0..4).map(|_| data.start(["--json", "list", "--all"])).collect();
        host.kill();
        for one in asking {
            let answer = one.end();
            assert_eq!(answer.exit, Some(0), "{answer:#?}");
        }
    }
}

/// What a command has read from a pipe for a host that ends meanwhile cannot be read again, and is not lost.
#[test]
fn what_came_through_a_pipe_is_imported_although_its_host_ended() {
    for signal in [Signal::TERM, Signal::KILL] {
        let (data, _, _) = with_orders(20);
        let before = data.json(["events", "stats"])["events"].as_u64().unwrap();
        let mut host = data.serve();
        let mut command = data.command(["--json", "events", "import", "-"]);
        let mut import = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = import.stdin.take().unwrap();
        let line =
            |id: &str| json!({ "id": id, "stream": "s", "type": "T", "timestamp": 1_706_702_400_000_u64, "data": {} });
        writeln!(pipe, "{}", line("z1")).unwrap();
        let copy = || {
            std::fs::read_dir(data.path())
                .unwrap()
                .flatten()
                .any(|e| e.file_name().to_string_lossy().starts_with("import-"))
        };
        let until = Instant::now() + Duration::from_secs(20);
        while !copy() {
            assert!(Instant::now() < until, "the host is not met");
            std::thread::sleep(Duration::from_millis(5));
        }
        rustix::process::kill_process(host.pid(), signal).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while host.is_alive() {
            assert!(Instant::now() < until, "the host does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        writeln!(pipe, "{}", line("z2")).unwrap();
        drop(pipe);
        let done = Answer::from(import.wait_with_output().unwrap());
        assert_eq!((done.exit, done.json()["added"].clone()), (Some(0), json!(2)), "{done:#?}");
        assert_eq!(data.json(["events", "stats"])["events"], before + 2);
        assert!(!copy(), "nothing is left of it");
    }
}
