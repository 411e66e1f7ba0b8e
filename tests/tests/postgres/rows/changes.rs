//! Changes as they happen, of rows in a database.

use super::orders::BINARY;
use std::os::unix::process::ExitStatusExt;
use unspool_tests::{
    data::{Data, poll},
    history,
    plugins::{plugin, plugin_with},
    postgres::shared,
    subscriber::{Subscriber, rows_of, through_everything},
};

#[test]
fn who_watches_rows_in_a_database_has_them() {
    let database = shared().database("watched");
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    through_everything(&data, Some(&format!("postgres:{}", database.url())), &plugin_with("faulty", &["closing"]));
}

/// A host that is killed between the database's commit and its own has noted no change: who watches gets all rows.
#[test]
fn what_a_killed_host_did_not_note_is_made_good() {
    let database = shared().database("watched_kills");
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    let lines = history::mixed(80, &[]);
    let text = String::from_utf8(lines).unwrap();
    let (first, second) = text.split_at(text.match_indices('\n').nth(39).unwrap().0 + 1);
    data.import(&data.file("first.ndjson", first));
    let into = format!("postgres:{}", database.url());
    data.ok(["rebuild", "faulty", "--into", &into]);
    let host = data.serve();
    let mut watcher = Subscriber::start(&data, &["faulty"]);
    watcher.at(40);
    drop(host);
    data.import(&data.file("second.ndjson", second));
    let killed = data.command(["catch-up", "faulty"]).env("UNSPOOL_CRASH_AT", "external.committed").output().unwrap();
    assert!(killed.status.signal().is_some(), "{killed:?}");
    let _host = data.serve();
    poll("it is caught up", || {
        let caught_up = data.run(["catch-up", "faulty"]);
        (caught_up.exit == Some(0)).then_some(())
    });
    watcher.until("there is another snapshot", |watcher| watcher.count("snapshot") == 2);
    watcher.at(80);
    assert_eq!(watcher.rows, rows_of(&data, "faulty", &["seen"]));
}
