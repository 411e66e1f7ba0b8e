//! `activity`.

use clap::{Args, Subcommand};

/// `activity`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ActivityArgs {
    /// Those about this projection.
    pub name: Option<String>,
    /// Those of this time and later: RFC 3339, a date, or an age such as 2h or 7d.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Those of this actor.
    #[arg(long, value_name = "NAME")]
    pub actor: Option<String>,
    /// The newest so many [default: 100; with --json, all that are kept].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub last: Option<u64>,
    /// What else.
    #[command(subcommand)]
    pub command: Option<ActivityCommand>,
}

/// `activity check`.
#[derive(Debug, Clone, Subcommand)]
pub enum ActivityCommand {
    /// Compute the hash of every entry again: whether any was changed, or is missing.
    Check,
}
