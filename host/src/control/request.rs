//! What can be requested.

use super::{ControlError, Row};
use crate::{
    rebuild::{Accept, Trigger, UnfinishedRebuild},
    source::event_file::FileOptions,
    store::ActivityFilter,
    vocabulary::Position,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything that can be requested of a host. Paths are absolute: the host may have another working directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
#[allow(missing_docs)] // each is the command of the same name; `cli/args` documents its arguments
pub enum Request {
    EventsImport(Import),
    EventsStats,
    EventsShow {
        id: String,
    },
    EventsSchema {
        source: Option<String>,
        types: Vec<String>,
    },
    PluginInstall {
        file: String,
        /// Only where it is the plugin of this projection.
        #[serde(default)]
        named: Option<String>,
        /// Only where the file has this digest.
        #[serde(default)]
        digest: Option<String>,
    },
    PluginList,
    PluginHistory {
        name: String,
    },
    PluginSwap {
        name: String,
        file: String,
        after: UnfinishedRebuild,
    },
    PluginTry {
        name: String,
        file: String,
        last: u64,
        source: Option<String>,
    },
    PluginVerify {
        file: String,
        source: String,
    },
    PluginRollback {
        name: String,
    },
    Rebuild(Trigger),
    Plan(Trigger),
    RebuildStream {
        name: String,
        stream: String,
    },
    Watch {
        names: Vec<String>,
    },
    Status {
        name: String,
    },
    List {
        all: bool,
    },
    Pause {
        name: String,
    },
    Resume {
        name: String,
        accept: Accept,
    },
    Cancel {
        name: String,
    },
    Follow {
        name: String,
        accept: Accept,
    },
    Unfollow {
        name: String,
    },
    CatchUp {
        name: String,
        accept: Accept,
    },
    ModelGet {
        name: String,
        table: String,
        key: String,
        generation: Option<String>,
        fresh: Fresh,
    },
    ModelScan {
        name: String,
        table: String,
        prefix: String,
        /// Those behind this key.
        #[serde(default)]
        after: Option<String>,
        limit: Option<u64>,
        generation: Option<String>,
        fresh: Fresh,
    },
    ModelExport {
        name: String,
        table: Option<String>,
        generation: Option<String>,
        columns: bool,
    },
    ModelWatch {
        name: String,
        table: Option<String>,
        prefix: String,
        from: Option<String>,
    },
    ModelDigest {
        name: String,
        generation: Option<String>,
    },
    ModelGenerations {
        name: String,
    },
    ModelReceipt {
        name: String,
        generation: Option<String>,
    },
    ModelVerify {
        name: String,
        repair: bool,
        accept: Accept,
    },
    ModelAsOf {
        name: String,
        to: String,
        label: Option<String>,
        source: Option<String>,
    },
    ModelHistory {
        name: String,
        table: String,
        key: String,
        to: Option<String>,
        generation: Option<String>,
    },
    ModelDiff {
        name: String,
        left: String,
        /// The live one where absent.
        right: Option<String>,
        table: Option<String>,
        /// Rows behind this one: `TABLE/KEY`.
        after: Option<String>,
        limit: Option<u64>,
    },
    ModelDrop {
        name: String,
        generation: String,
    },
    ModelPromote {
        name: String,
        generation: Option<String>,
        allow_parked: bool,
        allow_empty: bool,
    },
    ModelRollback {
        name: String,
        now: bool,
        allow_empty: bool,
    },
    DeadLettersList {
        name: String,
        stream: Option<String>,
    },
    DeadLettersShow {
        name: String,
        id: String,
    },
    DeadLettersRetry {
        name: String,
        stream: Option<String>,
        out_of_order: bool,
    },
    DeadLettersDiscard {
        name: String,
        stream: Option<String>,
    },
    StoreBackup {
        file: String,
    },
    StoreCheck,
    StoreAdopt,
    Activity {
        filter: ActivityFilter,
        /// Those before the entry of this number.
        #[serde(default)]
        before: Option<u64>,
        /// The newest so many; all of them where absent.
        last: Option<u64>,
    },
    ActivityCheck,
    AlertList,
    AlertTest {
        /// Everybody where absent.
        name: Option<String>,
    },
    /// All projections at a glance, or one of them.
    Projections {
        name: Option<String>,
    },
    /// A code with which a browser is let in once.
    SessionCode,
    /// Whether the host takes commands: it does, or this is refused.
    Health,
}

/// What a request is to do with a data directory; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read what is there: no engine is started, no status is set, and nothing is written, not even by opening a file.
    Read,
    /// Change nothing; but it takes long, or needs plugins and histories: the process that carries it out is a host for others meanwhile.
    Examine,
    /// Change what is there.
    Change,
    /// Begin with an empty one, where there is none.
    Begin,
}

