//! The document that is made of a JSON text, while it is read.

use super::error::DocumentError;
use super::json_problem::json_problem;
use super::writer::Writer;
use serde::de;

/// Where visitors write to, and say why they stopped: their own error type cannot carry it.
pub(super) struct Output {
    pub(super) writer: Writer,
    problem: Option<DocumentError>,
}

impl Output {
    pub(super) fn new(text: &str) -> Self {
        Output { writer: Writer::new(text.len()), problem: None }
    }

    /// Stops the visitors where there is a problem.
    pub(super) fn accept<T, E: de::Error>(&mut self, result: Result<T, DocumentError>) -> Result<T, E> {
        result.map_err(|problem| {
            self.problem = Some(problem);
            E::custom("stopped")
        })
    }

    /// Why the parser stopped that had `error` in the part of `text` that begins at byte `base`.
    pub(super) fn problem(&mut self, error: &serde_json::Error, text: &str, base: usize) -> DocumentError {
        self.problem.take().unwrap_or_else(|| json_problem(error, text, base))
    }
}
