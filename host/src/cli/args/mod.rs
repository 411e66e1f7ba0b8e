//! What can be typed: the options of every command, and the commands by their families.

mod activity;
mod alert;
mod apply;
mod dead_letters;
mod events;
mod follow;
mod help;
mod http;
mod model;
mod plugin;
mod rebuild;
mod store;

pub use activity::{ActivityArgs, ActivityCommand};
pub use alert::AlertCommand;
pub use apply::ApplyArgs;
pub use dead_letters::DeadLettersCommand;
pub use events::{EventsCommand, FileArgs, ImportArgs, SchemaLanguage};
pub use follow::{AcceptArgs, FollowArgs};
pub use help::{command, manual};
pub use http::HttpArgs;
#[cfg(feature = "http")]
pub use http::TokenCommand;
pub use model::{ExportArgs, ModelCommand, WatchArgs};
pub use plugin::PluginCommand;
pub use rebuild::{RebuildArgs, ResumeArgs};
pub use store::StoreCommand;

use clap::{FromArgMatches, Parser, Subcommand, parser::ValueSource};
use std::{ffi::OsString, path::PathBuf};

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
    /// Everything in full: counts to the last digit, whole digests, tables as wide as they are.
    #[arg(long, global = true, conflicts_with = "json")]
    pub wide: bool,
    /// A command that gets JSON on its standard input when a rebuild has failed or stalled, and when that is over; one line
    /// for `sh -c`. Short for an [[alert]] of the settings.
    #[arg(long, global = true, env = "UNSPOOL_ALERT", value_name = "COMMAND")]
    pub alert: Option<String>,
    /// The file with the settings, which may declare projections [default: unspool.toml in the data directory].
    #[arg(long, global = true, env = "UNSPOOL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Memory that one plugin instance may use, in MiB: for events or states that need more than usual [default: 64].
    #[arg(long, global = true, env = "UNSPOOL_MEMORY", value_name = "MIB",
        value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub memory: Option<u64>,
    /// Instances that handle chunks of one projection at the same time, where it is partitioned by stream [default: the
    /// cores less one].
    #[arg(long, global = true, env = "UNSPOOL_INSTANCES", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub instances: Option<u8>,
    /// The host to ask, over HTTP: its URL, or its name in ~/.config/unspool/hosts.toml; otherwise that of the data directory.
    #[cfg(feature = "http")]
    #[arg(long, global = true, env = "UNSPOOL_HOST", value_name = "URL|NAME")]
    pub host: Option<String>,
    /// The file with the token for it.
    #[cfg(feature = "http")]
    #[arg(long, global = true, env = "UNSPOOL_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Change what is in production without being asked.
    #[cfg(feature = "http")]
    #[arg(long, global = true)]
    pub yes: bool,
    /// Why, for the record of activity.
    #[arg(long, global = true, value_name = "TEXT")]
    pub reason: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The options of a host that were given on the command line, and not in the environment.
    #[arg(skip)]
    pub of_host: Vec<&'static str>,
}

impl Cli {
    /// The command line in `args`, which begin with the program.
    ///
    /// # Errors
    /// What is wrong with it, or what was requested instead: help, the version.
    pub fn of(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
        let matches = command().try_get_matches_from(args)?;
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
        /// Stay as a host with a dashboard over it.
        #[cfg(feature = "http")]
        #[arg(long)]
        serve: bool,
        /// Where the dashboard is to be.
        #[cfg(feature = "http")]
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7117", requires = "serve")]
        listen: std::net::SocketAddr,
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
    /// Keep live generations up to date with new events, from their checkpoints on, until they are unfollowed.
    Follow(FollowArgs),
    /// Leave a live generation as it is: new events are not handled any more.
    Unfollow {
        /// The projection.
        name: String,
    },
    /// Bring a live generation to the present end of its history, once.
    CatchUp {
        /// The projection.
        name: String,
        /// What is known of its history.
        #[command(flatten)]
        accept: AcceptArgs,
    },
    /// Who did what: every change, with what was there before and after, and every refusal.
    Activity(ActivityArgs),
    /// Who is told of what goes wrong: the [[alert]] of the settings.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// What differs from the projections that the settings declare; exit code 10 where something does.
    Plan,
    /// Make everything as the settings declare it: install, swap, rebuild beside the live generation, follow.
    Apply(ApplyArgs),
    /// Read, check and manage what was built.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Events that were set aside because they, or an earlier one of their stream, could not be handled.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Back up, check and compact the store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Be a host: wait for commands from other terminals, and resume what was running when the last host ended.
    Serve {
        /// First make everything as the settings declare it.
        #[arg(long)]
        apply: bool,
        /// How it answers HTTP.
        #[command(flatten)]
        http: HttpArgs,
        /// End once nothing runs any more.
        #[arg(long, hide = true)]
        until_idle: bool,
    },
    /// Whether the host takes commands: exit code 0 where it does, 1 where it does not or there is none. For probes.
    Health,
    /// Tokens, by which programs and people are known who ask over HTTP.
    #[cfg(feature = "http")]
    #[command(subcommand)]
    Token(TokenCommand),
    /// Open the dashboard of the host that runs on the data directory.
    #[cfg(feature = "http")]
    Ui {
        /// Only print where it is, with a code that lets a browser in once, within a minute.
        #[arg(long)]
        print: bool,
    },
    /// Print the script that makes a shell complete commands and options.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each command into a directory.
    Man {
        /// The directory; it is created where there is none.
        dir: PathBuf,
    },
    /// Compile the plugin on standard input, for another process of this program.
    #[command(hide = true, name = crate::plugin::COMPILE)]
    CompilePlugin,
}
