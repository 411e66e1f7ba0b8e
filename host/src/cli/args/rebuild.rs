//! `rebuild ...` and `resume ...`

use super::{AcceptArgs, FileArgs};
use crate::store::{OnError, Priority, RebuildOptions};
use clap::Args;

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
    /// `unspool.toml` [default: where those of the live generation came from, else those of the latest rebuild, else log].
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// How the file that is the source is read.
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
    /// Replay this stream alone, and replace its rows in the live generation; goes with no other option.
    #[arg(long, value_name = "STREAM", conflicts_with_all = [
        "all", "source", "from", "to", "restart", "chunk_size", "priority", "rate_limit", "no_promote", "detach", "dry_run", "on_error", "follow", "into",
        "allow_empty", "accept_missing", "allow_parked", "map", "without_time", "numbers"
    ])]
    pub stream: Option<String>,
    /// What happens to an event that cannot be handled: the rebuild stops there, or the event becomes a dead letter, with
    /// the later events of its stream [default: stop].
    #[arg(long, value_name = "POLICY")]
    pub on_error: Option<OnError>,
    /// Count the rebuild as done, and promote it, with dead letters too.
    #[arg(long)]
    pub allow_parked: bool,
    /// Replace the live generation although the source has no event of the projection's types.
    #[arg(long)]
    pub allow_empty: bool,
    /// Count the rebuild as done although as many events vanish from the source while they are read.
    #[arg(long, value_name = "N")]
    pub accept_missing: Option<u64>,
    /// Start again, giving up what an unfinished rebuild has done.
    #[arg(long)]
    pub restart: bool,
    /// Where the rows are to live: `postgres:postgresql://USER@HOST/DATABASE`, or `store` [default: what `unspool.toml` says,
    /// else where those of the last rebuild live]. The password comes from PGPASSWORD or PGPASSFILE.
    #[arg(long, value_name = "DATABASE")]
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
    /// Do not promote it when it completes; `model promote` does that.
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

impl RebuildArgs {
    /// How the rebuild is to go about it.
    pub fn options(&self) -> RebuildOptions {
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

/// `resume ...`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The projections.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Every rebuild that is paused, interrupted or failed.
    #[arg(long, conflicts_with_all = ["accept_changed", "accept_missing"])]
    pub all: bool,
    /// Return at once; the host that runs, or a new one in the background, goes on.
    #[arg(long)]
    pub detach: bool,
    /// What is known of the history.
    #[command(flatten)]
    pub accept: AcceptArgs,
}
