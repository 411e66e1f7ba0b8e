//! What answers look like, as JSON Schema: made from the types that they are.

use super::{
    AlertsTested, BackedUp, Change, DeadLetter, DeadLetterInFull, Digest, Dropped, EventShape, Exported, FoundRow,
    Installed, ListedAlertRoute, ListedGeneration, ListedProjection, LoggedEvent, ModelRow, ProjectionOverview,
    Receipt, Request, SessionCode, Switched, TableHead, TestedAlertRoute,
};
use crate::{
    rebuild::{
        CancelAnswer, DeterminismReport, DiffReport, FollowReport, Plan, RetryReport, RowChange, RowDiff, StreamReport,
        SwapReport, TrialReport, TriggerAnswer, VerifyReport,
    },
    source::log::{ImportProgress, ImportSummary, LogStats},
    store::{Adopted, CheckReport, CheckedActivity, HashedEntry, Install},
    vocabulary::Progress,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a request is answered with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answers {
    /// What each row is; absent where there are none. How far it is may be among them.
    pub row: Option<SchemaOf>,
    /// What the last answer is; absent where that is nothing.
    pub last: Option<SchemaOf>,
}

/// The schema of `T`.
pub fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn rows<T: JsonSchema>() -> Answers {
    Answers { row: Some(schema_of::<T>), last: None }
}

fn one<T: JsonSchema>() -> Answers {
    Answers { row: None, last: Some(schema_of::<T>) }
}

fn both<T: JsonSchema, U: JsonSchema>() -> Answers {
    Answers { row: Some(schema_of::<T>), last: Some(schema_of::<U>) }
}

/// What is exported: the head of a table, or a row of the one before.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it says what its parts look like")]
enum ExportedRow {
    Table(TableHead),
    Row(ModelRow),
}

/// What a rebuild is answered with: what was begun, or with `dryRun` what would be.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it says what its parts look like")]
enum RebuildAnswer {
    Begun(TriggerAnswer),
    Planned(Plan),
}

impl Request {
    /// What it is answered with.
    pub fn answers(&self) -> Answers {
        match self {
            Request::EventsImport(_) => both::<ImportProgress, ImportSummary>(),
            Request::EventsStats => one::<LogStats>(),
            Request::EventsShow { .. } => one::<LoggedEvent>(),
            Request::EventsSchema { .. } => rows::<EventShape>(),
            Request::AlertList => rows::<ListedAlertRoute>(),
            Request::AlertTest { .. } => both::<TestedAlertRoute, AlertsTested>(),
            Request::PluginInstall { .. } => one::<Installed>(),
            Request::PluginList => rows::<ListedProjection>(),
            Request::PluginHistory { .. } => rows::<Install>(),
            Request::PluginSwap { .. } | Request::PluginRollback { .. } => one::<SwapReport>(),
            Request::PluginTry { .. } => one::<TrialReport>(),
            Request::PluginVerify { .. } => one::<DeterminismReport>(),
            Request::Rebuild(_) => one::<RebuildAnswer>(),
            Request::Resume { .. } => one::<TriggerAnswer>(),
            Request::Plan(_) => one::<Plan>(),
            Request::RebuildStream { .. } => one::<StreamReport>(),
            Request::Watch { .. } => both::<Progress, Vec<Progress>>(),
            Request::Status { .. } | Request::Pause { .. } => one::<Progress>(),
            Request::List { .. } => rows::<Progress>(),
            Request::Cancel { .. } => one::<CancelAnswer>(),
            Request::Follow { .. } | Request::Unfollow { .. } | Request::CatchUp { .. } => one::<FollowReport>(),
            Request::ModelGet { .. } => one::<FoundRow>(),
            Request::ModelScan { .. } => rows::<ModelRow>(),
            Request::ModelExport { .. } => both::<ExportedRow, Exported>(),
            Request::ModelWatch { .. } => rows::<Change>(),
            Request::ModelDigest { .. } => one::<Digest>(),
            Request::ModelGenerations { .. } => rows::<ListedGeneration>(),
            Request::ModelReceipt { .. } => one::<Receipt>(),
            Request::ModelVerify { .. } => one::<VerifyReport>(),
            Request::ModelAsOf { .. } => one::<ListedGeneration>(),
            Request::ModelHistory { .. } => rows::<RowChange>(),
            Request::ModelDiff { .. } => both::<RowDiff, DiffReport>(),
            Request::ModelDrop { .. } => one::<Dropped>(),
            Request::ModelPromote { .. } | Request::ModelRollback { .. } => one::<Switched>(),
            Request::DeadLettersList { .. } => rows::<DeadLetter>(),
            Request::DeadLettersShow { .. } => one::<DeadLetterInFull>(),
            Request::DeadLettersRetry { .. } | Request::DeadLettersDiscard { .. } => one::<RetryReport>(),
            Request::StoreBackup { .. } => one::<BackedUp>(),
            Request::StoreCheck => one::<CheckReport>(),
            Request::StoreAdopt => one::<Adopted>(),
            Request::Activity { .. } => rows::<HashedEntry>(),
            Request::ActivityCheck => one::<CheckedActivity>(),
            Request::Projections { .. } => rows::<ProjectionOverview>(),
            Request::SessionCode => one::<SessionCode>(),
            Request::Health => Answers::default(),
        }
    }
}
