//! Misbehaves on demand, for the tests of a host: one way per event type. Between the faults it counts the events of each
//! stream, so that a test can see what was kept. Built with the feature `fixed` it counts every event; two more features
//! make rows wrong where nothing fails (see `Cargo.toml`).

use std::hint::black_box;
use std::rc::Rc;
use unspool_sdk::frame::{Chunk, Write, WriteFrame, Writes};
use unspool_sdk::prelude::*;
use unspool_sdk::{Outcome, Partitioning, Plugin, Projection, Rows, TableDescription};

// The kit cuts history in several ways, and does not let such a plugin pass.
#[cfg(all(test, not(feature = "chunk-dependent")))]
mod tests;

projection! {
    /// The part that keeps to the contract, badly as it behaves.
    pub struct Counting;
    name: "faulty",
    version: 1,
    partitioning: Stream,
    tables: Tables { seen: Seen },
    handlers: {
        "Fine" => count,
        "Late" => count_late,
        "Error" => fail,
        "Transient" => fail_for_now,
        "Panic" => panic,
        "Loop" => run_forever,
        "Memory" => hoard,
        "Recursion" => recurse,
        "LogFlood" => flood,
        // Counted like `Fine`; `Faulty` spoils the frame afterwards.
        "BadOutput" => count,
        "ForeignTable" => count,
    },
}

/// Lines of a flood.
const FLOOD: usize = 100_000;

/// Events of a stream that were handled.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    count: u64,
}

/// The plugin: [`Counting`], with frames spoilt where an event says so.
pub struct Faulty;

export!(Faulty);

impl Plugin for Faulty {
    fn describe() -> Vec<u8> {
        let mut description = Counting::description();
        if cfg!(all(feature = "chunk-dependent", not(feature = "two-streams"))) {
            description.partitioning = Partitioning::None;
        }
        if cfg!(feature = "reshaped") {
            description.version = 2;
            description.event_types.push("New".into());
            description.tables.push(TableDescription { name: "more".into() });
        }
        description.encode()
    }

    fn handle(chunk: &[u8], rows: Rc<dyn Rows>) -> Outcome {
        let mut outcome = Counting::handle(chunk, rows);
        if cfg!(feature = "chunk-dependent") {
            outcome.writes = with_chunk_length(&outcome.writes, outcome.handled);
        }
        if FIXED {
            return outcome;
        }
        let events = Chunk::new(chunk).into_iter().flatten().flatten();
        for event in events.take(outcome.handled as usize) {
            match event.kind {
                "BadOutput" => outcome.writes = b"no write frame".to_vec(),
                "ForeignTable" => outcome.writes = with_foreign_write(&outcome.writes),
                _ => {}
            }
        }
        outcome
    }
}

/// The frame with one more write, to a table that the description does not name.
fn with_foreign_write(frame: &[u8]) -> Vec<u8> {
    with(frame, &Write { table: "foreign", key: "key", document: Some(&[0x80]) })
}

/// The frame with a row that says how many events were handled at once: no fold of events could.
fn with_chunk_length(frame: &[u8], events: u32) -> Vec<u8> {
    // {"count": events} as MessagePack, with a number of four bytes.
    let document = [&b"\x81\xa5count\xce"[..], &events.to_be_bytes()].concat();
    with(frame, &Write { table: "seen", key: "a chunk", document: Some(&document) })
}

fn with(frame: &[u8], write: &Write<'_>) -> Vec<u8> {
    let mut writes = WriteFrame::with_capacity(frame.len());
    Writes::new(frame).into_iter().flatten().flatten().for_each(|write| writes.add(&write));
    writes.add(write);
    writes.finish()
}

const FIXED: bool = cfg!(feature = "fixed");

fn count(event: &Event<'_>, tables: &mut Tables) -> Handled {
    tables.seen.entry(event.stream)?.count += 1;
    Ok(())
}

fn count_late(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if cfg!(feature = "closing") {
        return tables.seen.remove(event.stream);
    }
    if cfg!(feature = "neighbours") {
        let counted = tables.seen.get("s00")?.map_or(0, |row| row.count);
        tables.seen.entry(event.stream)?.count += counted;
    }
    if cfg!(feature = "scanning") {
        let counted: u64 = tables.seen.scan("")?.into_iter().map(|(_, row)| row.count).sum();
        tables.seen.entry(event.stream)?.count += counted;
    }
    if cfg!(feature = "off-by-one") {
        count(event, tables)?;
        tables.seen.entry(&format!("{}, too late", event.stream))?.count += 1;
    }
    count(event, tables)
}

fn fail(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED || cfg!(feature = "errors-fixed") {
        return count(event, tables);
    }
    // Left behind on purpose: nothing of a failed event may be kept.
    tables.seen.entry("a failed event")?.count += 1;
    Err(permanent("this event cannot be handled").detail("stream", event.stream))
}

fn fail_for_now(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED {
        return count(event, tables);
    }
    Err(transient("this event cannot be handled now").detail("stream", event.stream))
}

#[allow(clippy::panic, reason = "it is what the event asks for")]
fn panic(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED {
        return count(event, tables);
    }
    panic!("asked to panic by event {}", event.id)
}

fn run_forever(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED {
        return count(event, tables);
    }
    loop {
        black_box(());
    }
}

fn hoard(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED {
        return count(event, tables);
    }
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1u8; 1 << 20]);
        black_box(&kept);
    }
}

fn recurse(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if FIXED {
        return count(event, tables);
    }
    black_box(descend(black_box(1)));
    Ok(())
}

/// Never comes back up. What becomes of the inner call is hidden from the optimiser, so that no loop can stand for it.
fn descend(level: u64) -> u64 {
    if black_box(level) == 0 { 0 } else { black_box(descend(level | 1)) ^ level }
}

fn flood(event: &Event<'_>, tables: &mut Tables) -> Handled {
    if !FIXED {
        (0..FLOOD).for_each(|line| log::info(format_args!("line {line} of a flood")));
    }
    count(event, tables)
}
