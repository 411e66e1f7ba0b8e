//! What a source cannot see, it asks: a part of a table, another server's transactions, numbers that sessions keep.

use super::seen::{events, events_of, named, refused, source};
use serde_json::json;
use unspool::{
    source::{Source, postgres::PostgresSource},
    vocabulary::{Matcher, Position},
};
use unspool_tests::{
    data::Data,
    history,
    plugins::plugin,
    postgres::{Database, Options, Server, shared},
    stores::{self, Preset},
};

const TABLE: &str = "CREATE TABLE events (position bigserial PRIMARY KEY, id uuid DEFAULT gen_random_uuid(), stream text DEFAULT 's', \
                     type text DEFAULT 'T', data jsonb, at timestamptz DEFAULT now()); \
                     INSERT INTO events (data) SELECT to_jsonb(n) FROM generate_series(1, 10) AS n;";
const OPTIONS: &str = "&table=events&time=at";

fn table(name: &str, more: &str) -> Database<'static> {
    let database = shared().database(name);
    database.client().batch_execute(&format!("{TABLE}{more}")).unwrap();
    database
}

#[test]
fn a_part_of_a_table_is_not_taken_for_the_whole() {
    let server = shared();
    for role in ["sees_a_part", "sees_all", "owns_it"] {
        server.role(role, None);
    }
    let database = table(
        "row_security",
        "ALTER TABLE events ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON events USING (position % 2 = 1); \
         ALTER ROLE sees_all BYPASSRLS; CREATE VIEW seen AS SELECT * FROM events; CREATE VIEW invoked WITH (security_invoker) AS \
         SELECT * FROM events; ALTER TABLE events OWNER TO owns_it; GRANT SELECT ON events, seen, invoked TO sees_a_part, sees_all;",
    );
    let open = |role: &str, table: &str| {
        let text = format!("generic?{}&table={table}&time=at", super::connection(&database.url_of(role)));
        PostgresSource::inline("it", &text)
    };
    let as_role = |role: &str, table: &str| events_of(&open(role, table)?, &Matcher::All);
    for table in ["events", "invoked"] {
        refused(as_role("sees_a_part", table), &["row-level security", "ALTER ROLE \"sees_a_part\" BYPASSRLS"]);
    }
    assert_eq!(as_role("sees_all", "events").unwrap().len(), 10);
    assert_eq!(as_role("owns_it", "events").unwrap().len(), 10);
    // The view sees what its owner does.
    assert_eq!(as_role("sees_a_part", "seen").unwrap().len(), 10);
    // It may begin to hide rows from who has it open.
    let opened = open("owns_it", "events").unwrap();
    assert_eq!(events_of(&opened, &Matcher::All).unwrap().len(), 10);
    database.client().batch_execute("ALTER TABLE events FORCE ROW LEVEL SECURITY").unwrap();
    refused(events_of(&opened, &Matcher::All), &["row-level security"]);
    refused(as_role("owns_it", "events"), &["row-level security"]);
    // The superuser is not subject to it.
    assert_eq!(events(&database, "generic", OPTIONS).unwrap().len(), 10);
}

#[test]
fn a_standby_does_not_know_who_is_at_work_on_its_primary() {
    let primary = Server::new();
    let gaps = primary.database("gaps");
    gaps.client().batch_execute(TABLE).unwrap();
    let emmett = primary.database("emmett");
    emmett.client().batch_execute(Preset::Emmett.schema()).unwrap();
    stores::fill(&mut emmett.client(), Preset::Emmett, &history::orders(50, 1));
    let standby = primary.standby();
    let at_standby = |database: &Database<'_>, preset: &str, options: &str| {
        let url = database.url().replace(&format!(":{}/", primary.port()), &format!(":{}/", standby.port()));
        PostgresSource::inline("it", &format!("{preset}?{}{options}", super::connection(&url)))
    };
    refused(at_standby(&gaps, "generic", OPTIONS), &["is a standby", "read from the primary"]);
    assert_eq!(events(&gaps, "generic", OPTIONS).unwrap().len(), 10);
    // What has ended is all that these need to know.
    let serialised = at_standby(&gaps, "generic", &format!("{OPTIONS}&ordering=serialised")).unwrap();
    assert_eq!(events_of(&serialised, &Matcher::All).unwrap().len(), 10);
    assert_eq!(events_of(&at_standby(&emmett, "emmett", "").unwrap(), &Matcher::All).unwrap().len(), 50);
}

