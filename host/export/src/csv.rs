//! Comma-separated values as RFC 4180 quotes them; lines end in a line feed.
//!
//! As PostgreSQL writes and reads CSV, nothing between two commas is null and `""` is empty text. A general writer of CSV
//! knows fields as text alone and writes both the same way; so texts are quoted here, all of them.

use super::{
    Column, ExportError, RowWriter,
    columns::{KEY, cells},
};
use serde_json::Value;
use std::io::Write;

pub(super) struct Csv<W> {
    columns: Vec<Column>,
    out: W,
    line: String,
}

impl<W: Write> Csv<W> {
    /// Writes the header.
    pub(super) fn new(columns: Vec<Column>, out: W) -> Result<Csv<W>, ExportError> {
        let mut csv = Csv { columns, out, line: String::new() };
        quote(&mut csv.line, KEY);
        for column in &csv.columns {
            csv.line.push(',');
            quote(&mut csv.line, &column.name);
        }
        csv.end_line()?;
        Ok(csv)
    }

    fn end_line(&mut self) -> Result<(), ExportError> {
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}

impl<W: Write> RowWriter for Csv<W> {
    fn row(&mut self, key: &str, document: &Value) -> Result<(), ExportError> {
        quote(&mut self.line, key);
        for cell in cells(&self.columns, key, document)? {
            self.line.push(',');
            match cell {
                None => {}
                Some(Value::String(text)) => quote(&mut self.line, text),
                Some(nested @ (Value::Array(_) | Value::Object(_))) => quote(&mut self.line, &nested.to_string()),
                Some(scalar) => self.line.push_str(&scalar.to_string()),
            }
        }
        self.end_line()
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}

fn quote(line: &mut String, text: &str) {
    line.push('"');
    for (index, part) in text.split('"').enumerate() {
        line.push_str(if index > 0 { "\"\"" } else { "" });
        line.push_str(part);
    }
    line.push('"');
}
