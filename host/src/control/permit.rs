//! What somebody may do who does not come over the socket, which is for the owner of the data directory only.

use super::Request;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may have done; each role may have done what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Run rebuilds: everything that can be undone.
    Operator,
    /// Everything: also what brings in plugins and events, and what is gone afterwards.
    Admin,
}

/// What somebody may see of rows and events.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Payloads {
    /// Nothing.
    #[default]
    None,
    /// Which fields there are, and of what kind; not what they say.
    Masked,
    /// Everything.
    Full,
}

/// What the answer to a request shows of rows and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// None.
    Nothing,
    /// Some, beside what it is about.
    InPassing,
    /// It is about them.
    Them,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl Request {
    /// Who may have it done.
    pub fn role(&self) -> Role {
        match self {
            Request::EventsStats
            | Request::EventsShow { .. }
            | Request::PluginList
            | Request::PluginHistory { .. }
            | Request::Projections { .. }
            | Request::Watch { .. }
            | Request::Status { .. }
            | Request::List { .. }
            | Request::ModelGet { .. }
            | Request::ModelScan { .. }
            | Request::ModelExport { .. }
            | Request::ModelWatch { .. }
            | Request::ModelDigest { .. }
            | Request::ModelGenerations { .. }
            | Request::ModelReceipt { .. }
            | Request::ModelHistory { .. }
            | Request::ModelDiff { .. }
            | Request::DeadLettersList { .. }
            | Request::DeadLettersShow { .. }
            | Request::StoreCheck
            | Request::Activity { .. }
            | Request::Health
            | Request::ActivityCheck
            | Request::AlertList => Role::Viewer,
            // A plan opens sources, and compiles plugins.
            Request::Plan(_)
            | Request::EventsSchema { .. }
            | Request::PluginTry { .. }
            | Request::Rebuild(_)
            | Request::RebuildStream { .. }
            | Request::Pause { .. }
            | Request::Resume { .. }
            | Request::Cancel { .. }
            | Request::Follow { .. }
            | Request::Unfollow { .. }
            | Request::CatchUp { .. }
            | Request::ModelVerify { .. }
            | Request::ModelAsOf { .. }
            | Request::ModelPromote { .. }
            | Request::ModelRollback { .. }
            | Request::DeadLettersRetry { .. }
            | Request::AlertTest { .. } => Role::Operator,
            Request::EventsImport(_)
            | Request::PluginInstall { .. }
            | Request::PluginSwap { .. }
            | Request::PluginRollback { .. }
            | Request::PluginVerify { .. }
            | Request::ModelDrop { .. }
            | Request::DeadLettersDiscard { .. }
            | Request::StoreBackup { .. }
            | Request::StoreAdopt
            | Request::SessionCode => Role::Admin,
        }
    }

    /// What its answer shows of rows and events.
    pub fn shows(&self) -> Shows {
        match self {
            Request::EventsShow { .. }
            | Request::ModelGet { .. }
            | Request::ModelScan { .. }
            | Request::ModelExport { .. }
            | Request::ModelWatch { .. }
            | Request::ModelHistory { .. }
            | Request::ModelDiff { .. }
            | Request::DeadLettersShow { .. } => Shows::Them,
            Request::EventsSchema { .. }
            | Request::PluginTry { .. }
            | Request::PluginVerify { .. }
            | Request::ModelVerify { .. } => Shows::InPassing,
            _ => Shows::Nothing,
        }
    }

    /// Whether it needs to say what was seen of the projection that it changes: readers are switched by it, or something is gone
    /// afterwards.
    pub fn must_match(&self) -> bool {
        matches!(
            self,
            Request::ModelPromote { .. }
                | Request::ModelRollback { .. }
                | Request::Cancel { .. }
                | Request::DeadLettersDiscard { .. }
                | Request::ModelDrop { .. }
        )
    }
}
