//! The printer: rows and answers on standard output, as JSON or for reading; everything else on standard error.
//!
//! Nobody has to read either. A pipe that was closed early ends no command: what is left to say is not said. Any other
//! failure of standard output is one of the command, whose answer was not delivered.

use crate::{
    control::ControlError,
    vocabulary::{visible, visible_in_json},
};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Writes rows and answers.
pub(super) struct Output {
    json: bool,
    /// Whether anything was written yet.
    answered: AtomicBool,
    /// Why standard output takes nothing any more, where that is not that its reader has gone.
    failed: OnceLock<io::Error>,
}

/// Says a line on standard error, where that is still read. It may hold text of others, and stays one line.
pub(super) fn say_aside(line: &str) {
    // In one piece, so that lines of several processes do not mix.
    drop(io::stderr().write_all(format!("{}\n", visible(line)).as_bytes()));
}

impl Output {
    pub(super) fn new(json: bool) -> Output {
        Output { json, answered: AtomicBool::new(false), failed: OnceLock::new() }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One row of many; `false` when nobody reads any more (a closed pipe).
    pub(super) fn row(&self, row: &Value) -> bool {
        match row {
            // Rows of a read model are data: they look the same either way.
            Value::Object(fields) if !self.json && !fields.contains_key("value") => self.line(&in_one_line(row)),
            _ => self.json(row),
        }
    }

    /// The answer to a command; nothing where there is none to show.
    pub(super) fn answer(&self, answer: &Value) {
        match answer {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| self.answer(item)),
            answer if self.json => drop(self.json(answer)),
            Value::Object(fields) => {
                let width = fields.keys().map(String::len).max().unwrap_or(0);
                for (name, value) in fields {
                    self.line(&format!("{name:width$}  {}", shown(fields, name, value)));
                }
            }
            other => drop(self.line(&plain(other))),
        }
    }

    /// A line for people; not part of the JSON. It may hold text of others, and stays one line.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            self.line(line);
        }
    }

    /// Whether anything was written to standard output.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Why the command was not done: for people on standard error, for programs as the last object on standard output.
    pub(super) fn error(&self, error: &ControlError) {
        say_aside(&format!("error: {}", error.message));
        if self.json {
            let error = json!({ "kind": error.kind.name(), "message": error.message, "next": error.next() });
            self.json(&error);
        }
    }

    /// Says whether everything was taken that was written.
    ///
    /// # Errors
    /// What standard output says instead: that its disk is full.
    pub(super) fn finish(self) -> io::Result<()> {
        self.note(&io::stdout().flush());
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn line(&self, line: &str) -> bool {
        self.write(&visible(line))
    }

    fn json(&self, value: &Value) -> bool {
        self.write(&visible_in_json(&value.to_string()))
    }

    fn write(&self, line: &str) -> bool {
        self.answered.store(true, Ordering::Relaxed);
        let mut out = io::stdout().lock();
        let written = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
        self.note(&written);
        written.is_ok()
    }

    fn note(&self, written: &io::Result<()>) {
        if let Err(e) = written
            && e.kind() != io::ErrorKind::BrokenPipe
        {
            self.failed.get_or_init(|| io::Error::new(e.kind(), e.to_string()));
        }
    }
}

/// A value without the quotes around texts.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field as people read it: what a host left paused when it ended is not what an operator has paused.
fn shown(fields: &serde_json::Map<String, Value>, name: &str, value: &Value) -> String {
    match name {
        "status" if fields.get("interrupted") == Some(&Value::Bool(true)) => "interrupted".to_owned(),
        _ => plain(value),
    }
}

fn in_one_line(row: &Value) -> String {
    let Value::Object(fields) = row else { return plain(row) };
    let mut parts = fields.iter().map(|(name, value)| match name.as_str() {
        "projectionName" | "status" => shown(fields, name, value),
        _ => format!("{name}={}", plain(value)),
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |line, part| line + "  " + &part)
}
