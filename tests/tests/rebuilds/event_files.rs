//! Event files as people have them: imported, and as sources.

use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use unspool_tests::{
    data::{Answer, Data},
    history,
    needs::installed,
    plugins::plugin,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn orders_elsewhere(events: u64) -> (Vec<u8>, Vec<u8>) {
    let lines = history::orders(events, 5);
    let renamed = history::events(&lines).into_iter().map(|event| {
        let event = json!({
            "event_id": event["id"], "aggregate_id": event["stream"], "event_type": event["type"],
            "occurred_at": event["timestamp"].as_i64().map(|ms| ms * 1000), "payload": event["data"],
        });
        format!("{event:#}\n,")
    });
    let array = format!("[{}]", renamed.collect::<String>().trim_end_matches(','));
    (lines, array.into_bytes())
}

const MAP: &str = "id=event_id,stream=aggregate_id,type=event_type,time=occurred_at:us,data=payload";

#[test]
fn a_mapped_file_is_a_source_like_any_other() {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let (lines, array) = orders_elsewhere(2_000);
    data.import(&data.file("orders.ndjson", lines));
    data.ok(["rebuild", "order-summary"]);
    let digest = data.digest("order-summary");

    let path = data.file("elsewhere.json", &array);
    let source = format!("file:{}", path.display());
    data.run(["rebuild", "order-summary", "--source", &source]).refused(2, &["line 1", "--map", MAP]);
    data.run(["rebuild", "order-summary", "--map", MAP]).refused(2, &["--source file:PATH"]);
    let rebuild = ["rebuild", "order-summary", "--source", &source, "--map", MAP];
    let ended = data.json(rebuild);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(2_000)));
    assert_eq!(data.digest("order-summary"), digest);

    // It is found again by who verifies it, looks at its past, or goes on with it.
    let verified = data.json(["model", "verify", "order-summary"]);
    assert_eq!((&verified["different"], &verified["missing"]), (&json!(0), &json!(0)));
    let named = format!("{source}?map={MAP}");
    assert_eq!(data.json(["model", "receipt", "order-summary"])["source"], named.as_str());
    data.json(["model", "as-of", "order-summary", "--to", "1000", "--source", &source, "--map", MAP]);
    data.json(["model", "as-of", "order-summary", "--to", "1001", "--source", &named]);
    let begun = data.start([&rebuild[..], &["--restart", "--chunk-size", "10", "--rate-limit", "200"]].concat());
    data.wait_for_host();
    data.wait_for("order-summary", |status| {
        status["status"] == "running" && status["eventsProcessed"].as_u64().is_some_and(|events| events >= 100)
    });
    begun.kill();
    let ended = data.json(["rebuild", "order-summary", "--rate-limit", "4000000"]);
    assert_eq!((&ended["status"], &ended["trigger"]["status"]), (&json!("completed"), &json!("resumed")));
    assert_eq!(data.digest("order-summary"), digest);

    // By a name, too; read in another way it is another history.
    let settings = |map: &str| {
        let text = format!("[sources.elsewhere]\npreset = \"file\"\npath = \"{}\"\nmap = \"{map}\"\n", path.display());
        fs::write(data.path().join("unspool.toml"), text).unwrap();
    };
    settings(MAP);
    let begun =
        ["rebuild", "order-summary", "--source", "elsewhere", "--restart", "--chunk-size", "10", "--rate-limit", "200"];
    let begun = data.start(begun);
    data.wait_for_host();
    data.wait_for("order-summary", |status| {
        status["status"] == "running" && status["eventsProcessed"].as_u64().is_some_and(|events| events >= 100)
    });
    begun.kill();
    settings(&MAP.replace(":us", ":ms"));
    data.run(["rebuild", "order-summary"]).refused(2, &["elsewhere.json", "outside of the years 0 to 9999"]);
    settings(&MAP.replace("stream=aggregate_id", "stream=event_type"));
    data.run(["rebuild", "order-summary"]).refused(2, &["another history", "--restart"]);
    settings(MAP);
    assert_eq!(data.json(["rebuild", "order-summary", "--rate-limit", "4000000"])["status"], "completed");
    assert_eq!(data.digest("order-summary"), digest);
    let (component, events) = (plugin("order-summary"), path.display().to_string());
    let component = component.to_str().unwrap();
    let verified = data.json(["plugin", "verify", component, "--events", &events, "--map", MAP]);
    assert_eq!(verified["difference"], Value::Null);
}

