//! What can be asked, and how it can fail.

use crate::{
    disk::DiskError,
    rebuild::{Accept, After, RebuildError, Trigger},
    source::{SourceError, event_file::FileOptions},
    store::StoreError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that can be asked of a host. Paths are absolute: the host may have another working directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
#[allow(missing_docs)] // each is the command of the same name; `cli/args` documents its arguments
pub enum Request {
    EventsImport(Import),
    EventsStats,
    EventsShow { id: String },
    PluginInstall { file: String },
    PluginList,
    PluginHistory { name: String },
    PluginSwap { name: String, file: String, after: After },
    PluginTry { name: String, file: String, last: u64, source: Option<String> },
    PluginVerify { file: String, source: String },
    PluginRollback { name: String },
    Rebuild(Trigger),
    Plan(Trigger),
    RebuildStream { name: String, stream: String },
    Watch { names: Vec<String> },
    Status { name: String },
    List { all: bool },
    Pause { name: String },
    Resume { name: String, accept: Accept },
    Cancel { name: String },
    ModelGet { name: String, table: String, key: String, generation: Option<String> },
    ModelScan { name: String, table: String, prefix: String, limit: Option<u64>, generation: Option<String> },
    ModelExport { name: String, table: Option<String>, generation: Option<String>, columns: bool },
    ModelDigest { name: String, generation: Option<String> },
    ModelGenerations { name: String },
    ModelReceipt { name: String, generation: Option<String> },
    ModelVerify { name: String, repair: bool, accept: Accept },
    ModelAsOf { name: String, to: String, label: Option<String>, source: Option<String> },
    ModelDrop { name: String, generation: String },
    ModelPromote { name: String, generation: Option<String>, allow_parked: bool, allow_empty: bool },
    ModelRollback { name: String, allow_empty: bool },
    DeadLettersList { name: String, stream: Option<String> },
    DeadLettersShow { name: String, id: String },
    DeadLettersRetry { name: String, stream: Option<String>, out_of_order: bool },
    DeadLettersDiscard { name: String, stream: Option<String> },
    StoreBackup { file: String },
    StoreCheck,
    StoreAdopt,
}

impl Request {
    /// Whether asking twice comes to the same as asking once, so that a request whose answer was lost may be asked again.
    pub fn is_repeatable(&self) -> bool {
        !matches!(
            self,
            // Back and forth.
            Request::ModelRollback { .. }
            | Request::PluginRollback { .. }
            // The second time it would be another change, or tell another story.
            | Request::PluginSwap { .. }
            | Request::ModelVerify { repair: true, .. }
            | Request::ModelAsOf { .. }
            | Request::ModelDrop { .. }
            | Request::DeadLettersRetry { .. }
            | Request::DeadLettersDiscard { .. }
            | Request::Rebuild(Trigger { restart: true, .. })
            // The file for what is set aside is there by then.
            | Request::EventsImport(Import { skip_bad_lines: Some(_), .. })
            // What it watches has ended with its host.
            | Request::Watch { .. }
        )
    }

    /// Whether it gives no rows, and says meanwhile how far it is.
    pub(super) fn tells_how_far(&self) -> bool {
        matches!(
            self,
            Request::PluginTry { .. }
                | Request::PluginVerify { .. }
                | Request::Rebuild(_)
                | Request::Plan(_)
                | Request::RebuildStream { .. }
                | Request::ModelDigest { .. }
                | Request::ModelVerify { .. }
                | Request::ModelAsOf { .. }
                | Request::DeadLettersRetry { .. }
                | Request::DeadLettersDiscard { .. }
                | Request::StoreBackup { .. }
                | Request::StoreCheck
        )
    }

    /// Whether it changes nothing that is there, whatever becomes of it.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Request::EventsStats
                | Request::EventsShow { .. }
                | Request::PluginList
                | Request::PluginHistory { .. }
                | Request::Plan(_)
                | Request::Watch { .. }
                | Request::Status { .. }
                | Request::List { .. }
                | Request::ModelGet { .. }
                | Request::ModelScan { .. }
                | Request::ModelExport { .. }
                | Request::ModelDigest { .. }
                | Request::ModelGenerations { .. }
                | Request::ModelReceipt { .. }
                | Request::DeadLettersList { .. }
                | Request::DeadLettersShow { .. }
                | Request::StoreBackup { .. }
                | Request::StoreCheck
        )
    }
}

/// An event file to be imported.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Import {
    /// Its path; `-` is standard input.
    pub file: String,
    /// What messages call it; its path where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// How it is read.
    #[serde(default)]
    pub options: FileOptions,
    /// A new file for events and lines that are refused; the whole file is refused for one of them where absent.
    #[serde(default)]
    pub skip_bad_lines: Option<String>,
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
    /// The exit code of the command: 1 failed, 2 refused input, 3 not found or not possible now, 130 interrupted.
    pub exit: u8,
    /// Names the culprit and the remedy.
    pub message: String,
    /// What kind of error it is, for programs.
    #[serde(default)]
    pub kind: ErrorKind,
    /// Another process has the data directory open: it may be gone in a moment, or may answer.
    #[serde(default)]
    pub in_use: bool,
    /// The host ended before it answered, and asking again does no harm: the next try finds it gone.
    #[serde(skip)]
    pub again: bool,
}

