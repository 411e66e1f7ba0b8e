//! What can be asked, and how it can fail.

use crate::{
    disk::DiskError,
    rebuild::{After, RebuildError, Trigger},
    source::SourceError,
    store::StoreError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that can be asked of a host. Paths are absolute: the host may have another working directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
#[allow(missing_docs)] // each is the command of the same name; `cli/args.rs` documents its arguments
pub enum Request {
    EventsImport { file: String },
    EventsStats,
    EventsShow { id: String },
    PluginInstall { file: String },
    PluginList,
    PluginHistory { name: String },
    PluginSwap { name: String, file: String, after: After },
    PluginTry { name: String, file: String, last: u64 },
    PluginVerify { file: String, source: String },
    PluginRollback { name: String },
    Rebuild(Trigger),
    Plan(Trigger),
    RebuildStream { name: String, stream: String },
    Watch { names: Vec<String> },
    Status { name: String },
    List { all: bool },
    Pause { name: String },
    Resume { name: String },
    Cancel { name: String },
    ModelGet { name: String, table: String, key: String, generation: Option<String> },
    ModelScan { name: String, table: String, prefix: String, limit: Option<u64>, generation: Option<String> },
    ModelExport { name: String, table: Option<String>, generation: Option<String>, columns: bool },
    ModelDigest { name: String, generation: Option<String> },
    ModelGenerations { name: String },
    ModelReceipt { name: String, generation: Option<String> },
    ModelVerify { name: String, repair: bool },
    ModelAsOf { name: String, to: String, label: Option<String>, source: Option<String> },
    ModelDrop { name: String, generation: String },
    ModelPromote { name: String, generation: Option<String>, allow_parked: bool },
    ModelRollback { name: String },
    DeadLettersList { name: String, stream: Option<String> },
    DeadLettersShow { name: String, id: String },
    DeadLettersRetry { name: String, stream: Option<String>, out_of_order: bool },
    DeadLettersDiscard { name: String, stream: Option<String> },
    StoreBackup { file: String },
    StoreCheck,
}

/// Compacts the store of `dir`, which nobody has open.
///
/// # Errors
/// When somebody has, or it is damaged or cannot be written.
pub fn compact(dir: &crate::store::DataDir) -> Result<bool, ControlError> {
    Ok(crate::store::compact(dir)?)
}

/// Takes the rows of an answer, one by one; `false` when nobody wants more.
pub type Sink<'a> = dyn FnMut(Value) -> bool + 'a;

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// The exit code of the command: 1 failed, 2 refused input, 3 not found or not possible now.
    pub exit: u8,
    /// Names the culprit and the remedy.
    pub message: String,
    /// Another process has the data directory open: it may be gone in a moment, or may answer.
    #[serde(default)]
    pub in_use: bool,
}

impl ControlError {
    /// Wrong usage or refused input.
    pub fn refused(message: impl Into<String>) -> ControlError {
        ControlError { exit: 2, message: message.into(), in_use: false }
    }

    /// Not there, or not possible as things are.
    pub fn not_possible(message: impl Into<String>) -> ControlError {
        ControlError { exit: 3, message: message.into(), in_use: false }
    }

    /// The host cannot do it.
    pub fn failed(message: impl Into<String>) -> ControlError {
        ControlError { exit: 1, message: message.into(), in_use: false }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> ControlError {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) | StoreError::Refused(_) | StoreError::Fenced { .. } => {
                ControlError::not_possible(message)
            }
            StoreError::Postgres { transient: true, .. } => ControlError::failed(message),
            StoreError::Postgres { .. } => ControlError::refused(message),
            StoreError::Disk(e) => e.into(),
        }
    }
}

impl From<DiskError> for ControlError {
    fn from(error: DiskError) -> ControlError {
        let message = error.to_string();
        match error {
            DiskError::Write(_) => ControlError::failed(message),
            DiskError::InUse(_) => ControlError { in_use: true, ..ControlError::refused(message) },
            DiskError::Foreign(_) | DiskError::Format { .. } | DiskError::Io { .. } | DiskError::Damaged(_) => {
                ControlError::refused(message)
            }
        }
    }
}

impl From<SourceError> for ControlError {
    fn from(error: SourceError) -> ControlError {
        if error.disk { ControlError::failed(error.message) } else { ControlError::refused(error.message) }
    }
}

impl From<RebuildError> for ControlError {
    fn from(error: RebuildError) -> ControlError {
        let message = error.to_string();
        match error {
            RebuildError::Refused { .. } | RebuildError::NotFound(_) | RebuildError::NotPossible(_) => {
                ControlError::not_possible(message)
            }
            RebuildError::Source(e) => e.into(),
            RebuildError::Usage(_) | RebuildError::Plugin(_) => ControlError::refused(message),
            RebuildError::Store(e) => e.into(),
            RebuildError::Apart(_) | RebuildError::System(_) => ControlError::failed(message),
        }
    }
}
