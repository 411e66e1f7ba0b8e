//! Rebuilds and their commits.

use super::orders::{FAST, ORDERS, ORDERS_BUILT, SLOW};
use super::*;

#[test]
fn a_rebuild_goes_on_from_its_checkpoint_wherever_it_was_killed() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let cases = [
        ("create-generation.before", &SLOW[..], 0),
        ("create-generation.written", &SLOW, 0),
        ("create-generation.after", &SLOW, 0),
        ("begin-attempt.after", &SLOW, 0),
        // The record of the attempt; later on, that of the receipt.
        ("record.written:1", &SLOW, 0),
        ("record.after:1", &SLOW, 0),
        ("record.written:2", &FAST, ORDERS),
        ("record.after:2", &FAST, ORDERS),
        ("commit.before:1", &SLOW, 0),
        ("commit.before:3", &SLOW, 1),
        ("journal.written:1", &SLOW, 0),
        ("journal.written:2", &SLOW, 1),
        // Into their tables, with the last commit.
        ("commit.rows-written", &SLOW, 1),
        ("commit.written:1", &SLOW, 0),
        ("commit.written:3", &SLOW, 1),
        ("commit.after:1", &SLOW, 1),
        ("commit.after:3", &SLOW, 1),
        // In the transaction that completes: it has not happened.
        ("promote.written", &FAST, 0),
        ("promote.written", &SLOW, 1),
        // Right behind that transaction: all of it has.
        ("digest.before", &FAST, ORDERS),
    ];
    for (at, args, at_least) in cases {
        let data = orders.data.copy();
        kill(&data, at, args.iter().copied());
        let found = orders.fits(&data, at);
        if !at.starts_with("create-generation") || at.ends_with("after") {
            assert_eq!(generation(&found), "2", "{at}");
            assert!(processed(&found) >= at_least, "{at}: {found:#}");
            let expected = if at_least == ORDERS { "completed" } else { "paused" };
            assert_eq!(found["status"], expected, "{at}");
        }
        orders.finish(&data, at);
    }
}

/// Enough rows to be brought from the journal into their tables while the rebuild goes on.
#[test]
fn rows_of_a_journal_are_in_their_tables_once_wherever_the_host_was_killed() {
    let _count = Count;
    let events = 450_000;
    let whole = Data::new(BINARY);
    whole.import(&whole.file("orders.ndjson", history::orders(events, 5)));
    whole.install(&plugin("order-summary"));
    let unbroken = whole.copy();
    unbroken.ok(["rebuild", "order-summary", "--chunk-size", "500"]);
    let digest = unbroken.digest("order-summary");
    // Commits are far between where nothing slows the host down; each is large.
    let quick = ["rebuild", "order-summary"];
    for at in ["flush.written", "flush.after", "flush.written:3", "flush.after:4", "journal.written", "digest.before"] {
        let data = whole.copy();
        kill(&data, at, quick);
        if at != "digest.before" {
            let ended = data.json(["rebuild", "order-summary"]);
            assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(events)), "{at}");
        }
        complete_with(&data, "order-summary", &digest);
    }
}

/// Its rows may be in the journal, in the tables, or in both.
#[test]
fn a_generation_that_is_being_built_shows_the_rows_up_to_its_checkpoint() {
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    let rebuild = data.start(SLOW);
    data.wait_for_host();
    let at_least = |events: usize| {
        let there = |status: &Value| generation(status) == "2" && processed(status) >= events;
        processed(&data.wait_for("order-summary", there))
    };
    for events in [100, 1_000, 2_000] {
        let before = at_least(events);
        let seen = data.rows_of("order-summary/orders", "2");
        let after = at_least(before);
        let mut checkpoints = (before..=after).step_by(50);
        let fits = checkpoints.any(|handled| oracle::orders(&orders.events[..handled]).0 == seen);
        assert!(fits, "{} rows fit no checkpoint from {before} to {after}", seen.len());
    }
    assert_eq!(rebuild.end().exit, Some(0));
    assert_eq!(data.rows("order-summary/orders"), orders.all);
}

