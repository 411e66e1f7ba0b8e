//! How a server is reached: TLS as it is asked for, passwords where nobody reads them, sessions that others use next.

use super::{BINARY, connection, seen::refused};
use serde_json::json;
use unspool::{
    postgres::{Target, connect},
    source::postgres::PostgresSource,
};
use unspool_tests::{
    data::{Answer, Data},
    plugins::plugin,
    postgres::{Database, Options, Pooler, Server, shared},
};

fn failed(target: &str) -> String {
    let target: Target = target.parse().unwrap_or_else(|e| panic!("{target}: {e}"));
    connect(&target).map(drop).expect_err("it does not connect").message
}

fn connects(target: &str) {
    let target: Target = target.parse().unwrap_or_else(|e| panic!("{target}: {e}"));
    let mut connection = connect(&target).unwrap_or_else(|e| panic!("{target}: {e}"));
    let encrypted = connection.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).unwrap();
    assert!(encrypted.get::<_, bool>(0), "{target} is not encrypted");
}

#[test]
fn tls_is_what_sslmode_says() {
    let server = Server::with(Options { tls: true, ..Options::default() });
    let root = server.authority().display().to_string();
    let at = |host: &str, more: &str| {
        format!("host={host} hostaddr=127.0.0.1 port={} user=admin dbname=postgres {more}", server.port())
    };
    for mode in ["prefer", "allow", "require", "verify-ca", "verify-full"] {
        connects(&at("localhost", &format!("sslmode={mode} sslrootcert='{root}'")));
        let untrusted = failed(&at("localhost", &format!("sslmode={mode}")));
        assert!(untrusted.contains("sslrootcert"), "{mode}: {untrusted}");
    }
    let url = format!("postgresql://admin@localhost:{}/postgres?sslmode=verify-full&sslrootcert={root}", server.port());
    connects(&url);
    connects(&at("localhost", &format!("sslrootcert='{root}' channel_binding=prefer")));
    // The certificate is of another host.
    connects(&at("db.example", &format!("sslmode=verify-ca sslrootcert='{root}'")));
    for mode in ["require", "verify-full"] {
        let other = failed(&at("db.example", &format!("sslmode={mode} sslrootcert='{root}'")));
        assert!(other.contains("certificate"), "{mode}: {other}");
    }
    let none = failed(&at("localhost", "sslmode=disable"));
    assert!(none.contains("no encryption"), "{none}");
    assert!(failed(&at("localhost", "sslrootcert=/nowhere/root.pem")).contains("sslrootcert=/nowhere/root.pem"));
    // A server without TLS.
    let plain = failed(&format!("host=127.0.0.1 port={} user=admin dbname=postgres sslmode=require", shared().port()));
    assert!(plain.contains("offers no TLS"), "{plain}");
}

/// In a process of its own, for its password's sake.
#[test]
fn a_password_is_not_shown_to_the_network() {
    let (plain, encrypted) = (shared(), Server::with(Options { tls: true, ..Options::default() }));
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let root = encrypted.authority().display().to_string().replace('/', "%2F");
    let mut rebuilds = 0;
    let mut rebuild = |server: &Server, role: &str, more: &str| {
        rebuilds += 1;
        let database = server.database(&format!("passwords_{rebuilds}"));
        database
            .client()
            .batch_execute(&format!(
                "CREATE TABLE events (position bigserial, id text, stream text, type text, data json); \
                 INSERT INTO events (id, stream, type) VALUES ('1', 's', 'T'); GRANT SELECT ON events TO {role}"
            ))
            .unwrap();
        let source = format!("postgres:generic?{}&table=events&time=none{more}", connection(&database.url_of(role)));
        let mut command = data.command(["--json", "rebuild", "process-map", "--restart", "--source", &source]);
        Answer::from(command.env("PGPASSWORD", "open sesame").output().unwrap())
    };
    for (role, method, word) in [("in_clear", "password", "in clear text"), ("as_md5", "md5", "as MD5")] {
        for server in [plain, &encrypted] {
            server.role_asked(role, "open sesame", method);
        }
        let answer = rebuild(plain, role, "");
        answer.refused(2, &[word, &format!("require_auth={method}"), "sslmode=verify-full"]);
        assert!(!answer.stderr.contains("sesame"), "{answer:#?}");
        assert_eq!(rebuild(plain, role, &format!("&require_auth={method}")).exit, Some(0), "{role}");
        assert_eq!(rebuild(&encrypted, role, &format!("&sslrootcert={root}")).exit, Some(0), "{role}");
        rebuild(&encrypted, role, &format!("&sslrootcert={root}&require_auth=scram-sha-256")).refused(2, &[word]);
    }
    plain.role("as_scram", Some("open sesame"));
    assert_eq!(rebuild(plain, "as_scram", "").exit, Some(0));
    rebuild(plain, "as_scram", "&require_auth=md5").refused(2, &["scram-sha-256, which require_auth does not have"]);
}

#[test]
fn words_of_a_connection_are_named_when_they_are_wrong() {
    for (text, words) in [
        ("generic?host=h&user=u&table=t&sslmode=always", ["sslmode=always in the connection string", "verify-full"]),
        ("generic?host=h&user=u&table=t&require_auth=gss", ["require_auth=gss", "scram-sha-256"]),
        (
            "generic?host=h&user=u&table=t&sslcert=c.pem",
            ["sslcert in the connection string is not known here", "sslrootcert"],
        ),
    ] {
        refused(PostgresSource::inline("it", text), &words);
    }
}

fn through(pooler: &Pooler, database: &Database<'_>) -> String {
    format!("postgres:generic?{}&table=events&time=at", connection(&pooler.url(database.name())))
}

