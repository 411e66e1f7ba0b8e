//! Answers about the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A copy of the store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct BackedUp {
    /// The copy.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

/// Whether compacting the store was of use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Compacted {
    /// There was space to free.
    pub compacted: bool,
}