#[test]
fn a_host_that_is_killed_while_it_recovers_is_followed_by_one_that_does() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let killed = orders.data.copy();
    die(&killed, "commit.after:2", SLOW);
    for at in ["journal.recovered", "record.written", "record.after", "recover.status"] {
        let data = killed.copy();
        kill(&data, at, RECOVER);
        let found = orders.fits(&data, at);
        assert_eq!(found["status"], "paused", "{at}");
        assert!(processed(&found) > 0, "{at}");
        orders.finish(&data, at);
    }
    // Again and again at the same place: it is left failed, and goes on from there as well.
    let data = killed.copy();
    for again in 0..4 {
        kill(&data, "commit.before", ["resume", "order-summary"]);
        let found = orders.fits(&data, "commit.before");
        assert_eq!(found["status"], if again == 0 { "paused" } else { "failed" }, "{found:#}");
    }
    orders.finish(&data, "commit.before");
}

/// A kill in the middle of following counts once, whoever comes by afterwards; again and again at the same place it is left failed.
#[test]
fn a_follower_is_not_given_up_for_what_has_not_ended_its_host() {
    let _count = Count;
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    let lines = history::orders(200, 17);
    let text = std::str::from_utf8(&lines).unwrap();
    let half = text.len() - text.lines().skip(100).map(|line| line.len() + 1).sum::<usize>();
    data.import(&data.file("first.ndjson", &text[..half]));
    data.ok(["rebuild", "order-summary"]);
    data.import(&data.file("second.ndjson", &text[half..]));
    let following = || status(&data, "order-summary")["following"].clone();
    kill(&data, "commit.before", ["follow", "order-summary"]);
    for _ in 0..4 {
        data.run(RECOVER);
    }
    assert_eq!(following(), "following", "commands that only come by end nobody");
    for _ in 2..unspool::limits::CRASHES_FOLLOWING {
        kill(&data, "commit.before", ["follow", "order-summary"]);
        assert_eq!(following(), "following");
    }
    kill(&data, "commit.before", ["follow", "order-summary"]);
    let found = status(&data, "order-summary");
    assert_eq!((&found["following"], &found["status"]), (&json!("failed"), &json!("completed")), "{found:#}");
    assert!(found["next"].as_str().unwrap().contains("unspool follow order-summary"), "{found:#}");
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&history::events(&lines)[..100]).0);
    data.ok(["follow", "order-summary", "--detach"]);
    data.wait_for("order-summary", |status| processed(status) == 200);
    data.ok(["unfollow", "order-summary"]);
    assert_eq!(data.rows("order-summary/orders"), oracle::orders(&history::events(&lines)).0);
}

#[test]
fn the_attempt_of_a_dead_host_commits_nothing_more() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let data = orders.data.copy();
    die(&data, "commit.after:1", SLOW);
    let open = || Store::open(&DataDir::open(&data.path()).unwrap()).unwrap();
    let dead = open().rebuild("order-summary", 2).unwrap();
    intact(&data, "commit.after:1");
    let row = RowChange { key: "late".into(), document: Some(vec![0x80].into()) };
    for status in [unspool::vocabulary::Status::Running, unspool::vocabulary::Status::Completed] {
        let mut checkpoint = dead.checkpoint.clone();
        checkpoint.status = status;
        let late = Commit {
            generation: 2,
            follows: false,
            attempt: dead.attempt,
            plugin_digest: String::new(),
            checkpoint,
            retries: 0,
            active_ms: 0,
            rows: std::sync::Arc::new(vec![vec![row.clone()]].into()),
            last: true,
            parked: Vec::new(),
            unparked: Vec::new(),
            discarded: 0,
            stages: dead.stages.clone(),
            by: None,
        };
        let store = open();
        // Also while the next attempt holds the claim.
        for _ in 0..2 {
            assert!(matches!(store.commit(std::slice::from_ref(&late)), Err(StoreError::Fenced { .. })));
            let start = unspool::store::AttemptStart::again(&dead);
            store.begin_attempt("order-summary", 2, &start).unwrap();
        }
    }
    orders.fits(&data, "a late commit");
    orders.finish(&data, "a late commit");
}

