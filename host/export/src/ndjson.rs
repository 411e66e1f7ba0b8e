//! One JSON object a line.

use super::{ExportError, RowWriter};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    value: &'a Value,
}

pub(super) struct Ndjson<W> {
    out: W,
}

impl<W: Write> Ndjson<W> {
    pub(super) fn new(out: W) -> Ndjson<W> {
        Ndjson { out }
    }
}

impl<W: Write> RowWriter for Ndjson<W> {
    fn row(&mut self, key: &str, document: &Value) -> Result<(), ExportError> {
        serde_json::to_writer(&mut self.out, &Row { key, value: document }).map_err(std::io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        Ok(self.out.flush()?)
    }
}
