//! `model history` tells every event that changed a row, and no other, with what it changed: as a fold of the events one by one
//! does.

use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};
use unspool_tests::{
    data::{Data, Rows},
    history, oracle,
    plugins::{plugin, plugin_with},
    store_file,
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// The fields in which two documents differ, sorted by name.
fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<Value> {
    let leaves = |document: &Value| {
        let mut leaves = BTreeMap::new();
        leaves_of("", document, &mut leaves);
        leaves
    };
    let (Some(one), Some(other)) = (before, after) else { return vec![field(".", before, after)] };
    let (one, other) = (leaves(one), leaves(other));
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let changed = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    changed.map(|name| field(name, one.get(name), other.get(name))).collect()
}

/// What is in a document, by path. None of the documents here changes a field that is an object into one that is none.
fn leaves_of(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        leaves.insert(path.to_owned(), value.clone());
        return;
    };
    for (name, value) in fields {
        leaves_of(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, leaves);
    }
}

fn field(name: &str, before: Option<&Value>, after: Option<&Value>) -> Value {
    let mut field = Map::from_iter([("field".to_owned(), json!(name))]);
    before.map(|before| field.insert("before".to_owned(), before.clone()));
    after.map(|after| field.insert("after".to_owned(), after.clone()));
    Value::Object(field)
}

/// The history of a row, by what it is after each of `events`, the first of which are at the positions from 1 on.
fn folded<'a>(events: impl IntoIterator<Item = (u64, &'a Value, Option<Value>)>) -> Vec<Value> {
    let (mut before, mut changes) = (None, Vec::new());
    for (position, event, after) in events {
        if before != after {
            changes.push(json!({
                "position": position, "id": event["id"], "stream": event["stream"], "type": event["type"],
                "timestamp": event["timestamp"], "fields": differences(before.as_ref(), after.as_ref()),
            }));
        }
        before = after;
    }
    changes
}

/// The history of an order, from the events of its stream alone.
fn of_order(events: &[Value], key: &str) -> Vec<Value> {
    let stream = json!(format!("order-{key}"));
    let mut so_far = Vec::new();
    let numbered = (1..).zip(events).filter(|(_, event)| event["stream"] == stream);
    folded(numbered.map(|(position, event)| {
        so_far.push(event.clone());
        (position, event, oracle::orders(&so_far).0.remove(key))
    }))
}

/// The same with fields sorted by name: what is shown is in no order that matters.
fn sorted(mut changes: Vec<Value>) -> Vec<Value> {
    for change in &mut changes {
        let fields = change["fields"].as_array_mut().expect("fields");
        fields.sort_by_key(|field| field["field"].as_str().map(str::to_owned));
    }
    changes
}

#[track_caller]
fn told(data: &Data, table: &str, key: &str, options: &[&str]) -> Vec<Value> {
    sorted(data.list([&["model", "history", table, key], options].concat()))
}

fn with_orders(count: u64) -> (Data, Vec<Value>, Rows) {
    let (data, lines) = (Data::new(BINARY), history::orders(count, 31));
    data.import(&data.file("orders.ndjson", &lines));
    data.install(&plugin("order-summary"));
    let events = history::events(&lines);
    let rows = oracle::orders(&events).0;
    (data, events, rows)
}

fn positions(changes: &[Value]) -> Vec<u64> {
    changes.iter().map(|change| change["position"].as_u64().expect("a position")).collect()
}