/// What kind of error it is, for programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command line does not make sense.
    Usage,
    /// Input that is not acceptable.
    Refused,
    /// Something that was named is not there.
    NotFound,
    /// Not possible as things are.
    NotPossible,
    /// Another process has the data directory.
    InUse,
    /// The host that runs on the data directory does not answer, or ended before it did.
    Host,
    /// A source cannot be read.
    Source,
    /// The store, its disk, or a database with rows.
    Store,
    /// A plugin is not accepted.
    Plugin,
    /// The command was asked to end before it was done.
    Interrupted,
    /// Anything else.
    #[default]
    Failed,
}

impl ControlError {
    fn new(exit: u8, kind: ErrorKind, message: impl Into<String>) -> ControlError {
        ControlError { exit, message: message.into(), kind, in_use: false, again: false }
    }

    /// Wrong usage or refused input.
    pub fn refused(message: impl Into<String>) -> ControlError {
        ControlError::new(2, ErrorKind::Refused, message)
    }

    /// Not there, or not possible as things are.
    pub fn not_possible(message: impl Into<String>) -> ControlError {
        ControlError::new(3, ErrorKind::NotPossible, message)
    }

    /// The host cannot do it.
    pub fn failed(message: impl Into<String>) -> ControlError {
        ControlError::new(1, ErrorKind::Failed, message)
    }

    /// The process was asked to end before it was done.
    pub fn interrupted() -> ControlError {
        let message = "asked to end before it was done; nothing was changed that is not complete: run it again";
        ControlError::new(130, ErrorKind::Interrupted, message)
    }

    /// The same, of another kind.
    pub fn of_kind(self, kind: ErrorKind) -> ControlError {
        ControlError { kind, ..self }
    }

    /// What to do next, where the message says so: its last part that names a command or an option.
    pub fn next(&self) -> Option<&str> {
        let parts = || self.message.split("; ").flat_map(|part| part.split(": ")).map(str::trim);
        let names = |part: &str| part.contains("unspool ") || part.contains("--") || part.contains("kill -");
        parts().filter(|part| names(part) && !part.contains('\n')).last()
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> ControlError {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => ControlError::not_possible(message).of_kind(ErrorKind::NotFound),
            StoreError::Refused(_) | StoreError::Fenced { .. } => ControlError::not_possible(message),
            StoreError::Postgres { transient: true, .. } => ControlError::failed(message).of_kind(ErrorKind::Store),
            StoreError::Postgres { .. } => ControlError::refused(message).of_kind(ErrorKind::Store),
            StoreError::Disk(e) => e.into(),
        }
    }
}

impl From<DiskError> for ControlError {
    fn from(error: DiskError) -> ControlError {
        let message = error.to_string();
        match error {
            DiskError::Write(_) => ControlError::failed(message).of_kind(ErrorKind::Store),
            DiskError::InUse(_) => {
                ControlError { in_use: true, ..ControlError::refused(message).of_kind(ErrorKind::InUse) }
            }
            DiskError::Missing(_) => ControlError::refused(message).of_kind(ErrorKind::NotFound),
            DiskError::NotPrivate(_) => ControlError::refused(message),
            DiskError::Foreign(_)
            | DiskError::Format { .. }
            | DiskError::Io { .. }
            | DiskError::Damaged(_)
            | DiskError::Gone(_) => ControlError::refused(message).of_kind(ErrorKind::Store),
        }
    }
}

impl From<SourceError> for ControlError {
    fn from(error: SourceError) -> ControlError {
        let refused = if error.disk { ControlError::failed } else { ControlError::refused };
        refused(error.message).of_kind(ErrorKind::Source)
    }
}

impl From<RebuildError> for ControlError {
    fn from(error: RebuildError) -> ControlError {
        let message = error.to_string();
        match error {
            RebuildError::NotFound(_) => ControlError::not_possible(message).of_kind(ErrorKind::NotFound),
            RebuildError::Refused { .. } | RebuildError::NotPossible(_) | RebuildError::Busy(_) => {
                ControlError::not_possible(message)
            }
            RebuildError::Source(e) => e.into(),
            RebuildError::OtherHistory { .. } => ControlError::refused(message).of_kind(ErrorKind::Source),
            RebuildError::Usage(_) => ControlError::refused(message),
            RebuildError::Plugin(_) => ControlError::refused(message).of_kind(ErrorKind::Plugin),
            RebuildError::Store(e) => e.into(),
            RebuildError::Apart { .. } | RebuildError::System(_) => ControlError::failed(message),
        }
    }
}
