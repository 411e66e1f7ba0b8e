//! A rebuild is complete where what was counted is what was handled.

use super::shop::{add, data, opened, source};
use ::postgres::Client;
use serde_json::{Value, json};
use unspool_tests::{
    data::{Data, Running},
    postgres::shared,
};

/// A rebuild of 4,000 events that has handled some of them and is far from its end.
fn under_way(name: &str, options: &[&str]) -> (Data, Client, Running) {
    let database = shared().database(name);
    let client = opened(&database, "first", 4_000);
    let data = data();
    let source = source(&database.url());
    let args = ["--json", "rebuild", "faulty", "--source", &source, "--rate-limit", "200", "--chunk-size", "50"];
    let rebuild = data.start(args.into_iter().chain(options.iter().copied()));
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    (data, client, rebuild)
}

fn failed(status: &Value, words: &[&str]) {
    assert_eq!((&status["status"], &status["failure"]["kind"]), (&json!("failed"), &json!("source")), "{status:#}");
    // What is wrong, and what is to be done about that.
    let said = format!("{}; {}", status["error"], status["next"]);
    for word in words {
        assert!(said.contains(word), "no {word:?} in {status:#}");
    }
    assert!(status["next"].as_str().unwrap().contains("--restart"), "{status:#}");
}

#[test]
fn events_that_vanish_before_they_are_read_are_counted_and_said() {
    // More than one query reads at once, and much more than is read ahead.
    let database = shared().database("vanished");
    let mut client = opened(&database, "first", 0);
    let fill = "INSERT INTO events (stream, type, data) SELECT 's' || n % 50, 'Fine', jsonb_build_object('x', repeat('x', 800)) \
                FROM generate_series(1, 52000) AS n";
    client.batch_execute(fill).unwrap();
    let data = data();
    let source = source(&database.url());
    let rebuild = data.start(["--json", "rebuild", "faulty", "--source", &source, "--rate-limit", "5000"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    client.batch_execute("DELETE FROM events WHERE position > 51500 AND position % 2 = 1").unwrap();
    let ended = rebuild.end();
    assert_eq!(ended.exit, Some(1), "{ended:#?}");
    failed(&ended.json(), &["250 events are missing", "250 of these were not there", "--accept-missing 250"]);
    data.run(["model", "digest", "faulty"]).refused(3, &["no read model yet"]);
    // It is not forgotten by going on.
    assert_eq!(data.exits(1, ["resume", "faulty"])["status"], "failed");
    assert_eq!(data.exits(1, ["resume", "faulty", "--accept-missing", "249"])["status"], "failed");
    let ended = data.json(["resume", "faulty", "--accept-missing", "250"]);
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(51_750)), "{ended:#}");
    assert_eq!(data.json(["model", "receipt", "faulty"]).pointer("/events/missing"), Some(&json!(250)));
    // And nothing is missing from what is there now.
    assert_eq!(data.json(["rebuild", "faulty"])["eventsProcessed"], json!(51_750));
}

#[test]
fn events_that_vanish_after_they_were_handled_are_counted_again() {
    let (data, mut client, rebuild) = under_way("vanished_behind", &["--accept-missing", "5"]);
    data.ok(["pause", "faulty"]);
    drop(rebuild);
    client.batch_execute("DELETE FROM events WHERE position BETWEEN 10 AND 15").unwrap();
    let status = data.exits(1, ["rebuild", "faulty", "--rate-limit", "1000000"]);
    failed(&status, &["6 events are missing", "6 were deleted after they had been handled"]);
    data.ok(["resume", "faulty", "--accept-missing", "6"]);
    assert_eq!(data.rows("faulty/seen").len(), 4_000);
}

/// As many as were expected to go may go.
#[test]
fn a_rebuild_may_be_told_beforehand() {
    let (data, mut client, rebuild) = under_way("vanishing", &["--accept-missing", "100"]);
    client.batch_execute("DELETE FROM events WHERE position <= 100").unwrap();
    assert_eq!(data.json(["status", "faulty"])["status"], "running", "they go while it is under way");
    data.ok(["pause", "faulty"]);
    drop(rebuild);
    data.ok(["rebuild", "faulty", "--rate-limit", "1000000"]);
    assert_eq!(data.rows("faulty/seen").len(), 4_000);
}

