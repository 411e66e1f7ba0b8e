//! Keeping a generation up to date with new events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether a complete generation is kept up to date with new events; it is not where there is no such state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FollowState {
    /// New events are handled as they come.
    Following,
    /// An event could not be handled: the rows stay as they were before it, and readable.
    Failed,
}

impl fmt::Display for FollowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FollowState::Following => "following",
            FollowState::Failed => "failed",
        })
    }
}