#[test]
fn tables_that_others_fill_are_refused() {
    let database = table(
        "filled_by_others",
        "CREATE MATERIALIZED VIEW snapshot AS SELECT * FROM events; CREATE VIEW over_snapshot AS SELECT * FROM snapshot; \
         CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw; \
         CREATE USER MAPPING FOR admin SERVER elsewhere OPTIONS (user 'admin'); CREATE FOREIGN TABLE far (position bigint, id uuid, stream text, \
         type text, data jsonb, at timestamptz) SERVER elsewhere OPTIONS (table_name 'events');",
    );
    // The foreign server is this one.
    let (port, name) = (shared().port(), database.name());
    let there =
        format!("ALTER SERVER elsewhere OPTIONS (ADD host '127.0.0.1', ADD port '{port}', ADD dbname '{name}')");
    database.client().batch_execute(&there).unwrap();
    let of = |table: &str| events(&database, "generic", &format!("&table={table}&time=at"));
    refused(of("snapshot"), &["snapshot is a materialised view"]);
    refused(of("over_snapshot"), &["snapshot is a materialised view"]);
    refused(of("far"), &["far is a foreign table", "read from that server"]);
    let query = "table = 'events'\nquery = 'SELECT * FROM far'\ntime = 'at'";
    refused(named(&database, query), &["far is a foreign table"]);
    assert_eq!(events(&database, "generic", "&table=far&time=at&ordering=serialised").unwrap().len(), 10);
}

#[test]
fn a_subscriber_does_not_know_who_is_at_work_on_its_publisher() {
    let server = Server::with(Options { settings: vec!["wal_level=logical".to_owned()], ..Options::default() });
    let (publisher, subscriber) = (server.database("publisher"), server.database("subscriber"));
    publisher.client().batch_execute(&format!("{TABLE} CREATE PUBLICATION events FOR TABLE events;")).unwrap();
    publisher.client().execute("SELECT pg_create_logical_replication_slot('events', 'pgoutput')", &[]).unwrap();
    let mut client = subscriber.client();
    client.batch_execute(&format!("{TABLE} TRUNCATE events;")).unwrap();
    let subscription = format!(
        "CREATE SUBSCRIPTION events CONNECTION 'host=127.0.0.1 port={} user=admin dbname=publisher' PUBLICATION events \
         WITH (create_slot = false, enabled = false)",
        server.port()
    );
    client.batch_execute(&subscription).unwrap();
    refused(source(&subscriber, "generic", OPTIONS), &["filled by logical replication", "read from the publisher"]);
    assert!(source(&publisher, "generic", OPTIONS).is_ok());
}

