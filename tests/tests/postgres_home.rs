//! Read models in PostgreSQL: the same rows as in the store, exactly once, wherever something ends or is cut.

use ::postgres::Client;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::Stdio,
    sync::LazyLock,
};
use unspool::{
    store::{Commit, DataDir, RebuildRecord, RowChange, Store, StoreError},
    vocabulary::canonical,
};
use unspool_tests::{
    data::{Answer, Data, Rows},
    history,
    plugins::plugin,
    postgres::{Database, Proxy, Server, Stop, shared},
    random::Random,
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

/// A document with everything that jsonb holds, in whatever encoding.
fn document(random: &mut Random, levels: u32, out: &mut Vec<u8>) {
    let text = |random: &mut Random, out: &mut Vec<u8>| {
        let choices = ["", "a", "\u{1}\t\n\"\\/\u{7f}", "\\u0000", "é", "\u{ffff}", "\u{1f980}", "0.0", "zz", "b"];
        let text: String = (0..random.below(4)).map(|_| random.pick(&choices)).collect();
        out.extend([0xd9, text.len() as u8]);
        out.extend(text.as_bytes());
    };
    let number = random.number();
    match random.below(if levels == 0 { 9 } else { 12 }) {
        0 => out.push(random.pick(&[0xc0, 0xc2, 0xc3])),
        1 => out.extend([&[0xcf], &number.to_be_bytes()[..]].concat()),
        2 => out.extend([&[0xd3], &number.to_be_bytes()[..]].concat()),
        3 => out.extend([&[0xd3], &(number as i64 >> random.below(63)).to_be_bytes()[..]].concat()),
        4 => out.push(random.below(0x80) as u8),
        // Any double, a whole one, one of few digits.
        5 | 6 => {
            let some = [f64::from_bits(number), number as f64, (number % 2000) as f64 / 100.0, 0.0, 5e-324, f64::MAX];
            let float = Some(random.pick(&some))
                .filter(|float| float.is_finite() && !(*float == 0.0 && float.is_sign_negative()));
            out.push(0xcb);
            out.extend(float.unwrap_or(1.0).to_be_bytes());
        }
        7 => out.extend([&[0xca], &((number % 1000) as f32 / 8.0).to_be_bytes()[..]].concat()),
        8 | 9 => text(random, out),
        10 => {
            let values = random.below(5);
            out.extend([0xdd, 0, 0, 0, values as u8]);
            (0..values).for_each(|_| document(random, levels - 1, out));
        }
        _ => {
            let keys: BTreeSet<Vec<u8>> = (0..random.below(6))
                .map(|_| {
                    let mut key = Vec::new();
                    text(random, &mut key);
                    key
                })
                .collect();
            out.extend([0xdf, 0, 0, 0, keys.len() as u8]);
            for key in keys.iter().rev() {
                out.extend(key);
                document(random, levels - 1, out);
            }
        }
    }
}

/// A store with an empty generation in `database`, claimed once.
fn claimed(database: &Database<'_>) -> (Data, RebuildRecord) {
    let data = Data::new(BINARY);
    data.import(&data.file("none.ndjson", history::orders(10, 1)));
    data.install(&plugin("order-summary"));
    assert!(dies(&data, "begin-attempt.after", &["rebuild", "order-summary", "--into", &into(&database.url())]));
    let record = open(&data).rebuild("order-summary", 1).unwrap();
    (data, record)
}

fn open(data: &Data) -> Store {
    Store::open(&DataDir::open(&data.path()).unwrap()).unwrap()
}

fn commit_of(record: &RebuildRecord, rows: Vec<RowChange>) -> Commit {
    Commit {
        generation: record.generation,
        attempt: record.attempt,
        plugin_digest: String::new(),
        checkpoint: record.checkpoint.clone(),
        retries: 0,
        active_ms: 0,
        rows: vec![rows],
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: record.stages.clone(),
    }
}

#[test]
fn any_document_comes_back_as_it_was() {
    let database = shared().database("documents");
    let (data, record) = claimed(&database);
    let store = open(&data);
    let mut random = Random::new(unspool_tests::random::setting("UNSPOOL_SEED", 7));
    let mut expected = BTreeMap::new();
    for round in 0..4 {
        for number in 0..2_000 {
            let (mut written, key) =
                (Vec::new(), format!("{}é{number}", random.pick(&["a", "a\u{1}", "b", "ÿ", "\u{1f980}"])));
            document(&mut random, 4, &mut written);
            // Every fourth row is written again, and some of these are deleted.
            let kept = (round == 0 || number % 4 == 0).then_some(written).filter(|_| round == 0 || number % 8 == 0);
            expected.insert(key, kept);
        }
        let change = |(key, document): (&String, &Option<Vec<u8>>)| RowChange {
            key: key.clone().into(),
            document: document.clone().map(Into::into),
        };
        store.commit(&[commit_of(&record, expected.iter().map(change).collect())]).unwrap();
    }
    let meaning: Vec<(String, Vec<u8>)> = expected
        .iter()
        .filter_map(|(key, document)| Some((key.clone(), canonical(document.as_ref()?).unwrap())))
        .collect();
    let generation = store.generation("order-summary", 1).unwrap();
    for rows in [store.rows(&generation).unwrap(), store.newest_rows(&generation).unwrap()] {
        let (mut found, mut after): (Vec<(String, Vec<u8>)>, Option<String>) = (Vec::new(), None);
        loop {
            let page = rows.scan(0, "", after.as_deref(), 777, 1 << 14).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            found.extend(page.into_iter().map(|(key, document)| (key, document.to_vec())));
        }
        assert!(found == meaning, "{:?}", found.iter().zip(&meaning).find(|(found, meant)| found != meant));
        let keys: Vec<&str> = expected.keys().map(String::as_str).chain(["not there", "no\0key"]).rev().collect();
        let many = rows.get_many(0, &keys).unwrap();
        for (key, document) in keys.iter().zip(many) {
            let meant = expected.get(*key).and_then(Option::as_ref).map(|document| canonical(document).unwrap());
            assert_eq!(document.map(|document| document.to_vec()), meant, "{key:?}");
        }
        for prefix in ["a", "aé1", "ÿ", "\u{1f980}é19", "none"] {
            let page = rows.scan(0, prefix, None, usize::MAX, usize::MAX).unwrap();
            let meant = meaning.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, _)| key);
            assert!(
                page.iter().map(|(key, _)| key).eq(meant.take(page.len())) && (page.is_empty() == (prefix == "none"))
            );
        }
        assert_eq!(rows.len(0).unwrap(), meaning.len() as u64);
    }
}

