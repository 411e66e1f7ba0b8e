//! Why a rebuild cannot be started, stopped or looked at.

use super::Refusal;
use crate::{plugin::PluginError, source::SourceError, store::StoreError};

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
    /// What was built to be compared or looked at did not come to its end.
    #[error("{0}")]
    Apart(String),
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
