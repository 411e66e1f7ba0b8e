//! The bodies of requests: what their fields are, and what is requested by them.

use super::given::Given;
use crate::{
    control::ControlError,
    rebuild::{Accept, Trigger},
    store::{OnError, Priority, RebuildOptions},
};
use serde::Deserialize;

/// Refuses a body that has anything.
pub(super) fn nothing(given: &Given) -> Result<(), ControlError> {
    let Nothing {} = given.body()?;
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertTestBody {
    pub(super) name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AcceptBody {
    pub(super) accept_history: bool,
    pub(super) accept_changed: Option<String>,
    pub(super) accept_missing: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RebuildBody {
    pub(super) source: Option<String>,
    pub(super) into: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) restart: bool,
    pub(super) dry_run: bool,
    pub(super) chunk_size: Option<u32>,
    pub(super) priority: Option<Priority>,
    pub(super) rate_limit: Option<u32>,
    pub(super) no_promote: bool,
    pub(super) on_error: Option<OnError>,
    pub(super) allow_parked: bool,
    pub(super) allow_empty: bool,
    pub(super) follow: bool,
    pub(super) accept_history: bool,
    pub(super) accept_missing: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamBody {
    pub(super) stream: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamsBody {
    pub(super) stream: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RetryBody {
    pub(super) stream: Option<String>,
    pub(super) out_of_order: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PromoteBody {
    pub(super) generation: Option<String>,
    pub(super) allow_parked: bool,
    pub(super) allow_empty: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RollbackBody {
    pub(super) now: bool,
    pub(super) allow_empty: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct VerifyBody {
    pub(super) repair: bool,
    pub(super) accept_history: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AsOfBody {
    pub(super) to: String,
    #[serde(default)]
    pub(super) label: Option<String>,
    #[serde(default)]
    pub(super) source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
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
