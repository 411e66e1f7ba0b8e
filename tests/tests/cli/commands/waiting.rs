//! No command about one projection waits for another, whatever that is in the middle of.

use super::BINARY;
use serde_json::json;
use std::fmt::Write;
use unspool_tests::{
    data::{Data, Running},
    history,
    plugins::{plugin, plugin_with},
};

/// Stream on which an event keeps the plugin busy until its processor time is over, five seconds, and again alone.
const BUSY: &str = "busy";

/// Many events that fail, each on a stream of its own, and one for which the plugin never comes to its end.
fn failing() -> Vec<u8> {
    let streams: Vec<String> = (0..2_000).map(|n| format!("s{n}")).collect();
    let errors = streams.iter().map(|stream| (stream.as_str(), "Error"));
    history::on_streams(errors.chain([(BUSY, "Fine"), (BUSY, "Loop")]))
}

/// Processor time that a process has used, in hundredths of a second.
fn processor_time(process: &Running) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid().as_raw_nonzero())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Every kind of command, about a projection that nobody else works on.
fn use_everything(data: &Data) {
    let name = "order-summary";
    let (orders, first) =
        ("order-summary/orders", data.list(["model", "scan", "order-summary/orders", "--limit", "1"]));
    for command in [
        &["status", name][..],
        &["list", "--all"],
        &["plugin", "list"],
        &["plugin", "history", name],
        &["events", "stats"],
        &["model", "get", orders, first[0]["key"].as_str().unwrap()],
        &["model", "digest", name],
        &["model", "generations", name],
        &["model", "receipt", name],
        &["dead-letters", "list", name],
        &["model", "rollback", name, "--now"],
        &["model", "promote", name, "2"],
        &["rebuild", name, "--dry-run"],
    ] {
        data.ok(command);
    }
    let detached = |command: &str| data.json([command, name, "--detach"])["status"].clone();
    let slow = ["rebuild", name, "--chunk-size", "20", "--rate-limit", "100", "--no-promote", "--detach"];
    assert_eq!(data.json(slow)["status"], "started");
    assert_eq!(data.json(["pause", name])["status"], "paused");
    assert_eq!(detached("resume"), "resumed");
    assert_eq!(data.json(["cancel", name])["status"], "cancelled");
}

#[test]
fn no_command_waits_for_another_projection() {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(2_000, 5)));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary", "--to", "1000"]);
    data.ok(["rebuild", "order-summary"]);
    let (faulty, source) = (plugin("faulty"), format!("file:{}", data.file("failing.ndjson", failing()).display()));
    let fixed = plugin_with("faulty", &["fixed"]);
    data.install(&faulty);
    let host = data.serve();

    // Each is in the middle of its work when everything is asked, and still is when everything has been answered: whoever
    // waited for it would find it over.
    let mut report = String::new();
    let mut during = |what: &[&str], exit: Option<i32>, about_itself: fn(&Data)| {
        let before = processor_time(&host);
        let mut long = data.start(what);
        data.wait_for("order-summary", |_| processor_time(&host) > before + 100);
        use_everything(&data);
        about_itself(&data);
        assert!(long.is_alive(), "{what:?} was waited for");
        let ended = long.end();
        writeln!(report, "{what:?}: {ended:#?}").unwrap();
        assert_eq!(ended.exit, exit, "{report}");
    };
    let park = ["rebuild", "faulty", "--source", &source, "--on-error", "park", "--allow-parked"];
    let nothing = |_: &Data| {};
    during(&park, Some(0), nothing);
    // About the same projection, what is in the way is named.
    during(&["dead-letters", "retry", "faulty"], Some(1), |data| {
        data.run(["cancel", "faulty"]).refused(3, &["a retry of dead letters of faulty is under way"]);
    });
    during(&["model", "verify", "faulty"], Some(0), nothing);
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), fixed.as_os_str()]);
    assert_eq!(data.json(["dead-letters", "retry", "faulty"])["parked"], json!(0));
    data.ok(["plugin".as_ref(), "swap".as_ref(), "faulty".as_ref(), faulty.as_os_str()]);
    during(&["rebuild", "faulty", "--stream", BUSY], Some(1), |data| {
        data.run(["pause", "faulty"]).refused(3, &["a rebuild of one stream of faulty is under way"]);
    });
    host.kill();
}
