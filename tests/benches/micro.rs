//! What single steps cost, each alone: `cargo bench -p unspool-tests --bench micro`, about a minute.
//!
//! | group | what is timed |
//! |---|---|
//! | `frame` | a chunk of 500 order events, and a write frame of 500 rows: encoded, and decoded event by event |
//! | `overlay` | a call's 500 rows put in; 500 rows looked up, which are there, or were never written; 10,000 rows taken for a commit |
//! | `pages` | 1,000 pages of a file read with their checksums tested, and without |
//! | `commit` | `Store::commit` of changed rows, durable: a tenth of a table of 100,000 rows, spread over it; all of it; the tenth into the journal |

use bytes::Bytes;
use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use serde_json::json;
use std::{hint::black_box, os::unix::fs::FileExt, sync::Arc, time::Duration};
use unspool::{
    disk::StorageBackend,
    pipeline::overlay::{Overlay, Reached, View},
    plugin::RowWrite,
    source::log::EventLog,
    store::{
        AttemptStart, Commit, DataDir, NewRebuild, Priority, Purpose, RebuildOptions, RebuildRecord, RebuildSpec,
        RowChange, RowChanges, Store,
    },
    vocabulary::{Description, Position, ReadRows, StageReport, Status, from_json},
};
use unspool_frame::{Chunk, Event, TableDescription, Write, WriteFrame, Writes, chunk_header};
use unspool_tests::history;

/// Events of a standard chunk.
const CHUNK: u32 = 500;

/// Rows of the table that is changed.
const ROWS: u64 = 100_000;

