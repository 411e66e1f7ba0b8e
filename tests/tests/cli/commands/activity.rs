//! The record of activity: who did what, through what, and what came of it, whoever carries it out.

use super::BINARY;
use serde_json::{Value, json};
use unspool_tests::{
    activity::assert_complete,
    data::Data,
    history,
    plugins::{plugin, plugin_with},
};

/// The newest entry.
fn newest(data: &Data) -> Value {
    data.list(["activity", "--last", "1"]).pop().unwrap()
}

fn user() -> String {
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[test]
fn every_act_is_recorded_whether_a_host_runs_or_not() {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::mixed(3_000, &[(1_000, "Error")])));
    assert_eq!(newest(&data)["request"], "events-import");
    data.install(&plugin("faulty"));
    for serves in [false, true] {
        let _host = serves.then(|| data.serve());
        let before = newest(&data)["seq"].as_u64().unwrap();
        data.exits(1, ["rebuild", "faulty", "--restart", "--reason", "a new handler"]);
        data.ok(["cancel", "faulty"]);
        data.exits(3, ["pause", "faulty"]);
        data.exits(3, ["pause", "nothing"]);
        data.ok(["plugin", "swap", "faulty", plugin_with("faulty", &["errors-fixed"]).to_str().unwrap()]);
        data.ok(["plugin", "rollback", "faulty"]);
        let entries: Vec<Value> =
            data.list(["activity"]).into_iter().filter(|entry| entry["seq"].as_u64() > Some(before)).collect();
        let told: Vec<_> = entries
            .iter()
            // The second time there is a generation that is replaced.
            .filter(|entry| entry["change"]["what"] != "generation" || !entry["change"]["after"].is_null())
            .map(|entry| {
                let change = &entry["change"];
                let what = change["what"].as_str().unwrap_or("-");
                let after = change["after"].as_str().unwrap_or("-");
                let who = if entry["actor"]["kind"] == "host" { "host" } else { "user" };
                (who, entry["request"].as_str().unwrap(), what, after, entry["outcome"].as_str().unwrap())
            })
            .collect();
        let expected = [
            ("user", "rebuild", "generation", "-", "done"),
            ("user", "rebuild", "status", "running", "done"),
            ("host", "host", "status", "failed", "done"),
            ("user", "cancel", "status", "cancelled", "done"),
            ("user", "pause", "-", "-", "refused"),
            ("user", "pause", "-", "-", "refused"),
            ("user", "plugin-swap", "plugin", "-", "done"),
            ("user", "plugin-rollback", "plugin", "-", "done"),
        ];
        assert_eq!(told, expected, "{entries:#?}");
        let by: Vec<_> = entries.iter().filter(|entry| entry["actor"]["kind"] == "user").collect();
        assert!(by.iter().all(|entry| entry["actor"]["name"] == user() && entry["via"] == "cli"), "{by:#?}");
        assert!(
            by.iter().filter(|entry| entry["request"] == "rebuild").all(|entry| entry["reason"] == "a new handler")
        );
        let failed = entries.iter().find(|entry| entry["change"]["after"] == "failed").unwrap();
        assert!(failed["message"].as_str().unwrap().contains("e1000"), "{failed:#}");
        let refused = entries.iter().find(|entry| entry["outcome"] == "refused").unwrap();
        assert!(refused["message"].as_str().unwrap().contains("only a running one"), "{refused:#}");
        assert_complete(&data, "after all of it");
    }
    assert_eq!(data.json(["activity", "check"])["problem"], Value::Null);
}

#[test]
fn nothing_secret_is_recorded_and_nothing_that_only_reads() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data.exits(2, ["rebuild", "faulty", "--source", "postgres:postgresql://ann:hush@localhost/x"]);
    data.exits(2, ["rebuild", "faulty", "--source", "postgres:host=localhost password=hush"]);
    let before = newest(&data)["seq"].clone();
    let told = data.ok(["activity"]);
    assert!(!told.contains("hush"), "{told}");
    for command in
        ["list --all", "plugin list", "model generations faulty", "activity", "activity check", "store check"]
    {
        data.ok(command.split(' '));
    }
    assert_eq!(newest(&data)["seq"], before);
    let backup = data.path().join("../copy.redb");
    drop(std::fs::remove_file(&backup));
    // Without a host, it only reads, and writes nothing.
    let _host = data.serve();
    data.ok(["store", "backup", backup.to_str().unwrap()]);
    assert_eq!(newest(&data)["request"], "store-backup");
}

#[test]
fn what_is_wanted_of_it_is_found() {
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data.install(&plugin("order-summary"));
    (0..5).for_each(|_| drop(data.exits(3, ["pause", "faulty"])));
    let seqs = |args: &[&str]| -> Vec<u64> {
        data.list([&["activity"], args].concat()).iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&[]), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seqs(&["--last", "2"]), [6, 7]);
    assert_eq!(seqs(&["order-summary"]), [2]);
    assert_eq!(seqs(&["faulty", "--last", "3"]), [5, 6, 7]);
    assert_eq!(seqs(&["--actor", "nobody else"]), [0_u64; 0]);
    assert_eq!(seqs(&["--since", "1h"]).len(), 7);
    assert_eq!(seqs(&["--since", "2999-01-01"]), [0_u64; 0]);
    data.exits(2, ["activity", "--since", "soon"]);
    data.exits(3, ["activity", "nothing"]);
    let refused = data.list(["activity", "--last", "1"]).pop().unwrap();
    assert_eq!(refused["outcome"], json!("refused"), "a read is not recorded");
}
