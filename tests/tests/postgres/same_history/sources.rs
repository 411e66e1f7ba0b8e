//! The source is remembered; nothing is not taken for something.

use super::shop::{add_of, data, lines, opened, source};
use serde_json::{Value, json};
use unspool_tests::{
    data::Data,
    plugins::{plugin, plugin_with},
    postgres::shared,
};

/// A data directory whose read model was built from a file, and that file as a source.
fn built_from_a_file() -> (Data, String) {
    let data = data();
    let file = data.file("events.ndjson", lines("first", 20, "Fine"));
    let source = format!("file:{}", file.display());
    data.ok(["rebuild", "faulty", "--source", &source]);
    (data, source)
}

#[test]
fn what_readers_see_decides_where_the_next_generation_comes_from() {
    let (data, source) = built_from_a_file();
    let digest = data.digest("faulty");
    assert_eq!(data.json(["rebuild", "faulty", "--dry-run"])["source"], json!(source));
    let ended = data.json(["rebuild", "faulty"]);
    assert_eq!(ended["trigger"]["sourceWas"], Value::Null, "{ended:#}");
    assert_eq!((data.digest("faulty"), &ended["eventsProcessed"]), (digest.clone(), &json!(20)));
    // As for everything else that is built beside it.
    assert_eq!(data.json(["model", "as-of", "faulty", "--to", "first-7"])["eventsProcessed"], json!(7));
    let fixed = plugin_with("faulty", &["fixed"]);
    let fixed = fixed.to_str().unwrap();
    let tried = data.json(["plugin", "try", "faulty", fixed]);
    assert_eq!((&tried["source"], &tried["rows"]), (&json!(source), &json!(20)), "{tried:#}");
    data.ok(["plugin", "swap", "faulty", fixed]);
    data.ok(["rebuild", "faulty"]);
    data.ok(["plugin", "swap", "faulty", plugin("faulty").to_str().unwrap(), "--restart"]);
    assert_eq!(data.digest("faulty"), digest);
    assert_eq!(data.json(["model", "receipt", "faulty"])["source"], json!(source));
    // Another one is used where it is named, and then said.
    data.import(&data.file("log.ndjson", lines("logged", 4, "Fine")));
    assert_eq!(data.json(["rebuild", "faulty", "--source", "log", "--dry-run"])["sourceWas"], json!(source));
    let ended = data.json(["rebuild", "faulty", "--source", "log", "--no-promote"]);
    assert_eq!(ended["trigger"]["sourceWas"], json!(source), "{ended:#}");
    // What readers see counts, not what was built last.
    assert_eq!(data.json(["rebuild", "faulty", "--dry-run"])["source"], json!(source));
    data.ok(["model", "promote", "faulty"]);
    assert_eq!(data.json(["rebuild", "faulty", "--dry-run"])["source"], json!("log"));
}

/// Where nothing is live, what the latest rebuild used is.
#[test]
fn an_earlier_rebuild_is_remembered_where_readers_see_nothing() {
    let data = data();
    let file = data.file("events.ndjson", lines("first", 3, "Fine"));
    let source = format!("file:{}", file.display());
    data.ok(["rebuild", "faulty", "--source", &source, "--no-promote"]);
    assert_eq!(data.json(["rebuild", "faulty", "--dry-run"])["source"], json!(source));
}

#[test]
fn rows_are_not_replaced_by_nothing() {
    let (data, _) = built_from_a_file();
    let refused = |args: &[&str]| {
        let words = ["no event", "--allow-empty"];
        data.run(args.iter().copied()).refused(3, &words);
        assert_eq!(data.rows("faulty/seen").len(), 20, "{args:?}");
    };
    // An empty log, one without an event of its types, and a database with neither.
    refused(&["rebuild", "faulty", "--source", "log"]);
    refused(&["rebuild", "faulty", "--source", "log", "--follow"]);
    refused(&["rebuild", "faulty", "--source", "log", "--dry-run"]);
    data.import(&data.file("others.ndjson", lines("other", 3, "Other")));
    refused(&["rebuild", "faulty", "--source", "log"]);
    let database = shared().database("nothing");
    let mut client = opened(&database, "none", 0);
    add_of(&mut client, "other", 3, "Other");
    refused(&["rebuild", "faulty", "--source", &source(&database.url())]);
    refused(&["rebuild", "faulty", "--source", &source(&database.url()), "--follow"]);
    // Nor where it was built beside them.
    data.ok(["rebuild", "faulty", "--source", "log", "--no-promote"]);
    refused(&["model", "promote", "faulty"]);
    // It is done where it is asked for; and undone, and done again.
    data.ok(["model", "promote", "faulty", "--allow-empty"]);
    assert_eq!(data.rows("faulty/seen").len(), 0);
    data.ok(["model", "rollback", "faulty"]);
    refused(&["model", "rollback", "faulty"]);
    data.ok(["model", "rollback", "faulty", "--allow-empty"]);
    assert_eq!(data.rows("faulty/seen").len(), 0);
    data.ok(["model", "rollback", "faulty"]);
    data.ok(["rebuild", "faulty", "--source", "log", "--allow-empty"]);
    assert_eq!(data.rows("faulty/seen").len(), 0);
}

/// The first generation may be of nothing: nothing is lost by it. It is said.
#[test]
fn a_first_rebuild_of_nothing_says_so() {
    let data = data();
    let answer = data.run(["rebuild", "faulty"]);
    assert_eq!(answer.exit, Some(0), "{answer:#?}");
    assert!(answer.stdout.contains("no event of the types that faulty handles"), "{answer:#?}");
    data.ok(["rebuild", "faulty"]);
    // Nothing equals nothing, and says nothing.
    data.run(["model", "verify", "faulty"]).refused(3, &["nothing was compared"]);
    data.run(["plugin", "try", "faulty", plugin_with("faulty", &["fixed"]).to_str().unwrap()])
        .refused(3, &["nothing was compared"]);
    let events = data.file("others.ndjson", lines("other", 3, "Other"));
    data.run(["plugin", "verify", plugin("faulty").to_str().unwrap(), "--events", events.to_str().unwrap()])
        .refused(3, &["nothing was compared"]);
}
