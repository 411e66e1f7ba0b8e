//! What an operator sees of a rebuild.

use super::{EventFailure, FailureKind, FollowState, Position, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The progress of one rebuild. What it counts is committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The projection being rebuilt.
    pub projection_name: String,
    /// What the rebuild is doing.
    pub status: Status,
    /// A host ended in the middle of it, which the next one that serves goes on with: no operator has paused it.
    #[serde(default)]
    pub interrupted: bool,
    /// Names the checkpoint: projection and generation.
    pub checkpoint_id: String,
    /// The generation that it builds or built.
    #[serde(default)]
    pub generation: u64,
    /// The live generation; absent while there is none.
    #[serde(default)]
    pub live_generation: Option<u64>,
    /// The live generation, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveGeneration>,
    /// Where its events come from.
    #[serde(default)]
    pub source: String,
    /// Matching events handled so far.
    pub events_processed: u64,
    /// Matching events up to the target; absent where the source does not count them.
    pub total_events: Option<u64>,
    /// How much of `total_events` is handled, a dead letter or discarded: 0 to 100, and 100 only once that is all there is.
    /// Absent where these are not counted.
    pub percent_complete: Option<f64>,
    /// At the present rate; absent while there is none, or it stands still, and where events are not counted.
    pub estimated_remaining_ms: Option<u64>,
    /// When the rebuild started, in milliseconds since 1970.
    pub started_at: i64,
    /// The rate over the last seconds, 0 while it stands still; of the whole run, once it has ended.
    pub events_per_second: f64,
    /// The last event that was handled; absent before the first.
    pub last_event_id: Option<String>,
    /// How far the source has been read.
    pub position: Position,
    /// Transient failures met and retried so far.
    pub retries: u64,
    /// Events set aside because they, or an earlier one of their stream, could not be handled.
    pub parked: u64,
    /// Whether it counts as done with dead letters.
    pub allow_parked: bool,
    /// Whether the live generation is kept up to date with new events: `following`, or `failed` at one of them; absent while it is
    /// not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub following: Option<FollowState>,
    /// Since when new events are not handled although the live generation is to be kept up to date, in milliseconds since 1970: it has
    /// failed, waits for something that is away, or no host serves. Absent while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<i64>,
    /// How far the live generation is behind its history; absent while it is not kept up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Lag>,
    /// When a follower last heard from its history, in milliseconds since 1970; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact_at: Option<i64>,
    /// How long ago that is, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_contact_ms: Option<u64>,
    /// What it waits for between two tries; absent while nothing is in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// It runs and is behind, but has not moved for longer than it should take (see `limits::STALL`).
    pub stalled: bool,
    /// Where the time went.
    pub stages: StageReport,
    /// Why it failed, or what the last of its tries ran into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The failure in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<EventFailure>,
    /// What to do so that it goes on, or is promoted; absent where there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The live generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveGeneration {
    /// Its number.
    pub generation: u64,
    /// What became of its rebuild.
    pub status: Status,
    /// How far its source has been read.
    pub position: Position,
    /// Events that were handled.
    pub events: u64,
    /// Events that it lacks, because they could not be handled.
    pub parked: u64,
    /// Whether it follows its history: kept up to date while its rebuild runs.
    pub follows: bool,
    /// Where its events come from.
    pub source: String,
    /// Why it is not kept up to date any more; absent where that has not failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<EventFailure>,
}

/// A rebuild that could not go on, and tries again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What is in its way: `source`, `store` (the database with its rows), or a handler that asks for another try.
    pub kind: FailureKind,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// For how long, in milliseconds.
    pub ms: u64,
    /// Tries that have failed meanwhile.
    pub tries: u32,
    /// What the last of them ran into.
    pub error: String,
}

/// How far a follower is behind the stable position of its history; absent while it has no contact to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lag {
    /// Matching events that have not been handled yet; absent, too, while there may be some and the source does not count.
    pub events: Option<u64>,
    /// The age of the last event that was handled, in milliseconds; 0 where none is waiting.
    pub ms: Option<u64>,
}

/// The time of the stages in milliseconds, as operators see it. The stage that works most and waits least is what limits
/// the rebuild.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Reading, filtering and cutting chunks.
    pub read_ms: u64,
    /// The reader waited for room: handling is slower than reading.
    pub read_waited_ms: u64,
    /// In the plugin, and in checking what it returned.
    pub handle_ms: u64,
    /// The handlers waited for chunks: reading is slower than handling.
    pub handle_waited_for_read_ms: u64,
    /// The handlers waited for the overlay to have room: committing is slower than handling.
    pub handle_waited_for_commit_ms: u64,
    /// Sorting rows and making them durable; shared with the other rebuilds of the same commits.
    pub commit_ms: u64,
    /// How many commits that were.
    pub commits: u64,
    /// Rows written by them: fewer than writes by plugins, since a row that changes several times is written once.
    pub rows_committed: u64,
    /// Memory that an instance of the plugin had at the end of the newest call, in bytes; 0 before the first. Each call has an
    /// instance of its own, whose memory only grows.
    #[serde(default, skip_serializing_if = "is_none")]
    pub memory_bytes: u64,
    /// The most of any call.
    #[serde(default, skip_serializing_if = "is_none")]
    pub memory_peak_bytes: u64,
}

fn is_none(bytes: &u64) -> bool {
    *bytes == 0
}

impl StageReport {
    /// The times: of which stage, whether it works or waits, and how many milliseconds.
    pub fn named(&self) -> [(&'static str, &'static str, u64); 6] {
        [
            ("read", "working", self.read_ms),
            ("read", "waiting", self.read_waited_ms),
            ("handle", "working", self.handle_ms),
            ("handle", "waiting_for_read", self.handle_waited_for_read_ms),
            ("handle", "waiting_for_commit", self.handle_waited_for_commit_ms),
            ("commit", "working", self.commit_ms),
        ]
    }
}

/// `processed` of `total` in percent, cut to hundredths. It is 100 only for all of them, and only where `is_final`: no more
/// are to come.
pub fn percent(processed: u64, total: u64, is_final: bool) -> f64 {
    if is_final && processed >= total {
        return 100.0;
    }
    let hundredths = u128::from(processed.min(total)) * 10_000 / u128::from(total.max(1));
    hundredths.min(9_999) as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_hundred_percent_is_said_of_what_is_done_only() {
        for (processed, total, is_final, expected) in [
            (0, 0, false, 0.0),
            (0, 0, true, 100.0),
            (1, 3, false, 33.33),
            (199_999, 200_000, true, 99.99),
            (3, 3, false, 99.99),
            (4, 3, false, 99.99),
            (4, 3, true, 100.0),
            (u64::MAX - 1, u64::MAX, true, 99.99),
        ] {
            assert_eq!(percent(processed, total, is_final), expected, "{processed} of {total}");
        }
    }
}