/// How a request is to be treated.
struct Conduct {
    access: Access,
    repeatable: bool,
    takes_long: bool,
    tells_how_far: bool,
}

impl Conduct {
    /// That of a request that takes a moment, and may be sent twice.
    fn of(access: Access) -> Conduct {
        Conduct { access, repeatable: true, takes_long: false, tells_how_far: false }
    }
}

impl Request {
    /// What it is to do with the data directory.
    pub fn access(&self) -> Access {
        self.conduct().access
    }

    /// Whether sending it twice has the effect of sending it once, so that it may be sent again when its answer was lost.
    pub fn is_repeatable(&self) -> bool {
        self.conduct().repeatable
    }

    /// Whether it may take so long that other terminals are to be answered meanwhile.
    pub fn takes_long(&self) -> bool {
        self.conduct().takes_long
    }

    /// Whether what becomes of it is recorded: what changes something is, and what takes data out of the directory as a whole.
    pub fn is_recorded(&self) -> bool {
        match self {
            Request::StoreBackup { .. } => true,
            // They make what they need, and leave nothing behind.
            Request::ModelHistory { .. } => false,
            request => request.access() >= Access::Change,
        }
    }

    /// The projection that it is about, where it is about one.
    pub fn projection(&self) -> Option<&str> {
        match self {
            Request::Rebuild(trigger) | Request::Plan(trigger) => Some(&trigger.name),
            Request::PluginInstall { named, .. } => named.as_deref(),
            Request::Activity { filter, .. } => filter.projection.as_deref(),
            Request::PluginHistory { name }
            | Request::PluginSwap { name, .. }
            | Request::PluginTry { name, .. }
            | Request::PluginRollback { name }
            | Request::RebuildStream { name, .. }
            | Request::Status { name }
            | Request::Pause { name }
            | Request::Resume { name, .. }
            | Request::Cancel { name }
            | Request::Follow { name, .. }
            | Request::Unfollow { name }
            | Request::CatchUp { name, .. }
            | Request::ModelGet { name, .. }
            | Request::ModelScan { name, .. }
            | Request::ModelExport { name, .. }
            | Request::ModelWatch { name, .. }
            | Request::ModelDigest { name, .. }
            | Request::ModelGenerations { name }
            | Request::ModelReceipt { name, .. }
            | Request::ModelVerify { name, .. }
            | Request::ModelAsOf { name, .. }
            | Request::ModelHistory { name, .. }
            | Request::ModelDiff { name, .. }
            | Request::ModelDrop { name, .. }
            | Request::ModelPromote { name, .. }
            | Request::ModelRollback { name, .. }
            | Request::DeadLettersList { name, .. }
            | Request::DeadLettersShow { name, .. }
            | Request::DeadLettersRetry { name, .. }
            | Request::DeadLettersDiscard { name, .. } => Some(name),
            Request::EventsImport(_)
            | Request::EventsStats
            | Request::EventsShow { .. }
            | Request::EventsSchema { .. }
            | Request::PluginList
            | Request::PluginVerify { .. }
            | Request::Watch { .. }
            | Request::List { .. }
            | Request::StoreBackup { .. }
            | Request::StoreCheck
            | Request::StoreAdopt
            | Request::SessionCode
            | Request::Health
            | Request::ActivityCheck
            | Request::AlertList
            | Request::AlertTest { .. } => None,
            Request::Projections { name } => name.as_deref(),
        }
    }

    /// Whether the thread that works on it reports its progress, which is given among its rows.
    pub(super) fn tells_how_far(&self) -> bool {
        self.conduct().tells_how_far
    }

    /// Whether it may stay for as long as somebody listens, and takes up a thread of the host.
    pub fn stays(&self) -> bool {
        matches!(self, Request::Watch { .. } | Request::ModelWatch { .. }) || self.wait().is_some()
    }

