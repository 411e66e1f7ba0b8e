//! Read models in PostgreSQL: the same rows as in the store, exactly once, wherever something ends or is cut.

use ::postgres::Client;
use serde_json::{Value, json};
use std::{os::unix::process::ExitStatusExt, process::Stdio, sync::LazyLock};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history,
    plugins::plugin,
    postgres::{Database, Proxy, Server, Stop, shared},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

const ORDERS: u64 = 3_000;

/// Orders, of which no read model has been built yet; and what those in the store come to.
struct Orders {
    data: Data,
    digests: Vec<(&'static str, String)>,
    all: Rows,
    early: Rows,
}

/// Where the first generation ends in tests that build two.
const EARLY: &str = "1000";

static ORDERS_BUILT: LazyLock<Orders> = LazyLock::new(|| {
    let data = Data::new(BINARY);
    data.import(&data.file("orders.ndjson", history::orders(ORDERS, 23)));
    let names = ["order-summary", "inventory-levels"];
    names.iter().for_each(|name| data.install(&plugin(name)));
    let unbroken = data.copy();
    unbroken.ok(["rebuild", "order-summary", "--to", EARLY]);
    let early = unbroken.rows("order-summary/orders");
    unbroken.ok(["rebuild", "--all"]);
    let digests = names.map(|name| (name, unbroken.digest(name))).to_vec();
    Orders { data, digests, all: unbroken.rows("order-summary/orders"), early }
});

impl Orders {
    fn digest(&self, name: &str) -> &str {
        &self.digests.iter().find(|(known, _)| *known == name).expect("a projection").1
    }
}

fn into(url: &str) -> String {
    format!("postgres:{url}")
}

/// What readers of a view see.
fn seen(client: &mut Client, view: &str) -> Rows {
    let rows = client.query(&format!("SELECT key, document::text FROM {view}"), &[]).unwrap();
    rows.iter().map(|row| (row.get(0), serde_json::from_str::<Value>(row.get(1)).unwrap())).collect()
}

#[test]
fn rows_in_a_database_are_those_in_the_store() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("same_rows"));
    let data = orders.data.copy();
    data.ok(["rebuild", "--all", "--into", &into(&database.url())]);
    for (name, digest) in &orders.digests {
        assert_eq!(data.digest(name), *digest, "{name}");
        assert_eq!(data.json(["model", "receipt", name])["digest"], **digest);
        let verified = data.json(["model", "verify", name]);
        assert_eq!(
            (&verified["missing"], &verified["extra"], &verified["different"]),
            (&json!(0), &json!(0), &json!(0))
        );
    }
    let mut client = database.client();
    assert_eq!(seen(&mut client, "\"order-summary\".orders"), orders.all);
    assert_eq!(data.rows("order-summary/orders"), orders.all);
    // Remembered for the next rebuild.
    data.ok(["rebuild", "order-summary"]);
    assert_eq!(data.digest("order-summary"), orders.digest("order-summary"));
    let generations = data.list(["model", "generations", "order-summary"]);
    assert_eq!(
        generations.iter().map(|g| &g["into"]).collect::<Vec<_>>(),
        [&into(&database.url()), &into(&database.url())]
    );
    assert_eq!(data.json(["store", "check"])["problems"], json!([]));
}

/// Runs a command that must die at `at`; `false` where it does not get there, and succeeds.
fn dies(data: &Data, at: &str, args: &[&str]) -> bool {
    let output = data.command(args).env("UNSPOOL_CRASH_AT", at).stdin(Stdio::null()).output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{at}: {:#?}", Answer::from(output));
    killed
}

/// A data directory whose readers see the first orders, in `database`.
fn with_early(database: &Database<'_>) -> Data {
    let data = ORDERS_BUILT.data.copy();
    data.ok(["rebuild", "order-summary", "--to", EARLY, "--into", &into(&database.url())]);
    data
}

/// Slow enough for several commits.
const SLOW: [&str; 6] = ["rebuild", "order-summary", "--chunk-size", "50", "--rate-limit", "6000"];

const VIEW: &str = "\"order-summary\".orders";

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
    for point in ["home.claimed", "home.before", "home.written", "home.committed", "commit.written", "commit.after"] {
        let database = shared().database("killed");
        let (early, mut client) = (with_early(&database), database.client());
        let mut kills = 0;
        loop {
            let data = early.copy();
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
            forget_generation(&mut client, 2);
        }
        assert!(kills >= if point == "home.claimed" { 1 } else { 2 }, "{point}: {kills}");
    }
}

