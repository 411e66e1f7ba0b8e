//! Why a rebuild cannot be started, stopped or looked at.

use super::Refusal;
use crate::{
    plugin::PluginError,
    source::SourceError,
    store::StoreError,
    vocabulary::{EventFailure, FailureKind},
};

/// What the supervisor refuses or cannot do.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Not possible as things are.
    #[error("{name}: {refusal}")]
    Refused {
        /// The projection.
        name: String,
        /// Why.
        refusal: Refusal,
    },
    /// The request does not make sense.
    #[error("{0}")]
    Usage(String),
    /// Something that was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Not possible as things are.
    #[error("{0}")]
    NotPossible(String),
    /// The projection is not what it was when whoever asks looked at it.
    #[error("{0} was changed since it was looked at; look again")]
    Changed(String),
    /// Another command about the projection is under way.
    #[error(
        "another command about {0} is under way, and waits for something that does not answer yet; try again in a moment"
    )]
    Busy(String),
    /// Another command about the projection, one that takes long, is under way.
    #[error("{what} of {name} is under way; try again when it is over")]
    UnderWay {
        /// The projection.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// The source is another history than a generation was built from.
    #[error("{message}: {remedy}")]
    OtherHistory {
        /// What is where.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// What was built to be compared or looked at did not finish.
    #[error("{message}")]
    NotBuilt {
        /// Why not.
        message: String,
        /// What it failed of, where it did.
        failure: Option<Box<EventFailure>>,
    },
    /// A row is not what its history makes of it.
    #[error("{0}")]
    Drifted(String),
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The store cannot do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plugin is not accepted.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The system gives no thread, or the like.
    #[error("the host cannot work: {0}")]
    System(#[from] std::io::Error),
}

impl RebuildError {
    /// What another try may not run into; `None` where another try is of no use.
    pub(super) fn passing(&self) -> Option<FailureKind> {
        match self {
            RebuildError::Source(e) => e.transient.then_some(FailureKind::Source),
            RebuildError::Store(e) => e.is_transient().then_some(FailureKind::Store),
            RebuildError::Busy(_) | RebuildError::UnderWay { .. } => Some(FailureKind::Other),
            _ => None,
        }
    }
}
