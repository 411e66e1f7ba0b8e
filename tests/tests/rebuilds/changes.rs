//! Changes as they happen: who watches a read model has its rows, whatever happened.

use serde_json::json;
use std::fmt::Write;
use unspool_tests::{
    data::Data,
    history,
    plugins::{plugin, plugin_with},
    subscriber::{Subscriber, rows_of, through_everything},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

fn faulty() -> Data {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data
}

#[test]
fn who_watches_has_the_rows_that_readers_see() {
    through_everything(&faulty(), None, &plugin_with("faulty", &["closing"]));
}

/// After a promotion only the rows that differ are told.
#[test]
fn a_promotion_tells_what_differs() {
    let data = faulty();
    let _host = data.serve();
    let late = |number: usize| if number == 1 { "Late" } else { "Fine" };
    let streams: Vec<String> = (0..30).map(|stream| format!("s{stream:02}")).collect();
    let lines = history::on_streams(streams.iter().enumerate().map(|(n, stream)| (stream.as_str(), late(n))));
    data.import(&data.file("history.ndjson", lines));
    data.ok(["rebuild", "faulty", "--follow"]);
    let mut watcher = Subscriber::start(&data, &["faulty"]);
    watcher.at(30);
    assert_eq!(watcher.rows.len(), 30);
    data.ok(["plugin", "swap", "faulty", plugin_with("faulty", &["closing"]).to_str().unwrap()]);
    data.ok(["rebuild", "faulty", "--restart"]);
    let told = watcher.told.len();
    watcher.until("it is promoted", |watcher| watcher.told.iter().any(|line| line["complete"] == 2));
    let mut differing = watcher.told[told..].to_vec();
    differing.retain(|line| line["complete"] != 1);
    let last = differing.pop().unwrap();
    assert_eq!((&last["complete"], &last["position"]), (&json!(2), &json!(30)));
    assert_eq!(
        differing,
        [
            json!({ "promoted": 2, "from": 1, "position": 30 }),
            json!({ "table": "seen", "key": "s01", "value": null, "position": 30 })
        ]
    );
    assert_eq!(watcher.rows, rows_of(&data, "faulty", &["seen"]));
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let data = faulty();
    data.run(["model", "watch", "faulty"]).refused(3, &["no read model yet"]);
    data.run(["model", "watch", "nothing"]).refused(3, &["no projection is named nothing"]);
    let lines = history::mixed(40, &[]);
    data.import(&data.file("history.ndjson", &lines));
    data.ok(["rebuild", "faulty"]);
    data.run(["model", "watch", "faulty/none"]).refused(3, &["no table none"]);

    // Without a host nothing changes: all rows are given, and why no change follows.
    let alone = data.run(["model", "watch", "faulty"]);
    assert_eq!(alone.exit, Some(3), "{alone:?}");
    assert!(alone.stderr.contains("no host runs") && alone.stderr.contains("unspool serve"), "{alone:?}");
    let told: Vec<serde_json::Value> =
        alone.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), 42, "a beginning, 40 rows and an end");
    let token = told[41]["token"].as_str().unwrap().to_owned();

    let _host = data.serve();
    data.run(["model", "watch", "faulty", "--from", "one"]).refused(2, &["\"one\" is no token", "without --from"]);
    let of_another = format!("{}9", token);
    data.run(["model", "watch", "faulty", "--from", &of_another]).refused(3, &["was not given by this store"]);
    data.run(["model", "watch", "faulty", "--from", &token.replacen("-1-", "-7-", 1)])
        .refused(3, &["was not given by this store"]);
    // What it was of is dropped.
    data.ok(["rebuild", "faulty", "--restart"]);
    data.ok(["rebuild", "faulty", "--restart"]);
    data.ok(["model", "drop", "faulty", "1"]);
    data.run(["model", "watch", "faulty", "--from", &token])
        .refused(3, &["generation 1 of faulty, which was dropped", "without --from"]);
}

/// What is kept of changes is bounded: a token from before begins with all rows, and says why.
#[test]
fn a_token_that_is_too_old_begins_with_a_snapshot() {
    let data = faulty();
    let host = data.serve();
    // A row's key is its stream.
    let part = |part: usize, events: usize| {
        let mut lines = String::new();
        for n in 0..events {
            let stream = format!("{part}-{n}-{}", "x".repeat(900));
            writeln!(lines, r#"{{"id":"{part}-{n}","stream":"{stream}","type":"Fine","timestamp":{n},"data":{{}}}}"#)
                .unwrap();
        }
        data.import(&data.file("part.ndjson", lines));
    };
    part(0, 1);
    data.ok(["rebuild", "faulty", "--follow"]);
    let mut first = Subscriber::start(&data, &["faulty"]);
    part(1, 1);
    first.at(1);
    first.until("a change comes", |first| first.count("key") == 2);
    let token = first.end().unwrap();
    for number in 2..10 {
        part(number, 10_000);
        // One commit has not so much that it is not told row by row.
        data.wait_for("faulty", |status| status["eventsProcessed"] == (number - 1) * 10_000 + 2);
    }
    let mut late = Subscriber::start(&data, &["faulty", "--from", &token]);
    late.at(80_002);
    assert!(late.told[0]["because"].as_str().unwrap().contains("too old"), "{:#?}", late.told[0]);
    assert_eq!(late.rows.len(), 80_002);
    drop(late);
    // It is bounded on the disk, too: the rows of the generation, and so many changes.
    drop(host);
    data.ok(["store", "compact"]);
    let bytes = std::fs::metadata(data.path().join("store.redb")).unwrap().len();
    assert!(bytes < 300 << 20, "{bytes}");
}
