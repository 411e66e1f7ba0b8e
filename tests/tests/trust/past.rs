//! Ends by id, position and time; states of the past that are built beside what readers see; and the repair of one stream.

use super::{BINARY, orders};
use serde_json::{Value, json};
use std::{os::unix::process::ExitStatusExt, path::Path};
use unspool_tests::{
    data::{Data, Rows},
    history, oracle,
    plugins::{plugin, plugin_with},
    store_file,
};

/// An RFC 3339 time of `milliseconds` since 1970.
fn time(milliseconds: i64) -> String {
    let (day, of_day) = (milliseconds.div_euclid(86_400_000), milliseconds.rem_euclid(86_400_000));
    // Days to a date, by the proleptic Gregorian calendar from March on.
    let z = day + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000)
}

#[test]
fn a_rebuild_ends_at_an_id_a_position_or_a_time() {
    assert_eq!(time(1_704_067_200_791), "2024-01-01T00:00:00.791Z");
    let (data, events) = orders(2_000);
    let timestamp = |event: &Value| event["timestamp"].as_i64().unwrap();
    // Times may tie and step back: the end is right before the first event that is later.
    let at = timestamp(&events[1_200]);
    let until = events.iter().position(|event| timestamp(event) > at).unwrap();
    assert!(until > 100);
    for (to, end) in
        [(events[777]["id"].as_str().unwrap(), 778), ("1500", 1_500), (&time(at), until), ("999999", 2_000)]
    {
        let ended = data.json(["rebuild", "order-summary", "--to", to]);
        assert_eq!((&ended["status"], &ended["position"]), (&json!("completed"), &json!(end)), "{to}");
        assert_eq!(data.rows("order-summary/orders"), oracle::orders(&events[..end]).0, "{to}");
    }
    data.run(["rebuild", "order-summary", "--to", "yesterday"])
        .refused(3, &["yesterday", "neither a position nor a time"]);
}

#[test]
fn a_past_state_is_built_beside_what_readers_see_and_kept_until_it_is_dropped() {
    let (data, events) = orders(2_000);
    let now = oracle::orders(&events).0;
    let id = events[499]["id"].as_str().unwrap();
    let named = data.json(["model", "as-of", "order-summary", "--to", id, "--name", "before-the-sale"]);
    assert_eq!(
        (&named["status"], &named["position"], &named["name"]),
        (&json!("completed"), &json!(500), &json!("before-the-sale"))
    );
    let unnamed = data.json(["model", "as-of", "order-summary", "--to", "1000"]);
    assert_eq!((&unnamed["name"], &unnamed["role"]), (&json!("as-of-1000"), &json!("as-of")));
    let early = data.json(["model", "as-of", "order-summary", "--to", "1970-01-01T00:00:00Z", "--name", "dawn"]);
    assert_eq!(early["position"], 0);

    let past = |data: &Data| {
        assert_eq!(data.rows_of("order-summary/orders", "before-the-sale"), oracle::orders(&events[..500]).0);
        assert_eq!(data.rows_of("order-summary/orders", "as-of-1000"), oracle::orders(&events[..1_000]).0);
        assert_eq!(data.rows_of("order-summary/orders", "3"), oracle::orders(&events[..1_000]).0, "by number too");
        assert_eq!(data.rows_of("order-summary/orders", "dawn"), Rows::new());
    };
    past(&data);
    assert_eq!(data.rows("order-summary/orders"), now, "readers are not switched");
    let receipt = data.json(["model", "receipt", "order-summary", "--generation", "before-the-sale"]);
    assert_eq!((&receipt["purpose"], &receipt["through"]), (&json!("as-of"), &json!(500)));
    let digest = data.json(["model", "digest", "order-summary", "--generation", "before-the-sale"]);
    assert_eq!(receipt["digest"], digest["digest"]);
    let roles = |data: &Data| -> Vec<Value> {
        data.list(["model", "generations", "order-summary"]).iter().map(|one| one["role"].clone()).collect()
    };
    assert_eq!(roles(&data), ["live", "as-of", "as-of", "as-of"]);
    assert_eq!(data.json(["status", "order-summary"])["checkpointId"], "order-summary/1");

    for _ in 0..3 {
        data.ok(["rebuild", "order-summary"]);
    }
    past(&data);
    assert_eq!(roles(&data), ["as-of", "as-of", "as-of", "complete", "previous", "live"]);
    data.ok(["model", "drop", "order-summary", "5"]);
    data.ok(["model", "drop", "order-summary", "before-the-sale"]);
    data.run(["model", "export", "order-summary/orders", "--generation", "before-the-sale"])
        .refused(3, &["before-the-sale", "model generations"]);
    data.ok(["model", "drop", "order-summary", "as-of-1000"]);
    data.ok(["model", "drop", "order-summary", "dawn"]);
    let kept = store_file::tables(&data).into_iter().filter(|table| table.starts_with("rows/")).count();
    assert_eq!((roles(&data), kept), (vec![json!("previous"), json!("live")], 2));
    data.run(["model", "drop", "order-summary", "7"]).refused(3, &["the live generation"]);
}

#[test]
fn names_that_mislead_are_refused() {
    let (data, _) = orders(100);
    let as_of = |name: &str| data.run(["model", "as-of", "order-summary", "--to", "50", "--name", name]);
    assert_eq!(as_of("fifty").exit, Some(0));
    as_of("fifty").refused(2, &["fifty", "model drop order-summary fifty"]);
    for name in ["", "7", "007", "+7", "99999999999999999999999"] {
        as_of(name).refused(2, &["is no name"]);
    }
    data.run(["model", "as-of", "order-summary", "--to", "nothing"]).refused(3, &["nothing"]);
    data.run(["model", "as-of", "nobody", "--to", "50"]).refused(3, &["nobody"]);
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 2);
}

