//! Text of others on a terminal: ids, streams, types, messages and file names are shown, and do nothing.

use super::BINARY;
use serde_json::{Value, json};
use unspool_tests::{
    data::{Answer, Data},
    plugins::plugin,
};

/// What would clear the screen, set the title, forge a line, turn the direction.
const HOSTILE: [&str; 8] = [
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\r\nfaulty: completed, 9 of 9 events",
    "\u{9b}31m",
    "\u{202e}egnp",
    "\u{2066}x\u{2069}",
    "\t\u{7f}",
    "\u{2028}\u{200b}\u{feff}",
];

fn hostile(name: &str) -> String {
    format!("{name}{}", HOSTILE.concat())
}

fn assert_harmless(what: &str, text: &str) {
    let shown =
        |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2066}\u{2069}\u{2028}\u{200b}\u{feff}".contains(c));
    assert!(text.chars().all(shown), "{what}: {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("faulty: completed, 9 of 9")), "{what}: {text}");
}

fn with_hostile_events() -> Data {
    let data = Data::new(BINARY);
    let event = |id: &str, kind: &str| json!({ "id": hostile(id), "stream": hostile("s"), "type": kind, "timestamp": 1, "data": { hostile("k"): hostile("v") } });
    let lines = format!("{}\n{}\n{}\n", event("e1", "Fine"), event("e2", "Error"), event("e3", &hostile("Fine")));
    data.import(&data.file("events.ndjson", lines));
    data.install(&plugin("faulty"));
    data.install(&plugin("process-map"));
    data
}

#[test]
fn nothing_that_others_write_acts_on_a_terminal() {
    let data = with_hostile_events();
    let (id, stream, file) = (hostile("e2"), hostile("s"), hostile("./file"));
    let commands: [&[&str]; 24] = [
        &["rebuild", "faulty"],
        &["status", "faulty"],
        &["list", "--all"],
        &["rebuild", "faulty", "--restart", "--on-error", "park", "--allow-parked"],
        &["status", "faulty"],
        &["dead-letters", "list", "faulty"],
        &["dead-letters", "show", "faulty", &id],
        &["dead-letters", "retry", "faulty"],
        &["dead-letters", "show", "faulty", &file],
        &["model", "scan", "faulty/seen"],
        &["model", "get", "faulty/seen", &stream],
        &["model", "get", "faulty/seen", &file],
        &["rebuild", "process-map"],
        &["model", "scan", "process-map/cases"],
        &["model", "generations", "process-map"],
        &["model", "receipt", "process-map"],
        &["events", "show", &id],
        &["events", "show", &file],
        &["events", "import", &file],
        &["plugin", "install", &file],
        &["rebuild", "process-map", "--to", &file],
        &["rebuild", "process-map", "--source", &file],
        &["status", &file],
        &["status", "faulty", &file],
    ];
    for args in commands {
        let answer = data.run(args);
        assert_harmless(&format!("{args:?}, standard output"), &answer.stdout);
        assert_harmless(&format!("{args:?}, standard error"), &answer.stderr);
        let json: Answer = data.command(["--json"]).args(args).output().unwrap().into();
        assert_harmless(&format!("{args:?}, JSON"), &json.stdout);
        for line in json.stdout.lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{args:?}: {e} in {line}"));
        }
    }
}

/// What is escaped is the same text: a program that reads it gets what was written.
#[test]
fn data_stays_data() {
    let data = with_hostile_events();
    data.ok(["rebuild", "process-map"]);
    assert_eq!(data.json(["events", "show", &hostile("e1")])["data"], json!({ hostile("k"): hostile("v") }));
    assert!(data.rows("process-map/cases").contains_key(&hostile("s")), "an export is what was stored");
    let scanned = data.list(["model", "scan", "process-map/cases"]);
    assert_eq!(scanned[0]["key"], hostile("s"));
}
