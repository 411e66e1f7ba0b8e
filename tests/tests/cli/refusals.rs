//! Bad input gets a clear error that names the culprit and what to do, and changes nothing.

use serde_json::json;
use std::path::Path;
use unspool_tests::{
    data::Data,
    history, hostile,
    plugins::{plugin, plugin_with},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn import(data: &Data, file: &Path) -> unspool_tests::data::Answer {
    data.run(["events".as_ref(), "import".as_ref(), file.as_os_str()])
}

#[test]
fn an_event_file_with_one_bad_line_is_refused_whole_with_its_line() {
    let data = Data::new(BINARY);
    let good = String::from_utf8(history::of_types(["A", "B"])).unwrap();
    let cases: [(&str, &[&str]); 9] = [
        ("not json", &["line 3"]),
        (r#"{"stream":"s","type":"T","timestamp":1,"data":{}}"#, &["line 3", "id"]),
        (r#"{"id":7,"stream":"s","type":"T","timestamp":1,"data":{}}"#, &["line 3", "id"]),
        (r#"{"id":"x","stream":"s","type":"T","timestamp":"soon","data":{}}"#, &["line 3", "timestamp"]),
        (
            r#"{"id":"x","stream":"s","type":"T","timestamp":1,"data":{"n":18446744073709551616}}"#,
            &["line 3", "18446744073709551616"],
        ),
        (r#"{"id":"x","stream":"s","type":"T","timestamp":1,"data":{"n":1e999}}"#, &["line 3", "1e999"]),
        (r#"{"id":"x","stream":"s","type":"T","timestamp":1,"datum":{}}"#, &["line 3", "datum"]),
        (r#"{"id":"e0","stream":"s","type":"T","timestamp":1,"data":{}}"#, &["line 3", "another content"]),
        (r#"{"id":"x","position":1,"stream":"s","type":"T","timestamp":1,"data":{}}"#, &["line 3", "position 1"]),
    ];
    for (line, words) in cases {
        let file = data.file("bad.ndjson", format!("{good}{line}\n"));
        import(&data, &file).refused(2, &[&["bad.ndjson"], words].concat());
        assert_eq!(data.json(["events", "stats"])["events"], 0, "nothing of it is kept: {line}");
    }
}

#[test]
fn what_is_no_event_file_is_refused() {
    let data = Data::new(BINARY);
    import(&data, &data.scratch("missing.ndjson")).refused(2, &["missing.ndjson"]);
    import(&data, &data.file("image.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")).refused(2, &["image.png", "PNG"]);
    import(&data, &data.file("array.json", b"[[{\"id\":\"a\"}]]"))
        .refused(2, &["array.json", "line 1", "array within an array"]);
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56";
    import(&data, &data.file("cut.ndjson.gz", gzip)).refused(2, &["cut.ndjson.gz", "truncated"]);
}

#[test]
fn what_is_no_plugin_is_refused_by_what_it_is() {
    let data = Data::new(BINARY);
    let core = b"\0asm\x01\0\0\0";
    let component = b"\0asm\x0d\0\x01\0";
    for command in ["check", "install"] {
        let run = |file: &Path| data.run(["plugin".as_ref(), command.as_ref(), file.as_os_str()]);
        run(&data.file("text.wasm", b"hello")).refused(2, &["text.wasm", "not a WebAssembly file"]);
        run(&data.file("core.wasm", core)).refused(2, &["core.wasm", "core WebAssembly module", "plugin wrap"]);
        run(&data.file("other.wasm", component)).refused(2, &["missing: the export unspool:projection/handler@1.0.0"]);
        run(&data.scratch("missing.wasm")).refused(2, &["missing.wasm"]);
    }
    assert_eq!(data.ok(["plugin", "list"]), "");
}

#[test]
fn another_plugin_for_an_installed_projection_is_a_swap() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let fixed = plugin_with("faulty", &["fixed"]);
    data.run(["plugin".as_ref(), "install".as_ref(), fixed.as_os_str()]).refused(2, &["faulty", "plugin swap"]);
    let orders = plugin("order-summary");
    data.run(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), orders.as_os_str()])
        .refused(2, &["order-summary", "not faulty"]);
    data.install(&plugin("faulty"));
    assert_eq!(data.ok(["plugin", "history", "faulty"]).lines().count(), 1);
}

#[test]
fn names_that_do_not_exist_are_not_found() {
    let data = Data::new(BINARY);
    data.import(&data.file("none.ndjson", ""));
    data.run(["rebuild", "nobody"]).refused(3, &["nobody", "plugin install"]);
    data.install(&plugin("faulty"));
    for command in [["status", "nobody"], ["pause", "nobody"], ["resume", "nobody"]] {
        data.run(command).refused(3, &["nobody", "faulty"]);
    }
    data.run(["model", "export", "faulty/seen"]).refused(3, &["unspool rebuild faulty"]);
    data.import(&data.file("one.ndjson", history::of_types(["Fine"])));
    data.ok(["rebuild", "faulty"]);
    data.run(["model", "export", "faulty/nothing"]).refused(3, &["nothing", "seen"]);
    data.run(["model", "scan", "faulty"]).refused(2, &["PROJECTION/TABLE"]);
    data.run(["model", "get", "faulty/seen", "nobody"]).refused(3, &["nobody"]);
    data.run(["model", "digest", "faulty", "--generation", "9"]).refused(3, &["generation 9"]);
    data.run(["rebuild", "faulty", "--from", "nothing"]).refused(3, &["nothing"]);
    data.run(["events", "show", "nothing"]).refused(3, &["nothing"]);
    data.run(["rebuild", "faulty", "--source", "carrier-pigeon"]).refused(2, &["carrier-pigeon", "file:PATH"]);
    data.run(["rebuild", "faulty", "--source", "file:/nowhere.ndjson"]).refused(2, &["/nowhere.ndjson"]);
    data.run(["rebuild", "faulty", "--chunk-size", "0"]).refused(2, &["chunk-size"]);
    data.run(["frobnicate"]).refused(2, &["frobnicate"]);
}

#[test]
fn a_directory_of_someone_else_is_left_alone() {
    let data = Data::new(BINARY);
    data.make();
    std::fs::write(data.path().join("thesis.tex"), "years of work").unwrap();
    data.run(["list"]).refused(2, &["does not belong to unspool", "--data"]);
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1);
}

#[test]
fn a_store_that_is_no_store_or_damaged_is_reported_and_not_repaired() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let store = data.path().join("store.redb");
    let good = std::fs::read(&store).unwrap();
    std::fs::write(&store, b"this is not a store").unwrap();
    data.run(["list"]).refused(2, &["store.redb"]);
    assert_eq!(std::fs::read(&store).unwrap(), b"this is not a store");
    std::fs::write(&store, &good[..good.len() / 2]).unwrap();
    let answer = data.run(["plugin", "list"]);
    assert_eq!(answer.exit, Some(2), "{answer:#?}");
    std::fs::write(&store, good).unwrap();
    assert_eq!(data.json(["plugin", "list"])["projectionName"], "faulty");
}

#[test]
fn a_data_directory_in_use_says_so() {
    let data = Data::new(BINARY);
    data.import(&data.file("none.ndjson", ""));
    // Not a host that answers, but a program that holds the file.
    let _held = unspool::store::Store::open(&unspool::store::DataDir::open(&data.path()).unwrap()).unwrap();
    data.run(["list"]).refused(2, &["in use"]);
}

#[test]
fn events_are_shown_as_they_were_written() {
    let data = Data::new(BINARY);
    let line = r#"{"id":"x","position":9,"stream":"s","type":"T","timestamp":"2024-01-01T00:00:00Z","data":{"n":18446744073709551615,"f":1.5},"schemaVersion":3}"#;
    data.import(&data.file("one.ndjson", line));
    let expected = json!({
        "id": "x", "position": 9, "stream": "s", "type": "T", "timestamp": 1_704_067_200_000_u64, "schemaVersion": 3,
        "data": { "n": 18_446_744_073_709_551_615_u64, "f": 1.5 }, "metadata": null,
    });
    assert_eq!(data.json(["events", "show", "x"]), expected);
}

/// A function of a few kilobytes can keep a compiler busy for minutes. Nobody else waits for it.
#[test]
fn a_plugin_that_keeps_the_compiler_busy_is_refused_and_others_are_served_meanwhile() {
    let data = Data::new(BINARY);
    let bomb = data.file("bomb.wasm", hostile::component(&hostile::loops(2_000, 200)));
    data.import(&data.file("events.ndjson", history::mixed(2_000, &[])));
    data.install(&plugin("faulty"));
    let host = data.serve();
    data.ok(["rebuild", "faulty", "--rate-limit", "20", "--detach"]);
    let mut install = data.start(["plugin".as_ref(), "install".as_ref(), bomb.as_os_str()]);
    while !has_child(host.pid()) {
        assert!(install.is_alive(), "nothing is compiled");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // All commands of a host that change what runs take turns.
    data.ok(["pause", "faulty"]);
    data.ok(["resume", "faulty", "--detach"]);
    data.ok(["cancel", "faulty"]);
    assert!(install.is_alive(), "it took less than the commands meanwhile: the test shows nothing");
    let refused = install.end();
    refused.refused(2, &["bomb.wasm", "processor time", "2000", "200 deep"]);
    assert_eq!(data.list(["plugin", "list"]).len(), 1);
    host.kill();
}

/// Whether a process has a child.
fn has_child(parent: rustix::process::Pid) -> bool {
    let parent = format!("PPid:\t{}", parent.as_raw_nonzero());
    let status = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten().map(status);
    processes.any(|status| status.lines().any(|line| line == parent))
}

/// What a command is given is looked at before anything is begun for it, or written where the product keeps its files.
#[test]
fn what_is_not_there_begins_nothing_and_what_is_the_products_own_is_not_written() {
    let data = Data::new(BINARY);
    data.run(["events", "import", "nothere.json"]).refused(2, &["nothere.json", "no such file"]);
    data.run(["plugin", "install", "nothere.wasm"]).refused(2, &["nothere.wasm", "no such file"]);
    assert!(!data.path().exists(), "no data directory is made");
    data.import(&data.file("events.ndjson", history::mixed(20, &[])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    for name in ["store.redb", "log.redb", "unspool.toml", "compiled/key"] {
        let inside = data.path().join(name);
        let out = [
            &["model", "export", "faulty/seen", "--force", "--out"].map(std::ffi::OsStr::new)[..],
            &[inside.as_os_str()],
        ];
        data.run(out.concat()).refused(2, &["in the data directory"]);
        data.run(["store".as_ref(), "backup".as_ref(), inside.as_os_str()]).refused(2, &["in the data directory"]);
        let file = data.scratch("events.ndjson");
        let skip =
            ["events".as_ref(), "import".as_ref(), file.as_os_str(), "--skip-bad-lines".as_ref(), inside.as_os_str()];
        data.run(skip).refused(2, &["in the data directory"]);
    }
    data.ok(["store", "check"]);
    // A password that was typed is not told to everybody.
    for source in ["postgresql://u:hunter2@h/x", "postgres:postgresql://u:hunter2@h/x"] {
        let refused = data.run(["rebuild", "faulty", "--restart", "--source", source]);
        refused.refused(2, &["a connection string is no source", "postgres:PRESET?"]);
        assert!(!format!("{refused:?}").contains("hunter2"), "{refused:#?}");
    }
}
