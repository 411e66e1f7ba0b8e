//! Read models for other engines: the rows of a table as NDJSON, CSV or Parquet.
//!
//! A row is its key and a document, here as JSON. NDJSON holds a row as it is: `{"key":...,"value":...}`, one a line, and
//! needs to know nothing before. CSV and Parquet have [`Column`]s: `key`, then one for each top-level field of any document,
//! in the order in which fields first appear in key order. They are found by a [`Survey`] of all rows, before the first
//! is written.
//!
//! | the document's field | CSV | Parquet |
//! |---|---|---|
//! | missing, or null | nothing | null |
//! | text | the text in quotes, so that empty text is `""` | the text |
//! | a number | as JSON writes it | by the column's [`Kind`] |
//! | a boolean | `true`, `false` | by the column's [`Kind`] |
//! | an array or object | its JSON text in quotes | its JSON text |
//!
//! Two names would clash, and get the first free suffix of `_1`, `_2`, ...: a field that is called `key` itself; and
//! `value`, which holds documents that are no objects, where some document has a field of that name.

mod columns;
mod csv;
mod ndjson;
#[cfg(feature = "parquet")]
mod parquet;

pub use columns::{Column, Kind, Survey, TooManyColumns};

use serde_json::Value;
use std::io::{self, Write};

/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object `{"key","value"}` a line.
    #[default]
    Ndjson,
    /// A header and one line per row, for anything that reads tables.
    Csv,
    /// Typed columns, compressed with zstd, for engines that query them.
    Parquet,
}

impl Format {
    /// What its files end in, and what it is called.
    pub fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }

    /// Whether all rows must be surveyed before the first is written.
    pub fn has_columns(self) -> bool {
        self != Format::Ndjson
    }

    /// A writer of rows to `out`; `columns` are those of a survey of the same rows, where the format has columns.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn writer(
        self,
        columns: Vec<Column>,
        out: impl Write + Send + 'static,
    ) -> Result<Box<dyn RowWriter>, ExportError> {
        Ok(match self {
            Format::Ndjson => Box::new(ndjson::Ndjson::new(out)),
            Format::Csv => Box::new(csv::Csv::new(columns, out)?),
            #[cfg(feature = "parquet")]
            Format::Parquet => Box::new(parquet::Parquet::new(columns, out)?),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(ExportError::NotBuilt),
        })
    }
}

/// Writes the rows of one table.
pub trait RowWriter {
    /// Writes one row.
    ///
    /// # Errors
    /// When the output cannot be written, or the row is not one of those that were surveyed.
    fn row(&mut self, key: &str, document: &Value) -> Result<(), ExportError>;

    /// Writes what is still held back. Without it the output is not complete.
    ///
    /// # Errors
    /// When the output cannot be written.
    fn finish(self: Box<Self>) -> Result<(), ExportError>;
}

/// Rows that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// This program was built without the format.
    #[error(
        "this unspool was built without Parquet: build it with the feature parquet, which is on by default, or export as csv"
    )]
    NotBuilt,
    /// The output does not take them.
    #[error("{0}")]
    Write(#[from] io::Error),
    /// A row has a field or a value that no column holds.
    #[error("row {key} has a {what} that was not there when the columns were found; export again")]
    NotSurveyed {
        /// The row's key.
        key: String,
        /// What no column holds.
        what: String,
    },
}
