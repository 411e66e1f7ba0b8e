//! `store ...`

use clap::Subcommand;
use std::path::PathBuf;

/// `store ...`
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Write a consistent copy of the store, while the host goes on.
    Backup {
        /// The copy; must not exist yet. To restore, replace store.redb with it.
        file: PathBuf,
    },
    /// Read everything and check that it fits together. Exit code 1 where something does not.
    Check,
    /// Make the read models in PostgreSQL this data directory's own, after it was moved, copied or restored elsewhere. The
    /// directory that owned them can change nothing there any more.
    Adopt,
    /// Give free space back to the disk, while no host runs.
    Compact,
}