#[test]
fn two_that_believe_to_hold_a_generation_do_not_both_commit() {
    let database = shared().database("fence");
    let (data, record) = claimed(&database);
    // Restored from a copy: it holds the same attempt of the same generation.
    let twin = data.copy();
    let row = |key: &str| RowChange { key: key.to_owned().into(), document: Some(vec![0x80].into()) };
    let (one, other) = (open(&data), open(&twin));
    one.commit(&[commit_of(&record, vec![row("one")])]).unwrap();
    let refused = other.commit(&[commit_of(&record, vec![row("other")])]);
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    one.commit(&[commit_of(&record, vec![row("two")])]).unwrap();
    // An attempt that has been taken over commits nothing more.
    let taken = one.claim("order-summary", 1).unwrap();
    assert!(matches!(one.commit(&[commit_of(&record, vec![row("late")])]), Err(StoreError::Fenced { .. })));
    one.commit(&[commit_of(&taken, vec![row("three")])]).unwrap();
    // Three commits behind: not one that a lost answer explains.
    let refused = other.claim("order-summary", 1).map(drop).unwrap_err().to_string();
    assert!(refused.contains("3 commits") && refused.contains("--restart"), "{refused}");
    let keys: Vec<String> = seen(&mut database.client(), "\"unspool_order-summary_1\".orders").into_keys().collect();
    assert_eq!(keys, ["one", "three", "two"]);
}

#[test]
fn a_row_whose_key_postgresql_cannot_hold_is_named() {
    let database = shared().database("keys");
    let (data, record) = claimed(&database);
    let store = open(&data);
    for (key, problem) in [("a\0b".to_owned(), "NUL"), ("k".repeat(3_000), "3000 bytes")] {
        let row = RowChange { key: key.into(), document: Some(vec![0x80].into()) };
        let refused = store.commit(&[commit_of(&record, vec![row])]).unwrap_err().to_string();
        assert!(refused.contains(problem) && refused.contains("order-summary/orders row"), "{refused}");
    }
}

