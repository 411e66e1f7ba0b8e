//! Plugins in TypeScript come to the rows of their twins in Rust, digit for digit, however history is cut, and end as those do
//! where they misbehave.

use serde_json::{Value, json};
use std::path::PathBuf;
use unspool_tests::{
    data::{Answer, Data},
    history,
    plugins::{plugin, script},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

const NAMES: [&str; 3] = ["order-summary", "inventory-levels", "process-map"];

fn orders(data: &Data, events: u64) {
    data.import(&data.file("orders.ndjson", history::orders(events, 31)));
}

#[test]
fn digests_are_those_of_the_twins_whatever_the_chunks_are() {
    let data = Data::new(BINARY);
    orders(&data, 4_000);
    NAMES.iter().for_each(|name| data.install(&plugin(name)));
    data.ok(["rebuild", "--all"]);
    let twins = NAMES.map(|name| data.digest(name));
    let swap = |name: &str| data.ok(["plugin", "swap", name, script(name).to_str().unwrap()]);
    NAMES.iter().for_each(|name| drop(swap(name)));
    for size in ["1", "7", "500", "5000"] {
        for (name, twin) in NAMES.iter().zip(&twins) {
            let rebuilt = data.json(["rebuild", name, "--chunk-size", size]);
            assert_eq!(rebuilt["status"], "completed", "{rebuilt:#}");
            assert_eq!(data.digest(name), *twin, "{name} in chunks of {size}");
        }
    }
}

#[test]
fn a_script_is_deterministic_in_every_run_mode() {
    let data = Data::new(BINARY);
    let events = data.file("orders.ndjson", history::orders(1_500, 37));
    for name in NAMES {
        let script = script(name);
        let args = ["--json", "plugin", "verify", script.to_str().unwrap()];
        let answer: Answer = data.command(args).arg("--events").arg(&events).output().unwrap().into();
        assert_eq!(answer.exit, Some(0), "{answer:#?}");
        assert_eq!(answer.json()["difference"], Value::Null);
    }
}

#[test]
fn a_rebuild_that_rust_began_is_finished_by_typescript() {
    let data = Data::new(BINARY);
    orders(&data, 3_000);
    data.install(&plugin("order-summary"));
    let unbroken = data.copy();
    unbroken.ok(["rebuild", "order-summary"]);
    data.ok(["rebuild", "order-summary", "--chunk-size", "50", "--rate-limit", "1000", "--detach"]);
    data.wait_for("order-summary", |status| status["eventsProcessed"].as_u64().is_some_and(|events| events > 0));
    data.ok(["pause", "order-summary"]);
    data.ok(["plugin", "swap", "order-summary", script("order-summary").to_str().unwrap()]);
    let resumed = data.json(["resume", "order-summary"]);
    assert_eq!(resumed["status"], "completed", "{resumed:#}");
    assert_eq!(data.digest("order-summary"), unbroken.digest("order-summary"));
    let receipt = data.json(["model", "receipt", "order-summary"]);
    let plugins: Vec<_> = receipt["ranges"].as_array().unwrap().iter().map(|range| &range["pluginDigest"]).collect();
    assert!(plugins.len() == 2 && plugins[0] != plugins[1], "{receipt:#}");
}

/// Events of the given types, and the plugin `file`.
fn with(types: &[&str], file: &std::path::Path) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::of_types(types.iter().copied())));
    data.install(file);
    data
}

/// Rebuilds `name`, which must fail at its third event, and returns the failure.
#[track_caller]
fn fails(data: &Data, name: &str) -> Value {
    let ended = data.exits(1, ["rebuild", name]);
    assert_eq!(
        (&ended["status"], &ended["eventsProcessed"], &ended["lastEventId"]),
        (&json!("failed"), &json!(2), &json!("e1"))
    );
    assert_eq!(ended["failure"]["eventId"], "e2", "{ended:#}");
    ended["failure"].clone()
}

#[test]
fn every_misbehaviour_ends_as_that_of_the_twin() {
    let cases = [
        ("Error", "handler", "this event cannot be handled"),
        ("Panic", "handler", "faulty.ts:40:"),
        ("Loop", "deadline", "processor time"),
        ("Memory", "memory", "64.0 MiB"),
        ("Recursion", "handler", "faulty.ts:20:"),
        ("BadOutput", "handler", ".count is NaN"),
        ("ForeignTable", "handler", "faulty.ts:62:"),
    ];
    for (kind, expected, words) in cases {
        let data = with(&["Fine", "Fine", kind, "Fine"], &script("faulty"));
        let failure = fails(&data, "faulty");
        assert_eq!(failure["kind"], expected, "{failure:#}");
        assert!(failure["message"].as_str().unwrap().contains(words), "no {words} in {failure:#}");
        let rows = data.ok(["model", "export", "faulty/seen", "--generation", "1"]);
        assert_eq!(rows.lines().count(), 2, "the rows before the failure are there, and no other: {kind}");
    }
    let data = with(&["Fine", "Fine", "Transient"], &script("faulty"));
    let failure = fails(&data, "faulty");
    assert_eq!((&failure["transient"], &failure["tries"]), (&json!(true), &json!(5)));
    let data = with(&["Fine", "LogFlood", "Fine"], &script("faulty"));
    let answer = data.run(["rebuild", "faulty"]);
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert!(answer.stderr.contains("were not shown"), "{answer:#?}");
}

