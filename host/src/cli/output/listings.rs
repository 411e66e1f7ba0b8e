//! Lists for people: one line for each item, under headings.

use super::{
    Output,
    colour::is_dumb,
    table::{self, Cell, Column},
    values::{ABSENT, Values},
};
use crate::control::Request;
use serde_json::Value;
use std::io::{self, IsTerminal};

/// Rows that decide how wide the columns are. Later ones are shown as they come.
const ROWS: usize = 500;

/// A column of a list.
struct Shown {
    title: &'static str,
    column: Column,
    /// Only with `--wide`.
    wide: bool,
    cell: fn(&Value, Values) -> Cell,
}

type Shows = fn(&Value, Values) -> Cell;

const fn left(title: &'static str, importance: u8, least: usize, cell: Shows) -> Shown {
    Shown { title, column: Column { right: false, importance, least }, wide: false, cell }
}

const fn right(title: &'static str, importance: u8, cell: Shows) -> Shown {
    Shown { title, column: Column { right: true, importance, least: usize::MAX }, wide: false, cell }
}

const fn wide(shown: Shown) -> Shown {
    Shown { wide: true, ..shown }
}

/// The field `name` of a row; nothing where it is absent.
fn field(row: &Value, name: &str, values: Values) -> Cell {
    if row[name].is_null() { Cell::new(ABSENT) } else { Cell::new(&values.field(name, &row[name])) }
}

macro_rules! show {
    ($name:literal) => {
        |row, values| field(row, $name, values)
    };
}

const REBUILDS: &[Shown] = &[
    left("PROJECTION", 9, 12, show!("projectionName")),
    left("STATUS", 8, 11, status),
    right("DONE", 7, |row, _| match row["percentComplete"].as_f64() {
        Some(percent) => Cell::new(&format!("{:.0} %", percent.floor())),
        None => Cell::new(ABSENT),
    }),
    right("EVENTS", 5, |row, values| {
        let count = |name: &str| row[name].as_u64().map(|count| values.count(count));
        let handled = count("eventsProcessed").unwrap_or_default();
        Cell::new(&count("totalEvents").map_or_else(|| handled.clone(), |all| format!("{handled} of {all}")))
    }),
    right("RATE", 3, show!("eventsPerSecond")),
    right("LEFT", 4, |row, values| match row["status"].as_str() {
        Some("running") => field(row, "estimatedRemainingMs", values),
        _ => Cell::new(ABSENT),
    }),
    right("PARKED", 2, show!("parked")),
    left("STARTED", 1, 8, |row, values| age(row, "startedAt", values)),
    wide(left("CHECKPOINT", 1, 12, show!("checkpointId"))),
    wide(left("SOURCE", 1, 12, show!("source"))),
    wide(left("POSITION", 1, 12, show!("position"))),
    left("WHY", 6, 16, |row, _| {
        let error = row["error"].as_str().or(row["waiting"]["error"].as_str()).unwrap_or_default();
        match row["waiting"]["tries"].as_u64() {
            Some(tries) => Cell::new(&format!("waits, {tries} tries: {error}")),
            None => Cell::new(error),
        }
    }),
];

const PLUGINS: &[Shown] = &[
    left("PROJECTION", 9, 12, show!("projectionName")),
    right("VERSION", 6, show!("version")),
    left("DIGEST", 5, 12, show!("digest")),
    right("LIVE GENERATION", 7, show!("liveGeneration")),
    left("TABLES", 4, 12, show!("tables")),
    left("EVENT TYPES", 3, 12, show!("eventTypes")),
    left("COMPLEXITY", 2, 10, show!("complexity")),
    left("PARTITIONING", 1, 12, show!("partitioning")),
];

const INSTALLS: &[Shown] = &[
    left("DIGEST", 9, 12, show!("digest")),
    right("VERSION", 7, show!("version")),
    left("HOW", 6, 8, show!("how")),
    left("WHEN", 8, 16, |row, values| match row["at"].as_i64() {
        Some(at) => Cell::new(&values.time(at)),
        None => Cell::new(ABSENT),
    }),
];

const DIFFERENCES: &[Shown] = &[
    left("TABLE", 6, 8, show!("table")),
    left("KEY", 9, 12, show!("key")),
    left("CHANGE", 8, 7, show!("change")),
    left("FIELDS", 7, 12, |row, _| {
        let fields = row["fields"].as_array().into_iter().flatten();
        Cell::new(&fields.map(differs).collect::<Vec<_>>().join(", "))
    }),
];