#[test]
fn numbers_that_sessions_keep_are_found_below_whatever_shows_them() {
    let database = shared().database("kept_numbers");
    let mut client = database.client();
    let columns = "id uuid DEFAULT gen_random_uuid(), stream text, type text, data jsonb, at timestamptz DEFAULT now()";
    let tables = format!(
        "CREATE SEQUENCE numbers CACHE 20; \
         CREATE TABLE plain (position bigint PRIMARY KEY DEFAULT nextval('numbers'), {columns}); \
         CREATE VIEW above AS SELECT * FROM plain; CREATE VIEW further AS SELECT * FROM above; \
         CREATE TABLE parts (position bigint DEFAULT nextval('numbers'), {columns}) PARTITION BY RANGE (position); \
         CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (1000); \
         CREATE TABLE own (position bigint GENERATED ALWAYS AS IDENTITY (CACHE 5), {columns}); \
         CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('numbers') $$; \
         CREATE TABLE called (position bigint DEFAULT next_number(), {columns}); \
         CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.position = nextval('numbers'); RETURN NEW; END $$; \
         CREATE TABLE triggered (position bigint, {columns}); \
         CREATE TRIGGER number BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION number(); \
         CREATE SEQUENCE steps INCREMENT 2; CREATE TABLE stepping (position bigint DEFAULT nextval('steps'), {columns}); \
         CREATE FUNCTION further_number() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN next_number(); END $$; \
         CREATE TABLE called_further (position bigint DEFAULT further_number(), {columns}); \
         CREATE SEQUENCE rounds MAXVALUE 1000 CYCLE; CREATE TABLE turning (position bigint DEFAULT nextval('rounds'), {columns}); \
         CREATE TABLE beside (position bigserial PRIMARY KEY, other bigint GENERATED ALWAYS AS IDENTITY (CACHE 30), {columns}); \
         CREATE TABLE alone (position bigserial, {columns});"
    );
    client.batch_execute(&tables).unwrap();
    for (table, words) in [
        ("plain", "CACHE 20"),
        ("above", "CACHE 20"),
        ("further", "CACHE 20"),
        ("parts", "CACHE 20"),
        ("part", "CACHE 20"),
        ("own", "CACHE 5"),
        ("called", "CACHE 20"),
        ("triggered", "CACHE 20"),
        ("stepping", "INCREMENT 2"),
        ("called_further", "CACHE 20"),
        ("turning", "CYCLE"),
    ] {
        refused(source(&database, "generic", &format!("&table={table}&time=at")), &[words, "ALTER SEQUENCE"]);
        let query = format!("table = 'alone'\nquery = 'SELECT * FROM {table}'\ntime = 'at'");
        refused(named(&database, &query), &[words]);
    }
    for table in ["alone", "beside"] {
        assert!(source(&database, "generic", &format!("&table={table}&time=at")).is_ok(), "{table}");
    }
    let through_a_query = "table = 'beside'\nquery = 'SELECT * FROM beside, plain WHERE false'\ntime = 'at'";
    let through_a_query = through_a_query.replace("SELECT *", "SELECT beside.*");
    assert!(named(&database, &through_a_query).is_ok(), "the numbers of other tables are not read");
    client.batch_execute("ALTER SEQUENCE numbers CACHE 1").unwrap();
    for table in ["further", "part", "called", "triggered"] {
        assert!(source(&database, "generic", &format!("&table={table}&time=at")).is_ok(), "{table}");
    }
}

const TENANTS: &str = "CREATE SEQUENCE mt_events_sequence; \
    CREATE TABLE mt_streams (tenant_id varchar NOT NULL, id varchar NOT NULL, PRIMARY KEY (tenant_id, id)); \
    CREATE TABLE mt_events (seq_id bigint, id uuid NOT NULL DEFAULT gen_random_uuid(), stream_id varchar, version bigint NOT NULL, \
    data jsonb NOT NULL, type varchar(500) NOT NULL DEFAULT 't', timestamp timestamptz NOT NULL DEFAULT now(), \
    tenant_id varchar NOT NULL, mt_dotnet_type varchar, is_archived bool DEFAULT FALSE, PRIMARY KEY (KEY)); \
    ALTER SEQUENCE mt_events_sequence OWNED BY mt_events.seq_id; \
    CREATE UNIQUE INDEX pk_mt_events_stream_and_version ON mt_events (tenant_id, stream_id, version);";

#[test]
fn tenants_are_kept_apart_or_named() {
    let database = shared().database("tenants");
    let rows = "INSERT INTO mt_events (seq_id, stream_id, version, data, tenant_id) SELECT nextval('mt_events_sequence'), 'order-1', \
                n / 2, to_jsonb(n), (ARRAY['acme', 'globex'])[1 + n % 2] FROM generate_series(2, 9) AS n";
    database.client().batch_execute(&format!("{}{rows}", TENANTS.replace("KEY)", "seq_id)"))).unwrap();
    let streams = |options: &str| {
        let seen = events(&database, "marten", options)?;
        Ok(seen.into_iter().map(|event| (event.stream, event.data.as_i64().unwrap())).collect::<Vec<_>>())
    };
    refused(streams(""), &["tenant=NAME", "tenants=prefix"]);
    refused(streams("&tenant=initech"), &["no event of a tenant initech"]);
    refused(streams("&tenants=all"), &["it is prefix"]);
    let of = |stream: &str, from: i64, step: usize| {
        (from..10).step_by(step).map(|n| (stream.to_owned(), n)).collect::<Vec<_>>()
    };
    assert_eq!(streams("&tenant=globex").unwrap(), of("order-1", 3, 2));
    let all = streams("&tenants=prefix").unwrap();
    let acme: Vec<_> = all.iter().filter(|(stream, _)| stream.starts_with("acme")).cloned().collect();
    assert_eq!((all.len(), acme), (8, of("acme:order-1", 2, 2)));
    // A tenant's name may have the colon that stands behind it.
    let odd = "INSERT INTO mt_events (seq_id, stream_id, version, data, tenant_id) VALUES (101, 'b:c', 1, '1', 'a'), \
               (102, 'c', 1, '2', 'a:b'), (103, 'c', 1, '3', 'a%3Ab')";
    database.client().batch_execute(odd).unwrap();
    let odd = streams("&tenants=prefix").unwrap().split_off(8);
    assert_eq!(odd, [("a:b:c".to_owned(), 1), ("a%3Ab:c".to_owned(), 2), ("a%253Ab:c".to_owned(), 3)]);
    database.client().batch_execute("DELETE FROM mt_events WHERE seq_id > 100").unwrap();
    // The others' events are left out, and counted; one of theirs that is archived counts as that.
    database.client().batch_execute("UPDATE mt_events SET is_archived = TRUE WHERE seq_id IN (1, 2)").unwrap();
    let globex = source(&database, "marten", "&tenant=globex").unwrap();
    let left_out = globex.left_out(Position::START, globex.ceiling().unwrap()).unwrap();
    assert_eq!(json!(left_out), json!({ "archived": 2, "otherTenants": 3 }));
}