/// Whoever can read something may import it, also while a host runs that cannot, or that has something else by that name.
#[test]
fn what_only_the_command_can_read_is_imported() {
    let data = Data::new(BINARY);
    let event = |id: &str| format!("{{\"id\":\"{id}\",\"stream\":\"s\",\"type\":\"T\",\"timestamp\":0}}\n");
    let pipe = data.scratch("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::fs::symlink("/dev/stdin", data.scratch("link")).unwrap();
    let regular = data.file("regular.ndjson", event("regular"));
    let link = data.scratch("link").display().to_string();
    let mut count = 0;
    for remote in [false, true] {
        let host = remote.then(|| data.serve());
        // Standard input is a pipe, by any of its names, or a file.
        for (index, name) in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", &link].into_iter().enumerate() {
            let mut import = data.command(["events", "import", name]);
            let import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = import.spawn().unwrap();
            child.stdin.take().unwrap().write_all(event(&format!("{remote}{index}")).as_bytes()).unwrap();
            let answer: Answer = child.wait_with_output().unwrap().into();
            assert_eq!(answer.exit, Some(0), "{name} {answer:#?}");
            count += 1;
            assert_eq!(data.json(["events", "stats"])["events"], count, "{name}");
            let from_file =
                data.command(["events", "import", name]).stdin(fs::File::open(&regular).unwrap()).output().unwrap();
            let answer: Answer = from_file.into();
            assert_eq!(answer.exit, Some(0), "{name} {answer:#?}");
            count += u64::from(!remote && index == 0);
            assert_eq!(data.json(["events", "stats"])["events"], count, "{name}");
        }
        let writer = {
            let (pipe, event) = (pipe.clone(), event(&format!("fifo{remote}")));
            std::thread::spawn(move || fs::write(pipe, event).unwrap())
        };
        data.import(&pipe);
        writer.join().unwrap();
        count += 1;
        // What is wrong is named as the operator named it.
        let mut import = data.command(["events", "import", "/dev/stdin"]);
        let mut child = import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hello").unwrap();
        let answer: Answer = child.wait_with_output().unwrap().into();
        answer.refused(2, &["line 1"]);
        assert!(answer.stderr.contains("/dev/stdin") && !answer.stderr.contains("import-"), "{answer:#?}");
        data.run(["events", "import", "nowhere.ndjson"]).refused(2, &["nowhere.ndjson: there is no such file"]);
        for path in ["/dev/stdin", "/dev/fd/0"] {
            let mut rebuild = data.command(["rebuild", "order-summary", "--source", &format!("file:{path}")]);
            let answer: Answer = rebuild.stdin(Stdio::piped()).output().unwrap().into();
            answer.refused(2, &[path, "name a file"]);
        }
        if let Some(host) = host {
            host.signal(rustix::process::Signal::TERM);
            host.end();
        }
    }
    assert_eq!(data.json(["events", "stats"])["events"], count);
    let left = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().ends_with(".draft")).count(), 0, "no copy is left");
}

/// What a command leaves that was killed while it copied, the next host removes.
#[test]
fn copies_of_killed_commands_go() {
    let data = Data::new(BINARY);
    data.import(&data.file("none.ndjson", ""));
    let left = data.path().join("import-abc.draft");
    fs::write(&left, "half").unwrap();
    data.import(&data.file("none.ndjson", ""));
    assert!(!left.exists());
}

#[test]
fn bad_lines_are_set_aside_counted_and_imported_when_they_are_mended() {
    let data = Data::new(BINARY);
    let good = String::from_utf8(history::of_types(["A", "B", "C"])).unwrap();
    let same_id = r#"{"id":"e0","stream":"s","type":"Other","timestamp":1,"data":{}}"#;
    let untimed = r#"{"id":"x","stream":"s","type":"T","data":{}}"#;
    let low = r#"{"id":"y","stream":"s","type":"T","timestamp":1,"position":1}"#;
    let file = data.file("some.ndjson", format!("{untimed}\n{good}{same_id}\nhello\n{low}\n"));
    let aside = data.scratch("bad.ndjson");
    let import = |file: &Path| {
        let args =
            ["events".as_ref(), "import".as_ref(), file.as_os_str(), "--skip-bad-lines".as_ref(), aside.as_os_str()];
        args.map(std::ffi::OsStr::to_owned)
    };
    data.run(["events".as_ref(), "import".as_ref(), file.as_os_str()]).refused(2, &["line 1", "--without-time"]);
    let answer = data.run(import(&file));
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert!(answer.stderr.contains("4 bad lines") && answer.stderr.contains("bad.ndjson"), "{answer:#?}");
    assert_eq!(data.json(["events", "stats"])["events"], 3);
    let mut bad: Vec<_> = fs::read_to_string(&aside).unwrap().lines().map(str::to_owned).collect();
    bad.sort();
    let mut expected = [untimed, same_id, "hello", low].map(str::to_owned);
    expected.sort();
    assert_eq!(bad, expected);
    data.run(import(&file)).refused(2, &["bad.ndjson", "is there already"]);
    fs::remove_file(&aside).unwrap();
    let done = data.json(import(&data.file("good.ndjson", &good)));
    assert_eq!(done, json!({ "read": 3, "added": 0, "duplicates": 3, "skipped": 0 }));
    // Again, with what the file has: it is all of these together.
    let done = data.json(import(&file));
    assert_eq!(done, json!({ "read": 7, "added": 0, "duplicates": 3, "skipped": 4 }));
    fs::remove_file(&aside).unwrap();
    assert!(!aside.exists());
    let mended = data.file("mended.ndjson", untimed);
    let done = data.json(["events", "import", mended.to_str().unwrap(), "--without-time", "2024-01-01T00:00:00Z"]);
    assert_eq!(done["added"], 1);
    assert_eq!(data.json(["events", "show", "x"])["timestamp"], 1_704_067_200_000_i64);
}

