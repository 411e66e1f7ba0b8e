//! Hosts that are killed at any step of a commit.

use super::orders::{BINARY, ORDERS_BUILT, SLOW, VIEW, dies, into, seen, with_early};
use ::postgres::Client;
use serde_json::json;
use std::{os::unix::process::ExitStatusExt, process::Stdio};
use unspool_tests::{data::Data, history, plugins::plugin, postgres::shared};

/// Asserts that what the store says of readers is what readers of the view see, once a host has looked at it.
#[track_caller]
fn fits(data: &Data, client: &mut Client, at: &str) {
    let orders = &*ORDERS_BUILT;
    let status = data.json(["status", "order-summary"]);
    let expected = if status["status"] == "completed" { &orders.all } else { &orders.early };
    assert_eq!(seen(client, VIEW), *expected, "{at}: {status:#}");
    assert_eq!(data.rows("order-summary/orders"), *expected, "{at}: {status:#}");
    assert_eq!(data.json(["store", "check"])["problems"], json!([]), "{at}");
}

#[test]
fn a_killed_rebuild_goes_on_wherever_it_was_killed() {
    let orders = &*ORDERS_BUILT;
    for point in [
        "external.claimed",
        "external.before",
        "external.written",
        "external.committed",
        "commit.written",
        "commit.after",
    ] {
        let database = shared().database(&format!("killed_{point}"));
        let (early, mut client) = (with_early(&database), database.client());
        let owner: String = client.query_one("SELECT owner FROM unspool.projections", &[]).unwrap().get(0);
        let mut kills = 0;
        loop {
            let data = early.adopted_copy();
            let at = format!("{point}:{}", kills + 1);
            if !dies(&data, &at, &SLOW) {
                break;
            }
            kills += 1;
            fits(&data, &mut client, &at);
            if data.json(["status", "order-summary"])["status"] != "completed" {
                data.ok(["resume", "order-summary"]);
            }
            fits(&data, &mut client, &at);
            assert_eq!(data.digest("order-summary"), orders.digest("order-summary"), "{at}");
            // The next copy begins where this one began, and finds its database so.
            forget_generation(&mut client, 2, &owner);
        }
        assert!(kills >= if point == "external.claimed" { 1 } else { 2 }, "{point}: {kills}");
    }
}

/// Takes the database back to its first generation.
fn forget_generation(client: &mut Client, generation: u64, owner: &str) {
    let statements = format!(
        "CREATE OR REPLACE VIEW {VIEW} AS SELECT key, document FROM \"unspool_order-summary_1\".orders;
         UPDATE unspool.projections SET live = 1, owner = '{owner}';
         DELETE FROM unspool.generations WHERE generation = {generation};
         DROP SCHEMA \"unspool_order-summary_{generation}\" CASCADE;"
    );
    client.batch_execute(&statements).unwrap();
}

#[test]
fn a_kill_while_catching_up_is_made_good_by_the_next_one() {
    let database = shared().database("catching_up");
    let (data, mut client) = (with_early(&database), database.client());
    assert!(dies(&data, "external.committed:2", &SLOW));
    assert!(dies(&data, "external.followed", &["resume", "order-summary"]));
    fits(&data, &mut client, "external.followed");
    data.ok(["resume", "order-summary"]);
    fits(&data, &mut client, "the end");
    assert_eq!(data.digest("order-summary"), ORDERS_BUILT.digest("order-summary"));
}

#[test]
fn parked_events_and_rows_move_together() {
    let database = shared().database("parked");
    let base = Data::new(BINARY);
    base.import(&base.file("events.ndjson", history::mixed(400, &[(50, "Error"), (250, "Error")])));
    base.install(&plugin("faulty"));
    let parking = ["rebuild", "faulty", "--on-error", "park", "--chunk-size", "40", "--rate-limit", "800", "--restart"];
    let target = into(&database.url());
    let rebuild: Vec<&str> = parking.iter().copied().chain(["--into", &target]).collect();
    let unbroken = base.copy();
    unbroken.run(parking);
    let listed = unbroken.list(["dead-letters", "list", "faulty"]);
    assert!(listed.len() > 2, "{listed:#?}");
    let rows = unbroken.rows_of("faulty/seen", "1");
    let mut kills = 0;
    loop {
        let data = base.copy();
        let at = format!("external.committed:{}", kills + 1);
        let output = data.command(&rebuild).env("UNSPOOL_CRASH_AT", &at).stdin(Stdio::null()).output().unwrap();
        if output.status.signal() != Some(9) {
            break;
        }
        kills += 1;
        data.run(["resume", "faulty"]);
        assert_eq!(data.list(["dead-letters", "list", "faulty"]), listed, "{at}");
        assert_eq!(data.rows_of("faulty/seen", "1"), rows, "{at}");
        assert_eq!(data.json(["store", "check"])["problems"], json!([]), "{at}");
        let fixed = unspool_tests::plugins::plugin_with("faulty", &["fixed"]);
        data.ok(["plugin", "swap", "faulty", fixed.to_str().unwrap()]);
        data.ok(["dead-letters", "retry", "faulty", "--out-of-order"]);
        data.ok(["model", "promote", "faulty"]);
        let counts: u64 =
            seen(&mut database.client(), "faulty.seen").values().map(|row| row["count"].as_u64().unwrap()).sum();
        assert_eq!(counts, 400, "{at}");
        database
            .client()
            .batch_execute(
                "DROP SCHEMA faulty CASCADE; DROP SCHEMA unspool CASCADE; DROP SCHEMA unspool_faulty_1 CASCADE",
            )
            .unwrap();
    }
    assert!(kills > 2, "{kills}");
}

#[test]
fn a_store_restored_from_an_older_copy_takes_no_generation_for_its_own() {
    let database = shared().database("home_restored");
    let (data, mut client) = (with_early(&database), database.client());
    let copy = data.copy();
    data.ok(["rebuild", "order-summary"]);
    // The copy's next generation would have the number of one that it does not know of.
    copy.run(["rebuild", "order-summary"]).refused(3, &["do not belong together", "generation 2"]);
    assert_eq!(seen(&mut client, VIEW), ORDERS_BUILT.all);
}
