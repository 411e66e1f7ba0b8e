//! Event stores in PostgreSQL as others lay them out: their tables, filled with a history, written to by many at once,
//! read by a plain query. The SQL is in `tests/stores/PRESET/`:
//!
//! - `schema.sql`: what the store's own library creates.
//! - `fill.sql`: takes the events of the temporary table `history` in, in order.
//! - `noise.sql`: adds what a reader has to leave out or to pass: archived events, tombstones, holes.
//! - `append.sql`: appends one event; `$1` is its id, a UUID, `$2` its stream, `$3` its type, `$4` its data as JSON.
//! - `read.sql`: all events of a store at rest, in its order, without what the store itself leaves out.

mod fill;
pub mod libraries;
mod writers;

pub use fill::{Stored, fill, noise, read, uuid};
pub use writers::{Append, Written, writers};

/// A layout of an event store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// A hand-made table `events`.
    Generic,
    /// message-db.
    MessageDb,
    /// Marten, with streams named by strings.
    Marten,
    /// Emmett.
    Emmett,
    /// Python eventsourcing, of an application named `Orders`.
    Eventsourcing,
    /// Commanded's eventstore, with data as bytea.
    Commanded,
    /// Rails Event Store, with data as jsonb.
    RailsEventStore,
    /// Eventuous.
    Eventuous,
    /// Axon 4, with payloads as JSON in bytea.
    Axon,
}

struct Sql {
    schema: &'static str,
    fill: &'static str,
    noise: &'static str,
    append: &'static str,
    read: &'static str,
}

macro_rules! sql {
    ($preset:literal) => {
        Sql {
            schema: include_str!(concat!("../../stores/", $preset, "/schema.sql")),
            fill: include_str!(concat!("../../stores/", $preset, "/fill.sql")),
            noise: include_str!(concat!("../../stores/", $preset, "/noise.sql")),
            append: include_str!(concat!("../../stores/", $preset, "/append.sql")),
            read: include_str!(concat!("../../stores/", $preset, "/read.sql")),
        }
    };
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 9] = [
        Preset::Generic,
        Preset::MessageDb,
        Preset::Marten,
        Preset::Emmett,
        Preset::Eventsourcing,
        Preset::Commanded,
        Preset::RailsEventStore,
        Preset::Eventuous,
        Preset::Axon,
    ];

    /// As sources call it.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Generic => "generic",
            Preset::MessageDb => "message-db",
            Preset::Marten => "marten",
            Preset::Emmett => "emmett",
            Preset::Eventsourcing => "eventsourcing",
            Preset::Commanded => "commanded",
            Preset::RailsEventStore => "rails-event-store",
            Preset::Eventuous => "eventuous",
            Preset::Axon => "axon",
        }
    }

    /// The statements that create its tables.
    pub fn schema(self) -> &'static str {
        self.sql().schema
    }

    /// What its writers run in a transaction before they append, so that only one appends at a time. Where this is
    /// absent, writers overlap or the append itself waits.
    fn lock(self) -> Option<&'static str> {
        (self == Preset::Eventsourcing).then_some("LOCK TABLE orders_events IN EXCLUSIVE MODE")
    }

    fn sql(self) -> Sql {
        match self {
            Preset::Generic => sql!("generic"),
            Preset::MessageDb => sql!("message-db"),
            Preset::Marten => sql!("marten"),
            Preset::Emmett => sql!("emmett"),
            Preset::Eventsourcing => sql!("eventsourcing"),
            Preset::Commanded => sql!("commanded"),
            Preset::RailsEventStore => sql!("rails-event-store"),
            Preset::Eventuous => sql!("eventuous"),
            Preset::Axon => sql!("axon"),
        }
    }
}
