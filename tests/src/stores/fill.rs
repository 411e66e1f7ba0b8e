//! Histories taken into stores, and read back.

use super::Preset;
use crate::history;
use ::postgres::{Client, Transaction};
use serde_json::Value;
use std::io::Write;

/// Events that one transaction of [`fill`] takes in.
const PER_TRANSACTION: usize = 10_000;

/// An event as a store holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its place in the global order.
    pub position: i64,
    /// Its id. Where the store has none: aggregate and version.
    pub id: String,
    /// Its stream.
    pub stream: String,
    /// Its type.
    pub kind: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Its data.
    pub data: Value,
    /// Its metadata; `null` where the store has none.
    pub metadata: Value,
}

/// The UUID of an id, where a store takes nothing else: the id itself if it is one, else the first 128 bits of its
/// BLAKE3, marked as version 8 (a UUID that somebody derived in their own way). Streams of eventsourcing get one too.
pub fn uuid(id: &str) -> String {
    let is_uuid = id.len() == 36
        && id
            .char_indices()
            .all(|(at, c)| if [8, 13, 18, 23].contains(&at) { c == '-' } else { c.is_ascii_hexdigit() });
    if is_uuid {
        return id.to_ascii_lowercase();
    }
    let hash = blake3::hash(id.as_bytes()).to_hex();
    let variant = ["8", "9", "a", "b"][usize::from(hash.as_bytes()[16] % 4)];
    format!("{}-{}-8{}-{variant}{}-{}", &hash[..8], &hash[8..12], &hash[13..16], &hash[17..20], &hash[20..32])
}

/// Takes the events of `lines` (NDJSON, as [`history::orders`] gives it) into a store, in order, after those that it has.
/// Ids become UUIDs ([`uuid`]) in all stores but `generic`, `emmett` and `axon`.
pub fn fill(client: &mut Client, preset: Preset, lines: &[u8]) {
    for events in history::events(lines).chunks(PER_TRANSACTION) {
        let mut transaction = client.transaction().expect("a transaction");
        stage(&mut transaction, events);
        transaction.batch_execute(preset.sql().fill).unwrap_or_else(|e| panic!("{}: {e:?}", preset.name()));
        transaction.commit().expect("a commit");
    }
}

/// Adds what a reader of this store has to leave out or to pass. The store must have events. May be repeated.
pub fn noise(client: &mut Client, preset: Preset) {
    client.batch_execute(preset.sql().noise).unwrap_or_else(|e| panic!("{}: {e:?}", preset.name()));
}

/// All events of a store to which nobody writes, in its order.
pub fn read(client: &mut Client, preset: Preset) -> Vec<Stored> {
    let rows = client.query(preset.sql().read, &[]).unwrap_or_else(|e| panic!("{}: {e:?}", preset.name()));
    let json = |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).expect("JSON"));
    let stored = |row: &::postgres::Row| Stored {
        position: row.get(0),
        id: row.get(1),
        stream: row.get(2),
        kind: row.get(3),
        timestamp: row.get(4),
        data: json(row.get(5)),
        metadata: json(row.get(6)),
    };
    rows.iter().map(stored).collect()
}

/// Copies events into the temporary table `history`.
fn stage(transaction: &mut Transaction<'_>, events: &[Value]) {
    let table = "CREATE TEMP TABLE history (number bigint, id text, uuid uuid, stream text, aggregate uuid, type text, \
                 at timestamptz, data text, metadata text) ON COMMIT DROP";
    transaction.batch_execute(table).expect("a temporary table");
    let mut copy = transaction.copy_in("COPY history FROM STDIN (FORMAT csv)").expect("COPY");
    for (number, event) in events.iter().enumerate() {
        let text = |field: &str| event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}"));
        let (id, stream, kind) = (text("id"), text("stream"), text("type"));
        let at =
            jiff::Timestamp::from_millisecond(event["timestamp"].as_i64().expect("a timestamp")).expect("in range");
        let metadata = Some(&event["metadata"])
            .filter(|metadata| !metadata.is_null())
            .map(|metadata| quoted(&metadata.to_string()));
        let row = [
            number.to_string(),
            quoted(id),
            uuid(id),
            quoted(stream),
            uuid(stream),
            quoted(kind),
            at.to_string(),
            quoted(&event["data"].to_string()),
            metadata.unwrap_or_default(),
        ];
        writeln!(copy, "{}", row.join(",")).expect("COPY takes it");
    }
    copy.finish().expect("COPY takes everything");
    transaction.batch_execute("ANALYZE history").expect("statistics");
}

/// As CSV quotes it; an unquoted empty field is NULL.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
