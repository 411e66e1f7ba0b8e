//! Plugins of a few instructions, written in WebAssembly text: each does exactly one thing.

use super::super::EngineOptions;
use super::super::wit::{WIT, WORLD};
use crate::Engine;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use unspool_frame::{Complexity, Description, Event, Partitioning, TableDescription, Write};
use unspool_vocabulary::{EventFailure, Page, ReadRows, Scan};
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Where the write frame stands that [`guest`] is given.
pub const WRITES: u32 = 4096;

pub fn description() -> Description {
    Description {
        name: "orders".into(),
        version: 1,
        event_types: vec!["*".into()],
        tables: vec![TableDescription { name: "orders".into() }, TableDescription { name: "totals".into() }],
        complexity: Complexity::default(),
        chunk_size: None,
        partitioning: Partitioning::default(),
    }
}

/// A component of our world. `handle` runs `body`, which ends by leaving the address of an outcome; by default there is one
/// at 64 that handles all events of a chunk of at most 15 and returns `writes`.
pub fn guest(body: &str, writes: &[Write<'_>]) -> Vec<u8> {
    component(WIT, &module(body, &description().encode(), &frame(writes)))
}

/// The body of a `handle` that does nothing else than return its outcome.
pub const RETURN: &str = "(i32.const 64)";

pub fn frame(writes: &[Write<'_>]) -> Vec<u8> {
    let mut frame = Vec::new();
    unspool_frame::write_header(&mut frame, writes.len() as u32);
    writes.iter().for_each(|write| write.encode(&mut frame));
    frame
}

pub fn module(body: &str, describe: &[u8], writes: &[u8]) -> String {
    format!(
        r#"(module
  (import "unspool:projection/logger@1.0.0" "log" (func $log (param i32 i32 i32 i32)))
  (import "unspool:projection/read-model@1.0.0" "get-many" (func $get (param i32 i32 i32 i32 i32)))
  (import "unspool:projection/read-model@1.0.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (memory (export "memory") 64)
  (global $heap (mut i32) (i32.const 65536))
  (global $calls (mut i32) (i32.const 0))
  (data (i32.const 16) "{describe_area}")
  (data (i32.const 128) "panicinfosrc/lib.rs:7:5: no such orderorderssecretsorders/")
  (data (i32.const 1024) "{describe}")
  (data (i32.const {WRITES}) "{writes}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 7)) (i32.const -8)))
    (local.get $at))
  (func (export "unspool:projection/handler@1.0.0#describe") (result i32) (i32.const 16))
  (func $deep (param i32) (result i32)
    (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
  (func $outcome (param $handled i32) (param $failed i32)
    (i32.store (i32.const 64) (local.get $handled))
    (i32.store (i32.const 68) (i32.const {WRITES}))
    (i32.store (i32.const 72) (i32.const {writes_len}))
    (i32.store8 (i32.const 76) (local.get $failed)))
  (func $handle (export "unspool:projection/handler@1.0.0#handle") (param $chunk i32) (param $len i32) (result i32)
    (local $i i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $outcome (i32.and (i32.load8_u (local.get $chunk)) (i32.const 15)) (i32.const 0))
    {body})
)"#,
        describe_area = escaped(&[1024u32.to_le_bytes(), (describe.len() as u32).to_le_bytes()].concat()),
        describe = escaped(describe),
        writes = escaped(writes),
        writes_len = writes.len(),
    )
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// Makes a component of a core module in text, for the world of `wit`.
pub fn component(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(WORLD)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    super::super::build::wrap(&module).unwrap()
}

/// A chunk of `events` events.
pub fn chunk(events: u32) -> Vec<u8> {
    let mut frame = Vec::new();
    unspool_frame::chunk_header(&mut frame, events);
    for position in 1..=u64::from(events) {
        let event = Event {
            position,
            id: "e",
            stream: "s",
            kind: "OrderCreated",
            timestamp: 0,
            schema_version: 1,
            data: &[0xc0],
            metadata: &[0xc0],
        };
        event.encode(&mut frame);
    }
    frame
}

pub fn engine(dir: &std::path::Path) -> Engine {
    Engine::new(EngineOptions { cpu_time: Duration::from_millis(100), ..EngineOptions::new(dir) }).unwrap()
}

pub fn never() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(false))
}

/// Rows in a map, the oracle for what a store answers.
#[derive(Default, Clone)]
pub struct Rows(pub BTreeMap<(usize, String), Vec<u8>>);

impl ReadRows for Rows {
    type Error = EventFailure;

    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, EventFailure> {
        let get = |key: &&str| self.0.get(&(table, (*key).to_owned())).cloned().map(Bytes::from);
        Ok(keys.iter().map(get).collect())
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, EventFailure> {
        let rows = self.0.iter().filter(|((in_table, key), _)| *in_table == table && scan.contains(key));
        Ok(rows.take(scan.limit).map(|((_, key), document)| (key.clone(), document.clone().into())).collect())
    }
}
