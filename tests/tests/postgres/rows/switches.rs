//! What readers see, and when.

use super::orders::{EARLY, ORDERS_BUILT, VIEW, dies, into, seen, with_early};
use ::postgres::Client;
use unspool_tests::postgres::shared;

#[test]
fn a_kill_in_a_switch_is_made_good_by_the_next_command() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("switch"));
    let (data, mut client) = (with_early(&database), database.client());
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    assert_eq!(seen(&mut client, VIEW), orders.early);
    for point in ["switch.done", "promote.after"] {
        assert!(dies(&data, point, &["model", "promote", "order-summary"]));
        data.ok(["model", "promote", "order-summary"]);
        assert_eq!(
            (seen(&mut client, VIEW), data.rows("order-summary/orders")),
            (orders.all.clone(), orders.all.clone())
        );
        data.ok(["model", "rollback", "order-summary", "--now"]);
        assert_eq!(
            (seen(&mut client, VIEW), data.rows("order-summary/orders")),
            (orders.early.clone(), orders.early.clone())
        );
    }
}

#[test]
fn generations_are_switched_and_dropped_in_store_and_database() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("generations"));
    let (data, mut client) = (orders.data.copy(), database.client());
    let views = |client: &mut Client| {
        client.query("SELECT FROM pg_views WHERE schemaname = 'order-summary'", &[]).unwrap().len()
    };
    let schemas = |client: &mut Client| {
        let rows =
            client.query("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'unspool\\_%' ORDER BY 1", &[]);
        rows.unwrap().iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    data.ok(["rebuild", "order-summary", "--to", EARLY]);
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    // Back to the generation in the store: readers of the database get an error rather than other rows than the model has.
    data.ok(["model", "rollback", "order-summary", "--now"]);
    assert_eq!((views(&mut client), data.rows("order-summary/orders")), (0, orders.early.clone()));
    data.ok(["model", "rollback", "order-summary", "--now"]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    // A generation that is neither seen nor kept goes with the next rebuild, and by name.
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    assert_eq!(schemas(&mut client), ["unspool_order-summary_2", "unspool_order-summary_4"]);
    data.ok(["model", "drop", "order-summary", "4"]);
    assert_eq!(schemas(&mut client), ["unspool_order-summary_2"]);
    data.run(["model", "drop", "order-summary", "2"]).refused(3, &["the live generation"]);
    data.run(["rebuild", "order-summary", "--into", &into(&shared().url())])
        .refused(3, &["order-summary/2", "one database"]);
    // A rebuild into the store takes readers there.
    data.ok(["rebuild", "order-summary", "--into", "store"]);
    assert_eq!((views(&mut client), data.digest("order-summary")), (0, orders.digest("order-summary").to_owned()));
}

#[test]
fn readers_see_one_generation_or_the_other() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("readers"));
    let data = orders.data.copy();
    data.ok(["rebuild", "inventory-levels", "--to", EARLY, "--into", &into(&database.url())]);
    data.ok(["rebuild", "inventory-levels", "--no-promote"]);
    // Both tables in one statement.
    const STATE: &str =
        "SELECT (SELECT md5(string_agg(key || document::text, ',' ORDER BY key)) FROM \"inventory-levels\".stock)
        || (SELECT md5(string_agg(key || document::text, ',' ORDER BY key)) FROM \"inventory-levels\".orders)";
    let state = |client: &mut Client| client.query_one(STATE, &[]).unwrap().get::<_, String>(0);
    let early = state(&mut database.client());
    let done = std::sync::atomic::AtomicBool::new(false);
    let states = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut client, mut states) = (database.client(), Vec::new());
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                states.push(state(&mut client));
            }
            states
        });
        let promoted = data.run(["model", "promote", "inventory-levels"]);
        let rollback = ["model", "rollback", "inventory-levels", "--now"];
        let answers = [promoted].into_iter().chain((0..4).map(|_| data.run(rollback))).collect::<Vec<_>>();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        let states = reader.join().unwrap();
        answers.iter().for_each(|answer| assert_eq!(answer.exit, Some(0), "{answer:#?}"));
        states
    });
    let all = state(&mut database.client());
    assert_ne!(early, all);
    assert!(states.contains(&early) && states.contains(&all), "{} states", states.len());
    assert_eq!(states.iter().find(|state| **state != early && **state != all), None);
}
