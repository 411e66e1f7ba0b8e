//! What is known of projections and generations: records in tables of the store, wherever the rows live.
//!
//! | file | what it has |
//! |---|---|
//! | `records` | the records themselves |
//! | `options` | the options of a rebuild, as one value |
//! | `tables` | the tables of records, read and written in transactions |
//! | `registry` | projections and their plugins |
//! | `generations` | the records of rebuilds |
//! | `status` | how the status of one changes |
//! | `promotion` | which generation is live |
//! | `activity` | who changed what, noted where records are written |
//! | `alerts` | the outbox of alerts, entered where changes are noted |
//! | `change_log` | what has changed in live generations, for those who watch |
//! | `dead_letters` | events that were set aside |
//! | `migrate` | records of earlier layouts |

pub(super) mod activity;
pub(super) mod alerts;
pub(super) mod change_log;
pub(super) mod dead_letters;
pub(super) mod generations;
pub(super) mod migrate;
mod options;
pub(super) mod promotion;
mod records;
mod registry;
mod status;
pub(super) mod tables;

pub use activity::{ActivityFilter, CheckedActivity, Entry, HashedEntry, Outcome, RecordedChange};
pub use alerts::{Alert, AlertCause, DueAlert, NextAlert, Phase, RouteRecord, Tried};
pub use change_log::{Changed, ChangedRow, LogEnd, LoggedChange};
pub use generations::{AttemptStart, NewRebuild};
pub use options::{OnError, Priority, Purpose, RebuildOptions, RebuildSpec, Segment};
pub use promotion::Allow;
pub use records::{
    BuiltRange, External, Following, Install, ParkedEvent, ProjectionRecord, RebuildRecord, RowDigest, Verification,
};
