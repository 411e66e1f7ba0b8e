//! `events ...`

use crate::{
    source::event_file::{FileOptions, Mapping, WithoutTime},
    vocabulary::Numbers,
};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `events ...`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Import event files: JSON (NDJSON, arrays, CloudEvents) or MessagePack, plain, gzip or zstd. All of a file or nothing.
    Import(ImportArgs),
    /// What the log holds.
    Stats,
    /// What events look like: their fields by type and version, which of them are always there, and examples.
    Schema(SchemaArgs),
    /// One event.
    Show {
        /// Its id.
        id: String,
    },
}

/// `events schema ...`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Only of this type; may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// As types of a language, or as a JSON Schema.
    #[arg(long, value_name = "ts|rust|json-schema")]
    pub lang: Option<SchemaLanguage>,
    /// Where the events are: log, file:PATH or postgres:... [default: log].
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// How a file is read.
    #[command(flatten)]
    pub reading: FileArgs,
}

/// How it is written what events look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaLanguage {
    /// Types of TypeScript.
    Ts,
    /// Types of Rust.
    Rust,
    /// A JSON Schema.
    JsonSchema,
}

/// `events import ...`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Set events and lines that are refused aside into this new file, as they are, and import the rest.
    #[arg(long, value_name = "FILE")]
    pub skip_bad_lines: Option<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: FileArgs,
}

/// How an event file is read.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// Which fields of a file make an event, where it is none of ours: id, stream, type, time, data, metadata, schema_version and
    /// position, each with a field (a.b within an object; data=* is all the rest) and, for times, :s, :ms, :us, :ns or :utc, for
    /// JSON within text :json.
    #[arg(long, value_name = "PART=FIELD[:FORM],...")]
    pub map: Option<Mapping>,
    /// The time of events that have none: that of the event before, or this one [default: they are refused].
    #[arg(long, value_name = "last|TIME")]
    pub without_time: Option<WithoutTime>,
    /// What becomes of numbers that cannot be held exactly: refused, kept as text, or the nearest double [default: exact].
    #[arg(long, value_name = "exact|text|round")]
    pub numbers: Option<Numbers>,
}

impl FileArgs {
    /// The same, as sources have it.
    pub fn options(&self) -> FileOptions {
        FileOptions {
            map: self.map.clone(),
            without_time: self.without_time.clone(),
            numbers: self.numbers.unwrap_or_default(),
        }
    }
}
