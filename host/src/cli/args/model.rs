//! `model ...`

use super::FileArgs;
use crate::{control::Fresh, export::Format, settings, vocabulary::Position};
use clap::{Args, Subcommand};
use std::{path::PathBuf, time::Duration};

/// `model ...`
#[derive(Debug, Clone, Subcommand)]
pub enum ModelCommand {
    /// One row.
    Get {
        /// PROJECTION/TABLE.
        table: TableName,
        /// The row's key.
        key: String,
        /// Another generation than the live one, by number or name.
        #[arg(long)]
        generation: Option<String>,
        /// How fresh it must be.
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// Rows in key order.
    Scan {
        /// PROJECTION/TABLE.
        table: TableName,
        /// Only keys that start with this.
        #[arg(long, default_value = "")]
        prefix: String,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Another generation than the live one, by number or name.
        #[arg(long)]
        generation: Option<String>,
        /// How fresh it must be.
        #[command(flatten)]
        fresh: FreshArgs,
    },
    /// All rows in key order, for other engines.
    Export(ExportArgs),
    /// All rows, then each change as it happens, until it is ended: one JSON line each.
    Watch(WatchArgs),
    /// The digest of all rows.
    Digest {
        /// The projection.
        name: String,
        /// Another generation than the live one, by number or name.
        #[arg(long)]
        generation: Option<String>,
    },
    /// The generations that are kept.
    Generations {
        /// The projection.
        name: String,
    },
    /// Make a complete generation the live one.
    Promote {
        /// The projection.
        name: String,
        /// Which one, by number or name [default: the latest].
        generation: Option<String>,
        /// Although it has dead letters.
        #[arg(long)]
        allow_parked: bool,
        /// Although it was built from no event.
        #[arg(long)]
        allow_empty: bool,
    },
    /// How a generation was built: source, range, counts, plugins, times, and the digest of its rows.
    Receipt {
        /// The projection.
        name: String,
        /// Another generation than the live one, by number or name.
        #[arg(long)]
        generation: Option<String>,
    },
    /// Compare the live generation with history, row by row: rebuilds up to the same position. Exit code 1 on a difference.
    Verify {
        /// The projection.
        name: String,
        /// Promote what was rebuilt, where it differs.
        #[arg(long)]
        repair: bool,
        /// Although the source's identity says that it is another history: after pg_upgrade, or a move.
        #[arg(long)]
        accept_history: bool,
    },
    /// Build the state as it was at an earlier position, in the store, to be read with --generation.
    AsOf {
        /// The projection.
        name: String,
        /// The last event, a position, or a time.
        #[arg(long, value_name = "ID|POSITION|TIME")]
        to: String,
        /// What to call it [default: as-of-POSITION].
        #[arg(long = "name", value_name = "NAME")]
        label: Option<String>,
        /// Where the events come from [default: where those of the live generation came from, else those of the latest rebuild,
        /// else log].
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// How the file that is the source is read.
        #[command(flatten)]
        reading: FileArgs,
    },
    /// Why a row is as it is: every event that changed it, and what that changed, the newest last. Handles the history again.
    History {
        /// PROJECTION/TABLE.
        table: TableName,
        /// The row's key.
        key: String,
        /// Up to this event, position or time [default: all that is in the generation].
        #[arg(long, value_name = "ID|POSITION|TIME")]
        to: Option<String>,
        /// Another generation than the live one, by number or name.
        #[arg(long)]
        generation: Option<String>,
    },
    /// How the rows of two generations differ, field by field; exit code 1 where they do.
    Diff {
        /// The projection.
        name: String,
        /// The one generation: a number or a name.
        left: String,
        /// The other one [default: the live one].
        right: Option<String>,
        /// Only this table.
        #[arg(long)]
        table: Option<String>,
        /// Rows that are shown at most; all are counted.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Drop a generation that is not live.
    Drop {
        /// The projection.
        name: String,
        /// Which one, by number or name.
        generation: String,
    },
    /// Make the previous generation the live one again, brought up to date first.
    Rollback {
        /// The projection.
        name: String,
        /// Switch at once, even where that takes readers back in time; it is brought up to date afterwards.
        #[arg(long)]
        now: bool,
        /// Although it was built from no event.
        #[arg(long)]
        allow_empty: bool,
    },
}

/// How much of the history must be in what is read.
#[derive(Debug, Clone, Args)]
pub struct FreshArgs {
    /// Only with the history up to this position in it; exit code 3 otherwise.
    #[arg(long, value_name = "POSITION", conflicts_with = "at_least_event")]
    pub at_least: Option<Position>,
    /// Only with the history up to the event with this id in it; exit code 3 otherwise.
    #[arg(long, value_name = "ID")]
    pub at_least_event: Option<String>,
    /// How long to wait for that: `500ms`, `5s`, `2m` [default: 0s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub wait: Option<Duration>,
}

impl FreshArgs {
    /// The same for a request.
    pub fn fresh(&self) -> Fresh {
        let wait_ms = self.wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Fresh { at_least: self.at_least, at_least_event: self.at_least_event.clone(), wait_ms }
    }
}

/// How long to wait.
fn duration(text: &str) -> Result<Duration, String> {
    let time = settings::duration(text)?;
    if time > LONGEST_WAIT { Err(format!("{text} is longer than an hour")) } else { Ok(time) }
}

/// How long a reader may wait: whoever waits takes up a thread of the host.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// `model export ...`
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// PROJECTION/TABLE, or PROJECTION for all its tables.
    #[arg(value_name = "PROJECTION[/TABLE]")]
    pub model: ModelName,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    pub format: Format,
    /// A new file, or a directory to get a file TABLE.FORMAT for each table; `-` is standard output [default: -].
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,
    /// Replace files that are there already.
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Another generation than the live one, by number or name.
    #[arg(long)]
    pub generation: Option<String>,
}

/// `model watch ...`
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// PROJECTION/TABLE, or PROJECTION for all its tables.
    #[arg(value_name = "PROJECTION[/TABLE]")]
    pub model: ModelName,
    /// Only keys that start with this.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Go on after what this token came with, instead of beginning with all rows.
    #[arg(long, value_name = "TOKEN")]
    pub from: Option<String>,
}

/// Names a table: `NAME/TABLE`.
#[derive(Debug, Clone)]
pub struct TableName {
    /// The projection.
    pub name: String,
    /// The table.
    pub table: String,
}

impl std::str::FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((name, table)) if !name.is_empty() && !table.is_empty() => {
                Ok(TableName { name: name.to_owned(), table: table.to_owned() })
            }
            _ => Err("a table is named PROJECTION/TABLE, such as order-summary/orders".to_owned()),
        }
    }
}

/// Names a read model or one table of it: `NAME`, `NAME/TABLE`.
#[derive(Debug, Clone)]
pub struct ModelName {
    /// The projection.
    pub name: String,
    /// The table; `None` for all of them.
    pub table: Option<String>,
}

impl std::str::FromStr for ModelName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('/') {
            return Ok(ModelName { name: text.to_owned(), table: None });
        }
        let TableName { name, table } = text.parse()?;
        Ok(ModelName { name, table: Some(table) })
    }
}
