//! The native test kit: given events, expect rows.
//!
//! ```
//! # use unspool_sdk::prelude::*;
//! # #[derive(Serialize, Deserialize, Default)] struct Count { count: u64 }
//! # projection! {
//! #     pub struct Counts; name: "counts", version: 1, tables: Tables { counts: Count },
//! #     handlers: { "OrderCreated" => on_created },
//! # }
//! # #[derive(Deserialize)] struct Created<'a> { country: &'a str }
//! # fn on_created(_: &Event<'_>, created: Created<'_>, tables: &mut Tables) -> Handled {
//! #     tables.counts.entry(created.country)?.count += 1; Ok(())
//! # }
//! use unspool_sdk::testing::{Kit, event, json};
//!
//! let created = event("OrderCreated").stream("order-1").data(json!({ "country": "NO" }));
//! let kit = Kit::<Counts>::new().given(created);
//! assert_eq!(kit.row("counts", "NO"), json!({ "count": 1 }));
//!
//! let failed = kit.given(event("OrderCreated")).failure();
//! assert_eq!(failed.event, 1);
//! assert!(failed.failure.message().contains("country"));
//! ```

#![allow(clippy::panic, clippy::expect_used, reason = "the kit is for tests, and panics as an assertion does")]

use crate::decode;
use crate::failure::Failure;
use crate::projection::Plugin;
use crate::rows::MemoryRows;
use serde::Serialize;
pub use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;
use unspool_frame::{Description, Event, chunk_header};

/// Chunks of these many events; the last holds all.
const CHUNK_SIZES: [usize; 5] = [1, 2, 3, 10, usize::MAX];

/// An event in the making.
#[derive(Debug, Clone)]
pub struct Given {
    position: Option<u64>,
    id: Option<String>,
    stream: String,
    kind: String,
    timestamp: Option<i64>,
    schema_version: u32,
    data: Vec<u8>,
    metadata: Vec<u8>,
}

/// An event of a type. Unless set otherwise its position follows the one before (the first is 1), its id is
/// `event-POSITION`, its stream `stream`, its timestamp a second after that of the position before, its payload and
/// metadata are empty maps, and its schema version is 1.
#[must_use]
pub fn event(kind: impl Into<String>) -> Given {
    Given {
        position: None,
        id: None,
        stream: "stream".into(),
        kind: kind.into(),
        timestamp: None,
        schema_version: 1,
        data: vec![0x80],
        metadata: vec![0x80],
    }
}

impl Given {
    /// The position in the source's order.
    #[must_use]
    pub fn position(self, position: u64) -> Given {
        Given { position: Some(position), ..self }
    }

    /// The event's id.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Given {
        Given { id: Some(id.into()), ..self }
    }

    /// The entity that the event belongs to.
    #[must_use]
    pub fn stream(self, stream: impl Into<String>) -> Given {
        Given { stream: stream.into(), ..self }
    }

    /// When it happened, in milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn at(self, timestamp: i64) -> Given {
        Given { timestamp: Some(timestamp), ..self }
    }

    /// The version of the payload's shape.
    #[must_use]
    pub fn schema_version(self, schema_version: u32) -> Given {
        Given { schema_version, ..self }
    }

    /// The payload: anything that serde can encode, `json!` for one.
    #[must_use]
    pub fn data(self, data: impl Serialize) -> Given {
        Given { data: document(data), ..self }
    }

    /// What was noted beside the payload.
    #[must_use]
    pub fn metadata(self, metadata: impl Serialize) -> Given {
        Given { metadata: document(metadata), ..self }
    }

    fn encode(&self, before: u64, out: &mut Vec<u8>) -> u64 {
        let position = self.position.unwrap_or(before + 1);
        let id = self.id.clone().unwrap_or_else(|| format!("event-{position}"));
        Event {
            position,
            id: &id,
            stream: &self.stream,
            kind: &self.kind,
            timestamp: self.timestamp.unwrap_or(position as i64 * 1000),
            schema_version: self.schema_version,
            data: &self.data,
            metadata: &self.metadata,
        }
        .encode(out);
        position
    }
}

fn document(value: impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(&value).expect("the value has a MessagePack form")
}

