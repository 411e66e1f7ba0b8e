//! A projection gives the same rows in every language, and misbehaves in each as its twin in Rust does.

use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};
use unspool_tests::{
    data::Data,
    languages::{c, folder, go, has, wrapped},
    plugins::payments,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

const CLANG: [&str; 2] = ["clang-19", "wasm-ld-19"];

/// Payments of 97 customers, with amounts at the bounds of what is exact, names that are not ASCII, and fields that no plugin knows.
fn history(events: u64) -> String {
    let amounts = [
        0,
        1,
        -1,
        127,
        128,
        255,
        256,
        -32,
        -33,
        -129,
        65_535,
        1 << 32,
        (1 << 53) + 1,
        -(1 << 53) - 1,
        9_007_199_254_740_993,
    ];
    let line = |n: u64| {
        let cents: i64 = amounts[(n * 7 % 15) as usize] + (n % 1000) as i64;
        let customer = format!("kunde-{}-grün-顧客", n * n % 97);
        let data = json!({ "method": { "card": "visa", "more": [1, 2.5, null, { "deep": true }] }, "customer": customer, "note": null, "cents": cents });
        format!(
            "{}\n",
            json!({ "id": format!("e{n}"), "stream": customer, "type": "PaymentReceived", "timestamp": n * 1000, "data": data })
        )
    };
    (0..events).map(line).collect()
}

fn args<'a>(words: &[&'a str], file: &'a Path) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).chain([file.as_os_str()]).collect()
}

/// The components of `payments` in the languages that this machine has.
fn all_payments() -> Vec<PathBuf> {
    let mut components = Vec::new();
    if has(&["go"]) {
        components.push(wrapped(BINARY, &go(&folder("plugin-sdk/go/examples/payments"), "payments-go")));
    }
    if has(&["componentize-py"]) {
        let component = unspool_tests::plugins::target_dir().join(format!("payments-py.{}.wasm", std::process::id()));
        let built = std::process::Command::new(BINARY)
            .args(args(&["plugin", "build"], &folder("plugin-sdk/python/examples/payments.py")))
            .arg("-o")
            .arg(&component)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        components.push(component);
    }
    if has(&CLANG) {
        components.push(wrapped(BINARY, &c(&folder("plugin-sdk/c/examples/payments.c"), "payments-c")));
    }
    components
}

#[test]
fn payments_give_the_same_digest_in_every_language_and_every_run_mode() {
    let data = Data::new(BINARY);
    let events = data.file("payments.ndjson", history(3_000));
    data.import(&events);
    data.install(&payments());
    data.ok(["rebuild", "payments"]);
    let digest = data.digest("payments");
    for component in all_payments() {
        let verify = [args(&["plugin", "verify"], &component), args(&["--events"], &events)].concat();
        let report = data.json(verify);
        for run in report["runs"].as_array().unwrap() {
            assert_eq!(run["digest"], json!(digest), "{component:?}: {run}");
        }
        // It takes over in the middle of the history; then it does all of it, and is killed on its way.
        for how in [&["--rewind-to", "e1499"][..], &["--restart"]] {
            let mut swap = data.command(args(&["plugin", "swap", "payments"], &component));
            let killed =
                swap.args(how).env("UNSPOOL_CRASH_AT", "commit.written").stdin(Stdio::null()).output().unwrap();
            assert_eq!(killed.status.code(), None, "{killed:?}");
            data.ok(["rebuild", "payments", "--chunk-size", "37"]);
            assert_eq!(data.digest("payments"), digest, "{component:?} {how:?}");
            data.ok(args(&["plugin", "swap", "payments"], &payments()));
        }
    }
}