#[test]
fn every_event_that_changed_a_row_is_told_and_no_other() {
    let (data, events, rows) = with_orders(3_000);
    data.ok(["rebuild", "order-summary"]);
    // What comes in later is not in what readers see.
    data.import(&data.file("later.ndjson", history::mixed(200, &[])));
    let longest = rows.iter().max_by_key(|(_, row)| row["events"].as_u64()).expect("a row").0;
    let keys: Vec<&String> = rows.keys().step_by(rows.len() / 4).chain([longest]).collect();
    for key in keys {
        let expected = of_order(&events, key);
        assert_eq!(told(&data, "order-summary/orders", key, &[]), expected, "{key}");
        assert_eq!(expected.len() as u64, rows[key]["events"].as_u64().unwrap(), "each of its events changes it");
    }

    // Up to a point of it, however that is named.
    let all = of_order(&events, longest);
    let middle = &all[all.len() / 2];
    let (id, position) = (middle["id"].as_str().unwrap(), middle["position"].to_string());
    for to in [id, &position, &format!("position:{position}")] {
        assert_eq!(told(&data, "order-summary/orders", longest, &["--to", to]), all[..=all.len() / 2], "{to}");
    }
    assert_eq!(told(&data, "order-summary/orders", longest, &["--to", "999999"]), all);
    let history = ["model", "history", "order-summary/orders", longest];
    let to = |to: &str| data.run([&history[..], &["--to", to]].concat());
    to("1970-01-01T00:00:00Z").refused(3, &["has never had a row with the key", longest, "up to position 0"]);
    to("yesterday").refused(3, &["yesterday", "neither a position nor a time"]);

    // For people, a line for each.
    let shown = data.run(history);
    assert_eq!((shown.exit, shown.stdout.lines().count()), (Some(0), all.len() + 1), "{shown:#?}");
    assert!(shown.stdout.contains("created {") && shown.stdout.contains("events 1 -> 2"), "{shown:#?}");
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1, "nothing is left behind");
}

#[test]
fn rows_of_several_streams_are_told_of_all_of_them() {
    let data = Data::new(BINARY);
    // One case after the other, with three under way at any time.
    let kinds = ["Open", "Work", "Work", "Check", "Work", "Close"];
    let streams: Vec<_> = (0..600).map(|number| format!("c{}", number / 18 * 3 + number % 3)).collect();
    let lines = history::on_streams((0..600).map(|number| (streams[number].as_str(), kinds[number / 3 % 6])));
    data.import(&data.file("cases.ndjson", &lines));
    data.install(&plugin("process-map"));
    data.ok(["rebuild", "process-map"]);
    let events = history::events(&lines);
    let states: Vec<_> = (1..=events.len()).map(|count| oracle::process_map(&events[..count])).collect();
    let mut deleted = 0;
    for table in ["activities", "follows", "starts", "ends", "cases"] {
        let mut keys: Vec<&String> = states.iter().flat_map(|state| state[table].keys()).collect();
        keys.sort();
        keys.dedup();
        let few = if table == "ends" { 1 } else { keys.len().div_ceil(3) };
        for key in keys.iter().step_by(few) {
            let documents = states.iter().map(|state| state[table].get(*key).cloned());
            let expected = folded((1..).zip(&events).zip(documents).map(|((at, event), row)| (at, event, row)));
            assert_eq!(told(&data, &format!("process-map/{table}"), key, &[]), expected, "{table} {key}");
            deleted += expected.iter().filter(|change| change["fields"][0].get("after").is_none()).count();
        }
    }
    assert!(deleted > 0);
    // Where a case goes on with another event of the same type, what is written of its end is what was there.
    let mut last = BTreeMap::new();
    let repeats =
        events.iter().filter(|event| last.insert(event["stream"].as_str(), &event["type"]) == Some(&event["type"]));
    assert!(repeats.count() > 0);
}

/// Rows come and go within one call, which writes nothing of them.
#[test]
fn a_row_that_was_deleted_has_a_history() {
    let data = Data::new(BINARY);
    let late = [43, 83, 123, 203, 763].map(|number| (number, "Late"));
    let lines = history::mixed(800, &late);
    data.import(&data.file("events.ndjson", &lines));
    data.install(&plugin_with("faulty", &["closing"]));
    data.ok(["rebuild", "faulty"]);
    assert!(!data.rows("faulty/seen").contains_key("s03"));
    let events = history::events(&lines);
    let mut count = 0;
    let expected = folded((1..).zip(&events).filter(|(_, event)| event["stream"] == "s03").map(|(at, event)| {
        count = if event["type"] == "Late" { 0 } else { count + 1 };
        (at, event, (count > 0).then(|| json!({ "count": count })))
    }));
    // The second and the third in a row find nothing to delete.
    assert_eq!(expected.len(), 18);
    assert_eq!(positions(&expected)[..3], [4, 44, 164]);
    assert_eq!(expected.last().unwrap()["fields"], json!([{ "field": ".", "before": { "count": 13 } }]));
    assert_eq!(told(&data, "faulty/seen", "s03", &[]), expected);
    // All of it in one call, and each event in one of its own.
    for size in ["1", "7", "800"] {
        data.ok(["rebuild", "faulty", "--chunk-size", size]);
        assert_eq!(told(&data, "faulty/seen", "s03", &[]), expected, "chunks of {size}");
    }
    data.run(["model", "history", "faulty/seen", "s03x"]).refused(3, &["never had a row with the key s03x"]);
}