/// Takes the database back to its first generation.
fn forget_generation(client: &mut Client, generation: u64) {
    let statements = format!(
        "CREATE OR REPLACE VIEW {VIEW} AS SELECT key, document FROM \"unspool_order-summary_1\".orders;
         UPDATE unspool.projections SET live = 1;
         DELETE FROM unspool.generations WHERE generation = {generation};
         DROP SCHEMA \"unspool_order-summary_{generation}\" CASCADE;"
    );
    client.batch_execute(&statements).unwrap();
}

#[test]
fn a_kill_while_catching_up_is_made_good_by_the_next_one() {
    let database = shared().database("catching_up");
    let (data, mut client) = (with_early(&database), database.client());
    assert!(dies(&data, "home.committed:2", &SLOW));
    assert!(dies(&data, "home.followed", &["resume", "order-summary"]));
    fits(&data, &mut client, "home.followed");
    data.ok(["resume", "order-summary"]);
    fits(&data, &mut client, "the end");
    assert_eq!(data.digest("order-summary"), ORDERS_BUILT.digest("order-summary"));
}

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
        data.ok(["model", "rollback", "order-summary"]);
        assert_eq!(
            (seen(&mut client, VIEW), data.rows("order-summary/orders")),
            (orders.early.clone(), orders.early.clone())
        );
    }
}

#[test]
fn generations_are_switched_and_dropped_in_both_homes() {
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
    data.ok(["model", "rollback", "order-summary"]);
    assert_eq!((views(&mut client), data.rows("order-summary/orders")), (0, orders.early.clone()));
    data.ok(["model", "rollback", "order-summary"]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    // A generation that is neither seen nor kept goes with the next rebuild, and by name.
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    assert_eq!(schemas(&mut client), ["unspool_order-summary_2", "unspool_order-summary_4"]);
    data.ok(["model", "drop", "order-summary", "4"]);
    assert_eq!(schemas(&mut client), ["unspool_order-summary_2"]);
    data.run(["model", "drop", "order-summary", "2"]).refused(3, &["readers"]);
    data.run(["rebuild", "order-summary", "--into", &into(&shared().url())])
        .refused(3, &["order-summary/2", "one database"]);
    // A rebuild into the store takes readers there.
    data.ok(["rebuild", "order-summary", "--into", "store"]);
    assert_eq!((views(&mut client), data.digest("order-summary")), (0, orders.digest("order-summary").to_owned()));
}

#[test]
fn a_server_that_crashes_and_comes_back_loses_and_doubles_nothing() {
    let (orders, mut server) = (&*ORDERS_BUILT, Server::new());
    let data = orders.data.copy();
    let target = into(&server.url());
    for (round, how) in [Stop::Immediate, Stop::Fast].into_iter().enumerate() {
        let slow = ["--rate-limit", "2000", "--chunk-size", "50", "--restart", "--into", &target];
        let rebuild = data.start([&["rebuild", "order-summary"], &slow[..]].concat());
        data.wait_for_host();
        data.wait_for("order-summary", |status| {
            status["checkpointId"] == format!("order-summary/{}", round + 1)
                && status["eventsProcessed"].as_u64().is_some_and(|events| events > 500)
        });
        server.restart(how);
        let ended = rebuild.end();
        assert_eq!(ended.exit, Some(0), "{ended:#?}");
        assert!(ended.stderr.contains("retrying"), "{ended:#?}");
        assert_eq!(data.digest("order-summary"), orders.digest("order-summary"));
        assert_eq!(seen(&mut server.client(), VIEW), orders.all);
    }
}

#[test]
fn a_connection_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("cut"));
    let proxy = Proxy::new(shared().port());
    let data = orders.data.copy();
    let target = into(&proxy.url(&database.url()));
    let mut cuts = 0;
    // Behind the first answers, which begin the rebuild, come those of commits; some cuts are right behind a COMMIT.
    for bytes in (3_000..6_000).step_by(190) {
        proxy.cut_after(bytes);
        let rebuild = data.run([
            "rebuild",
            "order-summary",
            "--restart",
            "--chunk-size",
            "100",
            "--rate-limit",
            "20000",
            "--into",
            &target,
        ]);
        if rebuild.exit != Some(0) {
            // Cut before anything was begun: nothing was done, and doing it again does it.
            rebuild.refused(1, &[&target[..20]]);
            data.ok(["rebuild", "order-summary", "--into", &target]);
        }
        proxy.heal();
        cuts = cuts.max(proxy.cuts());
        assert_eq!(data.digest("order-summary"), orders.digest("order-summary"), "{bytes}");
        assert_eq!(seen(&mut database.client(), VIEW), orders.all, "{bytes}");
    }
    assert!(cuts > 10, "{cuts}");
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
        data.ok(["model", "promote", "inventory-levels"]);
        for _ in 0..4 {
            data.ok(["model", "rollback", "inventory-levels"]);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        reader.join().unwrap()
    });
    let all = state(&mut database.client());
    assert_ne!(early, all);
    assert!(states.contains(&early) && states.contains(&all), "{} states", states.len());
    assert_eq!(states.iter().find(|state| **state != early && **state != all), None);
}

