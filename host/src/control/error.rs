//! How a request can fail.

use crate::{disk::DiskError, rebuild::RebuildError, source::SourceError, store::StoreError};
use serde::{Deserialize, Serialize};

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// Names the culprit and the remedy.
    pub message: String,
    /// What to do next; absent where the message says it all.
    pub next: Option<String>,
    /// The host ended before it answered, and asking again does no harm: the next try finds it gone.
    #[serde(skip)]
    pub again: bool,
}

/// What kind of error it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The command line does not make sense.
    Usage,
    /// Input that is not acceptable.
    Refused,
    /// There is no data directory.
    NoDirectory,
    /// Something that was named is not there.
    NotFound,
    /// Not possible as things are.
    NotPossible,
    /// What was seen is not what is there any more.
    Changed,
    /// Not possible for now: another command is under way.
    Busy,
    /// Another process has the data directory open: it may be gone in a moment, or may answer.
    InUse,
    /// The host that runs on the data directory does not answer, or ended before it did.
    Host,
    /// A source cannot be read.
    Source,
    /// The disk that is to hold the index of a source refuses.
    Index,
    /// The store cannot be written, or a database with rows does not answer.
    Store,
    /// What is stored is damaged, of another format, or not ours; or a database refuses for good.
    Damaged,
    /// A plugin is not accepted.
    Plugin,
    /// The command was asked to end before it was done.
    Interrupted,
    /// Anything else.
    Failed,
}

impl ErrorKind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Usage => "usage",
            ErrorKind::Refused => "refused",
            ErrorKind::NoDirectory | ErrorKind::NotFound => "not_found",
            ErrorKind::NotPossible | ErrorKind::Busy | ErrorKind::Changed => "not_possible",
            ErrorKind::InUse => "in_use",
            ErrorKind::Host => "host",
            ErrorKind::Source | ErrorKind::Index => "source",
            ErrorKind::Store | ErrorKind::Damaged => "store",
            ErrorKind::Plugin => "plugin",
            ErrorKind::Interrupted => "interrupted",
            ErrorKind::Failed => "failed",
        }
    }
}

impl ControlError {
    /// An error of this kind, with a message that may say what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ControlError {
        let message = message.into();
        ControlError { kind, next: remedy_in(&message).map(str::to_owned), message, again: false }
    }

    /// Input that is not acceptable.
    pub fn refused(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::Refused, message)
    }

    /// Something that was named is not there, or it is not possible as things are.
    pub fn not_possible(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::NotPossible, message)
    }

    /// The host cannot do it.
    pub fn failed(message: impl Into<String>) -> ControlError {
        ControlError::new(ErrorKind::Failed, message)
    }

    /// The process was asked to end before it was done.
    pub fn interrupted() -> ControlError {
        let what = "asked to end before it was done; nothing was changed that is not complete";
        ControlError::new(ErrorKind::Interrupted, what).with_remedy("run it again")
    }

    /// The same, and what to do about it.
    pub fn with_remedy(self, remedy: impl Into<String>) -> ControlError {
        let remedy = remedy.into();
        ControlError { message: format!("{}: {remedy}", self.message), next: Some(remedy), ..self }
    }

    /// The exit code of a command that was not carried out for it.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage
            | ErrorKind::Refused
            | ErrorKind::NoDirectory
            | ErrorKind::InUse
            | ErrorKind::Source
            | ErrorKind::Damaged
            | ErrorKind::Plugin => 2,
            ErrorKind::NotFound | ErrorKind::NotPossible | ErrorKind::Changed | ErrorKind::Busy => 3,
            ErrorKind::Interrupted => 130,
            ErrorKind::Host | ErrorKind::Index | ErrorKind::Store | ErrorKind::Failed => 1,
        }
    }

    /// What to do next; `None` where the message says it all.
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

/// What to do next, where a message of a layer below says so: its last part that names a command or an option.
fn remedy_in(message: &str) -> Option<&str> {
    let parts = message.split("; ").flat_map(|part| part.split(": ")).map(str::trim);
    let names = |part: &str| part.contains("unspool ") || part.contains("--") || part.contains("kill -");
    parts.filter(|part| names(part) && !part.contains('\n')).last()
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> ControlError {
        let kind = match error {
            StoreError::NotFound(_) => ErrorKind::NotFound,
            StoreError::Refused(_) | StoreError::Fenced { .. } => ErrorKind::NotPossible,
            StoreError::Postgres { transient: true, .. } => ErrorKind::Store,
            StoreError::Postgres { .. } => ErrorKind::Damaged,
            StoreError::Disk(e) => return e.into(),
        };
        ControlError::new(kind, error.to_string())
    }
}

impl From<DiskError> for ControlError {
    fn from(error: DiskError) -> ControlError {
        let kind = match error {
            DiskError::Write(_) => ErrorKind::Store,
            DiskError::InUse(_) => ErrorKind::InUse,
            DiskError::Missing(_) => ErrorKind::NoDirectory,
            DiskError::NotPrivate(_) => ErrorKind::Refused,
            DiskError::Foreign(_)
            | DiskError::Format { .. }
            | DiskError::Io { .. }
            | DiskError::Damaged(_)
            | DiskError::Gone(_) => ErrorKind::Damaged,
        };
        ControlError::new(kind, error.to_string())
    }
}

impl From<SourceError> for ControlError {
    fn from(error: SourceError) -> ControlError {
        ControlError::new(if error.disk { ErrorKind::Index } else { ErrorKind::Source }, error.message)
    }
}

impl From<RebuildError> for ControlError {
    fn from(error: RebuildError) -> ControlError {
        let kind = match error {
            RebuildError::NotFound(_) => ErrorKind::NotFound,
            RebuildError::Refused { .. } | RebuildError::NotPossible(_) => ErrorKind::NotPossible,
            RebuildError::Busy(_) | RebuildError::UnderWay { .. } => ErrorKind::Busy,
            RebuildError::Changed(_) => ErrorKind::Changed,
            RebuildError::Usage(_) => ErrorKind::Refused,
            RebuildError::Plugin(_) => ErrorKind::Plugin,
            RebuildError::NotBuilt { .. } | RebuildError::Drifted(_) | RebuildError::System(_) => ErrorKind::Failed,
            RebuildError::OtherHistory { message, remedy } => {
                return ControlError::new(ErrorKind::Source, message).with_remedy(remedy);
            }
            RebuildError::Source(e) => return e.into(),
            RebuildError::Store(e) => return e.into(),
        };
        ControlError::new(kind, error.to_string())
    }
}
