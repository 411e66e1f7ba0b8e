//! The command line.

use crate::{
    export::Format,
    source::event_file::{FileOptions, Mapping, WithoutTime},
    store::{OnError, Priority, RebuildOptions},
    vocabulary::Numbers,
};
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};
use std::path::PathBuf;

/// Replays event histories through sandboxed projection plugins and rebuilds read models that can be trusted.
#[derive(Debug, Parser)]
#[command(name = "unspool", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// The data directory.
    #[arg(long, global = true, env = "UNSPOOL_DATA", default_value = "./unspool-data", value_name = "DIR")]
    pub data: PathBuf,
    /// One JSON object on standard output (lists: one a line), and nothing else.
    #[arg(long, global = true)]
    pub json: bool,
    /// A command that is told as JSON on its standard input when a rebuild has failed, waits for something that is away, or
    /// waits no more; one line for `sh -c`.
    #[arg(long, global = true, env = "UNSPOOL_ALERT", value_name = "COMMAND")]
    pub alert: Option<String>,
    /// Memory that one plugin instance may use, in MiB: for events or states that need more than usual.
    #[arg(long, global = true, env = "UNSPOOL_MEMORY", default_value_t = 64, value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub memory: u64,
    /// Instances that handle chunks of one projection at the same time, where it is partitioned by stream [default: the
    /// cores less one].
    #[arg(long, global = true, env = "UNSPOOL_INSTANCES", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub instances: Option<u8>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The options of a host that were given on the command line, and not in the environment.
    #[arg(skip)]
    pub of_host: Vec<&'static str>,
}

impl Cli {
    /// The command line of this process.
    ///
    /// # Errors
    /// What is wrong with it, or what was asked for instead: help, the version.
    pub fn of_process() -> Result<Cli, clap::Error> {
        let matches = Cli::command().try_get_matches()?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        let given = |option: &&str| matches.value_source(option) == Some(ValueSource::CommandLine);
        cli.of_host = ["memory", "instances"].into_iter().filter(given).collect();
        Ok(cli)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole job on a fresh data directory: example plugins, a generated history, several rebuilds at once.
    Demo {
        /// How many events to generate.
        #[arg(long, default_value_t = 200_000)]
        events: u64,
    },
    /// Fill and inspect the embedded event log.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Build, check, install and swap projection plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Rebuild read models: start, or resume what is unfinished, and show progress until the end.
    Rebuild(RebuildArgs),
    /// The progress of a projection's latest rebuild.
    Status {
        /// The projection.
        name: String,
    },
    /// The progress of all rebuilds that are not over: running, paused, interrupted, failed.
    List {
        /// Those that are completed or cancelled too.
        #[arg(long)]
        all: bool,
    },
    /// Stop a rebuild so that it can go on later.
    Pause {
        /// The projection.
        name: String,
    },
    /// Let paused and failed rebuilds go on from their checkpoints.
    Resume(ResumeArgs),
    /// Give a rebuild up.
    Cancel {
        /// The projection.
        name: String,
    },
    /// Read, check and manage what was built.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Events that were set aside because they, or an earlier one of their stream, could not be handled.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Back up, check and compact the store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Be a host: wait for commands from other terminals, and resume what the last host left running.
    Serve {
        /// End once nothing runs any more.
        #[arg(long, hide = true)]
        until_idle: bool,
    },
    /// Print what makes a shell complete commands and options.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a directory.
    Man {
        /// The directory; it is made where there is none.
        dir: PathBuf,
    },
    /// Compile the plugin on standard input, for another process of this program.
    #[command(hide = true, name = crate::plugin::COMPILE)]
    CompilePlugin,
}

/// `resume ...`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The projections.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Every rebuild that is paused, interrupted or failed.
    #[arg(long)]
    pub all: bool,
    /// Return at once; the host that runs, or a new one in the background, goes on.
    #[arg(long)]
    pub detach: bool,
    /// Although the source's identity says that it is another history: after pg_upgrade, or a move. The event at the
    /// checkpoint must be the one that was handled.
    #[arg(long)]
    pub accept_history: bool,
    /// Although this event, up to which it was built, was deleted or changed: on purpose.
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub accept_changed: Option<String>,
    /// Although as many events are missing from the source that were counted, or handled, before.
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub accept_missing: Option<u64>,
}

