//! Rows without a position, positions that are no whole numbers or not of one row alone, transactions that are not this
//! server's: what has no place in the order is named or counted.

use super::seen::{events_of, named, refused, source};
use serde_json::json;
use unspool::{
    source::Source,
    vocabulary::{Matcher, Position},
};
use unspool_tests::{
    data::Data,
    history,
    plugins::plugin,
    postgres::{Database, shared},
    stores::{self, Preset},
};

const COLUMNS: &str = "id uuid DEFAULT gen_random_uuid(), stream text DEFAULT 's', type text DEFAULT 'T', data jsonb, \
                       at timestamptz DEFAULT now()";
const OPTIONS: &str = "&table=events&time=at";

fn table(name: &str, columns: &str, more: &str) -> Database<'static> {
    let database = shared().database(name);
    database.client().batch_execute(&format!("CREATE TABLE events ({columns}, {COLUMNS}); {more}")).unwrap();
    database
}

#[test]
fn rows_without_a_position_are_left_out_and_counted() {
    let database = table(
        "unnumbered",
        "position bigint UNIQUE",
        "INSERT INTO events (position) SELECT generate_series(1, 100); INSERT INTO events (type) VALUES ('A'), ('B'), ('C')",
    );
    let outbox = source(&database, "generic", OPTIONS).unwrap();
    assert_eq!((outbox.stable().unwrap(), outbox.ceiling().unwrap()), (Position::number(100), Position::number(100)));
    assert_eq!(events_of(&outbox, &Matcher::All).unwrap().len(), 100);
    let left_out = || json!(outbox.left_out(Position::START, outbox.ceiling().unwrap()).unwrap());
    assert_eq!(left_out(), json!({ "unnumbered": 3 }));
    let id = database.client().query_one("SELECT id::text FROM events WHERE type = 'A'", &[]).unwrap();
    assert!(outbox.locate(id.get(0)).unwrap().found().is_none(), "an event without a position ends no range");

    let data = Data::new(super::BINARY);
    data.install(&plugin("process-map"));
    let text = format!("postgres:generic?{}{OPTIONS}", super::connection(&database.url()));
    let said = json!({ "unnumbered": 3 });
    assert_eq!(data.json(["rebuild", "process-map", "--source", &text, "--dry-run"])["leftOut"], said);
    let ended = data.json(["rebuild", "process-map", "--source", &text]);
    assert_eq!(ended["eventsProcessed"], json!(100), "{ended:#}");
    assert_eq!(data.json(["model", "receipt", "process-map"])["events"]["leftOut"], said);

    // A relay gives one its number: a follower sees it.
    database.client().batch_execute("UPDATE events SET position = 101 WHERE type = 'A'").unwrap();
    assert_eq!((outbox.stable().unwrap(), left_out()), (Position::number(101), json!({ "unnumbered": 2 })));
}

#[test]
fn messages_without_a_number_are_counted_where_transactions_order_them() {
    let database = shared().database("unnumbered_messages");
    let mut client = database.client();
    client.batch_execute(Preset::Emmett.schema()).unwrap();
    stores::fill(&mut client, Preset::Emmett, &history::orders(20, 1));
    let insert = "INSERT INTO emt_messages (stream_id, stream_position, global_position, message_schema_version, message_id, \
                  message_type, message_data, message_metadata, transaction_id) \
                  VALUES ('s', 1, NULL, '1', 'm', 'T', '{}', '{}', pg_current_xact_id())";
    client.batch_execute(insert).unwrap();
    let source = source(&database, "emmett", "").unwrap();
    assert_eq!(events_of(&source, &Matcher::All).unwrap().len(), 20);
    let left_out = source.left_out(Position::START, source.ceiling().unwrap()).unwrap();
    assert_eq!(json!(left_out), json!({ "unnumbered": 1 }));
}

/// The end of the history and its events come from the same columns.
#[test]
fn a_query_ordered_by_transactions_is_read_to_its_own_end() {
    let database = table(
        "own_transactions",
        "number bigserial PRIMARY KEY, position int DEFAULT 1, written xid8 NOT NULL DEFAULT pg_current_xact_id()",
        "INSERT INTO events (data) SELECT to_jsonb(n) FROM generate_series(1, 1000) AS n",
    );
    let query = "table = 'events'\ntime = 'at'\ntransaction = 'tx'\n\
                 query = 'SELECT number AS position, written AS tx, id, stream, type, data, at FROM events'";
    let source = named(&database, query).unwrap();
    assert_eq!(events_of(&source, &Matcher::All).unwrap().len(), 1000);
    assert_eq!(source.stable().unwrap(), source.ceiling().unwrap());
}

#[test]
fn rows_without_a_transaction_are_refused_with_their_number() {
    let columns = "position bigserial PRIMARY KEY, tx xid8";
    let database = table(
        "no_transactions",
        columns,
        "INSERT INTO events (data) SELECT to_jsonb(n) FROM generate_series(1, 100) AS n; \
         ALTER TABLE events ALTER tx SET DEFAULT pg_current_xact_id(); \
         INSERT INTO events (data) SELECT to_jsonb(n) FROM generate_series(101, 103) AS n",
    );
    let options = format!("{OPTIONS}&transaction=tx");
    let remedy = "UPDATE \"events\" SET \"tx\" = '1' WHERE \"tx\" IS NULL";
    refused(source(&database, "generic", &options), &["100 rows", remedy]);
    let query = "table = 'events'\ntime = 'at'\ntransaction = 'tx'\nquery = 'SELECT * FROM events'";
    refused(named(&database, query), &["100 rows"]);
    database.client().batch_execute(&format!("{remedy}; ALTER TABLE events ALTER tx SET NOT NULL")).unwrap();
    let seen = events_of(&source(&database, "generic", &options).unwrap(), &Matcher::All).unwrap();
    assert!(seen.iter().map(|event| event.position).eq(1..=103));
}