fn frames(criterion: &mut Criterion) {
    let events = history::events(&history::orders(u64::from(CHUNK), 1));
    let payloads: Vec<_> = events.iter().map(|event| document(&event["data"])).collect();
    let null = document(&json!(null));
    let numbered = events.iter().zip(&payloads).zip(1..);
    let events: Vec<_> = numbered
        .map(|((event, data), position)| Event {
            id: event["id"].as_str().expect("text"),
            position,
            stream: event["stream"].as_str().expect("text"),
            kind: event["type"].as_str().expect("text"),
            timestamp: 1_706_702_400_000,
            schema_version: 1,
            data,
            metadata: &null,
        })
        .collect();
    let chunk = || {
        let mut frame = Vec::new();
        chunk_header(&mut frame, CHUNK);
        events.iter().for_each(|event| event.encode(&mut frame));
        frame
    };
    let writes = || {
        let mut frame = WriteFrame::with_capacity(0);
        for event in &events {
            frame.add(&Write { table: "orders", key: event.stream, document: Some(event.data) });
        }
        frame.finish()
    };
    let (encoded_chunk, encoded_writes) = (chunk(), writes());
    let mut group = criterion.benchmark_group("frame");
    group.throughput(Throughput::Elements(CHUNK.into())).measurement_time(Duration::from_secs(3));
    group.bench_function("chunk-encode", |bencher| bencher.iter(chunk));
    group.bench_function("chunk-decode", |bencher| {
        bencher.iter(|| {
            for event in Chunk::new(black_box(&encoded_chunk)).expect("a frame") {
                black_box(event.expect("an event"));
            }
        });
    });
    group.bench_function("writes-encode", |bencher| bencher.iter(writes));
    group.bench_function("writes-decode", |bencher| {
        bencher.iter(|| {
            for write in Writes::new(black_box(&encoded_writes)).expect("a frame") {
                black_box(write.expect("a write"));
            }
        });
    });
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    const PAGE: usize = 4096;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("log.redb");
    drop(EventLog::open(&path, "a log").expect("a log"));
    let checked = unspool::disk::backend(&path).expect("its pages");
    let first = checked.len().expect("its length");
    checked.set_len(first + 1000 * PAGE as u64).expect("a longer file");
    let page: Vec<u8> = (0..PAGE).map(|at| ((at * 31) >> 3) as u8).collect();
    let places: Vec<u64> = (0..1000).map(|page| first + page * PAGE as u64).collect();
    places.iter().for_each(|at| checked.write(*at, &page).expect("a page"));
    let plain = std::fs::File::open(&path).expect("the file");
    let mut group = criterion.benchmark_group("pages");
    group.throughput(Throughput::Bytes(1000 * PAGE as u64)).measurement_time(Duration::from_secs(3));
    let mut read = vec![0; PAGE];
    group.bench_function("checked", |bencher| {
        bencher.iter(|| places.iter().for_each(|at| checked.read(*at, &mut read).expect("a page")));
    });
    group.bench_function("plain", |bencher| {
        bencher.iter(|| places.iter().for_each(|at| plain.read_exact_at(&mut read, *at).expect("a page")));
    });
    group.finish();
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&DataDir::open(dir.path()).expect("a data directory")).expect("a store");
    let record = generation(&store);
    let mut position = 0;
    let mut changed = |step: usize| {
        position += 1;
        commit(&record, position, step)
    };
    store.commit(&[changed(1)]).expect("a commit");
    let mut group = criterion.benchmark_group("commit");
    // Few and long: a sample is one commit.
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(5));
    for (name, step) in [("10000-rows", 10), ("100000-rows", 1)] {
        group.throughput(Throughput::Elements(ROWS / step as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || changed(step),
                |commit| store.commit(&[commit]).expect("a commit"),
                BatchSize::PerIteration,
            );
        });
    }
    group.throughput(Throughput::Elements(ROWS / 10));
    group.bench_function("10000-rows-journal", |bencher| {
        let generation = store.generation("orders", record.generation).expect("a generation");
        bencher.iter_batched(
            || {
                while store.wants_maintenance(&generation) {
                    store.maintain(&generation).expect("a flush");
                }
                Commit { last: false, ..changed(10) }
            },
            |commit| store.commit(&[commit]).expect("a commit"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn overlays(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(&DataDir::open(dir.path()).expect("a data directory")).expect("a store");
    let record = generation(&store);
    let generation = store.generation("orders", record.generation).expect("a generation");
    let key = |row: u64| format!("order-{:010x}", row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24);
    let writes = |from: u64, rows: u64| -> Vec<RowWrite> {
        let document = Some(Bytes::from(vec![0xc0; 300]));
        let write = |row| RowWrite { table: 0, key: Bytes::from(key(row)), document: document.clone() };
        (from..from + rows).map(write).collect()
    };
    let put = |overlay: &Overlay, writes| {
        overlay.apply(writes, Vec::new(), Reached::after(Position::number(1), 500), Duration::ZERO);
    };
    let overlay = Arc::new(Overlay::default());
    let view = View::new(overlay.clone(), store.clone(), generation).expect("a view");
    put(&overlay, writes(0, 10_000));
    let keys = |from: u64| (from..from + 500).map(key).collect::<Vec<_>>();
    let mut group = criterion.benchmark_group("overlay");
    group.throughput(Throughput::Elements(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("put-500", |bencher| {
        bencher.iter_batched(|| writes(0, 500), |writes| put(&overlay, writes), BatchSize::SmallInput);
    });
    for (name, keys) in [("get-500-there", keys(0)), ("get-500-new", keys(1 << 40))] {
        let rows = view.reader();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        group.bench_function(name, |bencher| bencher.iter(|| rows.get_many(0, black_box(&keys)).expect("rows")));
    }
    let layer = [overlay.take().rows().clone()];
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("take-10000", |bencher| bencher.iter(|| RowChanges::sorted(black_box(&layer))));
    group.finish();
}

/// A generation by hand, with its attempt begun.
fn generation(store: &Store) -> RebuildRecord {
    let description = Description {
        name: "orders".to_owned(),
        version: 1,
        event_types: vec!["*".to_owned()],
        tables: vec![TableDescription { name: "orders".to_owned() }],
        complexity: Default::default(),
        chunk_size: None,
        partitioning: Default::default(),
    };
    store.install(&description, "a plugin", b"its bytes", "install", 0).expect("an install");
    let options = RebuildOptions {
        chunk_size: Some(CHUNK),
        priority: Some(Priority::Normal),
        no_promote: true,
        ..RebuildOptions::default()
    };
    let spec = RebuildSpec {
        source: "log".to_owned(),
        source_identity: "a history".to_owned(),
        after: Position::START,
        to: None,
        purpose: Purpose::Rebuild,
        label: None,
        segments: Vec::new(),
        options: options.clone(),
    };
    let new = NewRebuild { spec, shape: None, into: None, indexes: Vec::new() };
    let number = store.create_generation("orders", new, 0).expect("a generation").generation;
    let attempt = AttemptStart {
        target: Position::number(u64::MAX),
        total_events: Some(u64::MAX),
        chunk_size: CHUNK,
        options,
        known: None,
    };
    store.begin_attempt("orders", number, &attempt).expect("an attempt")
}

/// Every `step`-th row of the table, changed to what it is at `position`.
fn commit(record: &RebuildRecord, position: u64, step: usize) -> Commit {
    let change = |number: u64| RowChange {
        key: Bytes::from(format!("order-{number:08}")),
        document: Some(Bytes::from(document(&json!({
            "status": "shipped", "customer": format!("customer-{:05}", number % 9973), "lines": { "SKU-00040": 2, "SKU-00041": 1 },
            "itemCount": 3, "totalCents": number * 7 % 100_000, "paidCents": 0, "events": position, "version": position,
        })))),
    };
    let mut checkpoint = record.checkpoint.clone();
    (checkpoint.position, checkpoint.events_processed, checkpoint.status) =
        (Position::number(position), position, Status::Running);
    Commit {
        generation: record.generation,
        follows: false,
        attempt: record.attempt,
        plugin_digest: "a plugin".to_owned(),
        checkpoint,
        retries: 0,
        active_ms: 0,
        rows: Arc::new(vec![(0..ROWS).step_by(step).map(change).collect::<Vec<_>>()].into()),
        last: true,
        parked: Vec::new(),
        unparked: Vec::new(),
        discarded: 0,
        stages: StageReport::default(),
        by: None,
    }
}

fn document(value: &serde_json::Value) -> Vec<u8> {
    from_json(&value.to_string()).expect("JSON is a document")
}

criterion_group!(benches, frames, overlays, pages, commits);
criterion_main!(benches);
