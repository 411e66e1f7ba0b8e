//! The control plane: the closed set of requests, carried out by the owner of the data directory.
//!
//! A command is a [`Request`], which declares what it may do. Where a host is running, the request goes over its socket; where none is,
//! the command opens the store and carries the request out itself. Both ways end in [`Host::execute`], which gives any number of
//! [`Row`]s and a [`Response`], or a [`ControlError`].
//!
//! | file | what it does |
//! |---|---|
//! | `request` | what can be requested, and what each request may do |
//! | `caller` | who asks, and what is recorded of that |
//! | `response`, `answers` | what is answered |
//! | `error` | how it can fail |
//! | `permit` | who may have what done |
//! | `execute` | carries requests out; `models`, `rows`, `changes`, `check`, `activity`, `alerts`, `overview` and `watch` those about read models, many rows, what changes in them, all that is kept, what was done, who is told of what goes wrong, all at a glance, and rebuilds while they run |
//! | `door` | how a browser is let in |
//! | `host` | what the owner of a data directory has open |
//! | `socket`, `process` | requests from other terminals; which process is in the way |

mod activity;
mod alerts;
mod answers;
mod caller;
mod changes;
mod check;
mod door;
mod error;
mod execute;
mod fresh;
mod host;
mod models;
mod overview;
mod permit;
mod process;
mod request;
mod response;
mod rows;
mod schema;
mod shapes;
mod socket;
mod watch;

pub use answers::{
    Action, AlertsTested, BackedUp, BuiltPlugin, Change, CheckedPlugin, Compacted, DeadLetter, DeadLetterContent,
    DeadLetterInFull, Digest, DropStatus, Dropped, EventShape, Exported, ExportedTable, FiringAlert, FoundRow,
    InstallStatus, Installed, LastDelivery, ListedAlertRoute, ListedGeneration, ListedProjection, LoggedEvent,
    ModelRow, ProjectionOverview, Receipt, ReceiptEvents, Role as GenerationRole, SessionCode, Switched, TableHead,
    TestedAlertRoute,
};
pub use caller::Caller;
pub use door::Door;
pub use error::{ControlError, ErrorKind};
pub use host::{Host, HostOptions, IMPORT_COPY};
pub use permit::{Payloads, Role, Shows};
pub use process::Process;
pub use request::{Access, Fresh, Import, Request, Sink, compact};
pub use response::{Response, Row};
pub use schema::{Answers, SchemaOf, schema_of};
pub use socket::{Client, Server};
