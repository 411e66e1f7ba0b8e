//! Histories in PostgreSQL, read from a real server: the rows are those of the same events in the embedded log; nothing is
//! skipped while writers overlap, and nothing lost when connections are.

mod connections;
mod letters;
mod marks;
mod positions;
mod seen;
mod sight;
mod values;

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};
use unspool_tests::{
    data::{Data, Rows},
    history,
    plugins::plugin,
    postgres::{Database, Proxy, Server, Stop, shared},
    random::setting,
    stores::{Preset, fill, libraries, noise, writers},
};

const BINARY: &str = env!("CARGO_BIN_EXE_unspool-under-test");

/// A source in a database, as `--source` names it; `options` begin with `&`.
fn source(preset: Preset, url: &str, options: &str) -> String {
    let options = match preset {
        Preset::Generic => format!("&table=events&metadata=metadata&time=time{options}"),
        Preset::Eventsourcing => format!("&table=orders_events&types=short{options}"),
        _ => options.to_owned(),
    };
    format!("postgres:{}?{}{options}", preset.name(), connection(url))
}

/// The parts of `scheme://user@host:port/database`.
fn connection(url: &str) -> String {
    let (user, rest) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("a URL");
    let (address, database) = rest.split_once('/').expect("a database");
    let (host, port) = address.split_once(':').expect("a port");
    let database = database.split('?').next().expect("a database");
    format!("host={host}&port={port}&user={user}&dbname={database}")
}

fn filled<'a>(server: &'a Server, preset: Preset, name: &str, lines: &[u8]) -> Database<'a> {
    let database = server.database(name);
    let mut client = database.client();
    client.batch_execute(preset.schema()).expect("the schema loads");
    fill(&mut client, preset, lines);
    database
}

fn with_order_summary() -> Data {
    let data = Data::new(BINARY);
    data.install(&plugin("order-summary"));
    data
}

/// The rows without what a store has of its own: positions.
fn without_versions(mut rows: Rows) -> Rows {
    rows.values_mut().for_each(|row| drop(row.as_object_mut().and_then(|row| row.remove("version"))));
    rows
}

fn rebuilt_from_the_log(lines: &[u8]) -> Rows {
    let data = with_order_summary();
    data.import(&data.file("orders.ndjson", lines));
    data.ok(["rebuild", "order-summary"]);
    without_versions(data.rows("order-summary/orders"))
}

#[test]
fn every_store_gives_the_rows_that_the_log_gives() {
    let lines = history::orders(3_000, 11);
    let expected = rebuilt_from_the_log(&lines);
    let logged = Data::new(BINARY);
    logged.import(&logged.file("orders.ndjson", &lines));
    let shapes = shapes(&logged, "log", &[]);
    let types: Vec<&str> = shapes.iter().map(|shape| shape["type"].as_str().unwrap()).collect();
    for preset in Preset::ALL {
        let database = filled(shared(), preset, &format!("rows_{}", preset.name().replace('-', "_")), &lines);
        noise(&mut database.client(), preset);
        let data = with_order_summary();
        let source = source(preset, &database.url(), "");
        let ended = data.json(["rebuild", "order-summary", "--source", &source]);
        assert_eq!(ended["eventsProcessed"], json!(3_000), "{}: {ended:#}", preset.name());
        assert_eq!(without_versions(data.rows("order-summary/orders")), expected, "{}", preset.name());
        // This library keeps fields of its own within payloads.
        if preset != Preset::Eventsourcing {
            assert_eq!(self::shapes(&data, &source, &types), shapes, "{}", preset.name());
        }
    }
}

/// What events of `types` look like; of all where there are none.
fn shapes(data: &Data, source: &str, types: &[&str]) -> Vec<Value> {
    let types = types.iter().flat_map(|kind| ["--type", kind]);
    let mut shapes = data.list(["events", "schema", "--source", source].into_iter().chain(types));
    for shape in &mut shapes {
        shape.as_object_mut().unwrap().retain(|name, _| !["first", "last"].contains(&name.as_str()));
    }
    shapes
}

/// Stores that their own libraries made and filled. They set times of their own.
#[test]
#[ignore = "needs npm and pip, which install the libraries"]
fn stores_filled_by_their_own_libraries_give_the_same_rows() {
    let without_times = |mut rows: Rows| {
        for row in rows.values_mut().filter_map(Value::as_object_mut) {
            row.retain(|field, _| !field.ends_with("At"));
        }
        rows
    };
    let lines = history::orders(500, 41);
    let expected = without_times(rebuilt_from_the_log(&lines));
    for preset in [Preset::Emmett, Preset::Eventsourcing] {
        let database = shared().database(&format!("library_{}", preset.name()));
        match preset {
            Preset::Emmett => libraries::emmett(&database.url(), &lines),
            _ => libraries::eventsourcing(&database.url(), &lines),
        }
        let data = with_order_summary();
        data.ok(["rebuild", "order-summary", "--source", &source(preset, &database.url(), "")]);
        let rows = without_times(without_versions(data.rows("order-summary/orders")));
        assert_eq!(rows, expected, "{}", preset.name());
    }
}

