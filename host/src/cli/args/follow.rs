//! `follow` and `catch-up`.

use crate::rebuild::Accept;
use clap::Args;

/// `follow ...`
#[derive(Debug, Args)]
pub struct FollowArgs {
    /// The projections.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Return at once; the host that runs, or a new one in the background, goes on.
    #[arg(long)]
    pub detach: bool,
    /// What is known of the history.
    #[command(flatten)]
    pub accept: AcceptArgs,
}

/// What an operator says of a history that is not quite what it was.
#[derive(Debug, Clone, Args)]
pub struct AcceptArgs {
    /// Although the source's identity says that it is another history: after pg_upgrade, or a move. The event at the
    /// checkpoint must be the one that was handled.
    #[arg(long)]
    pub accept_history: bool,
    /// Although this event, up to which it was built, was deleted or changed: on purpose.
    #[arg(long, value_name = "ID")]
    pub accept_changed: Option<String>,
    /// Although as many events are missing from the source that were counted, or handled, before.
    #[arg(long, value_name = "N")]
    pub accept_missing: Option<u64>,
}

impl AcceptArgs {
    /// The same for a request.
    pub fn accept(&self) -> Accept {
        Accept { history: self.accept_history, changed: self.accept_changed.clone(), missing: self.accept_missing }
    }
}