#[test]
fn the_same_source_gives_the_same_component() {
    if has(&["go"]) {
        let elsewhere = tempfile::tempdir().unwrap();
        copy(&folder("plugin-sdk/go"), elsewhere.path());
        let here = std::fs::read(go(&folder("plugin-sdk/go/examples/payments"), "payments-go-once")).unwrap();
        let there = std::fs::read(go(&elsewhere.path().join("examples/payments"), "payments-go-twice")).unwrap();
        assert!(here == there, "Go");
        assert!(unspool::plugin::wrap(&here).unwrap() == unspool::plugin::wrap(&there).unwrap(), "the wrapping");
    }
    if has(&CLANG) {
        let source = folder("plugin-sdk/c/examples/payments.c");
        // The linker writes the name of the file into it.
        let [once, twice] = [(); 2].map(|()| std::fs::read(c(&source, "payments-c-twice")).unwrap());
        assert!(once == twice, "C");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The failure of a rebuild over two events that are fine, one of type `kind`, and another fine one.
fn failure(data: &Data, name: &str, kind: &str) -> Value {
    let events = ["Fine", "Fine", kind, "Fine"].into_iter().enumerate().map(|(n, kind)| {
        format!("{}\n", json!({ "id": format!("{kind}{n}"), "stream": format!("s{}", n % 2), "type": kind, "timestamp": n, "data": {} }))
    });
    let file = data.file(&format!("{kind}.ndjson"), events.collect::<String>());
    let source = format!("file:{}", file.display());
    let answer = data.run(["rebuild", name, "--restart", "--source", &source]);
    let status = data.json(["status", name]);
    assert_eq!(status["status"], "failed", "{kind}: {answer:#?} {status:#}");
    assert_eq!(status["failure"]["eventId"], json!(format!("{kind}2")), "{status:#}");
    assert_eq!(status["eventsProcessed"], 2, "{kind}: what was before is kept");
    status["failure"].clone()
}

#[test]
fn each_fault_of_a_go_plugin_ends_as_it_should_at_its_event() {
    if !has(&["go"]) {
        return;
    }
    let data = Data::new(BINARY);
    let component = wrapped(BINARY, &go(&folder("tests/languages/go"), "faulty-go"));
    data.install(&component);
    for (kind, expected, message) in [
        ("Panic", "handler", "panic: no order (faulty.go:"),
        ("Index", "handler", "panic: runtime error: index out of range [5] with length 3 (faulty.go:"),
        ("Error", "handler", "no such order"),
        ("Exit", "trap", "exit status 3"),
        ("Words", "trap", "the order is für niemanden (exit status 4)"),
        ("Deadlock", "trap", "all goroutines are asleep - deadlock!"),
        ("GoroutinePanic", "trap", "panic: in a goroutine"),
        ("LeftBehind", "handler", "returned while a goroutine of its was waiting"),
        ("NaN", "handler", "the row seen/s0 cannot be stored: more.avg: NaN"),
        ("ReadFile", "handler", "open /etc/passwd: "),
        ("Recursion", "stack", "recurses too deeply"),
        ("Memory", "memory", "--memory MIB allows more"),
        ("Loop", "deadline", "processor time"),
    ] {
        let failure = failure(&data, "faulty-go", kind);
        assert_eq!(failure["kind"], expected, "{failure:#}");
        assert!(failure["message"].as_str().unwrap().contains(message), "{failure:#} should say {message}");
    }

    // What the system would answer is the same everywhere; what differs between chunks is found.
    let verify = |kind: &str| {
        let lines = (0..300).map(|n| format!("{}\n", json!({ "id": format!("e{n}"), "stream": format!("s{}", n % 7), "type": kind, "timestamp": n, "data": {} })));
        let events = data.file("verify.ndjson", lines.collect::<String>());
        let verified = data
            .command(args(&["--json", "plugin", "verify"], &component))
            .arg("--events")
            .arg(&events)
            .output()
            .unwrap();
        (verified.status.code(), String::from_utf8(verified.stdout).unwrap())
    };
    for (kind, exit) in [("System", 0), ("Goroutine", 0), ("Random", 1), ("Range", 1)] {
        let (code, report) = verify(kind);
        assert_eq!(code, Some(exit), "{kind}: {report}");
    }
}

#[test]
fn each_fault_of_a_c_plugin_ends_as_it_should_at_its_event() {
    if !has(&CLANG) {
        return;
    }
    let data = Data::new(BINARY);
    data.install(&wrapped(BINARY, &c(&folder("tests/languages/c/faulty.c"), "faulty-c")));
    for (kind, expected, message) in [
        ("Exit", "trap", "exit status 3"),
        ("Assert", "trap", "Assertion failed: count < 0 && \"no order\""),
        ("Abort", "trap", "unreachable"),
        ("Words", "trap", "the order is für niemanden (exit status 4)"),
        ("Divide", "trap", "divide by zero"),
        ("Recursion", "trap", "out of bounds"),
        ("Missing", "handler", "cents is missing"),
        ("Fail", "handler", "no such order"),
        ("Table", "handler", "the projection has no table elsewhere"),
        ("Text", "handler", "text that is not UTF-8"),
        ("Half", "handler", "the row seen/s0 is not one whole value"),
        ("NaN", "handler", "nan is no number that can be stored"),
        ("Memory", "memory", "--memory MIB allows more"),
        ("Loop", "deadline", "processor time"),
    ] {
        let failure = failure(&data, "faulty-c", kind);
        assert_eq!(failure["kind"], expected, "{failure:#}");
        assert!(failure["message"].as_str().unwrap().contains(message), "{failure:#} should say {message}");
    }
    let kinds = ["Fine", "Sum", "Fine", "Delete", "Now", "Fine", "Sum"];
    let lines = kinds.iter().cycle().take(280).enumerate().map(|(n, kind)| {
        format!(
            "{}\n",
            json!({ "id": format!("e{n}"), "stream": format!("s{}", n % 11), "type": kind, "timestamp": n, "data": {} })
        )
    });
    let events = data.file("mixed.ndjson", lines.collect::<String>());
    data.ok([
        args(
            &["plugin", "verify"],
            &unspool_tests::plugins::target_dir().join(format!("faulty-c.{}.wasm", std::process::id())),
        ),
        args(&["--events"], &events),
    ]
    .concat());
}

#[test]
fn each_fault_of_a_python_plugin_ends_as_it_should_at_its_event() {
    if !has(&["componentize-py"]) {
        return;
    }
    let data = Data::new(BINARY);
    let component = data.scratch("faulty.wasm");
    let source = folder("tests/languages/python/faulty.py");
    let build = [args(&["plugin", "build"], &source), args(&["-o"], &component)].concat();
    data.ok(build);
    data.install(&component);
    for (kind, expected, message) in [
        ("Key", "handler", "KeyError: cents (faulty.py:"),
        ("Error", "handler", "no such order"),
        ("Exit", "handler", "SystemExit: 3"),
        ("Set", "handler", "the row seen/s0 cannot be stored: tags: a set cannot be stored; use sorted(value)"),
        ("Large", "handler", "needs more than 64 bits"),
        ("NaN", "handler", "nan is no number that can be stored"),
        ("Clock", "handler", "a projection has no clock: use event.timestamp"),
        ("Date", "handler", "a projection has no clock: use event.timestamp"),
        ("Random", "handler", "a projection has no randomness"),
        ("File", "handler", "a projection has no files"),
        ("Loop", "deadline", "processor time"),
    ] {
        let failure = failure(&data, "faulty-py", kind);
        assert_eq!(failure["kind"], expected, "{failure:#}");
        assert!(failure["message"].as_str().unwrap().contains(message), "{failure:#} should say {message}");
    }
}

#[test]
fn what_cannot_be_built_is_refused_with_the_remedy() {
    let data = Data::new(BINARY);
    let python = data.file("payments.py", "from unspool import Projection\n");
    let none = data.command(args(&["plugin", "build"], &python)).env("PATH", "").output().unwrap();
    unspool_tests::data::Answer::from(none).refused(2, &["componentize-py, which is not installed: pip install"]);
    data.run(args(&["plugin", "build"], &data.file("two words.py", ""))).refused(2, &["cannot be imported"]);
    data.run(args(&["plugin", "build"], &data.file("core.wasm", "")))
        .refused(2, &["`unspool plugin wrap` makes a component"]);
    data.run(args(&["plugin", "wrap"], &payments())).refused(2, &["already a component"]);
    data.run(args(&["plugin", "wrap"], &data.file("main.go", "package main"))).refused(2, &["not a WebAssembly file"]);

    // Another file than the one that was meant is not installed.
    let component = std::fs::read(payments()).unwrap();
    let (sha256, blake3) = (unspool::plugin::sha256(&component), unspool::plugin::digest(&component));
    let install =
        |digest: &str| data.run([args(&["--json", "plugin", "install", "--digest", digest], &payments())].concat());
    install("sha256:abc").refused(2, &["is no digest"]);
    let other = format!("sha256:{}", "0".repeat(64));
    install(&other).refused(2, &["is another file than the one asked for", &format!("sha256:{sha256}"), &other]);
    install(&format!("blake3:{}", "0".repeat(64))).refused(2, &[&format!("blake3:{blake3}")]);
    assert_eq!(data.ok(["plugin", "list"]), "", "nothing is installed");
    let installed = install(&format!("sha256:{}", sha256.to_uppercase())).json();
    assert_eq!((&installed["digest"], &installed["sha256"]), (&json!(blake3), &json!(sha256)));
    assert_eq!(install(&format!("blake3:{blake3}")).json()["status"], "already_installed");
}