    /// How long it waits for what it asks for, where it does.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Request::ModelGet { fresh, .. } | Request::ModelScan { fresh, .. } if fresh.wait_ms > 0 => {
                Some(Duration::from_millis(fresh.wait_ms))
            }
            _ => None,
        }
    }

    /// The same, which waits so long.
    pub fn waiting(mut self, wait: Duration) -> Request {
        if let Request::ModelGet { fresh, .. } | Request::ModelScan { fresh, .. } = &mut self {
            fresh.wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        }
        self
    }

    fn conduct(&self) -> Conduct {
        use Access::{Begin, Change, Examine, Read};
        match self {
            Request::EventsStats
            | Request::EventsShow { .. }
            | Request::PluginList
            | Request::PluginHistory { .. }
            | Request::Status { .. }
            | Request::List { .. }
            | Request::ModelGet { .. }
            | Request::ModelScan { .. }
            | Request::ModelGenerations { .. }
            | Request::DeadLettersList { .. }
            | Request::DeadLettersShow { .. }
            | Request::Activity { .. }
            | Request::AlertList
            | Request::Health
            | Request::Projections { .. } => Conduct::of(Read),
            // The digest of a receipt may still have to be computed.
            Request::ModelDigest { .. } | Request::ModelReceipt { .. } => {
                Conduct { tells_how_far: true, ..Conduct::of(Read) }
            }

            Request::ModelDiff { .. } => Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Read) },
            Request::ModelExport { .. } => Conduct { takes_long: true, ..Conduct::of(Read) },
            Request::StoreBackup { .. } | Request::StoreCheck | Request::ActivityCheck => {
                Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Read) }
            }

            // A file is indexed before it is a source, and a plugin compiled where that has to be done again.
            Request::Plan(_) => Conduct { tells_how_far: true, ..Conduct::of(Examine) },
            Request::EventsSchema { .. } => Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Examine) },
            // With its token it is asked for again.
            Request::ModelWatch { .. } => Conduct { repeatable: false, takes_long: true, ..Conduct::of(Read) },
            // What it watches has ended with its host.
            Request::Watch { .. } => Conduct { repeatable: false, takes_long: true, ..Conduct::of(Examine) },

            Request::PluginInstall { .. } => Conduct::of(Begin),
            // The file for what is set aside is there by then.
            Request::EventsImport(import) => {
                Conduct { repeatable: import.skip_bad_lines.is_none(), takes_long: true, ..Conduct::of(Begin) }
            }

            Request::Rebuild(trigger) => {
                Conduct { repeatable: !trigger.restart, tells_how_far: true, ..Conduct::of(Change) }
            }
            Request::Pause { .. }
            | Request::Resume { .. }
            | Request::Cancel { .. }
            | Request::Follow { .. }
            | Request::Unfollow { .. }
            | Request::SessionCode
            | Request::StoreAdopt => Conduct::of(Change),
            Request::ModelPromote { .. } | Request::CatchUp { .. } => {
                Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Change) }
            }
            Request::PluginTry { .. } | Request::PluginVerify { .. } | Request::RebuildStream { .. } => {
                Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Change) }
            }
            // Receivers may keep it waiting, and are told twice where it is sent twice.
            Request::AlertTest { .. } => Conduct { repeatable: false, takes_long: true, ..Conduct::of(Change) },
            // Back and forth.
            Request::PluginRollback { .. } => Conduct { repeatable: false, ..Conduct::of(Change) },
            Request::ModelRollback { .. } => {
                Conduct { repeatable: false, takes_long: true, tells_how_far: true, ..Conduct::of(Change) }
            }
            // The second time it would be another change, or give another answer.
            Request::PluginSwap { .. } | Request::ModelDrop { .. } => {
                Conduct { repeatable: false, ..Conduct::of(Change) }
            }
            Request::DeadLettersDiscard { .. } => {
                Conduct { repeatable: false, tells_how_far: true, ..Conduct::of(Change) }
            }
            Request::ModelVerify { repair, .. } => {
                Conduct { repeatable: !repair, takes_long: true, tells_how_far: true, ..Conduct::of(Change) }
            }
            Request::ModelHistory { .. } => Conduct { takes_long: true, tells_how_far: true, ..Conduct::of(Change) },
            Request::ModelAsOf { .. } | Request::DeadLettersRetry { .. } => {
                Conduct { repeatable: false, takes_long: true, tells_how_far: true, ..Conduct::of(Change) }
            }
        }
    }
}

/// How much of its history must be in what is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fresh {
    /// The history up to here.
    pub at_least: Option<Position>,
    /// The history up to the event with this id.
    pub at_least_event: Option<String>,
    /// How long that is waited for, in milliseconds.
    pub wait_ms: u64,
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
pub type Sink<'a> = dyn FnMut(Row) -> bool + 'a;
