//! The data plane: source to reader to handlers to committer. Here, and only here, a source, a plugin and a store meet.
//!
//! | stage | file | what it does |
//! |---|---|---|
//! | reader | `reader.rs` | reads ahead, filtered by event type, and cuts what one call handles; `call_size.rs` says how much |
//! | queue | `queue.rs` | holds chunks ready, bounded in bytes |
//! | handlers | `handlers.rs` | gives chunks, in order, to fresh instances of the plugin; `culprit.rs` finds the event behind a trap |
//! | sharing | `sharing.rs` | handles the streams of one chunk apart from each other, where the projection allows it; `owners.rs` finds rows that two of them touch |
//! | overlay | `overlay.rs` | rows handled and not committed yet; later chunks read through it |
//! | dead letters | `dead_letters.rs` | events that were set aside, as a source |
//! | touched | `touched.rs` | which rows an attempt has touched, where somebody asks |
//! | tally | `tally.rs` | whether what was counted is what was handled |
//! | committer | `committer.rs` | makes the work of all rebuilds durable; `commit_queue.rs` is what one of them has for it |
//! | amend | `amend.rs` | changes a generation that has been built, without an event |
//!
//! Handling of a chunk starts as soon as the writes of the one before are in the overlay; it never waits for the disk,
//! unless the overlay is full. Nothing counts as processed before its commit.

pub mod amend;
mod call_size;
mod chunk;
mod commit_queue;
mod committer;
mod culprit;
mod dead_letters;
mod handlers;
#[doc(hidden)]
pub mod overlay;
mod owners;
mod parking;
mod pool;
mod published;
mod queue;
mod reader;
mod sharing;
mod stages;
mod tally;
mod touched;

pub use committer::Committer;
pub use dead_letters::{DeadLetters, Origin, Retry};
pub use pool::InstancePool;
pub use published::Published;
pub use stages::Stages;
pub use tally::{Part, Tally, refuse_empty};
pub use touched::{Row, Touched, TouchedRows};

use crate::{
    limits,
    plugin::Plugin,
    source::Source,
    store::{Priority, RebuildRecord, Store},
    vocabulary::{EventFailure, Mark, Matcher, Status},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// One attempt at a rebuild: everything it works with.
pub struct Attempt {
    /// The rebuild, claimed for this attempt (see [`Store::begin_attempt`]).
    pub record: RebuildRecord,
    /// Where the events come from.
    pub source: Arc<dyn Source>,
    /// Which of them the projection handles.
    pub matcher: Matcher,
    /// What handles them.
    pub plugin: Plugin,
    /// Where rows and checkpoints go.
    pub store: Store,
    /// Who makes them durable.
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
    /// The event at its target, where one stands there.
    pub end: Option<Mark>,
    /// Where it handles dead letters of a generation that has been built.
    pub retry: Option<Retry>,
    /// Told which rows its calls touch, where somebody asks.
    pub touched: Option<Touched>,
    /// What must add up at its target; absent where another attempt goes on from there.
    pub tally: Option<Tally>,
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
    /// The store refused the last commit. It holds an earlier checkpoint, from which any further attempt must start.
    Lost(EventFailure),
}

/// Ends an attempt from outside, and says in which status it is left.
#[derive(Clone, Default)]
pub struct Stop {
    raised: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

impl Stop {
    /// Leaves the rebuild paused.
    pub fn pause(&self) {
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Leaves the rebuild cancelled.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.raised.store(true, Ordering::SeqCst);
    }

    /// Whether the attempt should end.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::SeqCst)
    }

    /// The flag itself, for a running guest to be interrupted by.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.raised
    }

    /// The status in which the rebuild is left.
    pub fn status(&self) -> Status {
        if self.cancelled.load(Ordering::SeqCst) { Status::Cancelled } else { Status::Paused }
    }
}

/// Runs an attempt on this thread until it ends. Its reader may still wait for a source that does not answer then: it is
/// left to come to its end by itself, since nothing depends on what it reads any more.
pub fn run(attempt: Attempt) -> Ended {
    yield_if_low(attempt.record.spec.options.priority());
    let pool = attempt.pool.clone();
    let _user = pool.join();
    let size = Arc::new(call_size::CallSize::new(&attempt.record));
    let (attempt, queue) = (Arc::new(attempt), Arc::new(queue::ChunkQueue::new()));
    let (reading, read) = std::sync::mpsc::channel::<()>();
    let spawned = std::thread::Builder::new().name("reader".into()).spawn({
        let (attempt, queue, size) = (attempt.clone(), queue.clone(), size.clone());
        move || {
            let _reading = reading;
            reader::run(&attempt, &queue, &size);
            // Before this thread says that it has ended.
            drop((attempt, queue, size));
        }
    });
    if let Err(e) = spawned {
        let message = format!("the reader's thread does not start: {e}");
        return Ended::Interrupted(EventFailure::transient(crate::vocabulary::FailureKind::Other, message));
    }
    let ended = handlers::run(&attempt, &queue, &size);
    queue.close();
    if read.recv_timeout(limits::READER_WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        tracing::debug!(
            projection = attempt.record.checkpoint.projection_name,
            "its reader waits for the source still"
        );
    }
    ended
}

/// Lets everything else on the machine go first, where the rebuild asks for it.
fn yield_if_low(priority: Priority) {
    if priority == Priority::Low {
        lower_priority(limits::LOW_NICE);
    }
}

/// Gives this thread a nice value, unless the host was started with a greater one. It can only be raised without
/// privileges, which is why each attempt has threads of its own.
fn lower_priority(nice: i32) {
    let this = Some(rustix::thread::gettid());
    let lowered = rustix::process::getpriority_process(this)
        .and_then(|own| rustix::process::setpriority_process(this, own.max(nice)));
    if let Err(e) = lowered {
        tracing::debug!("the priority of a thread cannot be lowered: {e}");
    }
}