/// A hand-made table whose only number is its id, through a query of the operator's.
#[test]
fn one_column_may_be_position_and_id_and_a_query_may_choose() {
    let database = shared().database("one_column");
    let table = "CREATE TABLE happened (id bigserial PRIMARY KEY, stream text, type text, data jsonb, tenant int); \
                 INSERT INTO happened (stream, type, data, tenant) \
                 SELECT 's' || n % 3, 'Any', '{}', n % 2 FROM generate_series(1, 20) AS n";
    database.client().batch_execute(table).unwrap();
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let all = format!("postgres:generic?{}&table=happened&position=id", connection(&database.url()));
    let ended = data.json(["rebuild", "process-map", "--source", &all, "--to", "15"]);
    assert_eq!((&ended["eventsProcessed"], &ended["lastEventId"]), (&json!(15), &json!("15")), "{ended:#}");
    let settings = format!(
        "[sources.tenant]\npreset = 'generic'\nconnection = '{}'\ntable = 'happened'\nposition = 'id'\n\
         query = 'SELECT id, stream, type, data FROM happened WHERE tenant = 1'\n",
        database.url()
    );
    std::fs::write(data.path().join("unspool.toml"), settings).unwrap();
    let ended = data.json(["rebuild", "process-map", "--source", "tenant"]);
    assert_eq!((&ended["eventsProcessed"], &ended["lastEventId"]), (&json!(10), &json!("19")), "{ended:#}");
}

/// A transaction that took its number before the rebuild began, and commits later, belongs to what is rebuilt.
#[test]
fn a_rebuild_waits_for_transactions_that_are_open() {
    for preset in [Preset::Generic, Preset::Emmett] {
        let name = format!("open_{}", preset.name());
        let database = filled(shared(), preset, &name, &history::orders(500, 3));
        let (mut early, mut late, mut watcher) = (database.client(), database.client(), database.client());
        let insert = |id: &str| match preset {
            Preset::Emmett => format!(
                "INSERT INTO emt_messages (stream_id, stream_position, partition, message_schema_version, message_id, \
                 message_type, message_data, message_metadata, transaction_id) \
                 VALUES ('{id}', 1, 'emt:default', '1', '{id}', 'Late', '{{}}', '{{}}', pg_current_xact_id())"
            ),
            _ => format!("INSERT INTO events (id, stream, type, data) VALUES ('{id}', '{id}', 'Late', '{{}}')"),
        };
        let mut open = early.transaction().unwrap();
        open.batch_execute(&insert("early")).unwrap();
        late.batch_execute(&insert("late")).unwrap();

        let data = Data::new(BINARY);
        data.install(&plugin("process-map"));
        let mut rebuild =
            data.start(["--json", "rebuild", "process-map", "--source", &source(preset, &database.url(), "")]);
        let asks = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'unspool' AND query LIKE '%virtualxid%' \
                    AND datname = current_database()";
        // One that does not wait ends, without the early event.
        while rebuild.is_alive() && watcher.query_one(asks, &[]).unwrap().get::<_, i64>(0) == 0 {
            std::thread::yield_now();
        }
        open.commit().unwrap();
        let ended = rebuild.end().json();
        assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(502)), "{ended:#}");
    }
}

