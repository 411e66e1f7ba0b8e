//! The records of the control plane.

use crate::vocabulary::{Checkpoint, Description, Position, Status};
use serde::{Deserialize, Serialize};

/// A projection of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectionRecord {
    /// What the current plugin says of itself.
    pub description: Description,
    /// Every plugin that was put in place, oldest first; the last one is current.
    pub installs: Vec<Install>,
    /// The generation that readers see.
    pub live: Option<u64>,
    /// The generation that readers saw before; `model rollback` returns to it.
    pub previous: Option<u64>,
    /// The generation of the latest rebuild.
    pub latest: Option<u64>,
    /// The number of the next generation.
    pub next_generation: u64,
}

impl ProjectionRecord {
    /// The digest of the current plugin.
    pub fn digest(&self) -> &str {
        self.installs.last().map_or("", |install| &install.digest)
    }
}

/// One act of putting a plugin in place.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// How much a rebuild yields to everything else on the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Its threads run when nothing else wants to.
    #[default]
    Low,
    /// Its threads compete like any other.
    Normal,
}

/// A rebuild and the generation that it fills.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildRecord {
    /// The generation, counted from 1 within its projection.
    pub generation: u64,
    /// Where the events come from, as `--source` names it.
    pub source: String,
    /// Which history that was (see `Source::identity`): a checkpoint holds for one history only.
    pub source_identity: String,
    /// The version of the state's shape that its plugin declared.
    pub state_version: u32,
    /// Its tables, in the order of the description.
    pub tables: Vec<String>,
    /// It begins behind this position.
    pub after: Position,
    /// It ends here, if it was told where to end.
    pub to: Option<Position>,
    /// Where this attempt ends: `to`, or the source's ceiling when the attempt began.
    pub target: Position,
    /// Matching events from `after` to `target`.
    pub total_events: u64,
    /// Events per chunk.
    pub chunk_size: u32,
    /// How much it yields.
    pub priority: Priority,
    /// Events per second that it may handle at most; as many as it can where absent.
    pub rate_limit: Option<u32>,
    /// Whether readers are switched to it when it completes.
    pub promote: bool,
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
    /// Set where a host ended without stopping it; such a rebuild goes on when the next host serves.
    pub interrupted: bool,
    /// Which plugin built which part.
    pub ranges: Vec<BuiltRange>,
    /// How far it has come.
    pub checkpoint: Checkpoint,
}

impl RebuildRecord {
    /// What it is doing.
    pub fn status(&self) -> Status {
        self.checkpoint.status
    }

    /// The name of its checkpoint: projection and generation.
    pub fn checkpoint_id(&self) -> String {
        format!("{}/{}", self.checkpoint.projection_name, self.generation)
    }
}

/// Events of one range were handled by one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltRange {
    /// The plugin's digest.
    pub plugin_digest: String,
    /// The range begins behind this position.
    pub after: Position,
    /// And ends here.
    pub through: Position,
}
