//! The records of the control plane.

use super::options::RebuildSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unspool_vocabulary::{Checkpoint, Description, EventFailure, FollowState, Position, StageReport, Status};

/// A projection of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectionRecord {
    /// What the current plugin declares.
    pub description: Description,
    /// Every plugin that was installed, oldest first; the last one is current.
    pub installs: Vec<Install>,
    /// The live generation.
    pub live: Option<u64>,
    /// The generation that was live before; `model rollback` returns to it.
    pub previous: Option<u64>,
    /// The generation of the latest rebuild.
    pub latest: Option<u64>,
    /// The number of the next generation.
    pub next_generation: u64,
    /// Tells this projection from those of other data directories, where its rows live in a database (see [`External`]).
    #[serde(default)]
    pub owner: Option<String>,
    /// The generation that readers are being switched to, where databases take part in that.
    #[serde(default)]
    pub switching: Option<u64>,
    /// The last verification that came to its end; absent where there was none.
    #[serde(default)]
    pub last_verify: Option<Verification>,
}

/// What became of a verification of the live generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// The generation that was compared.
    pub generation: u64,
    /// Up to where its history was handled again.
    pub position: Position,
    /// Rows that were not what the history makes of them.
    pub differences: u64,
    /// The generation that has taken its place since, where it was repaired.
    pub repaired_by: Option<u64>,
}

impl ProjectionRecord {
    /// The digest of the current plugin.
    pub fn digest(&self) -> &str {
        self.installs.last().map_or("", |install| &install.digest)
    }
}

/// One installation of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// The plugin's digest.
    pub digest: String,
    /// The version of the state's shape.
    pub version: u32,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// `install`, `swap` or `rollback`.
    pub how: String,
}

/// A rebuild and the generation that it fills.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildRecord {
    /// The generation, counted from 1 within its projection.
    pub generation: u64,
    /// What was requested.
    pub spec: RebuildSpec,
    /// The version of the state's shape that its plugin declared.
    pub state_version: u32,
    /// Its tables, in the order of the description.
    pub tables: Vec<String>,
    /// Where this attempt ends: where it was given an end, or at the source's ceiling when the attempt began.
    pub target: Position,
    /// Matching events from its beginning to `target`; absent where its source does not count them.
    pub total_events: Option<u64>,
    /// Events per chunk.
    pub chunk_size: u32,
    /// Whether it has been live.
    #[serde(default)]
    pub promoted: bool,
    /// Whether and how it is kept up to date with new events, once it is complete; it is not where absent.
    #[serde(default)]
    pub following: Option<Following>,
    /// Dead letters.
    pub parked: u64,
    /// Dead letters that were discarded: they are never applied.
    pub discarded: u64,
    /// How often in a row a host ended in the middle of it without its checkpoint having moved in between.
    pub crashes: u32,
    /// Where its checkpoint stood when a host last ended in the middle of it.
    pub crashed_at: Position,
    /// Where the time went, up to the newest commit.
    pub stages: StageReport,
    /// The digest of its rows, taken when it was complete.
    #[serde(rename = "sealed")]
    pub row_digest: Option<RowDigest>,
    /// Counts the attempts; only the newest may commit.
    pub attempt: u64,
    /// When it was triggered, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended, in milliseconds since 1970.
    pub ended_at: Option<i64>,
    /// How long its attempts ran, in milliseconds.
    pub active_ms: u64,
    /// Transient failures met and retried.
    pub retries: u64,
    /// Set where a host ended in the middle of it: see [`RebuildRecord::is_wanted`].
    pub interrupted: bool,
    /// Which plugin built which part.
    pub ranges: Vec<BuiltRange>,
    /// Where its rows live; in this store where absent.
    #[serde(default)]
    #[serde(rename = "home")]
    pub external: Option<External>,
    /// How far it has come.
    pub checkpoint: Checkpoint,
}

impl RebuildRecord {
    /// What it is doing.
    pub fn status(&self) -> Status {
        self.checkpoint.status
    }

    /// Whether it goes on when the next host serves: a host ended in the middle of it, and no operator has paused it since.
    pub fn is_wanted(&self) -> bool {
        self.interrupted && self.status() == Status::Paused
    }

    /// What becomes of one that runs when its host ends in the middle of it, at `now` in milliseconds since 1970: it is
    /// paused, and wanted.
    pub fn interrupt(&mut self, now: i64) {
        self.count_crash();
        self.attempt += 1;
        self.ended_at = Some(now);
        self.interrupted = true;
        self.checkpoint.status = Status::Paused;
    }

