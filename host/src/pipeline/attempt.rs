//! One attempt at a rebuild: what it works with, and how it ended.

use super::{
    commit_queue::Refused, committer::Committer, dead_letters::Retry, observed::Observed, pool::InstancePool,
    projection::Projection, published::Published, recent::Recent, stop::Stop, tally::Tally, touched::Touched,
};
use crate::{
    source::Source,
    store::{RebuildRecord, Store},
    vocabulary::{EventFailure, FailureKind, Mark, Matcher, Status},
};
use std::{sync::Arc, time::Duration};

/// One attempt at a rebuild: everything it works with.
pub struct Attempt {
    /// The rebuild, claimed for this attempt (see [`Store::begin_attempt`]).
    pub record: RebuildRecord,
    /// Where the events come from.
    pub source: Arc<dyn Source>,
    /// Which of them the projection handles.
    pub matcher: Matcher,
    /// What handles them.
    pub plugin: Arc<dyn Projection>,
    /// Where rows and checkpoints go.
    pub store: Store,
    /// What makes them durable.
    pub committer: Committer,
    /// How many instances may work at the same time, over all rebuilds.
    pub pool: InstancePool,
    /// Raised to end the attempt.
    pub stop: Stop,
    /// What operators see.
    pub published: Arc<Published>,
    /// Whether the rebuild is complete when this attempt reaches its target; otherwise another one goes on from there.
    pub completes: bool,
    /// It brings a complete generation forward, whose rebuild stays completed.
    pub follows: bool,
    /// The event at its target, where there is one.
    pub end: Option<Mark>,
    /// Where it handles dead letters of a generation that has been built.
    pub retry: Option<Retry>,
    /// Notes which rows its calls touch, where a caller wants to know.
    pub touched: Option<Touched>,
    /// Tells what becomes of one row, where a caller wants to know.
    pub observed: Option<Observed>,
    /// Rows that the attempts before have committed, and nobody has changed since; what this one commits is added.
    pub recent: Option<Recent>,
    /// What must add up at its target; absent where another attempt goes on from there.
    pub tally: Option<Tally>,
    /// The pause after try number so many, counted from 1, of what has failed for a transient reason (see
    /// [`limits::backoff`](crate::limits::backoff)).
    pub backoff: fn(u32) -> Duration,
}

impl Attempt {
    /// The projection's name.
    pub(super) fn name(&self) -> &str {
        &self.record.checkpoint.projection_name
    }
}

/// How an attempt ended. The store says the same, except after [`Ended::Lost`].
#[derive(Debug)]
pub enum Ended {
    /// The target is reached, and durably so. The status is `completed` where the attempt completes the rebuild.
    Completed,
    /// The stop was raised; everything handled is durable, in this status.
    Stopped(Status),
    /// A permanent failure; everything before it is durable.
    Failed(EventFailure),
    /// A failure that a new attempt may not meet; everything before it is durable, and the status is still `running`.
    Interrupted(EventFailure),
    /// The last commit was not made: the store refused it, or the host has a defect. The store holds an earlier checkpoint,
    /// from which any further attempt must start.
    Lost(EventFailure),
}

impl From<Refused> for Ended {
    /// Whatever has become of the last commit: the next attempt begins with what is there.
    fn from(refused: Refused) -> Ended {
        match refused.transient {
            true => Ended::Interrupted(EventFailure::transient(FailureKind::Store, refused.message)),
            false => Ended::Lost(EventFailure::permanent(FailureKind::Store, refused.message)),
        }
    }
}