/// Each tenant counts its own events.
#[test]
fn a_tenant_with_a_sequence_of_its_own_has_an_end_of_its_own() {
    let database = shared().database("own_tenants");
    let rows = "INSERT INTO mt_events (seq_id, stream_id, version, data, tenant_id) SELECT n, 's', n, to_jsonb(n), 'acme' \
                FROM generate_series(1, 3) AS n UNION ALL SELECT n, 's', n, to_jsonb(n), 'globex' FROM generate_series(1, 50) AS n";
    database.client().batch_execute(&format!("{}{rows}", TENANTS.replace("KEY)", "seq_id, tenant_id)"))).unwrap();
    refused(events(&database, "marten", "&tenants=prefix"), &["UseTenantPartitionedEvents", "tenant=NAME"]);
    let acme = source(&database, "marten", "&tenant=acme").unwrap();
    assert_eq!(acme.ceiling().unwrap(), Position::number(3));
    assert_eq!(events_of(&acme, &Matcher::All).unwrap().len(), 3);
}

#[test]
fn a_partition_that_does_not_exist_is_refused() {
    let database = shared().database("partitions");
    database.client().batch_execute(Preset::Emmett.schema()).unwrap();
    // One without events is there.
    assert_eq!(events(&database, "emmett", "").unwrap().len(), 0);
    stores::fill(&mut database.client(), Preset::Emmett, &history::orders(20, 1));
    refused(events(&database, "emmett", "&partition=tenant-1"), &["no partition tenant-1; there are: emt:default"]);
    assert_eq!(events(&database, "emmett", "").unwrap().len(), 20);
}

/// What a preset leaves out is counted, and said before a rebuild and in its receipt.
#[test]
fn what_is_left_out_is_counted() {
    let lines = history::orders(40, 1);
    for (preset, expected) in [
        (Preset::Marten, json!({ "archived": 1, "skipped": 1 })),
        (Preset::Emmett, json!({ "archived": 1, "noEvents": 2, "otherPartitions": 1 })),
        (Preset::Eventuous, json!({ "tombstones": 1 })),
        (Preset::MessageDb, json!({})),
    ] {
        let database = shared().database(&format!("left_out_{}", preset.name().replace('-', "_")));
        database.client().batch_execute(preset.schema()).unwrap();
        stores::fill(&mut database.client(), preset, &lines);
        stores::noise(&mut database.client(), preset);
        if preset == Preset::Emmett {
            let commands = "UPDATE emt_messages SET message_kind = 'C' WHERE global_position IN (7, 9)";
            database.client().batch_execute(commands).unwrap();
        }
        let source = source(&database, preset.name(), "").unwrap();
        let left_out = source.left_out(Position::START, source.ceiling().unwrap()).unwrap();
        assert_eq!(json!(left_out), expected, "{}", preset.name());
    }
    let data = Data::new(super::BINARY);
    data.install(&plugin("process-map"));
    let url = shared().existing("left_out_marten").url();
    let source = format!("postgres:marten?{}", super::connection(&url));
    let expected = json!({ "archived": 1, "skipped": 1 });
    assert_eq!(data.json(["rebuild", "process-map", "--source", &source, "--dry-run"])["leftOut"], expected);
    data.ok(["rebuild", "process-map", "--source", &source]);
    assert_eq!(data.json(["model", "receipt", "process-map"])["events"]["leftOut"], expected);
}