/// Builds a plugin called `tested`, with one table, of these handlers and what stands before the definition.
fn built(data: &Data, before: &str, handlers: &str) -> PathBuf {
    let source = format!(
        "import {{ float, log, permanent, projection, table }} from \"unspool\";\n{before}\n\
         export default projection({{ name: \"tested\", version: 1, tables: {{ rows: table() }}, handlers: {{\n{handlers}\n}} }});\n"
    );
    let (source, component) = (data.file("tested.ts", source), data.scratch("tested.wasm"));
    // In this process, where what it takes is compiled once.
    let built = unspool::plugin::build(&source, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    std::fs::write(&component, built.component).unwrap();
    component
}

/// What outlives an event is refused at the first one that would leave something.
#[test]
fn nothing_but_rows_survives_an_event() {
    let cases = [
        ("let n = 0;", "n += 1;", "tested.ts:2:5: the handler of A has changed the variable `n`"),
        ("const seen = new Map();", "seen.set(event.id, 1);", "a Map or Set that a module holds is frozen"),
        ("const seen = { n: { m: 0 } };", "seen.n.m += 1;", "tested.ts:4:"),
        ("const seen: string[] = [];", "seen.push(event.id);", "tested.ts:4:"),
        ("class Seen { static n = 0 }", "Seen.n += 1;", "tested.ts:4:"),
        ("", "(globalThis as any).n = 1;", "tested.ts:4:"),
        ("", "(Array.prototype as any).n = 1;", "tested.ts:4:"),
    ];
    for (before, statement, words) in cases {
        let data = Data::new(BINARY);
        let plugin = built(&data, before, &format!("A(event, {{ rows }}) {{ {statement} }}, Fine() {{}}"));
        data.import(&data.file("events.ndjson", history::of_types(["Fine", "Fine", "A"])));
        data.install(&plugin);
        let failure = fails(&data, "tested");
        assert!(failure["message"].as_str().unwrap().contains(words), "no {words} in {failure:#}");
    }
    // What a regular expression remembers is forgotten before every event.
    let data = Data::new(BINARY);
    let plugin = built(
        &data,
        "const global = /e/g;",
        "A(event, { rows }) { rows.put(event.id, { found: global.test(event.id) }); }",
    );
    data.import(&data.file("events.ndjson", history::of_types(["A"; 4])));
    data.install(&plugin);
    data.ok(["rebuild", "tested"]);
    assert!(data.rows("tested/rows").values().all(|row| row["found"] == true));
}

/// What would differ in the row that the host gives back is made so right behind the event.
#[test]
fn rows_are_the_same_whether_they_were_read_again_or_not() {
    let data = Data::new(BINARY);
    let handlers = "
        A(event, { rows }) {
            const shared = { n: 0 };
            rows.put('a', { shared, whole: float(1), few: 5n, zero: -0, absent: undefined, bytes: new Uint8Array([1]), id: event.data.id });
            rows.put('b', { shared });
        },
        B(event, { rows }) {
            const row = rows.edit('a');
            row.shared.n += 1;
            row.seen = [typeof row.few, Object.is(row.zero, -0), 'absent' in row, typeof row.whole, typeof row.id, row.bytes[0]];
            row.bytes[0] += 1;
        },
        C(event, { rows }) { rows.put('c', event.data); },";
    let plugin = built(&data, "", handlers);
    let event = |id: &str, kind: &str, data: &str| {
        format!(r#"{{"id":"{id}","stream":"s","type":"{kind}","timestamp":1,"data":{data}}}"#)
    };
    let ids = ["9007199254740993", "18446744073709551615"];
    let lines = [
        event("1", "A", &format!(r#"{{"id":{}}}"#, ids[0])),
        event("2", "B", "{}"),
        event("3", "B", "{}"),
        event(
            "4",
            "C",
            &format!(r#"{{"id":{},"low":-9223372036854775808,"whole":1.0,"list":[2.0,3],"half":0.5}}"#, ids[1]),
        ),
    ];
    data.import(&data.file("events.ndjson", lines.join("\n") + "\n"));
    data.install(&plugin);
    let mut digests = Vec::new();
    for size in ["1", "2", "3", "10"] {
        data.ok(["rebuild", "tested", "--chunk-size", size]);
        digests.push(data.digest("tested"));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    let rows = data.ok(["model", "export", "tested/rows"]);
    for words in [
        ids[0],
        ids[1],
        "-9223372036854775808",
        r#""whole":1.0"#,
        r#""list":[2.0,3]"#,
        r#"["number",false,false,"number","bigint",2]"#,
    ] {
        assert!(rows.contains(words), "no {words} in {rows}");
    }
    assert_eq!(data.rows("tested/rows")["a"]["zero"], json!(0));
    assert_eq!(data.rows("tested/rows")["b"]["shared"]["n"], json!(0), "no row shares anything with another");
}

/// The event whose row it is, not the last of the chunk, with the place where the row was put.
#[test]
fn a_row_that_cannot_be_stored_is_the_fault_of_its_event() {
    let cases = [
        ("{ tags: new Set(['a']) }", ".tags is a Set: store an array, `[...set]` (row rows/k)"),
        ("{ when: new Date() }", ".when is a Date"),
        ("{ by: new Map() }", ".by is a Map"),
        ("{ deep: [{ f() {} }] }", ".deep[0].f is a function"),
        ("{ get n() { return 1 } }", ".n is a getter"),
        ("{ avg: 0 / 0 }", ".avg is NaN"),
        ("{ 'a b': 2n ** 64n }", "[\"a b\"] is 18446744073709551616: an integer has at most 64 bits"),
        ("{ list: [1, , 3] }", ".list[1] is undefined"),
        ("{ text: '\\ud800' }", ".text is text with half of a surrogate pair"),
        ("{ row: new (class Row {}) }", ".row is an object of class Row"),
    ];
    for (row, words) in cases {
        let data = Data::new(BINARY);
        let plugin = built(
            &data,
            "",
            &format!(
                "A(event, {{ rows }}) {{ rows.put('k', {row}); }}, Fine(_, {{ rows }}) {{ rows.put('k', {{}}); }}"
            ),
        );
        data.import(&data.file("events.ndjson", history::of_types(["Fine", "Fine", "A", "Fine"])));
        data.install(&plugin);
        let failure = fails(&data, "tested");
        let message = failure["message"].as_str().unwrap();
        assert!(message.starts_with("tested.ts:4:") && message.contains(words), "no {words} in {message}");
    }
}

/// What engines, hosts and authors differ about, as it is here.
#[test]
fn values_are_what_the_language_says_on_every_host() {
    let cases = [
        ("+new Date('2026-03-29T02:30:00')", "1774751400000"),
        ("new Date(0).getTimezoneOffset()", "0"),
        ("[Date.now(), +new Date(), event.timestamp].every(time => time === 1)", "true"),
        ("[10, 9, 1].sort().join()", r#""1,10,9""#),
        ("Object.keys({ b: 1, 10: 2, 2: 3 })[0]", r#""2""#),
        ("new BigUint64Array(new Uint8Array([1, 0, 0, 200, 3, 0, 255, 254]).buffer)[0]", "18374405020935258113"),
        (
            "[2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 64n - 1n, -(2n ** 63n)]",
            "[9007199254740993,9223372036854775807,18446744073709551615,-9223372036854775808]",
        ),
        (
            "[typeof process, typeof require, typeof setTimeout, typeof WeakRef]",
            r#"["undefined","undefined","undefined","undefined"]"#,
        ),
        ("new TextDecoder().decode(new TextEncoder().encode('hé'))", r#""hé""#),
        ("structuredClone({ a: [1] }).a", "[1]"),
        ("[btoa('hi'), atob('aGk=')]", r#"["aGk=","hi"]"#),
        (r#"JSON.parse(`{"__proto__":1}`)"#, r#"{"__proto__":1}"#),
    ];
    let data = Data::new(BINARY);
    let rows: Vec<_> =
        cases.iter().enumerate().map(|(n, (value, _))| format!("rows.put('{n}', {{ v: {value} }});")).collect();
    let plugin = built(&data, "", &format!("A(event, {{ rows }}) {{ {} }}", rows.join("\n")));
    data.import(&data.file("events.ndjson", r#"{"id":"1","stream":"s","type":"A","timestamp":1,"data":{}}"#));
    data.install(&plugin);
    let answer: Answer = data.command(["rebuild", "tested"]).env("TZ", "Asia/Tokyo").output().unwrap().into();
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    let rows = data.ok(["model", "export", "tested/rows"]);
    for (n, (value, expected)) in cases.iter().enumerate() {
        let row = format!(r#"{{"key":"{n}","value":{{"v":{expected}}}}}"#);
        assert!(rows.lines().any(|line| line == row), "{value} is not {expected} in {rows}");
    }
}

/// What a handler leaves behind it is done before the next event, or refused.
#[test]
fn promises_are_kept_within_their_event() {
    let data = Data::new(BINARY);
    let handlers = "
        A(event, { rows }) { Promise.resolve().then(() => { rows.edit('k', { n: 0 }).n += 1; }); },
        B(event, { rows }) { rows.put(event.id, { n: rows.get('k').n }); },
        C() { Promise.reject(new Error('lost')); },
        D() { return Promise.resolve(); },";
    let plugin = built(&data, "", handlers);
    let cases = [("C", "lost"), ("D", "the handler of D returns a promise")];
    for (kind, words) in cases {
        let data = with(&["A", "B", kind], &plugin);
        let failure = fails(&data, "tested");
        assert!(failure["message"].as_str().unwrap().contains(words), "{failure:#}");
        let rows = data.ok(["model", "export", "tested/rows", "--generation", "1"]);
        assert!(rows.contains(r#"{"key":"e1","value":{"n":1}}"#), "{rows}");
    }
}