/// Eight writers whose transactions overlap, end in another order than they began, and partly roll back: every event is
/// applied once, in order. A reader who only asks for greater numbers loses some.
#[test]
fn a_follower_applies_every_event_of_overlapping_writers_once() {
    let total: u64 = setting("UNSPOOL_FOLLOW", 600);
    for preset in [Preset::Generic, Preset::Emmett, Preset::MessageDb] {
        let name = format!("follow_{}", preset.name().replace('-', "_"));
        let database = filled(shared(), preset, &name, &history::orders(200, 5));
        let data = Data::new(BINARY);
        data.install(&plugin("process-map"));
        let _host = data.serve();
        let source = source(preset, &database.url(), "");
        data.ok(["rebuild", "process-map", "--source", &source, "--follow", "--detach"]);
        data.wait_for("process-map", |status| status["following"] == "following");
        if preset == Preset::Emmett {
            // Over a power of ten: transactions are numbers, not texts.
            use_transactions(&database, 9_900);
        }
        let finished = AtomicBool::new(false);
        let (written, seen_by_the_naive) = std::thread::scope(|scope| {
            let naive = scope.spawn(|| naive_reader(&database, preset, &finished));
            let written = writers(&database.url(), preset, 8, total, 17);
            finished.store(true, Ordering::SeqCst);
            (written, naive.join().unwrap())
        });
        let all = 200 + written.committed.len() as u64;
        let status = data.wait_for("process-map", |status| {
            let now = (&status["status"], &status["following"]);
            assert_eq!(now, (&json!("completed"), &json!("following")), "{status:#}");
            status["eventsProcessed"] == all
        });
        assert_eq!(status["follow"], json!({ "events": 0, "ms": 0 }));
        assert_eq!(data.rows("process-map/activities")["Appended"]["count"], json!(written.committed.len()));
        let mut per_stream = BTreeMap::<&str, u64>::new();
        for event in &written.committed {
            *per_stream.entry(&event.stream).or_default() += 1;
        }
        let cases = data.rows("process-map/cases");
        for (stream, events) in per_stream {
            assert_eq!(cases[stream]["events"], json!(events), "{}: {stream}", preset.name());
        }
        if preset == Preset::Generic {
            assert!(seen_by_the_naive < all, "the naive reader lost nothing: the writers do not overlap");
        }
        data.ok(["unfollow", "process-map"]);
    }
}

/// Uses up transaction numbers, as far as `next` where they are not there yet.
fn use_transactions(database: &Database<'_>, next: i64) {
    let mut client = database.client();
    let now: String = client.query_one("SELECT pg_current_xact_id()::text", &[]).unwrap().get(0);
    let missing = next - now.parse::<i64>().unwrap();
    let block = "CREATE TABLE used (number bigint); \
                 DO $$ BEGIN FOR number IN 1..@ LOOP BEGIN INSERT INTO used VALUES (number); EXCEPTION WHEN OTHERS THEN END; \
                 END LOOP; END $$";
    client.batch_execute(&block.replace('@', &missing.max(0).to_string())).unwrap();
}

/// Reads as people do who trust a sequence: whatever is greater than the last.
fn naive_reader(database: &Database<'_>, preset: Preset, finished: &AtomicBool) -> u64 {
    let (table, number) = match preset {
        Preset::Emmett => ("emt_messages", "global_position"),
        Preset::MessageDb => ("message_store.messages", "global_position"),
        _ => ("events", "position"),
    };
    let (mut client, mut last, mut seen) = (database.client(), 0_i64, 0);
    let query = format!("SELECT {number} FROM {table} WHERE {number} > $1 ORDER BY {number}");
    loop {
        let no_more = finished.load(Ordering::SeqCst);
        let rows = client.query(&query, &[&last]).unwrap();
        seen += rows.len() as u64;
        last = rows.last().map_or(last, |row| row.get(0));
        if no_more && rows.is_empty() {
            return seen;
        }
    }
}

#[test]
fn a_lost_connection_loses_and_doubles_nothing() {
    let lines = history::orders(20_000, 23);
    let database = filled(shared(), Preset::MessageDb, "cut_within_rows", &lines);
    let proxy = Proxy::new(shared().port());
    let source = source(Preset::MessageDb, &proxy.url(&database.url()), "");
    let data = with_order_summary();
    // Somewhere within the rows.
    proxy.cut_after(3_000_000);
    let rebuild = data.start(["--json", "rebuild", "order-summary", "--source", &source, "--chunk-size", "200"]);
    proxy.wait_for_cuts(1);
    proxy.heal();
    let ended = rebuild.end().json();
    assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(20_000)), "{ended:#}");
    assert_eq!(without_versions(data.rows("order-summary/orders")), rebuilt_from_the_log(&lines));
}

