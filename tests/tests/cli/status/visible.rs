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
    // Every character that would do something has its number in its place.
    let shown = format!("e2{}", HOSTILE.concat().escape_default().to_string().replace("\\'", "'"));
    let commands: [(i32, &[&str]); 24] = [
        (1, &["rebuild", "faulty"]),
        (0, &["status", "faulty"]),
        (0, &["list", "--all"]),
        (0, &["rebuild", "faulty", "--restart", "--on-error", "park", "--allow-parked"]),
        (0, &["status", "faulty"]),
        (0, &["dead-letters", "list", "faulty"]),
        (0, &["dead-letters", "show", "faulty", &id]),
        (1, &["dead-letters", "retry", "faulty"]),
        (3, &["dead-letters", "show", "faulty", &file]),
        (0, &["model", "scan", "faulty/seen"]),
        (0, &["model", "get", "faulty/seen", &stream]),
        (3, &["model", "get", "faulty/seen", &file]),
        (0, &["rebuild", "process-map"]),
        (0, &["model", "scan", "process-map/cases"]),
        (0, &["model", "generations", "process-map"]),
        (0, &["model", "receipt", "process-map"]),
        (0, &["events", "show", &id]),
        (3, &["events", "show", &file]),
        (2, &["events", "import", &file]),
        (2, &["plugin", "install", &file]),
        (3, &["rebuild", "process-map", "--to", &file]),
        (2, &["rebuild", "process-map", "--source", &file]),
        (3, &["status", &file]),
        (2, &["status", "faulty", &file]),
    ];
    for (exit, args) in commands {
        let answer = data.run(args);
        assert_eq!(answer.exit, Some(exit), "{args:?}: {answer:#?}");
        assert_harmless(&format!("{args:?}, standard output"), &answer.stdout);
        assert_harmless(&format!("{args:?}, standard error"), &answer.stderr);
        let json: Answer = data.command(["--json"]).args(args).output().unwrap().into();
        assert_eq!(json.exit, Some(exit), "{args:?}: {json:#?}");
        assert_harmless(&format!("{args:?}, JSON"), &json.stdout);
        if args.contains(&&*id) {
            assert!(answer.stdout.contains(&shown), "{args:?} shows it: {answer:#?}");
        }
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