const ACTIVITY: &[Shown] = &[
    right("NO", 4, show!("seq")),
    left("WHEN", 8, 8, |row, values| age(row, "at", values)),
    left("WHO", 9, 8, |row, _| Cell::new(row["actor"]["name"].as_str().unwrap_or(ABSENT))),
    wide(left("VIA", 2, 4, show!("via"))),
    left("REQUEST", 7, 8, show!("request")),
    left("PROJECTION", 6, 12, show!("projection")),
    left("WHAT", 8, 12, |row, values| Cell::new(&changed_to(&row["change"], values))),
    left("OUTCOME", 5, 7, |row, _| Cell::status(row["outcome"].as_str().unwrap_or(ABSENT))),
    left("WHY", 3, 12, |row, _| match (row["message"].as_str(), row["reason"].as_str()) {
        (Some(message), Some(reason)) => Cell::new(&format!("{message} (asked because: {reason})")),
        (message, reason) => Cell::new(message.or(reason).unwrap_or(ABSENT)),
    }),
    wide(left("HASH", 1, 12, show!("hash"))),
];

const ALERT_ROUTES: &[Shown] = &[
    left("NAME", 9, 8, show!("name")),
    left("TO", 6, 12, show!("to")),
    left("ON", 5, 12, show!("on")),
    left("LAST", 8, 8, |row, values| match row["last"]["at"].as_i64() {
        Some(_) => age(&row["last"], "at", values),
        None => Cell::new(ABSENT),
    }),
    right("WAITING", 7, show!("waiting")),
    right("DELIVERED", 3, show!("delivered")),
    right("FAILED", 3, show!("failed")),
    right("DROPPED", 2, show!("dropped")),
    left("WHY", 4, 12, |row, _| Cell::new(row["last"]["error"].as_str().unwrap_or_default())),
];

const TESTED_ROUTES: &[Shown] = &[
    left("NAME", 9, 8, show!("name")),
    left("TO", 6, 12, show!("to")),
    left("DELIVERED", 8, 4, |row, _| Cell::new(if row["delivered"] == true { "yes" } else { "no" })),
    left("WHY", 7, 12, |row, _| Cell::new(row["error"].as_str().unwrap_or_default())),
];

const GENERATIONS: &[Shown] = &[
    right("GENERATION", 9, show!("generation")),
    left("NAME", 5, 8, show!("name")),
    left("ROLE", 8, 8, show!("role")),
    left("STATUS", 7, 9, status),
    right("EVENTS", 6, show!("eventsProcessed")),
    right("PARKED", 4, show!("parked")),
    right("POSITION", 3, show!("position")),
    left("STARTED", 2, 8, |row, values| age(row, "startedAt", values)),
    left("SOURCE", 1, 10, show!("source")),
    wide(left("INTO", 1, 10, show!("into"))),
    wide(right("STATE VERSION", 1, show!("stateVersion"))),
    wide(right("CHUNK SIZE", 1, show!("chunkSize"))),
    left("PLUGINS", 5, 12, |row, values| {
        let ranges = row["ranges"].as_array().map(Vec::as_slice).unwrap_or_default();
        let digests = ranges.iter().filter_map(|range| range["pluginDigest"].as_str());
        Cell::new(&digests.map(|digest| values.digest(digest)).collect::<Vec<_>>().join(", "))
    }),
];

const DEAD_LETTERS: &[Shown] = &[
    left("STREAM", 6, 12, show!("stream")),
    right("POSITION", 7, show!("position")),
    left("EVENT", 9, 12, show!("id")),
    left("TYPE", 5, 12, show!("type")),
    left("WHY", 8, 16, |row, _| {
        let behind = "an earlier event of its stream is a dead letter";
        Cell::new(row["error"].as_str().unwrap_or(behind))
    }),
];

const CHANGES: &[Shown] = &[
    right("POSITION", 7, show!("position")),
    left("EVENT", 6, 12, show!("id")),
    left("TYPE", 8, 12, show!("type")),
    left("STREAM", 4, 12, show!("stream")),
    left("TIME", 5, 16, show!("timestamp")),
    left("CHANGED", 9, 16, |row, _| {
        let fields = row["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
        Cell::new(&fields.iter().map(changed).collect::<Vec<_>>().join(", "))
    }),
];

/// A field that changed: `status "open" -> "paid"`.
fn changed(field: &Value) -> String {
    between(field["field"].as_str().unwrap_or_default(), field.get("before"), field.get("after"))
}

fn between(name: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    let shown = |value: Option<&Value>| value.map_or_else(|| ABSENT.to_owned(), Value::to_string);
    match (name, before, after) {
        (".", None, after) => format!("created {}", shown(after)),
        (".", before, None) => format!("deleted {}", shown(before)),
        (".", before, after) => format!("{} -> {}", shown(before), shown(after)),
        (name, before, after) => format!("{name} {} -> {}", shown(before), shown(after)),
    }
}

/// A field that differs between two generations.
fn differs(field: &Value) -> String {
    let name = field["path"].as_str().unwrap_or_default();
    between(name, field.get("left"), field.get("right"))
}

/// What was there before and is there now, in a few words.
fn changed_to(change: &Value, values: Values) -> String {
    let Some(what) = change["what"].as_str() else { return ABSENT.to_owned() };
    let shown = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| format!("{name} {}", values.field(name, value));
            fields.iter().map(part).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let of = change["generation"].as_u64().map_or_else(String::new, |number| format!("/{number}"));
    format!("{what}{of}: {} -> {}", shown(&change["before"]), shown(&change["after"]))
}

/// What a host left paused when it ended is not what an operator has paused.
fn status(row: &Value, _: Values) -> Cell {
    if row["interrupted"] == true {
        Cell::status("interrupted")
    } else if let (Some("completed"), Some(following)) = (row["status"].as_str(), row["following"].as_str()) {
        Cell::status(following)
    } else {
        Cell::status(row["status"].as_str().unwrap_or(ABSENT))
    }
}

fn age(row: &Value, name: &str, values: Values) -> Cell {
    match row[name].as_i64() {
        Some(at) if values.wide => Cell::new(&values.time(at)),
        Some(at) => Cell::new(&values.age(at)),
        None => Cell::new(ABSENT),
    }
}

/// The rows of an answer, as they come: a list of its own kind, or data.
pub struct Listing<'a> {
    output: &'a Output,
    shown: Option<Vec<&'static Shown>>,
    values: Values,
    /// Rows that wait for the columns to have a width.
    waiting: Vec<Vec<Cell>>,
    widths: Option<Vec<Option<usize>>>,
}

