//! What operators name in a history: an id, a position or a time, and never one that is taken for another.

use super::BINARY;
use serde_json::json;
use unspool_tests::{data::Data, plugins::plugin};

/// Ten events whose ids count down while positions count up, and some whose ids look like something else.
fn with_numbers() -> Data {
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let ids = (1..=10).map(|position| (11 - position).to_string());
    let others = ["id:4", "position:2", "1970-01-01T00:00:03Z", "99"].map(str::to_owned);
    let lines: String = ids
        .chain(others)
        .enumerate()
        .map(|(index, id)| {
            format!("{}\n", json!({ "id": id, "stream": "s", "type": "T", "timestamp": (index + 1) * 1000 }))
        })
        .collect();
    data.import(&data.file("events.ndjson", lines));
    data
}

#[track_caller]
fn assert_range(data: &Data, args: &[&str], after: u64, target: u64) {
    let plan = data.json(["rebuild", "process-map", "--dry-run"].iter().chain(args));
    assert_eq!((&plan["after"], &plan["target"]), (&json!(after), &json!(target)), "{args:?}");
}

#[test]
fn an_id_that_is_a_number_is_not_taken_for_a_position_nor_the_other_way_round() {
    let data = with_numbers();
    for option in ["--to", "--from"] {
        let words = ["3 is the id of the event at position 8", "id:3", "position:3"];
        data.run(["rebuild", "process-map", "--dry-run", option, "3"]).refused(2, &words);
    }
    data.run(["model", "as-of", "process-map", "--to", "3"]).refused(2, &["id:3", "position:3"]);
    data.ok(["rebuild", "process-map"]);
    let plugin = plugin("process-map").display().to_string();
    data.run(["plugin", "swap", "process-map", &plugin, "--rewind-to", "3"]).refused(2, &["id:3", "position:3"]);

    assert_range(&data, &["--to", "id:3"], 0, 8);
    assert_range(&data, &["--to", "position:3"], 0, 3);
    assert_range(&data, &["--from", "id:3"], 7, 14);
    assert_range(&data, &["--from", "position:3"], 2, 14);
    assert_range(&data, &["--from", "time:1970-01-01T00:00:03Z", "--to", "time:1970-01-01T00:00:04Z"], 2, 4);
    // Where there is one meaning only, nothing has to be said.
    assert_range(&data, &["--to", "13"], 0, 13);
    assert_range(&data, &["--to", "99"], 0, 14);
    assert_range(&data, &["--to", "1970-01-01T00:00:05.5Z"], 0, 5);
    let as_of = data.json(["model", "as-of", "process-map", "--to", "position:3"]);
    assert_eq!((&as_of["position"], &as_of["eventsProcessed"]), (&json!(3), &json!(3)));
}

#[test]
fn ids_that_look_like_something_else_are_reached() {
    let data = with_numbers();
    assert_range(&data, &["--to", "id:id:4"], 0, 11);
    assert_range(&data, &["--to", "id:4"], 0, 7);
    assert_range(&data, &["--to", "id:position:2"], 0, 12);
    let plan = |to: &str| data.run(["rebuild", "process-map", "--dry-run", "--to", to]);
    plan("1970-01-01T00:00:03Z").refused(2, &["id:1970-01-01T00:00:03Z", "time:1970-01-01T00:00:03Z"]);
    assert_range(&data, &["--to", "id:1970-01-01T00:00:03Z"], 0, 13);
    plan("id:77").refused(3, &["no event", "77"]);
    plan("position:x").refused(2, &["x is no position"]);
    plan("time:yesterday").refused(2, &["yesterday is no time"]);
    plan("nothing").refused(3, &["nothing", "neither a position nor a time"]);
}
