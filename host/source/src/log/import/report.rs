//! What an import tells: how far it is, and what it did.

use schemars::JsonSchema;
use serde::Serialize;

/// How far an import is.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportProgress {
    /// Bytes of the file that have been read, as it is stored.
    pub bytes_read: u64,
    /// Its size; absent for what has none.
    pub bytes_total: Option<u64>,
    /// Events that have been read.
    pub events: u64,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// What stands in the file: `added`, `duplicates` and `skipped` together.
    pub read: u64,
    /// Events that are new in the log; those that were renamed are among them.
    pub added: u64,
    /// Events that the log had already, or that stood in the file before.
    pub duplicates: u64,
    /// CloudEvents among those that are new whose id another source had already: theirs became `SOURCE#ID`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub renamed: u64,
    /// Events and lines that were set aside; absent where they would have been refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