/// `events ...`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Import event files: JSON (NDJSON, arrays, CloudEvents) or MessagePack, plain, gzip or zstd. All of a file or nothing.
    Import(ImportArgs),
    /// What the log holds.
    Stats,
    /// One event.
    Show {
        /// Its id.
        id: String,
    },
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

/// `plugin ...`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Compile a Rust plugin to a component.
    Build {
        /// The plugin's crate.
        dir: PathBuf,
        /// Where to put the component; `NAME.wasm` here by default.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Cargo features to build it with, separated by commas.
        #[arg(long, value_delimiter = ',')]
        features: Vec<String>,
    },
    /// Check a component against the world `projection`, and show what it says of itself.
    Check {
        /// The component.
        file: PathBuf,
    },
    /// Register a projection.
    Install {
        /// The component.
        file: PathBuf,
    },
    /// The handler registry: installed projections and the event types each handles.
    List,
    /// Every plugin a projection has had.
    History {
        /// The projection.
        name: String,
    },
    /// Put another plugin in place; a running rebuild takes it up between two chunks.
    Swap {
        /// The projection.
        name: String,
        /// The component.
        file: PathBuf,
        /// An unfinished rebuild goes on from its checkpoint (the default).
        #[arg(long = "continue", conflicts_with_all = ["rewind_to", "restart"])]
        goes_on: bool,
        /// Build a new generation: by the plugin before up to and including this event, by the new one from there on.
        #[arg(long, value_name = "ID|POSITION|TIME", conflicts_with = "restart")]
        rewind_to: Option<String>,
        /// Build a new generation by the new plugin alone.
        #[arg(long)]
        restart: bool,
    },
    /// Run a candidate beside the plugin in place on the last events, and show how the rows would differ. Keeps nothing.
    Try {
        /// The projection.
        name: String,
        /// The component.
        file: PathBuf,
        /// How many events from the end of the history.
        #[arg(long, default_value_t = 10_000)]
        last: u64,
        /// Where the events come from [default: where those of what readers see came from, else those of the latest rebuild,
        /// else log].
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// How the file is read that is the source.
        #[command(flatten)]
        reading: FileArgs,
    },
    /// Run a plugin over the same events in several manners, and compare: chunk sizes, repetition, a crash in the middle.
    /// Exit code 1 where the rows differ. Needs no data directory but for a source that is there: log, or a name.
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
    /// Put the plugin before the current one back in place.
    Rollback {
        /// The projection.
        name: String,
    },
}