/// Makes chunk frames of `events`, `chunk_size` in each.
#[must_use]
pub fn frames(events: &[Given], chunk_size: usize) -> Vec<Vec<u8>> {
    let mut position = 0;
    let chunks = events.chunks(chunk_size.min(events.len()).max(1));
    chunks
        .map(|chunk| {
            let mut frame = Vec::new();
            chunk_header(&mut frame, chunk.len() as u32);
            chunk.iter().for_each(|event| position = event.encode(position, &mut frame));
            frame
        })
        .collect()
}

/// Events for a projection. Every question about the outcome handles them again in chunks of several sizes, and panics if
/// the outcomes differ: how events are cut into chunks must not show.
pub struct Kit<P> {
    events: Vec<Given>,
    plugin: PhantomData<P>,
}

/// The event that failed, counted from 0, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The number of the event among those given, from 0.
    pub event: usize,
    /// What its handler said.
    pub failure: Failure,
}

/// The rows of all tables after some events, and the failure that ended them, if one did.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The rows by table and key. A table without rows may be missing.
    pub tables: BTreeMap<String, BTreeMap<String, Value>>,
    /// The event that failed. The rows are those of the events before it.
    pub failed: Option<Failed>,
}

impl<P: Plugin> Default for Kit<P> {
    fn default() -> Self {
        Kit { events: Vec::new(), plugin: PhantomData }
    }
}

impl<P: Plugin> Kit<P> {
    /// No events yet.
    #[must_use]
    pub fn new() -> Kit<P> {
        Kit::default()
    }

    /// Adds an event.
    #[must_use]
    pub fn given(self, event: Given) -> Kit<P> {
        self.given_all([event])
    }

    /// Adds events.
    #[must_use]
    pub fn given_all(mut self, events: impl IntoIterator<Item = Given>) -> Kit<P> {
        self.events.extend(events);
        self
    }

    /// The rows of a table, by key.
    ///
    /// # Panics
    /// When an event failed, or when the chunk size shows.
    #[must_use]
    pub fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let mut folded = self.fold();
        if let Some(Failed { event, failure }) = folded.failed {
            panic!("event {event} ({}) failed: {failure}", self.events[event].kind);
        }
        folded.tables.remove(table).unwrap_or_default()
    }

    /// One row; null where there is none.
    ///
    /// # Panics
    /// When an event failed, or when the chunk size shows.
    #[must_use]
    pub fn row(&self, table: &str, key: &str) -> Value {
        self.rows(table).remove(key).unwrap_or_default()
    }

    /// The failure that ended the fold.
    ///
    /// # Panics
    /// When no event failed, or when the chunk size shows.
    #[must_use]
    pub fn failure(&self) -> Failed {
        self.fold().failed.expect("an event fails")
    }

    /// Rows and failure.
    ///
    /// # Panics
    /// When the chunk size shows, or when a write is to a table that the description does not name.
    #[must_use]
    pub fn fold(&self) -> Folded {
        let mut outcomes = CHUNK_SIZES.iter().map(|size| (size, self.fold_in_chunks(*size)));
        let (first, expected) = outcomes.next().expect("there are chunk sizes");
        for (size, folded) in outcomes {
            assert_eq!(folded, expected, "chunks of {size} events and chunks of {first} come to different rows");
        }
        expected
    }

    fn fold_in_chunks(&self, chunk_size: usize) -> Folded {
        let rows = MemoryRows::new();
        let mut done = 0;
        let mut failed = None;
        for frame in frames(&self.events, chunk_size) {
            let outcome = P::handle(&frame, Rc::new(rows.clone()));
            rows.apply(&outcome.writes).expect("the plugin returns a write frame");
            done += outcome.handled as usize;
            if let Some(failure) = outcome.failure {
                failed = Some(Failed { event: done, failure });
                break;
            }
        }
        let description = Description::decode(&P::describe()).expect("the plugin describes itself");
        let declared: Vec<_> = description.tables.into_iter().map(|table| table.name).collect();
        for table in rows.table_names() {
            assert!(declared.contains(&table), "a write is to table {table}, which the description does not name");
        }
        let tables = declared.into_iter().map(|table| (table.clone(), shown(&rows, &table)));
        Folded { tables: tables.collect(), failed }
    }
}

fn shown(rows: &MemoryRows, table: &str) -> BTreeMap<String, Value> {
    let show = |document: &[u8]| decode::from_slice(document).expect("a document has a JSON form");
    rows.table(table).into_iter().map(|(key, document)| (key, show(&document))).collect()
}
