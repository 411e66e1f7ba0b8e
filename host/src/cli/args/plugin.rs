//! `plugin ...`

use super::FileArgs;
use crate::plugin::PinnedDigest;
use clap::Subcommand;
use std::path::PathBuf;

/// `plugin ...`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a component of a Rust package, or of a file of TypeScript, JavaScript or Python.
    Build {
        /// The package's directory, or the file.
        #[arg(value_name = "DIR|FILE")]
        path: PathBuf,
        /// Where to put the component; `NAME.wasm` here by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Cargo features to build it with, separated by commas.
        #[arg(long, value_delimiter = ',')]
        features: Vec<String>,
    },
    /// Make a component of a core module for wasm32-wasip1, as compilers of Go, C and other languages make them.
    Wrap {
        /// The core module.
        file: PathBuf,
        /// Where to put the component; `NAME.wasm` here by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a component against the world `projection`, and show what it declares.
    Check {
        /// The component.
        file: PathBuf,
    },
    /// Register a projection.
    Install {
        /// The component.
        file: PathBuf,
        /// Refuse any other file.
        #[arg(long, value_name = "sha256:HEX|blake3:HEX")]
        digest: Option<PinnedDigest>,
    },
    /// The handler registry: installed projections and the event types each handles.
    List,
    /// Every plugin a projection has had.
    History {
        /// The projection.
        name: String,
    },
    /// Replace the installed plugin; a running rebuild takes the new one up between two chunks.
    Swap {
        /// The projection.
        name: String,
        /// The component.
        file: PathBuf,
        /// An unfinished rebuild goes on from its checkpoint (the default).
        #[arg(long = "continue", conflicts_with_all = ["rewind_to", "restart"])]
        goes_on: bool,
        /// Build a new generation: by the previous plugin up to and including this event, by the new one after it.
        #[arg(long, value_name = "ID|POSITION|TIME", conflicts_with = "restart")]
        rewind_to: Option<String>,
        /// Build a new generation by the new plugin alone.
        #[arg(long)]
        restart: bool,
    },
    /// Run a candidate beside the installed plugin on the last events, and show how the rows would differ. Keeps nothing.
    Try {
        /// The projection.
        name: String,
        /// The component.
        file: PathBuf,
        /// How many events from the end of the history.
        #[arg(long, default_value_t = 10_000)]
        last: u64,
        /// Where the events come from [default: where those of the live generation came from, else those of the latest rebuild,
        /// else log].
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// How the file that is the source is read.
        #[command(flatten)]
        reading: FileArgs,
    },
    /// Run a plugin over the same events in several ways, and compare: chunk sizes, repetition, a crash in the middle.
    /// Exit code 1 where the rows differ. Needs a data directory only for a source in it: log, or a name.
    Verify {
        /// The component.
        file: PathBuf,
        /// An event file.
        #[arg(long, value_name = "FILE", conflicts_with = "source")]
        events: Option<PathBuf>,
        /// Where the events come from: `log`, `file:PATH`, `postgres:...`, or a name of `unspool.toml`.
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// How the file is read.
        #[command(flatten)]
        reading: FileArgs,
    },
    /// Install the plugin before the current one again.
    Rollback {
        /// The projection.
        name: String,
    },
}