/// `rebuild ...`
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The projections.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Every installed projection.
    #[arg(long)]
    pub all: bool,
    /// Where the events come from: `log`, `file:PATH`, `postgres:PRESET?host=...&user=...&dbname=...`, or a name of
    /// `unspool.toml` [default: where those of what readers see came from, else those of the latest rebuild, else log].
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// How the file is read that is the source.
    #[command(flatten)]
    pub reading: FileArgs,
    /// Begin with this event, at this position, or with the first event that is not earlier than this time; the new
    /// generation holds nothing of those before it. Named as for --to.
    #[arg(long, value_name = "ID|POSITION|TIME")]
    pub from: Option<String>,
    /// End with this event, at this position, or before the first event that is later than this time. `id:`, `position:` or
    /// `time:` in front says which of them is meant, where it could be several.
    #[arg(long, value_name = "ID|POSITION|TIME")]
    pub to: Option<String>,
    /// Replay this stream alone, and replace its rows in what readers see; goes with no other option.
    #[arg(long, value_name = "STREAM", conflicts_with_all = [
        "all", "source", "from", "to", "restart", "chunk_size", "priority", "rate_limit", "no_promote", "detach", "dry_run", "on_error", "follow", "into",
        "allow_empty", "accept_missing", "allow_parked", "map", "without_time", "numbers"
    ])]
    pub stream: Option<String>,
    /// What happens to an event that cannot be handled: the rebuild stops there, or the event is set aside, with the later
    /// events of its stream behind it [default: stop].
    #[arg(long, value_name = "POLICY")]
    pub on_error: Option<OnError>,
    /// Count the rebuild as done, and promote it, with parked events too.
    #[arg(long)]
    pub allow_parked: bool,
    /// Replace what readers see although the source has no event of the projection's types.
    #[arg(long)]
    pub allow_empty: bool,
    /// Count the rebuild as done although as many events vanish from the source while they are read.
    #[arg(long, value_name = "N")]
    pub accept_missing: Option<u64>,
    /// Start anew, giving up what an unfinished rebuild has done.
    #[arg(long)]
    pub restart: bool,
    /// Where the rows are to live: `postgres:postgresql://USER@HOST/DATABASE`, or `store` [default: what `unspool.toml` says,
    /// else where those of the last rebuild live]. The password comes from PGPASSWORD or PGPASSFILE.
    #[arg(long, value_name = "HOME")]
    pub into: Option<String>,
    /// Events per chunk [default: the projection's own, 500 for a standard one].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub chunk_size: Option<u32>,
    /// How much to yield to everything else on the machine [default: low].
    #[arg(long)]
    pub priority: Option<Priority>,
    /// Events per second that it may handle at most [default: as many as it can].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_limit: Option<u32>,
    /// Leave readers where they are when it completes; `model promote` switches them.
    #[arg(long)]
    pub no_promote: bool,
    /// Go on with new events once the end of the history is reached, until it is paused or cancelled; goes without --to.
    #[arg(long, conflicts_with = "to")]
    pub follow: bool,
    /// Return at once; the host that runs, or a new one in the background, goes on.
    #[arg(long)]
    pub detach: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
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
    /// Switch readers to a complete generation.
    Promote {
        /// The projection.
        name: String,
        /// Which one, by number or name [default: the latest].
        generation: Option<String>,
        /// Although it lacks parked events.
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
    /// Compare what readers see with history, row by row: rebuilds up to the same position. Exit code 1 on a difference.
    Verify {
        /// The projection.
        name: String,
        /// Switch readers to what was rebuilt, where it differs.
        #[arg(long)]
        repair: bool,
        /// Although the source's identity says that it is another history: after pg_upgrade, or a move.
        #[arg(long)]
        accept_history: bool,
    },
    /// Build the state as it was at an earlier place, in the store, to be read with --generation.
    AsOf {
        /// The projection.
        name: String,
        /// The last event, a position, or a time.
        #[arg(long, value_name = "ID|POSITION|TIME")]
        to: String,
        /// What to call it [default: as-of-POSITION].
        #[arg(long = "name", value_name = "NAME")]
        label: Option<String>,
        /// Where the events come from [default: where those of what readers see came from, else those of the latest rebuild,
        /// else log].
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// How the file is read that is the source.
        #[command(flatten)]
        reading: FileArgs,
    },
    /// Drop a generation that readers do not see.
    Drop {
        /// The projection.
        name: String,
        /// Which one, by number or name.
        generation: String,
    },
    /// Switch readers back to the generation they saw before.
    Rollback {
        /// The projection.
        name: String,
        /// Although it was built from no event.
        #[arg(long)]
        allow_empty: bool,
    },
}

/// `dead-letters ...`
#[derive(Debug, Clone, Subcommand)]
pub enum DeadLettersCommand {
    /// The parked events of the latest rebuild.
    List {
        /// The projection.
        name: String,
        /// Those of one stream.
        #[arg(long)]
        stream: Option<String>,
    },
    /// One parked event, with its data and why it could not be handled.
    Show {
        /// The projection.
        name: String,
        /// The event's id.
        id: String,
    },
    /// Handle parked events with the plugin in place, each stream in order. Exit code 1 where some stay parked.
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
    /// Forget parked events: they are never applied.
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

/// `store ...`
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Write a consistent copy of the store, while the host goes on.
    Backup {
        /// The copy; must not exist yet. To restore, put it in place of store.redb.
        file: PathBuf,
    },
    /// Read everything and check that it fits together. Exit code 1 where something does not.
    Check,
    /// Make the read models in PostgreSQL this data directory's own, after it was moved, copied or restored elsewhere. The
    /// directory whose they were can change nothing there any more.
    Adopt,
    /// Give free space back to the disk, while no host runs.
    Compact,
}

impl RebuildArgs {
    /// How the rebuild is to go about it.
    pub(super) fn options(&self) -> RebuildOptions {
        RebuildOptions {
            chunk_size: self.chunk_size,
            priority: self.priority,
            rate_limit: self.rate_limit,
            no_promote: self.no_promote,
            on_error: self.on_error,
            allow_parked: self.allow_parked,
            allow_empty: self.allow_empty,
            accept_missing: self.accept_missing,
            follow: self.follow,
        }
    }
}
