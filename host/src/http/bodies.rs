//! The bodies of requests: what their fields are, and what is requested by them.

use super::given::Given;
use crate::{
    control::ControlError,
    rebuild::{Accept, Trigger},
    store::{OnError, Priority, RebuildOptions},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Refuses a body that has anything.
pub(super) fn nothing(given: &Given) -> Result<(), ControlError> {
    let Nothing {} = given.body()?;
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertTestBody {
    /// Only this one.
    pub(super) name: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AcceptBody {
    /// The history is the same, although it is not recognised.
    pub(super) accept_history: bool,
    /// The id of the event at the checkpoint, which was changed on purpose.
    pub(super) accept_changed: Option<String>,
    /// So many events may be missing.
    pub(super) accept_missing: Option<u64>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RebuildBody {
    /// Where its events come from.
    pub(super) source: Option<String>,
    /// Where its rows are to live.
    pub(super) into: Option<String>,
    /// The first event.
    pub(super) from: Option<String>,
    /// The last event.
    pub(super) to: Option<String>,
    /// Start over.
    pub(super) restart: bool,
    /// Change nothing, and say what would happen.
    pub(super) dry_run: bool,
    /// Events per chunk.
    pub(super) chunk_size: Option<u32>,
    /// Whether it leaves room for others.
    pub(super) priority: Option<Priority>,
    /// Events per second at most.
    pub(super) rate_limit: Option<u32>,
    /// It is not promoted when it completes.
    pub(super) no_promote: bool,
    /// What becomes of an event that cannot be handled.
    pub(super) on_error: Option<OnError>,
    /// It is promoted with dead letters.
    pub(super) allow_parked: bool,
    /// It is promoted although it was built from no event.
    pub(super) allow_empty: bool,
    /// It is kept up to date from then on.
    pub(super) follow: bool,
    /// The history is the same, although it is not recognised.
    pub(super) accept_history: bool,
    /// So many events may be missing.
    pub(super) accept_missing: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamBody {
    /// The stream.
    pub(super) stream: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamsBody {
    /// Those of this stream; all of them where absent.
    pub(super) stream: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RetryBody {
    /// Those of this stream; all of them where absent.
    pub(super) stream: Option<String>,
    /// Also where the projection is not partitioned by stream.
    pub(super) out_of_order: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PromoteBody {
    /// This one instead of the latest.
    pub(super) generation: Option<String>,
    /// Although it has dead letters.
    pub(super) allow_parked: bool,
    /// Although it was built from no event.
    pub(super) allow_empty: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RollbackBody {
    /// Exchange them first.
    pub(super) now: bool,
    /// Although the one before was built from no event.
    pub(super) allow_empty: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct VerifyBody {
    /// Replace it where it differs.
    pub(super) repair: bool,
    /// The history is the same, although it is not recognised.
    pub(super) accept_history: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AsOfBody {
    /// Up to here: an event's id, a position or a time.
    pub(super) to: String,
    /// What it is called.
    #[serde(default)]
    pub(super) label: Option<String>,
    /// Another source.
    #[serde(default)]
    pub(super) source: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    /// Its absolute path on the host's machine.
    pub(super) file: String,
}

impl AcceptBody {
    pub(super) fn accept(self) -> Accept {
        Accept { history: self.accept_history, changed: self.accept_changed, missing: self.accept_missing }
    }
}

impl RebuildBody {
    pub(super) fn trigger(self, name: String) -> Trigger {
        Trigger {
            name,
            source: self.source,
            from: self.from,
            to: self.to,
            restart: self.restart,
            accept: Accept { history: self.accept_history, ..Accept::default() },
            options: RebuildOptions {
                chunk_size: self.chunk_size,
                priority: self.priority,
                rate_limit: self.rate_limit,
                no_promote: self.no_promote,
                on_error: self.on_error,
                allow_parked: self.allow_parked,
                allow_empty: self.allow_empty,
                accept_missing: self.accept_missing,
                follow: self.follow,
            },
            into: self.into,
        }
    }
}
