//! What an operator sees of a rebuild.

use super::{EventFailure, Status};
use serde::{Deserialize, Serialize};

/// The progress of one rebuild. What it counts is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The projection being rebuilt.
    pub projection_name: String,
    /// What the rebuild is doing.
    pub status: Status,
    /// Names the checkpoint: projection and generation.
    pub checkpoint_id: String,
    /// Matching events handled so far.
    pub events_processed: u64,
    /// Matching events up to the target.
    pub total_events: u64,
    /// `events_processed` of `total_events`, 0 to 100.
    pub percent_complete: f64,
    /// At the present rate; absent while there is none.
    pub estimated_remaining_ms: Option<u64>,
    /// When the rebuild started, in milliseconds since 1970.
    pub started_at: i64,
    /// The rate over the last seconds; of the whole run, once it has ended.
    pub events_per_second: f64,
    /// The last event that was handled; absent before the first.
    pub last_event_id: Option<String>,
    /// How far the source has been read.
    pub position: serde_json::Value,
    /// Transient failures met and retried so far.
    pub retries: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The failure in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<EventFailure>,
}

/// `processed` of `total` in percent; everything of nothing is all of it.
pub fn percent(processed: u64, total: u64) -> f64 {
    if total == 0 { 100.0 } else { (processed as f64 / total as f64 * 100.0).min(100.0) }
}