#[test]
fn what_unspool_toml_says_of_a_projection_holds_for_every_rebuild() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("settings"));
    let (data, mut client) = (orders.data.copy(), database.client());
    let set = |index: &str| {
        let text = format!(
            "[projections.order-summary]\ninto = \"{}\"\n[projections.order-summary.tables.orders]\nindexes = [\"{index}\"]\n",
            into(&database.url())
        );
        std::fs::write(data.path().join("unspool.toml"), text).unwrap();
    };
    set("create index by_customer on orders ((document->>'customerId'))");
    let indexes = |client: &mut Client| {
        let rows =
            client.query("SELECT schemaname::text FROM pg_indexes WHERE indexname = 'by_customer' ORDER BY 1", &[]);
        rows.unwrap().iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    data.ok(["rebuild", "order-summary"]);
    client
        .batch_execute(&format!(
            "CREATE VIEW theirs AS SELECT count(*) FROM {VIEW}; GRANT SELECT ON {VIEW} TO pg_monitor"
        ))
        .unwrap();
    data.ok(["rebuild", "order-summary", "--no-promote"]);
    assert_eq!(indexes(&mut client), ["unspool_order-summary_1"]);
    data.ok(["model", "promote", "order-summary"]);
    assert_eq!(indexes(&mut client), ["unspool_order-summary_1", "unspool_order-summary_2"]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    // What others have built on the view, and may do with it, stays.
    client.batch_execute("SELECT * FROM theirs").unwrap();
    let may = client.query_one(&format!("SELECT has_table_privilege('pg_monitor', '{VIEW}', 'SELECT')"), &[]).unwrap();
    assert!(may.get::<_, bool>(0));
    for (index, problem) in [("create index on stock (key)", "stock"), ("drop table x", "CREATE INDEX")] {
        set(index);
        data.run(["rebuild", "order-summary"]).refused(2, &[problem]);
    }
    std::fs::write(data.path().join("unspool.toml"), "[projections.order-summary.tables.stock]\n").unwrap();
    data.run(["rebuild", "order-summary"]).refused(2, &["order-summary/stock"]);
    std::fs::write(data.path().join("unspool.toml"), "[projections.order-summary]\nino = 1\n").unwrap();
    data.run(["rebuild", "order-summary"]).refused(2, &["unspool.toml", "ino"]);
}

#[test]
fn a_damaged_row_is_found_and_made_good() {
    let (orders, database) = (&*ORDERS_BUILT, shared().database("damaged"));
    let (data, mut client) = (orders.data.copy(), database.client());
    data.ok(["rebuild", "order-summary", "--into", &into(&database.url())]);
    let damage = |client: &mut Client, generation: u64| {
        let table = format!("\"unspool_order-summary_{generation}\".orders");
        let damaged = format!(
            "UPDATE {table} SET document = document || '{{\"path\": \"?\"}}' WHERE key = (SELECT min(key) FROM {table}) RETURNING key"
        );
        client.query_one(&damaged, &[]).unwrap().get::<_, String>(0)
    };
    let key = damage(&mut client, 1);
    let found = data.exits(1, ["model", "verify", "order-summary"]);
    assert_eq!((&found["different"], &found["first"][0]["key"]), (&json!(1), &json!(key)));
    assert_eq!(data.exits(1, ["model", "verify", "order-summary", "--repair"])["repairedBy"], 3);
    assert_eq!((seen(&mut client, VIEW), data.rows("order-summary/orders")), (orders.all.clone(), orders.all.clone()));
    // One entity alone, in what readers see.
    let key = damage(&mut client, 3);
    assert_ne!(seen(&mut client, VIEW), orders.all);
    let events = history::events(&history::orders(ORDERS, 23));
    let stream = events.iter().find(|event| event["data"]["orderId"] == *key).unwrap()["stream"].as_str().unwrap();
    data.ok(["rebuild", "order-summary", "--stream", stream]);
    assert_eq!(seen(&mut client, VIEW), orders.all);
    assert_eq!(data.json(["model", "receipt", "order-summary"])["digest"], *orders.digest("order-summary"));
    // An earlier state is built beside it, in the store.
    data.ok(["model", "as-of", "order-summary", "--to", EARLY]);
    assert_eq!(data.rows_of("order-summary/orders", &format!("as-of-{EARLY}")), orders.early);
    // A check reads rows where they live: those of the first generation are still damaged.
    let problems = data.exits(1, ["store", "check"])["problems"].clone();
    let named =
        problems[0].as_str().is_some_and(|problem| problem.starts_with("order-summary/1: its rows have the digest"));
    assert!(named && problems.as_array().map(Vec::len) == Some(1), "{problems}");
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
        let at = format!("home.committed:{}", kills + 1);
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
    let database = shared().database("restored");
    let (data, mut client) = (with_early(&database), database.client());
    let copy = data.copy();
    data.ok(["rebuild", "order-summary"]);
    // The copy's next generation has the number of one that it does not know of.
    let refused = copy.run(["rebuild", "order-summary"]);
    refused.refused(2, &["unspool_order-summary_2", "drop it"]);
    assert_eq!(seen(&mut client, VIEW), ORDERS_BUILT.all);
}