/// What comes in below the checkpoint would never be applied.
#[test]
fn events_that_come_in_below_the_checkpoint_are_noticed() {
    let database = shared().database("late");
    let mut client = opened(&database, "first", 1_000);
    client.batch_execute("DELETE FROM events WHERE position = 55").unwrap();
    let data = data();
    let rebuild = data.start([
        "rebuild",
        "faulty",
        "--source",
        &source(&database.url()),
        "--rate-limit",
        "50",
        "--chunk-size",
        "1",
    ]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["position"].as_u64() > Some(60) && status["status"] == "running");
    data.ok(["pause", "faulty"]);
    drop(rebuild);
    client.batch_execute("INSERT INTO events (position, stream, type) VALUES (55, 's', 'Fine')").unwrap();
    let on = ["rebuild", "faulty", "--rate-limit", "1000000", "--chunk-size", "500", "--accept-missing", "1000"];
    for _ in 0..2 {
        let status = data.exits(1, on);
        failed(&status, &["999 events were handled", "has 1000 in their range now", "1 of them came in below"]);
    }
    assert_eq!(data.json(["rebuild", "faulty", "--restart"])["eventsProcessed"], json!(1_000));
}

/// Also what is brought up to date says what is missing, and goes on where that is accepted.
#[test]
fn events_that_vanish_before_they_are_caught_up_with_are_said() {
    let database = shared().database("vanished_followed");
    let mut client = opened(&database, "first", 10);
    let data = data();
    data.ok(["rebuild", "faulty", "--source", &source(&database.url()), "--rate-limit", "5000"]);
    let fill = "INSERT INTO events (stream, type, data) SELECT 's' || n % 50, 'Fine', jsonb_build_object('x', repeat('x', 800)) \
                FROM generate_series(1, 52000) AS n";
    client.batch_execute(fill).unwrap();
    let catching_up = data.start(["--json", "catch-up", "faulty"]);
    data.wait_for_host();
    data.wait_for("faulty", |status| status["eventsProcessed"].as_u64() > Some(100));
    client.batch_execute("DELETE FROM events WHERE position > 51510 AND position % 2 = 1").unwrap();
    let ended = catching_up.end();
    assert_eq!(ended.exit, Some(1), "{ended:#?}");
    for words in ["events are missing", "unspool follow faulty --accept-missing 250"] {
        assert!(ended.stdout.contains(words) || ended.stderr.contains(words), "no {words:?} in {ended:#?}");
    }
    // It is not forgotten by doing it again.
    for again in
        [&["catch-up", "faulty"][..], &["follow", "faulty"], &["catch-up", "faulty", "--accept-missing", "249"]]
    {
        data.run(again).refused(3, &["lacks 250 events", "--accept-missing 250"]);
    }
    assert_eq!(data.json(["catch-up", "faulty", "--accept-missing", "250"])["status"], "caught_up");
    assert_eq!(data.json(["model", "receipt", "faulty"]).pointer("/events/missing"), Some(&json!(250)));
}

/// Each short attempt of a follower counts what it reads.
#[test]
fn a_follower_goes_on_where_everything_adds_up() {
    let database = shared().database("follower_counts");
    let mut client = opened(&database, "first", 500);
    let data = data();
    let _host = data.serve();
    data.ok(["rebuild", "faulty", "--source", &source(&database.url()), "--follow", "--detach"]);
    for round in 1..=5 {
        add(&mut client, &format!("more{round}"), 20);
        let status = data.wait_for("faulty", |status| status["eventsProcessed"] == 500 + 20 * round);
        assert_eq!(status["totalEvents"], status["eventsProcessed"]);
    }
    // Old events go, as a retention job lets them.
    client.batch_execute("DELETE FROM events WHERE position < 300").unwrap();
    add(&mut client, "last", 1);
    let status = data.wait_for("faulty", |status| status["eventsProcessed"] == 601);
    assert_eq!((&status["status"], &status["following"]), (&json!("completed"), &json!("following")), "{status:#}");
    data.ok(["unfollow", "faulty"]);
}