/// The first value that a query gives, as text.
fn first(transaction: &mut postgres::Transaction<'_>, query: &str) -> String {
    let rows = transaction.simple_query(query).unwrap();
    let value = rows.iter().find_map(|row| match row {
        postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    value.unwrap_or_default()
}

fn with_events(name: &str) -> Database<'static> {
    let database = shared().database(name);
    let table = "CREATE TABLE events (position bigserial PRIMARY KEY, id uuid DEFAULT gen_random_uuid(), stream text, type text, data jsonb, \
                 at timestamptz DEFAULT now()); INSERT INTO events (stream, type) SELECT 's' || n % 10, 'T' FROM generate_series(1, 2000) AS n";
    database.client().batch_execute(table).unwrap();
    database
}

/// A pooler in transaction mode gives sessions from hand to hand.
#[test]
fn a_pooler_is_served_and_finds_its_sessions_as_they_were() {
    let pooler = Pooler::new(shared(), "transaction", 2);
    let database = with_events("pooled");
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let url = pooler.url("pooled");
    let mut others: Vec<_> = (0..2).map(|_| postgres::Client::connect(&url, postgres::NoTls).unwrap()).collect();
    // The pooler itself sets the name of each program.
    let left = "SELECT coalesce((SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE source = 'session' AND name <> 'application_name'), '') \
                || ' statements: ' || (SELECT count(*) FROM pg_prepared_statements) \
                || ', channels: ' || (SELECT count(*) FROM pg_listening_channels())";
    let seen = |others: &mut Vec<postgres::Client>| {
        // Both at once, so that each has a session of its own.
        let mut transactions: Vec<_> = others.iter_mut().map(|client| client.transaction().unwrap()).collect();
        transactions.iter_mut().map(|transaction| first(transaction, left)).collect::<Vec<_>>()
    };
    let before = seen(&mut others);
    for _ in 0..3 {
        let ended = data.json(["rebuild", "process-map", "--restart", "--source", &through(&pooler, &database)]);
        assert_eq!((&ended["status"], &ended["eventsProcessed"]), (&json!("completed"), &json!(2000)));
        assert_eq!(seen(&mut others), before);
        for client in &mut others {
            client.simple_query("INSERT INTO events (stream, type) SELECT 'x', 'T' WHERE false").unwrap();
        }
    }
    assert!(before[0].ends_with("statements: 0, channels: 0"), "{before:?}");
    assert!(!pooler.log().contains("when not linked"), "{}", pooler.log());
    // Nobody listens for others, who would be told in their place.
    let _host = data.serve();
    let listening = format!("{}&channel=events", through(&pooler, &database));
    data.ok(["rebuild", "process-map", "--restart", "--source", &listening, "--follow", "--detach"]);
    database.client().batch_execute("INSERT INTO events (stream, type) VALUES ('late', 'T'); NOTIFY events").unwrap();
    data.wait_for("process-map", |status| status["eventsProcessed"] == 2001);
    assert_eq!(seen(&mut others), before);
    data.ok(["unfollow", "process-map"]);
}

#[test]
fn rows_live_behind_a_pooler_in_session_mode_only() {
    let database = with_events("pooled_rows");
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let source = format!("postgres:generic?{}&table=events&time=at", connection(&database.url()));
    for (mode, taken) in [("transaction", false), ("session", true)] {
        let pooler = Pooler::new(shared(), mode, 10);
        let into = format!("postgres:{}", pooler.url("pooled_rows"));
        let answer = data.run(["rebuild", "process-map", "--restart", "--source", &source, "--into", &into]);
        if taken {
            assert_eq!(answer.exit, Some(0), "{answer:#?}");
        } else {
            answer.refused(2, &["a pooler in transaction mode"]);
        }
    }
}

/// What is set for the role does not reach its rows.
#[test]
fn rows_do_not_depend_on_what_is_set_for_its_role() {
    let database = with_events("home_of_the_strict");
    shared().role("strict", None);
    database
        .client()
        .batch_execute(
            "GRANT CREATE, TEMPORARY ON DATABASE home_of_the_strict TO strict; ALTER ROLE strict SET statement_timeout = '100ms'; \
             ALTER ROLE strict SET lock_timeout = '100ms'; ALTER ROLE strict SET idle_in_transaction_session_timeout = '100ms'; \
             ALTER ROLE strict SET default_transaction_read_only = on; ALTER ROLE strict SET default_transaction_isolation = \
             'serializable'; ALTER ROLE strict SET standard_conforming_strings = off; ALTER ROLE strict SET client_encoding = 'LATIN1'",
        )
        .unwrap();
    let data = Data::new(BINARY);
    data.install(&plugin("process-map"));
    let source = format!("postgres:generic?{}&table=events&time=at", connection(&database.url()));
    let into = format!("postgres:{}", database.url_of("strict"));
    data.ok(["rebuild", "process-map", "--source", &source]);
    let expected = data.rows("process-map/cases");
    data.ok(["rebuild", "process-map", "--restart", "--source", &source, "--into", &into]);
    assert_eq!(data.rows("process-map/cases"), expected);
}

/// A connection whose other end says nothing any more does not keep its owner.
#[test]
fn a_connection_closes_though_nobody_answers() {
    let server = Server::new();
    let target: Target = server.url().parse().unwrap();
    let mut connection = connect(&target).unwrap();
    // Its session is stopped in the middle of a statement whose answer nobody waits for.
    let pid = connection.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0);
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let (closed, ends) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(connection);
        closed.send(()).unwrap();
    });
    let ended = ends.recv_timeout(std::time::Duration::from_secs(60));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    ended.expect("it is closed");
}