#[test]
fn a_server_that_starts_again_is_read_on() {
    let mut server = Server::new();
    let (url, port) = {
        let database = filled(&server, Preset::Generic, "again", &history::orders(300, 29));
        (database.url(), server.port())
    };
    assert!(url.contains(&port.to_string()));
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let _host = data.serve();
    data.ok(["rebuild", "process-map", "--source", &source(Preset::Generic, &url, ""), "--follow", "--detach"]);
    data.wait_for("process-map", |status| status["eventsProcessed"] == 300);
    server.restart(Stop::Immediate);
    let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    client.batch_execute("INSERT INTO events (id, stream, type, data) VALUES ('x', 'x', 'After', '{}')").unwrap();
    let status = data.wait_for("process-map", |status| status["eventsProcessed"] == 301);
    assert_eq!((&status["status"], &status["following"]), (&json!("completed"), &json!("following")), "{status:#}");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let server = shared();
    let database = filled(server, Preset::Generic, "refused", &history::orders(10, 1));
    let mut admin = database.client();
    server.role("reader", Some("secret"));
    let as_reader = source(Preset::Generic, &database.url_of("reader"), "");
    let data = with_order_summary();
    let try_with = |source: &str, password: Option<&str>| {
        let mut command = data.command(["--json", "rebuild", "order-summary", "--source", source]);
        command.env_remove("PGPASSWORD").env_remove("PGPASSFILE").env("HOME", data.path());
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        unspool_tests::data::Answer::from(command.output().unwrap())
    };
    try_with(&as_reader, Some("wrong")).refused(2, &["password authentication failed", "PGPASSWORD"]);
    try_with(&as_reader, None).refused(2, &["password", "PGPASSWORD"]);
    try_with(&as_reader, Some("secret")).refused(2, &["permission denied for table events", "GRANT SELECT"]);
    admin.batch_execute("GRANT SELECT ON events TO reader").unwrap();
    assert_eq!(try_with(&as_reader, Some("secret")).json()["eventsProcessed"], json!(10));

    let url = database.url();
    let refused = |source: &str, words: &[&str]| try_with(source, None).refused(2, words);
    refused(&source(Preset::Marten, &url, ""), &["mt_events", "does not exist", "right database, schema and preset"]);
    refused(&source(Preset::Generic, &url, "&id=uuid"), &["column \"uuid\" does not exist"]);
    refused(
        &source(Preset::Generic, &url, "&position=type"),
        &["the position (\"type\") is of type text", "an integer"],
    );
    refused(&source(Preset::Generic, &url, "&colour=red"), &["has no option colour; it has: table"]);
    refused(&source(Preset::Generic, &format!("{url}_missing"), ""), &["refused_missing", "CREATE DATABASE"]);
    refused("postgres:oracle?host=127.0.0.1&user=u", &["there is no preset oracle; there are: generic, message-db"]);
    refused("postgres:generic?host=127.0.0.1&user=u&password=p", &["PGPASSFILE"]);
    refused("elsewhere", &["source elsewhere is not known", "unspool.toml"]);
    admin.batch_execute("ALTER SEQUENCE events_position_seq CACHE 20").unwrap();
    refused(&source(Preset::Generic, &url, ""), &["CACHE 20", "ALTER SEQUENCE events_position_seq CACHE 1"]);
    admin.batch_execute("ALTER SEQUENCE events_position_seq CACHE 1").unwrap();

    admin.batch_execute("ALTER TABLE events ALTER data TYPE bytea USING '\\x789c0000'").unwrap();
    let bad = try_with(&source(Preset::Generic, &url, ""), None);
    assert_eq!(bad.exit, Some(1), "{bad:#?}");
    let error = bad.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("compressed with zlib, not JSON") && error.contains("position 1"), "{error}");
}

/// Ranges by id, position and time; counts and receipts; a source named in the settings; the position beyond the head.
#[test]
fn a_named_source_has_ranges_like_the_log() {
    let lines = history::orders(400, 31);
    let database = filled(shared(), Preset::MessageDb, "named", &lines);
    let data = with_order_summary();
    let settings = format!("[sources.shop]\npreset = 'message-db'\nconnection = '{}'\n", database.url());
    std::fs::write(data.path().join("unspool.toml"), settings).unwrap();
    let events = history::events(&lines);
    let log = with_order_summary();
    log.import(&log.file("orders.ndjson", &lines));
    let time = jiff_time(events[200]["timestamp"].as_i64().unwrap());
    for to in ["123", &time] {
        data.ok(["rebuild", "order-summary", "--source", "shop", "--to", to, "--restart"]);
        log.ok(["rebuild", "order-summary", "--to", to, "--restart"]);
        let rows = without_versions(data.rows("order-summary/orders"));
        assert_eq!(rows, without_versions(log.rows("order-summary/orders")), "--to {to}");
    }
    let receipt = data.json(["model", "receipt", "order-summary"]);
    assert_eq!(receipt["source"], "shop");
    let verified: Value = data.json(["model", "verify", "order-summary"]);
    for what in ["missing", "extra", "different"] {
        assert_eq!(verified[what], json!(0), "{verified:#}");
    }

    // The store is put back to an earlier backup: what was built is ahead of it.
    data.ok(["rebuild", "order-summary", "--source", "shop", "--follow", "--restart", "--detach"]);
    data.wait_for("order-summary", |status| status["following"] == "following" && status["eventsProcessed"] == 400);
    data.ok(["unfollow", "order-summary"]);
    database.client().batch_execute("DELETE FROM message_store.messages WHERE global_position > 300").unwrap();
    data.run(["follow", "order-summary"])
        .refused(2, &["it ends at 300, before 400", "unspool rebuild order-summary --restart"]);
}

fn jiff_time(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap().to_string()
}
