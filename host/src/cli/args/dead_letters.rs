//! `dead-letters ...`

use clap::{ArgGroup, Subcommand};

/// `dead-letters ...`
#[derive(Debug, Clone, Subcommand)]
pub enum DeadLettersCommand {
    /// The dead letters of the latest rebuild.
    List {
        /// The projection.
        name: String,
        /// Those of one stream.
        #[arg(long)]
        stream: Option<String>,
    },
    /// One dead letter, with its data and why it could not be handled.
    Show {
        /// The projection.
        name: String,
        /// The event's id.
        id: String,
    },
    /// Handle dead letters with the installed plugin, each stream in order. Exit code 1 where some remain.
    Retry {
        /// The projection.
        name: String,
        /// Those of one stream.
        #[arg(long)]
        stream: Option<String>,
        /// Although later events of other streams have been applied already.
        #[arg(long)]
        out_of_order: bool,
    },
    /// Discard dead letters: they are never applied.
    #[command(group(ArgGroup::new("which").required(true).args(["stream", "all"])))]
    Discard {
        /// The projection.
        name: String,
        /// Those of one stream.
        #[arg(long)]
        stream: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
}
