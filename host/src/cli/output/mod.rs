//! The printer: rows and answers on standard output, as JSON or for reading; everything else on standard error.
//!
//! Nobody has to read either. A pipe that was closed early ends no command: what is left to say is not said. Any other
//! failure of standard output is one of the command, whose answer was not delivered.

mod colour;
mod fields;
mod listings;
mod table;
mod values;

use colour::Colour;
pub(super) use colour::{is_coloured, is_dumb};
pub(super) use listings::Listing;
pub(super) use table::{Cell, cut};
pub(super) use values::{Values, duration};

use super::progress;
use crate::{
    control::ControlError,
    vocabulary::{visible, visible_in_json},
};
use serde_json::{Value, json};
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};
use unicode_width::UnicodeWidthStr;

/// Writes rows and answers.
pub(super) struct Output {
    json: bool,
    wide: bool,
    /// Whether standard output is a terminal, where bars may stand in the way.
    terminal: bool,
    coloured: bool,
    /// Whether anything was written yet.
    answered: AtomicBool,
    /// Why standard output takes nothing any more, where that is not that its reader has gone.
    failed: OnceLock<io::Error>,
}

/// Says a line on standard error, where that is still read. It may hold text of others, and stays one line.
pub(super) fn say_aside(line: &str) {
    write_aside(&visible(line));
}

/// Says what is wrong, on standard error.
pub(super) fn say_error(message: &str) {
    let error = if is_coloured(&io::stderr()) { Colour::Red.paint("error:") } else { "error:".to_owned() };
    write_aside(&format!("{error} {}", visible(message)));
}

/// Writes a line in which nothing acts on a terminal but colours.
fn write_aside(line: &str) {
    // In one piece, so that lines of several processes do not mix.
    progress::above_the_bars(|| drop(io::stderr().write_all(format!("{line}\n").as_bytes())));
}

impl Output {
    /// For `json`, or for people: then in full where that is `wide`.
    pub(super) fn new(json: bool, wide: bool) -> Output {
        Output {
            json,
            wide,
            terminal: io::stdout().is_terminal(),
            coloured: is_coloured(&io::stdout()),
            answered: AtomicBool::new(false),
            failed: OnceLock::new(),
        }
    }

    /// How values read now.
    pub(super) fn values(&self) -> Values {
        Values::new(self.wide)
    }

    /// Whether what people read is coloured.
    pub(super) fn is_coloured(&self) -> bool {
        self.coloured
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One row of many; `false` when nobody reads any more (a closed pipe).
    pub(super) fn row(&self, row: &Value) -> bool {
        match row {
            // Rows of a read model are data: they look the same either way.
            Value::Object(fields) if !self.json && !fields.contains_key("value") => {
                let parts = fields::one_line(fields, self.values());
                self.shown(&parts.iter().map(|part| part.painted(self.coloured)).collect::<Vec<_>>().join("  "))
            }
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
                for (name, value) in fields::lines(fields, self.values()) {
                    self.shown(format!("{}{}", visible(&name), value.painted(self.coloured)).trim_end());
                }
            }
            other => drop(self.line(&plain(other))),
        }
    }

    /// A document of a read model: its fields as they are.
    pub(super) fn document(&self, document: &Value) {
        let Value::Object(fields) = document else { return self.answer(document) };
        if self.json {
            self.json(document);
            return;
        }
        let width = fields.keys().map(|name| name.width()).max().unwrap_or(0);
        for (name, value) in fields {
            let free = width - name.width();
            self.line(&format!("{name}{:free$}  {}", "", plain(value)));
        }
    }

    /// A line for people; not part of the JSON. It may hold text of others, and stays one line.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            self.line(line);
        }
    }

    /// A line for people with a status in its colour: `before`, the status, `after`.
    pub(super) fn say_status(&self, before: &str, status: &str, after: &str) {
        if !self.json {
            let status = Cell::status(status).painted(self.coloured);
            self.shown(&format!("{}{status}{}", visible(before), visible(after)));
        }
    }

    /// Whether anything was written to standard output.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Why the command was not done: for people on standard error, for programs as the last object on standard output.
    pub(super) fn error(&self, error: &ControlError) {
        say_error(&error.message);
        if self.json {
            let error = json!({ "kind": error.kind.name(), "message": error.message, "next": error.next() });
            self.json(&error);
        }
    }

    /// Says whether everything was taken that was written.
    ///
    /// # Errors
    /// The error of standard output, such as a full disk.
    pub(super) fn finish(self) -> io::Result<()> {
        self.note(&io::stdout().flush());
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn line(&self, line: &str) -> bool {
        self.write(&visible(line))
    }

    /// A line in which nothing acts on a terminal but colours.
    fn shown(&self, line: &str) -> bool {
        self.write(line)
    }

    /// A line of what was asked for as text, whoever reads it; `false` when nobody does any more.
    pub(super) fn text(&self, line: &str) -> bool {
        self.write(&visible(line))
    }

    /// A line of JSON, whoever reads it; `false` when nobody does any more.
    pub(super) fn json(&self, value: &Value) -> bool {
        self.write(&visible_in_json(&value.to_string()))
    }

    fn write(&self, line: &str) -> bool {
        self.answered.store(true, Ordering::Relaxed);
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"))
        };
        // Elsewhere a reader may be slow, and nobody else is to wait for it.
        let written = if self.terminal { progress::above_the_bars(write) } else { write() };
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
