//! Answers about plugins.

use crate::store::ProjectionRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unspool_frame::{Complexity, Partitioning};

/// A projection that is installed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// The projection.
    pub projection_name: String,
    /// The version of its state's shape.
    pub version: u32,
    /// The digest of its plugin: BLAKE3.
    pub digest: String,
    /// SHA-256 of the same file.
    pub sha256: String,
    /// Whether it is new.
    pub status: InstallStatus,
}

/// The outcome of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstallStatus {
    /// The projection is new.
    Installed,
    /// The same plugin was there.
    AlreadyInstalled,
}

/// A projection in the list of those that are installed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedProjection {
    /// The projection.
    pub projection_name: String,
    /// The version of its state's shape.
    pub version: u32,
    /// The digest of its plugin.
    pub digest: String,
    /// The event types that it handles.
    pub event_types: Vec<String>,
    /// Its tables.
    pub tables: Vec<String>,
    /// How much it does for one event.
    #[schemars(with = "String")]
    pub complexity: Complexity,
    /// What must stay in order.
    #[schemars(with = "String")]
    pub partitioning: Partitioning,
    /// The live generation; null where there is none.
    pub live_generation: Option<u64>,
}

impl ListedProjection {
    /// What is listed of a projection.
    pub fn of(owner: &ProjectionRecord) -> ListedProjection {
        let description = &owner.description;
        ListedProjection {
            projection_name: description.name.clone(),
            version: description.version,
            digest: owner.digest().to_owned(),
            event_types: description.event_types.clone(),
            tables: description.tables.iter().map(|table| table.name.clone()).collect(),
            complexity: description.complexity,
            partitioning: description.partitioning,
            live_generation: owner.live,
        }
    }
}

/// A component that was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuiltPlugin {
    /// The name of its crate or its file; of its projection, where a core module was wrapped.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

/// What a component declares.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedPlugin {
    /// The projection.
    pub projection_name: String,
    /// The version of its state's shape.
    pub version: u32,
    /// The event types that it handles.
    pub event_types: Vec<String>,
    /// Its tables.
    pub tables: Vec<String>,
    /// How much it does for one event.
    pub complexity: Complexity,
    /// Events per chunk.
    pub chunk_size: u32,
    /// What must stay in order.
    pub partitioning: Partitioning,
    /// The digest of the component: BLAKE3.
    pub digest: String,
    /// SHA-256 of the same file.
    pub sha256: String,
}
