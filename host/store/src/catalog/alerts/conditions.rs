//! The conditions that records say a projection is in.

use super::{AlertCause, fire, set};
use crate::{
    catalog::{
        options::Purpose,
        records::{ProjectionRecord, RebuildRecord},
        tables::{owner_in, rebuilds_in},
    },
    error::StoreError,
};
use redb::WriteTransaction;
use unspool_vocabulary::{AlertKind, EventFailure, FollowState, Status};

/// Enters what the records of `projection` say now: what has begun, and what is over.
pub(crate) fn reconcile(write: &WriteTransaction, projection: &str) -> Result<(), StoreError> {
    let owner = match owner_in(write, projection) {
        Err(StoreError::NotFound(_)) => return Ok(()),
        owner => owner?,
    };
    let records = rebuilds_in(write, projection)?;
    set(write, projection, AlertKind::Failed, failed(&records))?;
    set(write, projection, AlertKind::Parked, parked(&owner, &records))?;
    set(write, projection, AlertKind::VerifyDiffers, differs(&owner, &records))
}

/// Enters that a rebuild has come to its end.
pub(crate) fn completed(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let events = record.checkpoint.events_processed;
    let cause = of(record, format!("the rebuild has come to its end with {events} events"), None);
    fire(write, &record.checkpoint.projection_name, AlertKind::Completed, cause)
}

fn of(record: &RebuildRecord, message: String, failure: Option<EventFailure>) -> AlertCause {
    let (generation, position) = (Some(record.generation), record.checkpoint.position);
    AlertCause { message, generation, position, failure, waiting: None }
}

/// The rebuild that counts: those before it were given up for it.
fn newest(records: &[RebuildRecord]) -> Option<&RebuildRecord> {
    records.iter().filter(|record| record.spec.purpose == Purpose::Rebuild).max_by_key(|record| record.generation)
}

fn failed(records: &[RebuildRecord]) -> Option<AlertCause> {
    let rebuild = newest(records).filter(|record| record.status() == Status::Failed);
    let rebuild = rebuild.map(|record| (record, record.checkpoint.error.clone()));
    let follower = || {
        let mut all = records.iter().filter_map(|record| Some((record, record.following.as_ref()?)));
        let (record, following) = all.find(|(_, following)| following.state == FollowState::Failed)?;
        Some((record, following.error.clone()))
    };
    let (record, failure) = rebuild.or_else(follower)?;
    let message = failure.as_ref().map_or_else(|| "it has failed".to_owned(), ToString::to_string);
    Some(of(record, message, failure))
}

fn parked(owner: &ProjectionRecord, records: &[RebuildRecord]) -> Option<AlertCause> {
    let newest = newest(records).filter(|record| record.status() != Status::Cancelled);
    let live = records.iter().find(|record| owner.live == Some(record.generation));
    let record = [newest, live].into_iter().flatten().find(|record| record.parked > 0)?;
    Some(of(record, "events were set aside that could not be handled, or whose stream waits for one".to_owned(), None))
}

fn differs(owner: &ProjectionRecord, records: &[RebuildRecord]) -> Option<AlertCause> {
    let verified = owner.last_verify.as_ref()?;
    let open = verified.differences > 0 && verified.repaired_by.is_none() && owner.live == Some(verified.generation);
    let record = records.iter().find(|record| record.generation == verified.generation).filter(|_| open)?;
    Some(of(record, format!("{} rows are not what the history makes of them", verified.differences), None))
}
