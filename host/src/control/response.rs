//! The answers to requests.

use super::{
    answers::{
        AlertsTested, BackedUp, Change, DeadLetter, DeadLetterInFull, Digest, Dropped, EventShape, Exported, FoundRow,
        Installed, ListedAlertRoute, ListedGeneration, ListedProjection, LoggedEvent, ModelRow, ProjectionOverview,
        Receipt, SessionCode, Switched, TableHead, TestedAlertRoute,
    },
    error::ControlError,
};
use crate::{
    rebuild::{
        CancelAnswer, DeterminismReport, DiffReport, FollowReport, Plan, RetryReport, RowChange, RowDiff, StreamReport,
        SwapReport, TrialReport, TriggerAnswer, VerifyReport,
    },
    source::log::{ImportProgress, ImportSummary, LogStats},
    store::{Adopted, CheckReport, CheckedActivity, HashedEntry, Install},
    vocabulary::{Progress, Work},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What becomes of a request.
pub(super) type Answer = Result<Response, ControlError>;

/// The last answer to a request that was carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // each is what its type says
pub enum Response {
    /// Nothing: everything was in the rows, or nobody wanted more of them.
    Nothing,
    Imported(ImportSummary),
    LogStats(LogStats),
    Event(LoggedEvent),
    Installed(Installed),
    Swapped(Box<SwapReport>),
    Tried(Box<TrialReport>),
    PluginVerified(Box<DeterminismReport>),
    Triggered(TriggerAnswer),
    Planned(Plan),
    StreamRebuilt(StreamReport),
    /// How each of the rebuilds ended that were watched.
    Ended(Vec<Progress>),
    Status(Box<Progress>),
    Cancelled(CancelAnswer),
    Followed(FollowReport),
    Found(Box<FoundRow>),
    Exported(Exported),
    Digest(Digest),
    Receipt(Box<Receipt>),
    ModelVerified(Box<VerifyReport>),
    Diffed(DiffReport),
    Generation(Box<ListedGeneration>),
    Dropped(Dropped),
    Switched(Switched),
    DeadLetter(Box<DeadLetterInFull>),
    Retried(RetryReport),
    BackedUp(BackedUp),
    Adopted(Adopted),
    Checked(CheckReport),
    ActivityChecked(CheckedActivity),
    AlertsTested(AlertsTested),
    SessionCode(SessionCode),
}

/// One of many things that a request asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // each is what its type says
pub enum Row {
    Import(ImportProgress),
    Projection(ListedProjection),
    Install(Install),
    /// How far a rebuild is.
    Rebuild(Box<Progress>),
    /// How far the request itself is.
    Progress(Work),
    Table(TableHead),
    Model(ModelRow),
    Change(Change),
    Generation(Box<ListedGeneration>),
    Changed(Box<RowChange>),
    Difference(Box<RowDiff>),
    Activity(Box<HashedEntry>),
    AlertRoute(ListedAlertRoute),
    AlertTested(TestedAlertRoute),
    Overview(Box<ProjectionOverview>),
    DeadLetter(DeadLetter),
    EventShape(Box<EventShape>),
}

impl Response {
    /// What programs are shown of it; null where that is nothing.
    pub fn json(&self) -> Value {
        match self {
            Response::Nothing => Value::Null,
            response => content(response),
        }
    }
}

impl Row {
    /// What programs are shown of it.
    pub fn json(&self) -> Value {
        content(self)
    }
}

/// The value under the tag of a variant.
fn content(tagged: &impl Serialize) -> Value {
    match serde_json::to_value(tagged) {
        Ok(Value::Object(fields)) => fields.into_iter().next().map_or(Value::Null, |(_, content)| content),
        Ok(_) => Value::Null,
        Err(e) => {
            tracing::error!("an answer cannot be shown: {e}");
            Value::Null
        }
    }
}
