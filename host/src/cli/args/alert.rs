//! `alert ...`

use clap::Subcommand;

/// `alert ...`
#[derive(Debug, Clone, Subcommand)]
pub enum AlertCommand {
    /// Who is told of what goes wrong, and whether that has arrived.
    List,
    /// Tell everybody that this is a test, or the one who is named; exit code 1 where that does not arrive.
    Test {
        /// As the settings name it.
        name: Option<String>,
    },
}