#[test]
fn a_past_state_that_cannot_be_built_leaves_nothing() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(100, &[(60, "Error")])));
    data.install(&plugin("faulty"));
    data.run(["model", "as-of", "faulty", "--to", "e99"]).refused(1, &["e60", "cannot be handled"]);
    assert_eq!(data.ok(["model", "generations", "faulty"]), "");
    assert_eq!(data.json(["model", "as-of", "faulty", "--to", "e59"])["position"], 60);
}

#[test]
fn a_past_state_comes_from_a_file_too_and_a_killed_one_is_gone() {
    let (data, events) = orders(40_000);
    let file = data.scratch("orders.ndjson");
    // A path as it is typed: relative to where the command runs.
    let mut command =
        data.command(["model", "as-of", "order-summary", "--to", "700", "--source", "file:orders.ndjson"]);
    let answer = command.current_dir(file.parent().unwrap()).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    assert_eq!(data.rows_of("order-summary/orders", "as-of-700"), oracle::orders(&events[..700]).0);

    let mut building = data.command(["model", "as-of", "order-summary", "--to", "40000"]);
    let killed = building.env("UNSPOOL_CRASH_AT", "create-generation.after").output().unwrap();
    assert_eq!(killed.status.signal(), Some(9), "{killed:?}");
    let left: Vec<_> =
        data.list(["model", "generations", "order-summary"]).iter().map(|one| one["name"].clone()).collect();
    assert_eq!(left, [Value::Null, json!("as-of-700")], "only what is complete is kept");
}

#[test]
fn one_stream_is_rebuilt_and_all_others_are_left_as_they_are() {
    let (data, events) = orders(2_000);
    let rows = oracle::orders(&events).0;
    let keys: Vec<&String> = rows.keys().collect();
    let planted = |key: &str| (key.to_owned(), json!({ "drifted": key }));
    let (one, other) = (planted(keys[3]), planted(keys[4]));
    let drift = [(one.0.as_str(), Some(one.1.clone())), (other.0.as_str(), Some(other.1.clone()))];
    store_file::set_rows(&data, "rows/order-summary/1/orders", &drift);
    let stream = format!("order-{}", one.0);
    let report = data.json(["rebuild", "order-summary", "--stream", &stream]);
    let of_stream = events.iter().filter(|event| event["stream"] == json!(stream)).count();
    assert_eq!((&report["events"], &report["rows"], &report["removed"]), (&json!(of_stream), &json!(1), &json!(0)));
    assert_eq!((&report["generation"], &report["position"]), (&json!(1), &json!(2_000)));
    let mut expected = rows.clone();
    expected.insert(other.0.clone(), other.1);
    assert_eq!(data.rows("order-summary/orders"), expected);
    assert_eq!(data.json(["model", "receipt", "order-summary"])["digest"], json!(data.digest("order-summary")));

    data.json(["rebuild", "order-summary", "--stream", &format!("order-{}", other.0)]);
    assert_eq!(data.rows("order-summary/orders"), rows);
    data.json(["model", "verify", "order-summary"]);
    data.run(["rebuild", "order-summary", "--stream", "order-nobody"]).refused(3, &["order-nobody"]);
    assert_eq!(data.list(["model", "generations", "order-summary"]).len(), 1);
}

fn swap(data: &Data, file: &Path) {
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), file.as_os_str()]);
}

#[test]
fn rows_that_only_the_plugin_before_wrote_for_the_stream_go() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(800, &[(123, "Late"), (124, "Late")])));
    data.install(&plugin_with("faulty", &["off-by-one"]));
    data.ok(["rebuild", "faulty"]);
    let before = data.rows("faulty/seen");
    swap(&data, &plugin("faulty"));
    let report = data.json(["rebuild", "faulty", "--stream", "s03"]);
    assert_eq!((&report["events"], &report["rows"], &report["removed"]), (&json!(20), &json!(1), &json!(1)));
    let mut expected = before.clone();
    assert_eq!(expected.insert("s03".into(), json!({ "count": 20 })), Some(json!({ "count": 21 })));
    assert!(expected.remove("s03, too late").is_some());
    assert_eq!(data.rows("faulty/seen"), expected, "stream s04 keeps what the plugin before wrote");

    swap(&data, &plugin_with("faulty", &["reshaped"]));
    data.run(["rebuild", "faulty", "--stream", "s04"]).refused(3, &["another state version", "--restart"]);
    assert_eq!(data.rows("faulty/seen"), expected);
}

#[test]
fn a_stream_is_not_rebuilt_where_that_would_not_be_right() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(400, &[(50, "Error")])));
    data.install(&plugin("faulty"));
    data.install(&plugin("process-map"));
    data.run(["rebuild", "faulty", "--stream", "s01"]).refused(3, &["no read model yet"]);
    data.ok(["rebuild", "faulty", "--on-error", "park", "--allow-parked"]);
    data.ok(["rebuild", "process-map"]);
    let before = (data.digest("faulty"), data.digest("process-map"));
    data.run(["rebuild", "process-map", "--stream", "s01"])
        .refused(3, &["not partitioned by stream", "unspool rebuild process-map"]);
    data.run(["rebuild", "faulty", "--stream", "s10"])
        .refused(3, &["dead letters", "dead-letters retry faulty --stream s10"]);
    data.ok(["dead-letters", "discard", "faulty", "--all"]);
    data.run(["rebuild", "faulty", "--stream", "s10"]).refused(1, &["e50", "cannot be handled"]);
    assert_eq!((data.digest("faulty"), data.digest("process-map")), before);
    data.run(["rebuild", "faulty", "--stream", "s01", "--restart"]).refused(2, &["--stream"]);
}