#[test]
fn positions_that_two_rows_have_are_refused_before_anything_is_read() {
    let database = table(
        "doubled",
        "position bigint",
        "CREATE INDEX ON events (position); INSERT INTO events (position) VALUES (1), (7), (7), (8), (NULL), (NULL)",
    );
    let open = || source(&database, "generic", OPTIONS);
    refused(open(), &["2 rows have the position 7", "unique"]);
    database.client().batch_execute("DELETE FROM events WHERE position = 7").unwrap();
    let unindexed = open().unwrap();
    assert_eq!(events_of(&unindexed, &Matcher::All).unwrap().len(), 2);
    // A sequence that is set back would go on below a follower.
    let remedy = "CREATE UNIQUE INDEX CONCURRENTLY ON \"events\" (\"position\")";
    refused(unindexed.refuse_following(), &[remedy]);
    let data = Data::new(super::BINARY);
    data.install(&plugin("process-map"));
    let text = format!("postgres:generic?{}{OPTIONS}", super::connection(&database.url()));
    data.run(["rebuild", "process-map", "--source", &text, "--follow", "--dry-run"]).refused(2, &[remedy]);
    data.ok(["rebuild", "process-map", "--source", &text]);
    database.client().batch_execute(remedy).unwrap();
    assert!(open().unwrap().refuse_following().is_ok());
    // As an outbox has it.
    database
        .client()
        .batch_execute(
            "DROP INDEX events_position_idx1; CREATE UNIQUE INDEX ON events (position) WHERE position IS NOT NULL",
        )
        .unwrap();
    assert!(open().unwrap().refuse_following().is_ok());
}

#[test]
fn a_unique_index_has_the_keys_of_partitions_as_well() {
    let parts = "DROP TABLE events; \
                 CREATE TABLE events (position bigint, COLUMNS, PRIMARY KEY (position, stream)) PARTITION BY LIST (stream); \
                 CREATE TABLE one PARTITION OF events FOR VALUES IN ('1'); CREATE TABLE two PARTITION OF events FOR VALUES IN ('2'); \
                 INSERT INTO events (position, stream) VALUES (1, '1'), (2, '2'), (3, '1'); CREATE VIEW seen AS SELECT * FROM events";
    let columns = COLUMNS.replace("stream text DEFAULT 's'", "stream text");
    let database = table("parts", "position int", &parts.replace("COLUMNS", &columns));
    let of = |table: &str| source(&database, "generic", &format!("&table={table}&time=at"));
    for table in ["events", "one", "seen"] {
        assert!(of(table).unwrap().refuse_following().is_ok(), "{table}");
    }
    // Numbers of each partition's own.
    database.client().batch_execute("INSERT INTO events (position, stream) VALUES (3, '2')").unwrap();
    refused(of("events"), &["2 rows have the position 3"]);
    assert!(of("one").is_ok());
}

#[test]
fn a_last_position_with_a_fraction_is_refused() {
    let database =
        table("fractions", "position numeric PRIMARY KEY", "INSERT INTO events (position) VALUES (1), (2), (2.4)");
    let source = source(&database, "generic", OPTIONS).unwrap();
    for end in [source.ceiling(), source.stable()] {
        refused(end, &["position 2.4", "no whole number"]);
    }
    for other in ["2.6", "1e30", "'NaN'"] {
        database.client().batch_execute(&format!("UPDATE events SET position = {other} WHERE position > 2")).unwrap();
        refused(source.ceiling(), &["no whole number"]);
    }
    database.client().batch_execute("UPDATE events SET position = 3.00 WHERE position > 2").unwrap();
    assert_eq!(source.ceiling().unwrap(), Position::number(3));
}

#[test]
fn transactions_of_another_cluster_are_refused_at_once() {
    let database = shared().database("restored");
    let mut client = database.client();
    client.batch_execute(Preset::Emmett.schema()).unwrap();
    stores::fill(&mut client, Preset::Emmett, &history::orders(20, 1));
    client.batch_execute("UPDATE emt_messages SET transaction_id = '987654321000' WHERE global_position > 15").unwrap();
    let remedy = "UPDATE \"public\".\"emt_messages\" SET transaction_id = '1'";
    refused(source(&database, "emmett", ""), &["987654321000", "another cluster", remedy]);
    client.batch_execute(remedy).unwrap();
    let restored = source(&database, "emmett", "").unwrap();
    assert!(events_of(&restored, &Matcher::All).unwrap().iter().map(|event| event.position).is_sorted());
    let before = restored.ceiling().unwrap();
    stores::noise(&mut client, Preset::Emmett);
    assert!(restored.ceiling().unwrap() > before, "what is written here comes behind it");
}