/// What is set for a role or a database does not reach what is read.
#[test]
fn settings_of_roles_and_databases_change_nothing() {
    let server = shared();
    server.role("set_in_its_ways", None);
    let database = table(
        "set_in_its_ways",
        "GRANT SELECT ON events TO set_in_its_ways; ALTER TABLE events ADD COLUMN day text; \
         ALTER ROLE set_in_its_ways SET statement_timeout = '100ms'; ALTER ROLE set_in_its_ways SET lock_timeout = '100ms'; \
         ALTER ROLE set_in_its_ways SET idle_in_transaction_session_timeout = '100ms'; \
         ALTER ROLE set_in_its_ways SET default_transaction_isolation = 'serializable'; \
         ALTER ROLE set_in_its_ways SET default_transaction_deferrable = on; \
         ALTER ROLE set_in_its_ways SET standard_conforming_strings = off; \
         ALTER ROLE set_in_its_ways SET DateStyle = 'German, DMY'; ALTER ROLE set_in_its_ways SET bytea_output = 'escape'; \
         ALTER ROLE set_in_its_ways SET extra_float_digits = -10; ALTER ROLE set_in_its_ways SET client_encoding = 'LATIN1'; \
         ALTER ROLE set_in_its_ways SET TimeZone = 'Pacific/Chatham'; \
         INSERT INTO events (position, type, data, at) VALUES (11, 'Gr\u{fc}n', '\"\u{e9}\"', '2024-05-01 10:00:00.123');",
    );
    let text = format!("generic?{}&table=events&time=at", super::connection(&database.url_of("set_in_its_ways")));
    let read = |text: &str| events_of(&PostgresSource::inline("it", text).unwrap(), &Matcher::All).unwrap();
    assert_eq!(read(&text), events(&database, "generic", OPTIONS).unwrap());
    let slow = format!(
        "preset = 'generic'\nconnection = '{}'\ntable = 'events'\ntime = 'at'\nquery = 'SELECT events.* FROM events, pg_sleep(0.5)'",
        database.url_of("set_in_its_ways")
    );
    let slow = PostgresSource::named("it", &slow.parse().unwrap()).unwrap();
    assert_eq!(events_of(&slow, &Matcher::All).unwrap().len(), 11);
    // A float as the time, to its last digit.
    database
        .client()
        .batch_execute(
            "ALTER TABLE events ALTER at DROP DEFAULT; ALTER TABLE events ALTER at TYPE float8 USING 1714557600.125",
        )
        .unwrap();
    assert_eq!(read(&text.replace("time=at", "time=at:s"))[0].timestamp, 1_714_557_600_125);
}

#[test]
fn text_comes_from_every_encoding_or_is_refused() {
    let server = shared();
    let in_encoding = |encoding: &str| {
        let name = format!("in_{encoding}");
        let mut admin = server.client();
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).unwrap();
        let create = format!("CREATE DATABASE \"{name}\" ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        admin.batch_execute(&create).unwrap();
        server.existing(&name)
    };
    let latin = in_encoding("LATIN1");
    let insert = "INSERT INTO events (stream, data) VALUES ('Gr\u{fc}n', '\"\u{e9}\"')";
    latin.client().batch_execute(&format!("{TABLE}{insert}")).unwrap();
    let last = events(&latin, "generic", OPTIONS).unwrap().pop().unwrap();
    assert_eq!((last.stream.as_str(), last.data), ("Gr\u{fc}n", json!("\u{e9}")));
    let any = in_encoding("SQL_ASCII");
    any.client().batch_execute(&format!("{TABLE}{insert}")).unwrap();
    let last = events(&any, "generic", OPTIONS).unwrap().pop().unwrap();
    assert_eq!((last.stream.as_str(), last.data), ("Gr\u{fc}n", json!("\u{e9}")));
    any.client()
        .batch_execute("SET client_encoding = 'SQL_ASCII'; INSERT INTO events (stream) VALUES (E'Gr\\374n')")
        .unwrap();
    refused(events(&any, "generic", OPTIONS), &["its stream is not UTF-8", "SQL_ASCII"]);
}
