//! A read model that is kept up to date, with its rows in a database, and hosts that are killed meanwhile.

use super::orders::{BINARY, dies, into, seen};
use serde_json::json;
use std::cell::RefCell;
use unspool_tests::{
    data::Data,
    history,
    killed::{BESIDE, Deed, Followed, LIVE},
    plugins::plugin,
    postgres::shared,
};

fn killed_everywhere(name: &str, deeds: &[Deed<'_>]) {
    let database = shared().database(name);
    let client = RefCell::new(database.client());
    let outside = || seen(&mut client.borrow_mut(), "faulty.seen");
    let mut followed = Followed::new(BINARY, Some(&into(&database.url())), Some(&outside));
    for deed in deeds {
        followed.kill_everywhere(deed);
    }
}

#[test]
fn a_host_that_is_killed_while_something_is_built_beside_what_it_follows_takes_nobody_back() {
    killed_everywhere("killed_beside", &BESIDE);
}

#[test]
fn a_host_that_is_killed_while_what_it_follows_is_changed_takes_nobody_back() {
    killed_everywhere("killed_live", &LIVE);
}

/// A kill in the middle of following counts once: commands that come by later ask the database how its last commit ended, and are no
/// attempts to follow.
#[test]
fn a_follower_is_not_given_up_for_hosts_that_came_by() {
    let database = shared().database("came_by");
    let data = Data::new(BINARY);
    data.install(&plugin("faulty"));
    data.import(&data.file("first.ndjson", history::mixed(20, &[])));
    data.ok(["rebuild", "faulty", "--into", &into(&database.url())]);
    data.import(&data.file("second.ndjson", history::mixed(100, &[])));
    let position = data.json(["status", "faulty"])["position"].clone();
    assert!(dies(&data, "external.before", &["follow", "faulty"]));
    for _ in 0..4 {
        data.run(["pause", "nothing"]);
        let status = data.json(["status", "faulty"]);
        assert_eq!((&status["following"], &status["position"]), (&json!("following"), &position), "{status:#}");
    }
    // It does count: again and again at the same place, it is given up.
    for _ in 1..unspool::limits::CRASHES_FOLLOWING {
        assert!(dies(&data, "external.before", &["follow", "faulty"]));
    }
    let status = data.json(["status", "faulty"]);
    assert_eq!(status["following"], "failed", "{status:#}");
    let error = status["error"].as_str().unwrap();
    assert!(error.contains("while it brought this generation up to date"), "{error}");
    assert!(error.contains("unspool follow faulty"), "{error}");
}