#[test]
fn what_a_database_does_not_accept_is_said_before_anything_changes() {
    let (orders, server) = (&*ORDERS_BUILT, shared());
    let database = server.database("refusing");
    server.role("home_reader", None);
    server.role("home_secret", Some("open sesame"));
    let data = orders.data.copy();
    data.ok(["rebuild", "order-summary", "--to", EARLY]);
    let before = (data.list(["model", "generations", "order-summary"]), data.json(["status", "order-summary"]));
    let rebuild = |url: &str| data.run(["rebuild", "order-summary", "--into", &into(url)]);
    rebuild("postgresql://ada:s3cret@127.0.0.1/db").refused(2, &["password", "PGPASSWORD"]);
    data.run(["rebuild", "order-summary", "--into", "mysql://ada:s3cret@h/db"]).refused(3, &["--into"]);
    rebuild(&database.url_of("home_reader")).refused(2, &["home_reader", "GRANT CREATE ON DATABASE \"refusing\""]);
    rebuild(&database.url_of("nobody_there")).refused(2, &["nobody_there"]);
    rebuild(&database.url().replace("refusing", "not_there")).refused(2, &["not_there", "CREATE DATABASE"]);
    rebuild(&database.url_of("home_secret")).refused(2, &["PGPASSWORD"]);
    let mut wrong = data.command(["rebuild", "order-summary", "--into", &into(&database.url_of("home_secret"))]);
    let wrong: Answer = wrong.env("PGPASSWORD", "open barley").output().unwrap().into();
    wrong.refused(2, &["home_secret", "PGPASSWORD"]);
    assert!(!wrong.stderr.contains("barley"), "{wrong:#?}");
    // A table under the name that readers would use.
    database
        .client()
        .batch_execute("CREATE SCHEMA \"order-summary\"; CREATE TABLE \"order-summary\".orders ()")
        .unwrap();
    rebuild(&database.url()).refused(2, &["\"order-summary\".\"orders\"", "rename"]);
    database.client().batch_execute("DROP SCHEMA \"order-summary\" CASCADE").unwrap();
    let after = (data.list(["model", "generations", "order-summary"]), data.json(["status", "order-summary"]));
    assert_eq!(before, after);
    assert_eq!(data.rows("order-summary/orders"), orders.early);
    // Two data directories do not share a projection.
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    let other = orders.data.copy();
    other.run(["rebuild", "order-summary", "--into", &into(&database.url())]).refused(2, &["another data directory"]);
    // With the privileges that the documentation names, and the right password.
    let home = server.database("granted");
    let grant =
        "GRANT CREATE, TEMPORARY ON DATABASE granted TO home_secret; REVOKE TEMPORARY ON DATABASE granted FROM PUBLIC";
    home.client().batch_execute(grant).unwrap();
    let mut granted = other.command(["rebuild", "order-summary", "--into", &into(&home.url_of("home_secret"))]);
    let granted: Answer = granted.env("PGPASSWORD", "open sesame").output().unwrap().into();
    assert_eq!(granted.exit, Some(0), "{granted:#?}");
    assert_eq!(seen(&mut home.client(), VIEW), orders.all);
}

#[test]
fn a_document_that_jsonb_does_not_hold_ends_the_rebuild_at_its_event() {
    let database = shared().database("nul");
    let data = Data::new(BINARY);
    let event = |number: u64, customer: &str| {
        let event = json!({
            "id": format!("e{number}"), "stream": format!("order-{number}"), "type": "OrderCreated", "timestamp": number,
            "data": { "orderId": format!("o{number}"), "customerId": customer }, "metadata": null,
        });
        format!("{event}\n")
    };
    let events = [event(1, "ada"), event(2, "bob\0by"), event(3, "eve")].concat();
    data.import(&data.file("orders.ndjson", events));
    data.install(&plugin("order-summary"));
    data.ok(["rebuild", "order-summary", "--into", "store"]);
    let failed = data.run(["rebuild", "order-summary", "--into", &into(&database.url())]);
    failed.refused(1, &["order-summary/orders row o2", "NUL", "customerId", "event e2"]);
    let status = data.json(["status", "order-summary"]);
    assert_eq!((&status["status"], &status["eventsProcessed"]), (&json!("failed"), &json!(1)));
    let rows: i64 =
        database.client().query_one("SELECT count(*) FROM \"unspool_order-summary_2\".orders", &[]).unwrap().get(0);
    assert_eq!(rows, 1);
}