    /// Counts a host's end in the middle of it.
    pub(crate) fn count_crash(&mut self) {
        let position = self.checkpoint.position;
        // At the end of its history there is nothing to do that could end a host.
        self.crashes = match position > self.crashed_at {
            _ if position >= self.target => 0,
            true => 1,
            false => self.crashes + 1,
        };
        self.crashed_at = position;
    }

    /// It is not followed any more: where it stands is where it ends.
    pub(crate) fn unfollow(&mut self) -> Option<Following> {
        let following = self.following.take()?;
        if self.checkpoint.position < self.target {
            self.target = self.checkpoint.position;
            self.total_events = self.total_events.map(|_| self.passed() + self.checkpoint.missing);
        }
        Some(following)
    }

    /// Notes that nobody follows it until the next attempt.
    pub(crate) fn rest(&mut self) {
        if let Some(following) = &mut self.following {
            following.rested = Some(self.attempt);
        }
    }

    /// Whether nobody has followed it since that was noted.
    pub(crate) fn has_rested(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.rested == Some(self.attempt))
    }

    /// Matching events up to its checkpoint, whatever became of them.
    pub fn passed(&self) -> u64 {
        self.checkpoint.events_processed + self.parked + self.discarded
    }

    /// Whether it may be promoted without asking again.
    pub fn is_ready(&self) -> bool {
        self.status() == Status::Completed && (self.parked == 0 || self.spec.options.allow_parked)
    }

    /// Whether new events are to be handled as they come.
    pub fn is_followed(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.state == FollowState::Following)
    }

    /// The plugin that handled the last event; none before the first.
    pub fn last_plugin(&self) -> Option<&str> {
        self.ranges.last().map(|range| range.plugin_digest.as_str())
    }

    /// The name of its checkpoint: projection and generation.
    pub fn checkpoint_id(&self) -> String {
        format!("{}/{}", self.checkpoint.projection_name, self.generation)
    }
}

/// How a complete generation is kept up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Following {
    /// Whether it is at work.
    pub state: FollowState,
    /// The plugin that handles new events: that which built the generation, or one of the same shape.
    pub plugin_digest: String,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// It is brought to the end that its history had when this began, and not further.
    pub once: bool,
    /// Why it failed; present exactly then.
    pub error: Option<EventFailure>,
    /// The attempt behind which nobody has been at work since a host was asked to end, or was found to have crashed.
    #[serde(default)]
    pub rested: Option<u64>,
}

impl Following {
    /// New events are to be handled by the plugin with this digest, from `now` on, in milliseconds since 1970.
    pub fn with(plugin_digest: &str, now: i64) -> Following {
        Following {
            state: FollowState::Following,
            plugin_digest: plugin_digest.to_owned(),
            since: now,
            once: false,
            error: None,
            rested: None,
        }
    }
}

/// Where the rows of a generation live, where that is not the store itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// `postgres:` and a connection string, without a password.
    pub into: String,
    /// Tells the projections of this data directory from those of another one in the same database.
    pub owner: String,
    /// Tells this generation from one with the same number of another time of the data directory: before a restore.
    pub id: String,
    /// How many commits of that database have been applied to the store's record.
    pub commits: u64,
    /// Statements that make indexes on its tables, which they name without a schema, before it is promoted.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// The digest of all rows of a generation (see `Store::digest`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDigest {
    /// BLAKE3, in hexadecimal.
    pub digest: String,
    /// How many rows there are.
    pub rows: u64,
}

/// A dead letter: an event that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Its stream.
    pub stream: String,
    /// Its position.
    pub position: Position,
    /// The event as chunk frames show it; of an unreadable one what the source has for it (see
    /// [`unspool_vocabulary::EventBlock::unreadable`]).
    #[serde(with = "bytes_as_bin")]
    pub event: bytes::Bytes,
    /// Why it could not be handled; absent for one that only waits after another of its stream.
    pub failure: Option<EventFailure>,
    /// Whether its source could not read it: then no handler may get it, and `failure` says why.
    #[serde(default)]
    pub unreadable: bool,
}

/// Bytes as MessagePack `bin`, not as an array of numbers.
mod bytes_as_bin {
    use bytes::Bytes;
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Bin;
        impl Visitor<'_> for Bin {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
        }
        deserializer.deserialize_bytes(Bin)
    }
}

/// Events of one range were handled by one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuiltRange {
    /// The plugin's digest.
    pub plugin_digest: String,
    /// The range begins after this position.
    pub after: Position,
    /// And ends here.
    pub through: Position,
    /// Events per chunk.
    pub chunk_size: u32,
}