#[test]
fn a_cancel_and_a_drop_have_happened_or_not() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let paused = orders.data.copy();
    kill(&paused, "commit.after:2", SLOW);
    for (at, expected) in [("record.written", "paused"), ("record.after", "cancelled")] {
        let data = paused.copy();
        kill(&data, at, ["cancel", "order-summary"]);
        assert_eq!(orders.fits(&data, at)["status"], expected, "{at}");
        data.run(["cancel", "order-summary"]);
        assert_eq!(status(&data, "order-summary")["status"], "cancelled");
        orders.finish(&data, at);
    }
    let as_of = orders.data.copy();
    as_of.ok(["model", "as-of", "order-summary", "--to", "500", "--name", "early"]);
    for (at, dropped) in [("drop.before", false), ("drop.written", false), ("drop.after", true)] {
        let data = as_of.copy();
        kill(&data, at, ["model", "drop", "order-summary", "early"]);
        let read = data.run(["model", "digest", "order-summary", "--generation", "early"]);
        assert_eq!(read.exit, Some(if dropped { 3 } else { 0 }), "{at}: {read:#?}");
        let again = data.run(["model", "drop", "order-summary", "early"]);
        assert_eq!(again.exit, Some(if dropped { 3 } else { 0 }), "{at}: {again:#?}");
        orders.finish(&data, at);
    }
}

/// One rebuild after another, each of another chunk size, killed again and again: at a number of events that somebody saw,
/// and at whatever point is reached as the N-th.
#[test]
fn a_rebuild_that_is_killed_at_random_ends_like_one_that_is_not() {
    let _count = Count;
    let orders = &*ORDERS_BUILT;
    let (seed, mut random) = random();
    let wanted = kills();
    let mut left = wanted;
    while left > 0 {
        let data = orders.data.copy();
        let chunk = (1 + random.below(400)).to_string();
        let rate = (3_000 + random.below(9_000)).to_string();
        let rebuild = ["rebuild", "order-summary", "--chunk-size", &chunk, "--rate-limit", &rate];
        let mut reached = 0;
        for round in 0..10.min(left) {
            let context = format!("UNSPOOL_SEED={seed}, kill {}, chunk size {chunk}, rate {rate}", wanted - left);
            let killed = if random.below(2) == 0 {
                let goal = reached + random.below(800) as usize;
                killed_at_progress(&data, &rebuild, goal, &mut reached)
            } else {
                let at = format!("any:{}", 1 + random.below(if round == 0 { 30 } else { 24 }));
                let output = data.command(rebuild).env("UNSPOOL_CRASH_AT", &at).stdin(Stdio::null()).output().unwrap();
                assert!(
                    output.status.signal() == Some(9) || output.status.code() == Some(0),
                    "{context}, {at}: {output:?}"
                );
                output.status.signal().is_some()
            };
            if killed {
                left -= 1;
                KILLS.fetch_add(1, Ordering::SeqCst);
            }
            intact(&data, &context);
            let found = orders.fits(&data, &context);
            if found["status"] == "completed" && generation(&found) != "1" {
                break;
            }
            if generation(&found) != "1" {
                assert!(processed(&found) >= reached, "{context}: what was reported is durable");
                reached = processed(&found);
            }
        }
        orders.finish(&data, &format!("UNSPOOL_SEED={seed}"));
    }
}

/// Kills a rebuild once `status` says that `goal` events are done; `false` where it was complete before.
fn killed_at_progress(data: &Data, rebuild: &[&str], goal: usize, reached: &mut usize) -> bool {
    let mut running = data.start(rebuild);
    while running.is_alive() {
        let answer: Answer = data.command(["--json", "status", "order-summary"]).output().unwrap().into();
        if answer.exit != Some(0) {
            continue;
        }
        let found = answer.json();
        // Before it has begun, the status is that of what readers see.
        if generation(&found) != "1" {
            *reached = processed(&found).max(*reached);
            if *reached >= goal {
                running.kill();
                return true;
            }
        }
    }
    false
}
