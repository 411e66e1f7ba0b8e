//! A history for a read model that is kept up to date, and what its rows must be: a naive fold of the events, each by the build of the
//! plugin that the ranges of its generation name.

use crate::{data::Rows, random::Random};
use serde_json::json;
use std::collections::BTreeSet;

/// The projection that is followed. Its rows count the events of each stream. Three of its builds have one shape and do not agree: the
/// plain one fails at an `Error`; `fixed` handles every event; `off-by-one` fails like the plain one, and counts an event `Late` twice,
/// and in one more row.
pub const NAME: &str = "faulty";

/// One event.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    stream: u64,
    kind: &'static str,
}

/// What one build of the plugin has handled of a generation.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// It begins after this position.
    pub after: u64,
    /// And ends here.
    pub through: u64,
    /// By the build `off-by-one`.
    pub off_by_one: bool,
}

impl Event {
    /// Any event. Streams in which events may be set aside have none on which builds do not agree: of those that are handled later
    /// nobody says by which build.
    pub fn any(random: &mut Random) -> Event {
        let stream = random.below(9);
        let kind = match (stream < 3, random.below(20)) {
            (true, 0) => "Error",
            (false, 0..5) => "Late",
            _ => "Fine",
        };
        Event { stream, kind }
    }

    /// An event that every build handles.
    pub fn handled_by_all(random: &mut Random) -> Event {
        let event = Event::any(random);
        Event { kind: if event.kind == "Error" { "Fine" } else { event.kind }, ..event }
    }

    /// The event with this number, as a line of an event file.
    pub fn line(self, number: usize) -> String {
        let (stream, kind) = (self.stream_name(), self.kind);
        let event =
            json!({ "id": format!("e{number}"), "stream": stream, "type": kind, "timestamp": number, "data": {} });
        format!("{event}\n")
    }

    fn stream_name(self) -> String {
        format!("s{}", self.stream)
    }
}

/// The rows of the events up to `position`, the first of which is at position 1, without those that are `parked`.
///
/// # Errors
/// Where the ranges leave an event out.
pub fn fold(events: &[Event], position: u64, ranges: &[Range], parked: &BTreeSet<u64>) -> Result<Rows, String> {
    let mut rows = Rows::new();
    let mut add = |key: String| {
        let counted = rows.get(&key).map_or(0, |row| row["count"].as_u64().expect("a count"));
        rows.insert(key, json!({ "count": counted + 1 }));
    };
    for (event, at) in events.iter().zip(1..=position) {
        let range = ranges.iter().find(|range| range.after < at && at <= range.through);
        let range = range.ok_or_else(|| format!("no plugin is named for the event at {at}: {ranges:?}"))?;
        if parked.contains(&at) {
            continue;
        }
        add(event.stream_name());
        if event.kind == "Late" && range.off_by_one {
            add(event.stream_name());
            add(format!("{}, too late", event.stream_name()));
        }
    }
    Ok(rows)
}
