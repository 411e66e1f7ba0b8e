//! Answers about things for which no layer below has a report. Times are milliseconds since 1970.

mod alerts;
mod changes;
mod events;
mod models;
mod overview;
mod plugins;
mod store;

pub use alerts::{AlertsTested, FiringAlert, LastDelivery, ListedAlertRoute, TestedAlertRoute};
pub use changes::Change;
pub use events::{DeadLetter, DeadLetterContent, DeadLetterInFull, EventShape, LoggedEvent};
pub use models::{
    Digest, DropStatus, Dropped, Exported, ExportedTable, FoundRow, ListedGeneration, ModelRow, Receipt, ReceiptEvents,
    Role, Switched, TableHead,
};
pub use overview::{Action, ProjectionOverview, SessionCode};
pub use plugins::{BuiltPlugin, CheckedPlugin, InstallStatus, Installed, ListedProjection};
pub use store::{BackedUp, Compacted};