fn swap(data: &Data, file: &Path, options: &[&str]) {
    data.ok([&["plugin", "swap", "faulty", file.to_str().unwrap()], options].concat());
}

/// Each part is told as the plugin made it that built it, whatever is installed now.
#[test]
fn a_generation_that_two_plugins_built_is_explained_by_both() {
    let data = Data::new(BINARY);
    let lines = history::mixed(900, &[(123, "Late"), (523, "Late"), (700, "Error")]);
    data.import(&data.file("events.ndjson", &lines));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.run(["rebuild", "faulty"]).refused(1, &["e700"]);
    swap(&data, &plugin_with("faulty", &["fixed"]), &["--rewind-to", "e300"]);
    data.wait_for("faulty", |status| status["status"] == "completed");
    let ranges = data.json(["model", "receipt", "faulty"])["ranges"].as_array().unwrap().len();
    assert_eq!(ranges, 2);
    let events = history::events(&lines);
    let of_stream = || (1..).zip(&events).filter(|(_, event)| event["stream"] == "s03");
    let mut count = 0;
    let expected = folded(of_stream().map(|(at, event)| {
        count += if at == 124 { 2 } else { 1 };
        (at, event, Some(json!({ "count": count })))
    }));
    let explains = || {
        assert_eq!(told(&data, "faulty/seen", "s03", &[]), expected);
        let other = told(&data, "faulty/seen", "s03, too late", &[]);
        assert_eq!(positions(&other), [124], "{other:#?}");
    };
    assert_eq!(expected.last().unwrap()["fields"][0]["after"], 24);
    explains();
    // Not even one of another shape, which has not built anything yet, is in the way.
    swap(&data, &plugin_with("faulty", &["reshaped"]), &[]);
    explains();
    data.run(["model", "history", "faulty/more", "s03"]).refused(3, &["faulty has no table more"]);
}

#[test]
fn what_is_not_in_the_history_is_found() {
    let (data, events, rows) = with_orders(1_000);
    data.ok(["rebuild", "order-summary"]);
    let keys: Vec<&String> = rows.keys().collect();
    let (changed, gone) = (keys[3].as_str(), keys[5].as_str());
    let mut document = rows[changed].clone();
    document["totalCents"] = json!(-1);
    let planted = [(changed, Some(document)), (gone, None), ("nobody", Some(json!({ "made": "up" })))];
    store_file::set_rows(&data, "rows/order-summary/1/orders", &planted);
    let history = |key: &str| data.run(["model", "history", "order-summary/orders", key]);
    let total = &rows[changed]["totalCents"];
    for (key, words) in [
        (changed, format!("totalCents is -1 and not {total}")),
        (gone, "is absent and not {".to_owned()),
        ("nobody", "is {\"made\":\"up\"} and not absent".to_owned()),
    ] {
        history(key).refused(1, &[key, &words, "unspool model verify order-summary"]);
    }
    let answer = data.command(["--json", "model", "history", "order-summary/orders", changed]).output().unwrap();
    let lines = String::from_utf8(answer.stdout).unwrap();
    let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = lines.pop().unwrap();
    assert_eq!((&error["kind"], answer.status.code()), (&json!("failed"), Some(1)));
    assert_eq!(sorted(lines), of_order(&events, changed), "it is told all the same");
    assert_eq!(history(keys[4]).exit, Some(0));
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1);
}

#[test]
fn what_has_no_history_says_so() {
    let (data, ..) = with_orders(100);
    let history = |table: &str| data.run(["model", "history", table, "key"]);
    history("order-summary/orders").refused(3, &["no read model yet", "unspool rebuild order-summary"]);
    data.ok(["rebuild", "order-summary"]);
    history("order-summary/orders").refused(3, &["order-summary/orders has never had a row with the key key"]);
    history("order-summary/stock").refused(3, &["order-summary has no table stock", "orders"]);
    history("nothing/orders").refused(3, &["no projection is named nothing"]);
    history("orders").refused(2, &["PROJECTION/TABLE"]);
    data.run(["model", "history", "order-summary/orders", "key", "--generation", "9"]).refused(3, &["9"]);
}

