//! A store and a database with rows, one of which was restored from an older copy.

use super::shop::{data, lines};
use ::postgres::Client;
use unspool_tests::{
    data::Data,
    postgres::{Database, shared},
};

/// A read model of two generations in `database`.
fn built(database: &Database<'_>) -> (Data, Client) {
    let data = data();
    data.import(&data.file("first.ndjson", lines("first", 20, "Fine")));
    data.ok(["rebuild", "faulty", "--into", &format!("postgres:{}", database.url())]);
    data.ok(["rebuild", "faulty"]);
    (data, database.client())
}

/// Everything that reads or changes rows.
fn commands() -> Vec<Vec<&'static str>> {
    let commands = [
        "model get faulty/seen first-1",
        "model scan faulty/seen",
        "model export faulty/seen",
        "model digest faulty",
        "model verify faulty",
        "model receipt faulty",
        "model generations faulty",
        "model promote faulty",
        "model rollback faulty",
        "rebuild faulty",
        "rebuild faulty --follow",
        "follow faulty",
        "catch-up faulty",
        "rebuild faulty --stream first-1",
        "rebuild faulty --dry-run",
    ];
    commands.iter().map(|command| command.split(' ').collect()).collect()
}

fn all_refuse(data: &Data, words: &[&str]) {
    for command in commands() {
        let words = [&["do not belong together", "older copy", "--restart"], words].concat();
        let answer = data.run(command.iter().copied());
        assert_eq!(answer.exit, Some(3), "{command:?}: {answer:#?}");
        for word in words {
            assert!(answer.stderr.contains(word), "no {word:?} from {command:?}: {answer:#?}");
        }
    }
    let found = data.exits(1, ["store", "check"]);
    let problems = found["problems"].to_string();
    assert!(words.iter().all(|word| problems.contains(word)), "{found:#}");
}

/// Starting anew makes one story of the two.
fn anew(data: &Data, client: &mut Client) {
    data.ok(["rebuild", "faulty", "--restart"]);
    let seen: i64 = client.query_one("SELECT count(*) FROM faulty.seen", &[]).unwrap().get(0);
    assert_eq!((seen, data.rows("faulty/seen").len()), (20, 20));
    data.ok(["model", "receipt", "faulty"]);
    data.ok(["rebuild", "faulty"]);
    data.ok(["model", "rollback", "faulty"]);
}

#[test]
fn an_older_copy_of_the_store_is_noticed_by_every_command() {
    let database = shared().database("older_store");
    let (data, mut client) = built(&database);
    let older = std::fs::read(data.path().join("store.redb")).unwrap();
    for _ in 0..2 {
        data.ok(["rebuild", "faulty"]);
    }
    std::fs::write(data.path().join("store.redb"), older).unwrap();
    all_refuse(&data, &["generation 3", "none after 2"]);
    anew(&data, &mut client);
}

/// The same number of generations, with another one live.
#[test]
fn readers_who_were_switched_elsewhere_are_noticed() {
    let database = shared().database("older_switch");
    let (data, mut client) = built(&database);
    let older = std::fs::read(data.path().join("store.redb")).unwrap();
    data.ok(["model", "rollback", "faulty"]);
    std::fs::write(data.path().join("store.redb"), older).unwrap();
    all_refuse(&data, &["generation 2 of faulty is live there", "views show generation 1"]);
    anew(&data, &mut client);
}

#[test]
fn an_older_copy_of_the_database_is_noticed_by_every_command() {
    let database = shared().database("older_database");
    let (data, mut client) = built(&database);
    let commits: i64 =
        client.query_one("SELECT commits FROM unspool.generations WHERE generation = 2", &[]).unwrap().get(0);
    client.batch_execute("UPDATE unspool.generations SET commits = 0 WHERE generation = 2").unwrap();
    all_refuse(&data, &["has taken 0 commits", &format!("knows of {commits}")]);
    client.batch_execute(&format!("UPDATE unspool.generations SET commits = {commits} WHERE generation = 2")).unwrap();
    data.ok(["model", "digest", "faulty"]);
    client.batch_execute("UPDATE unspool.generations SET id = 'another' WHERE generation = 2").unwrap();
    all_refuse(&data, &["another one with this number"]);
    client
        .batch_execute("DELETE FROM unspool.generations WHERE generation = 2; UPDATE unspool.projections SET live = 1")
        .unwrap();
    all_refuse(&data, &["generation 2 of faulty is live there", "views show generation 1"]);
    client
        .batch_execute(
            "DROP SCHEMA unspool CASCADE; DROP SCHEMA faulty CASCADE; DROP SCHEMA unspool_faulty_1 CASCADE; \
             DROP SCHEMA unspool_faulty_2 CASCADE",
        )
        .unwrap();
    all_refuse(&data, &["knows nothing of faulty"]);
    data.ok(["rebuild", "faulty", "--restart"]);
    assert_eq!(data.rows("faulty/seen").len(), 20);
}

/// One that follows notices when it commits.
#[test]
fn a_follower_whose_database_was_put_back_ends() {
    let database = shared().database("older_followed");
    let (data, mut client) = built(&database);
    let _host = data.serve();
    data.ok(["rebuild", "faulty", "--follow", "--detach"]);
    data.wait_for("faulty", |status| status["following"] == "following" && status["eventsProcessed"] == 20);
    client.batch_execute("UPDATE unspool.generations SET commits = 0 WHERE generation = 3").unwrap();
    data.import(&data.file("more.ndjson", lines("more", 3, "Fine")));
    let status = data.wait_for("faulty", |status| status["following"] == "failed");
    assert_eq!(status["status"], "completed", "{status:#}");
    assert!(status["error"].as_str().unwrap().contains("restored from an older copy"), "{status:#}");
}

/// What applications query is looked at, not only what is noted of it.
#[test]
fn views_that_show_something_else_are_noticed() {
    let database = shared().database("views_astray");
    let (data, mut client) = built(&database);
    data.ok(["model", "digest", "faulty"]);
    client
        .batch_execute("CREATE OR REPLACE VIEW faulty.seen AS SELECT key, document FROM unspool_faulty_1.seen")
        .unwrap();
    all_refuse(&data, &["generation 2", "the view faulty.seen shows a table of unspool_faulty_1"]);
    data.run(["model", "drop", "faulty", "1"]).refused(3, &["do not belong together"]);
    client.batch_execute("DROP VIEW faulty.seen").unwrap();
    all_refuse(&data, &["generation 2", "there is no view faulty.seen"]);
    anew(&data, &mut client);
}
