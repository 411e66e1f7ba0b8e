//! The newest lines of the log, kept in memory: what came before somebody looked.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// Lines that are kept.
const LINES: usize = 2_000;

/// Characters of a line that are kept.
const LINE_CHARS: usize = 4_000;

/// A line of the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "LogLine")]
pub struct Line {
    /// Its number, counted from 1.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// How serious it is.
    pub level: &'static str,
    /// Who says it: `plugin`, or a part of the host.
    pub target: String,
    /// What it says.
    pub message: String,
    /// What else it says: the projection it is about, for one.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

static KEPT: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

fn kept() -> MutexGuard<'static, VecDeque<Line>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the newest line; 0 where there is none.
pub fn newest() -> u64 {
    kept().back().map_or(0, |line| line.seq)
}

/// The lines that are kept and have a number above `after`.
pub fn after(after: u64) -> Vec<Line> {
    let kept = kept();
    let new = kept.iter().rev().take_while(|line| line.seq > after).count();
    kept.iter().skip(kept.len() - new).cloned().collect()
}

/// Keeps what is logged.
pub struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line {
            seq: 0,
            at: crate::vocabulary::now_ms(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target().to_owned(),
            message: String::new(),
            fields: Map::new(),
        };
        event.record(&mut line);
        let mut kept = kept();
        line.seq = kept.back().map_or(1, |line| line.seq + 1);
        if kept.len() == LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl Line {
    fn put(&mut self, field: &Field, value: Value) {
        let value = match value {
            Value::String(text) if text.len() > LINE_CHARS => Value::String(text.chars().take(LINE_CHARS).collect()),
            value => value,
        };
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // What a line is, it says itself.
            ("seq" | "at" | "level" | "target", _) => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}