#[test]
fn dead_letters_that_are_in_the_way_are_named() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(400, &[(50, "Error"), (11, "Error")])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    let history = |key: &str| data.run(["--json", "model", "history", "faulty/seen", key]);
    let waiting = history("s10");
    waiting.refused(3, &["9 later events of its stream are dead letters", "unspool dead-letters list faulty"]);
    assert_eq!(waiting.stdout.lines().count(), 2, "what it has is told: {waiting:#?}");
    history("s11").refused(3, &["never had a row with the key s11", "are dead letters"]);
    assert_eq!(told(&data, "faulty/seen", "s10", &["--to", "e49"]).len(), 1);
    assert_eq!(told(&data, "faulty/seen", "s09", &[]).len(), 10, "they are in nobody else's way");

    swap(&data, &plugin_with("faulty", &["fixed"]), &[]);
    data.ok(["dead-letters", "discard", "faulty", "--stream", "s11"]);
    data.ok(["dead-letters", "retry", "faulty"]);
    history("s10").refused(3, &["were dead letters when faulty/1 was built", "unspool rebuild faulty --restart"]);
    history("s11").refused(3, &["never had a row with the key s11"]);
    assert_eq!(told(&data, "faulty/seen", "s09", &[]).len(), 10);
}

#[test]
fn a_file_is_a_history_too_and_other_generations_have_theirs() {
    let (data, events, rows) = with_orders(1_500);
    let file = format!("file:{}", data.scratch("orders.ndjson").display());
    data.ok(["rebuild", "order-summary", "--source", &file]);
    let key = rows.keys().nth(7).unwrap();
    let all = of_order(&events, key);
    assert_eq!(told(&data, "order-summary/orders", key, &[]), all);
    let to = positions(&all)[1].to_string();
    data.ok(["model", "as-of", "order-summary", "--to", &to, "--name", "early"]);
    assert_eq!(told(&data, "order-summary/orders", key, &["--generation", "early"]), all[..2]);
    // Another history is not the one that made the row.
    let mut lines = std::fs::read(data.scratch("orders.ndjson")).unwrap();
    lines.extend(history::mixed(20, &[]));
    data.file("orders.ndjson", lines);
    data.run(["model", "history", "order-summary/orders", key]).refused(2, &["another history", "--restart"]);
}

#[test]
fn it_is_told_while_new_events_are_followed_and_after_a_kill() {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let lines = history::orders(6_000, 13);
    let events = history::events(&lines);
    let text = String::from_utf8(lines).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let part = |number: usize| {
        let part = all.chunks(500).nth(number).unwrap().iter().map(|line| format!("{line}\n")).collect::<String>();
        data.file(&format!("part-{number}.ndjson"), part)
    };
    let parts: Vec<_> = (0..12).map(part).collect();
    data.import(&parts[0]);
    let host = data.serve();
    data.ok(["rebuild", "order-summary", "--follow"]);
    let rows = oracle::orders(&events).0;
    let first = oracle::orders(&events[..500]).0;
    let key = first.keys().max_by_key(|key| rows[*key]["events"].as_u64()).unwrap();
    let expected = of_order(&events, key);
    std::thread::scope(|scope| {
        let importing = scope.spawn(|| parts[1..].iter().for_each(|part| drop(data.import(part))));
        let mut looks = 0;
        while !importing.is_finished() || looks < 2 {
            let now = told(&data, "order-summary/orders", key, &[]);
            assert_eq!(now, expected[..now.len()], "what is told is a beginning of it");
            looks += 1;
        }
    });
    let status =
        data.wait_for("order-summary", |status| status["follow"]["events"] == 0 && status["position"] == 6_000);
    assert_eq!(status["following"], "following");
    assert_eq!(told(&data, "order-summary/orders", key, &[]), expected);
    host.kill();
    assert_eq!(told(&data, "order-summary/orders", key, &[]), expected, "without a host");
    assert_eq!(data.json(["status", "order-summary"])["following"], "following");
}

#[test]
fn a_killed_one_leaves_nothing_behind() {
    let (data, _, rows) = with_orders(30_000);
    data.ok(["rebuild", "order-summary"]);
    let before = store_file::tables(&data);
    let history = data.start(["model", "history", "order-summary/orders", rows.keys().next().unwrap()]);
    data.wait_for_host();
    while !data.ok(["model", "generations", "order-summary"]).contains("scratch") {}
    history.kill();
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1);
    assert_eq!(store_file::tables(&data), before);
}
