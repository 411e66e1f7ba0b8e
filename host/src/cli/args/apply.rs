//! `apply`.

use clap::Args;

/// `apply ...`
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Return at once; the host that runs, or a new one in the background, goes on.
    #[arg(long)]
    pub detach: bool,
}
