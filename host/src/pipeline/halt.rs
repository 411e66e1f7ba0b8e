//! Why handling came to an end.

use super::commit_queue::Refused;
use crate::{source::SourceError, vocabulary::EventFailure};

/// Why handling came to an end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Every event of the range has been handled.
    EndOfRange,
    /// The stop was raised.
    Stopped,
    /// An event or the plugin is at fault.
    Failed(EventFailure),
    /// The source is at fault.
    Source { message: String, transient: bool },
    /// The store refused a commit, or cannot be read.
    Store(Refused),
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Halt {
        Halt::Source { message: error.message, transient: error.transient }
    }
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Halt {
        Halt::Store(refused)
    }
}
