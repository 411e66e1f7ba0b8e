//! Reading from PostgreSQL: a rebuild against the plain `COPY ... TO STDOUT` of the same rows, and how far a follower is
//! behind a writer of 2,000 events a second.

use crate::{
    Options,
    histories::{Histories, Running, command, run},
    report::Report,
};
use postgres::Client;
use std::{
    fs,
    io::Read,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use unspool::control::{Client as Control, Request, Response};
use unspool_tests::{
    plugins::plugin,
    postgres::{Database, Server},
    stores::{Preset, fill},
};

/// Events a second that a follower is measured with, and for how long.
const FOLLOWED_RATE: u64 = 2_000;
const FOLLOWED: Duration = Duration::from_secs(10);

/// What is written arrives; whoever waits longer waits for nothing.
const TIMEOUT: Duration = Duration::from_secs(300);

pub fn measure(options: &Options, histories: &Histories, report: &mut Report) {
    let server = Server::new();
    let database = server.database("bench");
    let mut client = database.client();
    client.batch_execute(Preset::MessageDb.schema()).expect("the schema loads");
    fill(&mut client, Preset::MessageDb, &fs::read(histories.file(options.events)).expect("the history"));
    client.batch_execute("ANALYZE").expect("statistics");
    let source =
        format!("postgres:message-db?host=127.0.0.1&port={}&user=admin&dbname={}", server.port(), database.name());
    let data = histories.scratch("from-postgres");
    for name in ["order-summary", "process-map"] {
        run(&data, &["plugin", "install", &plugin(name).display().to_string()]);
    }
    for _ in 0..options.rounds {
        report.rate("postgresCopy", options.events, || copy(&mut client));
        report.rate("fromPostgres", options.events, || {
            run(&data, &["rebuild", "order-summary", "--source", &source, "--restart"])
        });
    }
    report.ratio("fromPostgresOverCopy", "fromPostgres", "postgresCopy");
    follow(options, histories, &database, &source, report);
}

/// Everything that a rebuild needs of every event, thrown away.
fn copy(client: &mut Client) {
    let query = "COPY (SELECT global_position, id, stream_name, type, data, metadata, time FROM message_store.messages \
                 ORDER BY global_position) TO STDOUT";
    let mut rows = client.copy_out(query).expect("COPY");
    let mut space = vec![0; 1 << 20];
    while rows.read(&mut space).expect("rows") > 0 {}
}

fn follow(options: &Options, histories: &Histories, database: &Database<'_>, source: &str, report: &mut Report) {
    let data = histories.scratch("from-postgres");
    let mut host = Running::start(command(&data, &["serve"]));
    let socket = data.join("control.sock");
    while !matches!(Control::connect(&socket), Ok(Some(_))) {
        assert!(host.ended().is_none(), "the host ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    run(&data, &["rebuild", "process-map", "--source", source, "--follow", "--detach"]);
    let processed = || {
        let status = Request::Status { name: "process-map".to_owned() };
        let client = Control::connect(&socket).expect("the host answers").expect("the host is there");
        match client.ask(&status, &mut |_| true).expect("a status") {
            Response::Status(progress) => progress.events_processed,
            other => panic!("no status: {other:?}"),
        }
    };
    let reached = |events: u64| {
        let since = Instant::now();
        while processed() < events {
            assert!(since.elapsed() < TIMEOUT, "{} of {events} events have arrived", processed());
            std::thread::sleep(Duration::from_millis(1));
        }
        since.elapsed()
    };
    reached(options.events);
    let (written, ended) = (AtomicU64::new(options.events), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            write(&mut database.client(), &written);
            ended.store(true, Ordering::SeqCst);
        });
        while !ended.load(Ordering::SeqCst) {
            let lag = reached(written.load(Ordering::SeqCst));
            report.add("followLagMs", lag.as_secs_f64() * 1e3);
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    report.most("followLagMaxMs", "followLagMs");
    reached(written.load(Ordering::SeqCst));
    assert_eq!(processed(), written.load(Ordering::SeqCst), "nothing is doubled");
}

/// Appends twenty events every hundredth of a second, each batch in a transaction.
fn write(client: &mut Client, written: &AtomicU64) {
    const BATCH: u64 = 20;
    let insert = format!(
        "INSERT INTO message_store.messages (stream_name, type, position, data) \
         SELECT 'followed-' || $1::text, 'Followed', number, '{{\"some\": \"payload\"}}' FROM generate_series(1, {BATCH}) AS number"
    );
    let insert = client.prepare(&insert).expect("a statement");
    let started = Instant::now();
    let mut batches = 0;
    while started.elapsed() < FOLLOWED {
        client.execute(&insert, &[&batches.to_string()]).expect("an append");
        batches += 1;
        written.fetch_add(BATCH, Ordering::SeqCst);
        let due = Duration::from_secs_f64((batches * BATCH) as f64 / FOLLOWED_RATE as f64);
        std::thread::sleep(due.saturating_sub(started.elapsed()));
    }
}
