//! A projection at a glance.

use super::{ListedGeneration, ListedProjection};
use crate::{control::Role, store::Verification, vocabulary::Progress};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything about one projection that decides what is done next.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionOverview {
    /// Its name.
    pub name: String,
    /// The number of its newest change: another one, and something is not as it was. Progress is no change.
    pub changed: u64,
    /// Its plugin.
    pub plugin: ListedProjection,
    /// Its latest rebuild; null where there has been none.
    pub rebuild: Option<Box<Progress>>,
    /// What readers see; null where nothing has been promoted.
    pub live: Option<ListedGeneration>,
    /// How many generations are kept.
    pub generations: u64,
    /// Dead letters of the latest rebuild.
    pub dead_letters: u64,
    /// What became of the last verification that is on record; null where there is none.
    pub last_verify: Option<Verification>,
    /// What can be done with it, and why not.
    pub actions: Vec<Action>,
}

/// Something that can be done, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What it is called.
    pub name: String,
    /// Whether it is possible as things are.
    pub allowed: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub because: Option<String>,
    /// Who may have it done.
    pub role: Role,
    /// Whether it needs to say what was seen.
    pub needs_match: bool,
    /// The command that does it.
    pub command: String,
    /// How it is asked for over HTTP: the method, and the path below `v1/`.
    pub method: String,
    /// See `method`.
    pub path: String,
}

/// A code that lets a browser in once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionCode {
    /// Where the dashboard is, with the code behind the `#`: it reaches no log on its way.
    pub url: String,
    /// For how many seconds it may be used.
    pub seconds: u64,
}
