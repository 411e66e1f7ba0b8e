//! `model ...`

use super::FileArgs;
use crate::export::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

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
    },
    /// All rows in key order, for other engines.
    Export(ExportArgs),
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
    /// Drop a generation that is not live.
    Drop {
        /// The projection.
        name: String,
        /// Which one, by number or name.
        generation: String,
    },
    /// Make the previous generation the live one again.
    Rollback {
        /// The projection.
        name: String,
        /// Although it was built from no event.
        #[arg(long)]
        allow_empty: bool,
    },
}

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