/// The limit of a file's size stands for a full disk: the log's file is smaller, what is set aside is not.
#[test]
fn a_disk_that_is_full_of_bad_lines_is_told_of_their_file() {
    let data = Data::new(BINARY);
    let good = history::of_types(["A"]);
    data.import(&data.file("none.ndjson", ""));
    let bad = format!("{{\"id\":\"{}\"}}\n", "x".repeat(1 << 20)).repeat(24);
    let file = data.file("some.ndjson", [&good[..], bad.as_bytes()].concat());
    let aside = data.scratch("bad.ndjson");
    let script = "trap '' XFSZ; ulimit -f 16384; exec \"$@\"";
    let import =
        data.command(["events", "import", file.to_str().unwrap(), "--skip-bad-lines", aside.to_str().unwrap()]);
    let limited = |script: &str| -> Answer {
        let mut command = Command::new(installed("bash", "bash"));
        command.args(["-c", script, "limited"]).arg(import.get_program()).args(import.get_args());
        command.stdin(Stdio::null()).output().unwrap().into()
    };
    let answer = limited(script);
    answer.refused(1, &["bad.ndjson: the lines that are set aside cannot be written: File too large"]);
    assert!(!answer.stderr.contains("some.ndjson"), "{answer:#?}");
    assert_eq!(data.json(["events", "stats"])["events"], 0);
    let left: Vec<_> = fs::read_dir(aside.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("draft") && name != "bad.ndjson"), "{left:?}");
    assert_eq!(limited("exec \"$@\"").exit, Some(0));
    assert_eq!(fs::metadata(&aside).unwrap().len(), bad.len() as u64);
    let nowhere = data.scratch("nowhere/bad.ndjson");
    data.run(["events", "import", file.to_str().unwrap(), "--skip-bad-lines", nowhere.to_str().unwrap()])
        .refused(2, &["nowhere: there is no such folder"]);
}

#[test]
fn one_id_of_two_sources_is_two_events() {
    let data = Data::new(BINARY);
    let event = |source: &str, subject: &str| json!({ "specversion": "1.0", "id": "1", "source": source, "subject": subject, "type": "T", "time": "2024-01-01T00:00:00.123456Z" });
    let batch = json!([event("/orders", "a"), event("/invoices", "b")]).to_string();
    let file = data.file("batch.json", batch);
    assert_eq!(data.import(&file), json!({ "read": 2, "added": 2, "duplicates": 0, "renamed": 1 }));
    assert_eq!(data.import(&file), json!({ "read": 2, "added": 0, "duplicates": 2 }));
    assert_eq!(data.json(["events", "show", "1"])["stream"], "a");
    let shown = data.json(["events", "show", "/invoices#1"]);
    assert_eq!((&shown["stream"], &shown["timestamp"]), (&json!("b"), &json!(1_704_067_200_123_i64)));
    assert_eq!(shown["metadata"], json!({ "source": "/invoices", "time": "2024-01-01T00:00:00.123456Z" }));
    data.install(&plugin("faulty"));
    assert_eq!(data.json(["rebuild", "faulty", "--to", "/invoices#1"])["position"], 2);
}

/// The shell's own way to give a command a pipe by a path.
#[test]
fn a_process_substitution_is_imported_while_a_host_runs() {
    let data = Data::new(BINARY);
    let host = data.serve();
    let script = format!(
        "'{BINARY}' --data '{}' events import <(printf '%s\\n' '{{\"id\":\"e1\",\"stream\":\"s\",\"type\":\"T\",\"timestamp\":0}}')",
        data.path().display()
    );
    let answer: Answer =
        Command::new(installed("bash", "bash")).args(["-c", &script]).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert_eq!(data.json(["events", "show", "e1"])["type"], "T");
    drop(host);
}
