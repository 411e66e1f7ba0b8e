//! Copies of a data directory: harmless where rows are in the store, and kept off databases that belong to the original.

use super::BINARY;
use serde_json::{Value, json};
use std::fs;
use unspool_tests::{data::Data, history, plugins::plugin, postgres::shared};

/// Two generations of rows in a database.
fn with_rows_in(database: &str) -> Data {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(200, &[])));
    data.install(&plugin("faulty"));
    let into = format!("postgres:{database}");
    data.ok(["rebuild", "faulty", "--into", &into, "--to", "100"]);
    data.ok(["rebuild", "faulty"]);
    data
}

fn live(data: &Data) -> Value {
    data.json(["status", "faulty"])["liveGeneration"].clone()
}

#[test]
fn a_copy_changes_nothing_in_a_database_until_it_is_adopted() {
    let database = shared().database("copies");
    let data = with_rows_in(&database.url());
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
    let copy = data.copy();
    let original = fs::canonicalize(data.path()).unwrap().display().to_string();
    let found = copy.exits(1, ["store", "check"]);
    assert_eq!(found["copyOf"], json!(original));
    assert!(found["problems"][0].as_str().unwrap().contains("unspool store adopt"), "{found:#}");
    for command in [
        &["model", "rollback", "faulty", "--now"][..],
        &["model", "promote", "faulty", "1"],
        &["rebuild", "faulty"],
        &["model", "drop", "faulty", "1"],
    ] {
        copy.run(command).refused(3, &[&original, "unspool store adopt"]);
        assert_eq!(live(&copy), json!(2), "nothing was changed");
    }
    assert_eq!(copy.rows("faulty/seen").len(), 40, "it may be read");
    data.ok(["model", "rollback", "faulty", "--now"]);
    data.ok(["model", "rollback", "faulty", "--now"]);

    let adopted = copy.json(["store", "adopt"]);
    assert_eq!((&adopted["original"], &adopted["projections"]), (&json!(original), &json!(["faulty"])));
    assert_eq!(copy.json(["store", "check"])["problems"], json!([]));
    copy.ok(["model", "rollback", "faulty", "--now"]);
    assert_eq!(live(&copy), json!(1));
    // The original is the one that is kept off now.
    let refused = data.run(["model", "rollback", "faulty", "--now"]);
    refused.refused(3, &["belongs to another data directory"]);
    data.run(["rebuild", "faulty"]).refused(3, &["belongs to another data directory"]);
    assert_eq!(copy.json(["store", "adopt"])["projections"], json!([]), "it is");
}

#[test]
fn a_directory_that_was_renamed_is_the_same() {
    let database = shared().database("copies_renamed");
    let data = with_rows_in(&database.url());
    let away = data.scratch("away");
    fs::rename(data.path(), &away).unwrap();
    let run = |args: &[&str]| {
        let output = std::process::Command::new(BINARY).arg("--data").arg(&away).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["model", "rollback", "faulty", "--now"]);
    run(&["store", "check"]);
}

/// A backup that is put somewhere else is a copy too; one that is put back is not.
#[test]
fn a_backup_knows_of_which_directory_it_is_one() {
    let database = shared().database("copies_backup");
    let data = with_rows_in(&database.url());
    let backup = data.scratch("backup.redb");
    data.json(["store".as_ref(), "backup".as_ref(), backup.as_os_str()]);
    let other = Data::new(BINARY);
    other.make();
    fs::copy(&backup, other.path().join("store.redb")).unwrap();
    fs::copy(data.path().join("log.redb"), other.path().join("log.redb")).unwrap();
    other.run(["model", "rollback", "faulty", "--now"]).refused(3, &["unspool store adopt"]);
    fs::rename(&backup, data.path().join("store.redb")).unwrap();
    data.ok(["model", "rollback", "faulty", "--now"]);
    assert_eq!(live(&data), json!(1));
}

/// Of rows that are in the store each copy has its own: it is told from the original, and goes on.
#[test]
fn a_copy_of_rows_in_the_store_is_harmless() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(100, &[])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty", "--to", "50"]);
    let copy = data.copy();
    copy.ok(["rebuild", "faulty"]);
    copy.ok(["model", "rollback", "faulty", "--now"]);
    let checked = copy.json(["store", "check"]);
    let original = fs::canonicalize(data.path()).unwrap().display().to_string();
    assert_eq!((&checked["problems"], &checked["copyOf"]), (&json!([]), &json!(original)));
    copy.ok(["store", "adopt"]);
    assert!(copy.json(["store", "check"]).get("copyOf").is_none());
    assert!(data.json(["store", "check"]).get("copyOf").is_none());
}

/// One of whose projections no database knows is no copy of anything there: it has its own from now on.
#[test]
fn a_copy_of_rows_in_the_store_builds_into_a_database_of_its_own() {
    let data = Data::new(BINARY);
    data.import(&data.file("events.ndjson", history::mixed(100, &[])));
    data.install(&plugin("faulty"));
    data.ok(["rebuild", "faulty"]);
    let copy = data.copy();
    let database = shared().database("copies_own");
    let into = format!("postgres:{}", database.url());
    copy.ok(["rebuild", "faulty", "--into", &into]);
    copy.ok(["model", "rollback", "faulty", "--now"]);
    copy.ok(["model", "rollback", "faulty", "--now"]);
    let checked = copy.json(["store", "check"]);
    assert_eq!((&checked["problems"], &checked["copyOf"]), (&json!([]), &Value::Null));
    assert_eq!(copy.rows("faulty/seen"), data.rows("faulty/seen"));
    // Which a copy of it has not.
    let path = fs::canonicalize(copy.path()).unwrap().display().to_string();
    copy.copy().run(["model", "rollback", "faulty", "--now"]).refused(3, &[&path, "unspool store adopt"]);
    // Nor has the one that it was copied from: it goes on by itself.
    data.ok(["rebuild", "faulty"]);
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}
