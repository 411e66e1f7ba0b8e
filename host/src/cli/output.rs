//! What goes to standard output: rows and answers, as JSON or for reading.

use serde_json::Value;
use std::io::{self, Write};

/// Writes rows and answers. Everything else goes to standard error.
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Output {
        Output { json }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// One row of many; `false` when nobody reads any more (a closed pipe).
    pub(super) fn row(&self, row: &Value) -> bool {
        match row {
            // Rows of a read model are data: they look the same either way.
            Value::Object(fields) if !self.json && !fields.contains_key("value") => self.line(&in_one_line(row)),
            _ => self.line(&row.to_string()),
        }
    }

    /// The answer to a command; nothing where there is none to show.
    pub(super) fn answer(&self, answer: &Value) {
        match answer {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| self.answer(item)),
            answer if self.json => drop(self.line(&answer.to_string())),
            Value::Object(fields) => {
                let width = fields.keys().map(String::len).max().unwrap_or(0);
                for (name, value) in fields {
                    self.line(&format!("{name:width$}  {}", plain(value)));
                }
            }
            other => drop(self.line(&plain(other))),
        }
    }

    /// A line for people; not part of the JSON.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            self.line(line);
        }
    }

    /// Why the command was not done.
    pub(super) fn error(&self, message: &str) {
        eprintln!("error: {message}");
    }

    fn line(&self, line: &str) -> bool {
        writeln!(io::stdout().lock(), "{line}").is_ok()
    }
}

/// A value without the quotes around texts.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn in_one_line(row: &Value) -> String {
    let Value::Object(fields) = row else { return plain(row) };
    let mut parts = fields.iter().map(|(name, value)| match name.as_str() {
        "projectionName" | "status" => plain(value),
        _ => format!("{name}={}", plain(value)),
    });
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |line, part| line + "  " + &part)
}