impl<'a> Listing<'a> {
    /// The rows that `request` is answered with.
    pub fn of(request: &Request, output: &'a Output) -> Listing<'a> {
        let shown = match request {
            _ if output.is_json() => None,
            Request::List { .. } => Some(REBUILDS),
            Request::PluginList => Some(PLUGINS),
            Request::PluginHistory { .. } => Some(INSTALLS),
            Request::ModelGenerations { .. } => Some(GENERATIONS),
            Request::ModelHistory { .. } => Some(CHANGES),
            Request::DeadLettersList { .. } => Some(DEAD_LETTERS),
            Request::Activity { .. } => Some(ACTIVITY),
            Request::AlertList => Some(ALERT_ROUTES),
            Request::AlertTest { .. } => Some(TESTED_ROUTES),
            Request::ModelDiff { .. } => Some(DIFFERENCES),
            _ => None,
        };
        let values = output.values();
        let shown = shown.map(|all| all.iter().filter(|shown| values.wide || !shown.wide).collect());
        Listing { output, shown, values, waiting: Vec::new(), widths: None }
    }

    /// Takes a row; `false` when nobody reads any more.
    pub fn row(&mut self, row: &Value) -> bool {
        let Some(shown) = &self.shown else { return self.output.row(row) };
        if self.waiting.is_empty() && self.widths.is_none() {
            self.waiting.push(shown.iter().map(|shown| Cell::heading(shown.title)).collect());
        }
        self.waiting.push(shown.iter().map(|shown| (shown.cell)(row, self.values)).collect());
        self.waiting.len() <= ROWS && self.widths.is_none() || self.flush()
    }

    /// Shows what has not been shown yet.
    pub fn end(mut self) {
        self.flush();
    }

    fn flush(&mut self) -> bool {
        let Some(shown) = &self.shown else { return true };
        let columns: Vec<Column> = shown.iter().map(|shown| shown.column).collect();
        let widths =
            self.widths.get_or_insert_with(|| table::fit(&columns, &self.waiting, terminal_width(self.values.wide)));
        let coloured = self.output.is_coloured();
        self.waiting.drain(..).all(|row| self.output.shown(&table::line(&columns, widths, &row, coloured)))
    }
}

/// The columns of the terminal that standard output is; `None` where it is none, or everything is wanted in full.
fn terminal_width(wide: bool) -> Option<usize> {
    let stdout = io::stdout();
    if wide || !stdout.is_terminal() || is_dumb() {
        return None;
    }
    rustix::termios::tcgetwinsize(stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rebuild_whose_events_are_not_counted_has_no_end() {
        let shown = |row: Value| {
            let values = Values { wide: false, now: 0 };
            ["DONE", "EVENTS", "LEFT"].map(|title| {
                let shown = REBUILDS.iter().find(|shown| shown.title == title).unwrap();
                (shown.cell)(&row, values).painted(false)
            })
        };
        let counted = json!({
            "status": "running", "percentComplete": 50.99, "eventsProcessed": 2_000, "totalEvents": 4_000,
            "estimatedRemainingMs": 4_000,
        });
        assert_eq!(shown(counted), ["50 %", "2,000 of 4,000", "4.0 s"]);
        let not_counted = json!({
            "status": "running", "percentComplete": null, "eventsProcessed": 2_000, "totalEvents": null,
            "estimatedRemainingMs": null,
        });
        assert_eq!(shown(not_counted), [ABSENT, "2,000", ABSENT]);
    }
}
