//! Makes the work of all rebuilds durable, one transaction after the other.
//!
//! Work waits until a rebuild ends, or has enough of it, or it must be durable soon (see [`limits::COMMIT_LAG`]).
//! Coalescing decides the speed: a row that changes a hundred times in between is written once, and so is a page of rows.
//!
//! As long as nobody reads from a generation, commits append to its journal, which takes the same time however large the
//! read model is; rows are brought from there into their tables between commits, many together.
//!
//! What is due at the same time is committed together as long as it is little, so that small work shares the cost of a
//! transaction, and large work does not wait for that of others.

use super::{
    Attempt, Published,
    overlay::{Layer, Overlay, Reached, changes},
};
use crate::{
    limits,
    plugin::{RowWrite, thread_cpu_time},
    store::{Commit, ParkedEvent, Priority, RebuildRecord, RowChange, Settled, Store, StoreError},
    vocabulary::{Checkpoint, EventFailure, Status},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Who makes work durable: one thread at a time, for all rebuilds of a host. Where all of them have low priority, that is a
/// thread of low priority, too. The threads end when the last handle goes; attempts hold one, and have their last commit
/// before they let go of it.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
    _threads: Arc<Threads>,
}

struct Shared {
    members: Mutex<Vec<Arc<Outgoing>>>,
    /// Something may have become due.
    ready: Condvar,
    /// Something has been committed, or refused.
    done: Condvar,
}

struct Threads {
    shared: Arc<Shared>,
    quit: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            // Under the lock: a committer that has looked already is waiting when it is told.
            let _members = self.shared.lock();
            self.quit.store(true, Ordering::SeqCst);
        }
        self.shared.ready.notify_all();
        for handle in self.handles.drain(..) {
            if handle.join().is_err() {
                tracing::error!("a committer ended by a panic");
            }
        }
    }
}

/// The work of one attempt on its way to the store.
pub(super) struct Outgoing {
    overlay: Arc<Overlay>,
    /// The rebuild, as the attempt began.
    record: RebuildRecord,
    plugin_digest: String,
    published: Arc<Published>,
    state: Mutex<State>,
}

struct State {
    checkpoint: Checkpoint,
    since: Instant,
    /// Work has been taken, and is not committed or settled yet.
    busy: bool,
    /// Commits to the journal.
    journaled: u64,
    /// What is being brought from there into tables.
    settling: Option<Settling>,
    /// Handling between the decision to commit and the end of the commit, as lately.
    overshoot: Duration,
    /// The status that ends the attempt, once it has been decided.
    ending: Option<(Status, Option<EventFailure>)>,
    ended: bool,
    refused: Option<Refused>,
}

/// Why the store did not take the work.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) message: String,
    /// Whether another attempt may succeed.
    pub(super) transient: bool,
}

impl From<&StoreError> for Refused {
    fn from(error: &StoreError) -> Refused {
        Refused { message: error.to_string(), transient: error.is_transient() }
    }
}

impl Outgoing {
    pub(super) fn new(attempt: &Attempt) -> Outgoing {
        Outgoing {
            overlay: Arc::default(),
            record: attempt.record.clone(),
            plugin_digest: attempt.plugin.digest().to_owned(),
            published: attempt.published.clone(),
            state: Mutex::new(State {
                checkpoint: attempt.record.checkpoint.clone(),
                since: Instant::now(),
                busy: false,
                journaled: 0,
                settling: None,
                overshoot: limits::COMMIT_GATHER,
                ending: None,
                ended: false,
                refused: None,
            }),
        }
    }

    pub(super) fn overlay(&self) -> Arc<Overlay> {
        self.overlay.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When its work must be committed, and its bytes; `None` while there is none, or a thread works for it already.
    fn due(&self) -> Option<(Instant, usize)> {
        let state = self.state();
        if state.ended || state.busy || state.refused.is_some() {
            return None;
        }
        let Layer { since, bytes, work, .. } = self.overlay.lock().open;
        if state.ending.is_some() {
            return Some((since.unwrap_or(state.since), bytes));
        }
        let enough = bytes >= limits::COMMIT_BYTES || work >= state.gather();
        let wait = if bytes < limits::COMMIT_LITTLE_BYTES { limits::COMMIT_LAG } else { limits::COMMIT_WAIT };
        Some((if enough { since? } else { since? + wait }, bytes))
    }
}

impl Outgoing {
    /// Whether rows of it are to be brought from the journal into their tables.
    fn wants_to_settle(&self) -> bool {
        let state = self.state();
        let over = state.ended || state.busy || state.refused.is_some() || state.ending.is_some();
        !over && (state.settling.is_some() || self.overlay.unsettled_bytes() >= limits::SETTLE_BYTES)
    }

    fn refuse(&self, error: &StoreError) {
        let mut state = self.state();
        state.refused = Some(Refused::from(error));
        state.busy = false;
    }

    /// Whether commits go to the journal: where nobody reads its tables, and they are in the store.
    fn journals(&self) -> bool {
        self.record.home.is_none() && !self.record.is_ready()
    }
}

/// Rows of committed layers on their way into their tables.
struct Settling {
    layers: Vec<Arc<Layer>>,
    tables: Vec<std::vec::IntoIter<RowChange>>,
    /// The commit that the newest of the layers was.
    through: u64,
}

impl Settling {
    fn new(layers: Vec<Arc<Layer>>, through: u64) -> Settling {
        let tables = changes(&layers).into_iter().map(Vec::into_iter).collect();
        Settling { layers, tables, through }
    }

    /// The next rows, as many as one transaction takes.
    fn next(&mut self) -> Vec<Vec<RowChange>> {
        let mut room = limits::SETTLE_ROWS;
        let mut some = |rows: &mut std::vec::IntoIter<RowChange>| {
            let some: Vec<_> = rows.by_ref().take(room).collect();
            room -= some.len();
            some
        };
        self.tables.iter_mut().map(&mut some).collect()
    }

    fn is_done(&self) -> bool {
        self.tables.iter().all(|rows| rows.len() == 0)
    }
}

impl State {
    /// How much handling is gathered before a commit begins.
    fn gather(&self) -> Duration {
        limits::COMMIT_LAG.saturating_sub(self.overshoot).max(limits::COMMIT_GATHER)
    }
}

impl Committer {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Store) -> std::io::Result<Committer> {
        let shared = Arc::new(Shared { members: Mutex::default(), ready: Condvar::new(), done: Condvar::new() });
        let quit = Arc::new(AtomicBool::new(false));
        let mut threads = Threads { shared: shared.clone(), quit: quit.clone(), handles: Vec::new() };
        for (priority, name) in [(Priority::Normal, "committer"), (Priority::Low, "low committer")] {
            let (store, shared, quit) = (store.clone(), shared.clone(), quit.clone());
            let run = move || run(&store, &shared, &quit, priority);
            threads.handles.push(std::thread::Builder::new().name(name.into()).spawn(run)?);
        }
        Ok(Committer { shared, _threads: Arc::new(threads) })
    }

    /// Lets the attempt that this thread handles take part.
    pub(super) fn join(&self, outgoing: Outgoing) -> Member {
        let outgoing = Arc::new(outgoing);
        self.shared.lock().push(outgoing.clone());
        self.shared.ready.notify_all();
        Member { shared: self.shared.clone(), outgoing, worked: thread_cpu_time() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Outgoing>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt's side of the committer. Leaves when dropped.
pub(super) struct Member {
    shared: Arc<Shared>,
    outgoing: Arc<Outgoing>,
    /// Processor time of the thread that handles, up to its last chunk.
    worked: Duration,
}

impl Member {
    /// Hands over a chunk's writes.
    pub(super) fn apply(&mut self, writes: Vec<RowWrite>, parked: Vec<ParkedEvent>, tables: usize, reached: Reached) {
        let worked = thread_cpu_time();
        let work = worked.saturating_sub(std::mem::replace(&mut self.worked, worked));
        self.outgoing.overlay.apply(writes, parked, tables, reached, work);
        // The lock makes sure that a committer which is about to wait sees the work first.
        let _members = self.shared.lock();
        self.shared.ready.notify_all();
    }

    /// Counts a transient failure; it becomes durable with the next commit.
    pub(super) fn count_retry(&self) {
        self.outgoing.overlay.lock().open.retries += 1;
    }

    /// Waits until what is in memory is within its bounds.
    pub(super) fn wait_for_room(&self) -> Result<(), Refused> {
        let full = || {
            let overlay = &self.outgoing.overlay;
            overlay.lock().open.bytes >= limits::OVERLAY_BYTES || overlay.unsettled_bytes() >= limits::UNSETTLED_BYTES
        };
        self.wait_until(|state| state.refused.is_some() || !full())
    }

    /// Commits what is left, with the status that ends the attempt, and waits until that is durable.
    pub(super) fn finish(self, status: Status, error: Option<EventFailure>) -> Result<(), Refused> {
        self.outgoing.state().ending = Some((status, error));
        {
            let _members = self.shared.lock();
            self.shared.ready.notify_all();
        }
        self.wait_until(|state| state.ended || state.refused.is_some())
    }

    fn wait_until(&self, reached: impl Fn(&State) -> bool) -> Result<(), Refused> {
        let mut members = self.shared.lock();
        while !reached(&self.outgoing.state()) {
            members = self.shared.done.wait(members).unwrap_or_else(PoisonError::into_inner);
        }
        drop(members);
        self.outgoing.state().refused.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.lock().retain(|member| !Arc::ptr_eq(member, &self.outgoing));
        self.shared.ready.notify_all();
    }
}

/// Nobody waits for a committer that is gone, however it went.
struct RefuseWhenGone<'a>(&'a Shared);

impl Drop for RefuseWhenGone<'_> {
    fn drop(&mut self) {
        for member in self.0.lock().iter() {
            let gone = || Refused { message: "the committer has ended".to_owned(), transient: false };
            member.state().refused.get_or_insert_with(gone);
        }
        self.0.done.notify_all();
    }
}

fn run(store: &Store, shared: &Shared, quit: &AtomicBool, priority: Priority) {
    let _refusing = RefuseWhenGone(shared);
    if priority == Priority::Low {
        super::lower_priority(limits::LOW_COMMITTER_NICE);
    }
    while let Some(task) = wait_for_work(shared, quit, priority) {
        match task {
            Task::Commit(members) => {
                let started = Instant::now();
                let mut work: Vec<_> = members.iter().filter_map(Work::take).collect();
                commit_all(store, &mut work, started);
            }
            Task::Settle(member) => settle(store, &member),
        }
        let _members = shared.lock();
        shared.done.notify_all();
    }
}

/// What a committer does next.
enum Task {
    /// Makes the work of these durable.
    Commit(Vec<Arc<Outgoing>>),
    /// Brings some rows from the journal into their tables.
    Settle(Arc<Outgoing>),
}

/// Waits until some rebuild's work is due, and all rebuilds' priority is `priority`: whose is to be committed now. The work
/// of low ones is committed by the other thread while there is a normal one, which would have to wait for the store.
fn wait_for_work(shared: &Shared, quit: &AtomicBool, priority: Priority) -> Option<Task> {
    let mut members = shared.lock();
    loop {
        if quit.load(Ordering::SeqCst) {
            return None;
        }
        let low = members.iter().all(|member| member.record.priority == Priority::Low);
        if low != (priority == Priority::Low) {
            members = shared.ready.wait(members).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let now = Instant::now();
        let mut waiting: Vec<_> = members.iter().filter_map(|member| Some((member.due()?, member))).collect();
        waiting.sort_by_key(|((due, _), _)| *due);
        let first = waiting.first().map(|((due, _), _)| *due);
        if first.is_some_and(|first| first <= now) {
            let mut total = 0;
            let together = waiting.iter().enumerate().take_while(|(index, ((due, bytes), _))| {
                total += bytes;
                *index == 0 || (*due <= now && total <= limits::COMMIT_LITTLE_BYTES)
            });
            return Some(Task::Commit(together.map(|(_, (_, member))| Arc::clone(member)).collect()));
        }
        if let Some(member) = members.iter().find(|member| member.wants_to_settle()) {
            return Some(Task::Settle(member.clone()));
        }
        let wait = first.map_or(Duration::from_secs(3600), |due| due - now);
        members = shared.ready.wait_timeout(members, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// What one rebuild puts into a transaction.
struct Work<'a> {
    outgoing: &'a Outgoing,
    layer: Arc<Layer>,
    /// The layers whose rows this brings into their tables.
    settles: Vec<Arc<Layer>>,
    journal: Option<u64>,
    rows: Vec<Vec<RowChange>>,
    row_count: usize,
    checkpoint: Checkpoint,
    taken: Instant,
    active_ms: u64,
    ends: bool,
}

impl<'a> Work<'a> {
    fn take(outgoing: &'a Arc<Outgoing>) -> Option<Work<'a>> {
        outgoing.due()?;
        let mut state = outgoing.state();
        state.busy = true;
        let layer = outgoing.overlay.take();
        let mut checkpoint = state.checkpoint.clone();
        checkpoint.checkpointed_at = crate::vocabulary::now_ms();
        if let Some(reached) = &layer.reached {
            checkpoint.position = reached.position;
            checkpoint.events_processed += reached.events;
            if let Some(last) = &reached.last {
                checkpoint.last_event_id = Some(last.id.clone());
                checkpoint.last_event_timestamp = Some(last.timestamp);
            }
        }
        if let Some((status, error)) = &state.ending {
            checkpoint.status = *status;
            checkpoint.error = error.clone();
        }
        let (journal, settles, rows) = if state.ending.is_none() && outgoing.journals() {
            state.journaled += 1;
            (Some(state.journaled), Vec::new(), changes(std::slice::from_ref(&layer)))
        } else {
            state.settling = None;
            let layers = outgoing.overlay.unsettled();
            let rows = changes(&layers);
            (None, layers, rows)
        };
        let taken = Instant::now();
        Some(Work {
            outgoing,
            settles,
            journal,
            row_count: rows.iter().map(Vec::len).sum(),
            rows,
            checkpoint,
            active_ms: (taken - state.since).as_millis() as u64,
            taken,
            ends: state.ending.is_some(),
            layer,
        })
    }

    fn commit(&mut self) -> Commit {
        Commit {
            generation: self.outgoing.record.generation,
            attempt: self.outgoing.record.attempt,
            plugin_digest: self.outgoing.plugin_digest.clone(),
            checkpoint: self.checkpoint.clone(),
            retries: self.layer.retries,
            active_ms: self.active_ms,
            rows: std::mem::take(&mut self.rows),
            journal: self.journal,
            parked: self.layer.parked.clone(),
            unparked: Vec::new(),
            discarded: 0,
            stages: self.outgoing.published.stages().report(),
        }
    }

    fn succeeded(&self, took: Duration) {
        self.settles.iter().for_each(|layer| layer.mark_settled());
        self.outgoing.published.stages().committed(took, self.row_count);
        self.outgoing.published.commit(&self.checkpoint, self.layer.retries, self.layer.parked.len() as u64);
        let mut state = self.outgoing.state();
        state.checkpoint = self.checkpoint.clone();
        // Handling went on while this was committed.
        state.since = self.taken;
        let undurable = self.layer.work + self.outgoing.overlay.lock().open.work;
        let overshoot = undurable.saturating_sub(state.gather());
        // Quick to grow: what a kill may lose is a promise, how much is gathered is not.
        state.overshoot = overshoot.max((state.overshoot + overshoot) / 2);
        state.ended = self.ends;
        state.busy = false;
    }

    fn refused(&self, error: &StoreError) {
        self.outgoing.refuse(error);
    }
}

/// Brings some rows of a rebuild from its journal into their tables.
fn settle(store: &Store, outgoing: &Outgoing) {
    let started = Instant::now();
    let mut settling = {
        let mut state = outgoing.state();
        state.busy = true;
        let journaled = state.journaled;
        state.settling.take().unwrap_or_else(|| Settling::new(outgoing.overlay.unsettled(), journaled))
    };
    let rows = settling.next();
    let through = settling.is_done().then_some(settling.through);
    match store.settle_rows(&Settled { record: &outgoing.record, rows, through }) {
        Ok(()) => {
            outgoing.published.stages().settled(started.elapsed());
            let mut state = outgoing.state();
            state.busy = false;
            match through {
                Some(_) => settling.layers.iter().for_each(|layer| layer.mark_settled()),
                None => state.settling = Some(settling),
            }
        }
        Err(e) => outgoing.refuse(&e),
    }
}

/// Commits the work of all together. Where that is refused because one of them has lost its claim, each is tried alone:
/// one rebuild's fault does not end the others.
fn commit_all(store: &Store, work: &mut [Work<'_>], started: Instant) {
    let commits: Vec<_> = work.iter_mut().map(Work::commit).collect();
    match store.commit(&commits) {
        Ok(()) => work.iter().for_each(|work| work.succeeded(started.elapsed())),
        Err(StoreError::Fenced { .. }) if commits.len() > 1 => {
            for (work, commit) in work.iter().zip(&commits) {
                match store.commit(std::slice::from_ref(commit)) {
                    Ok(()) => work.succeeded(started.elapsed()),
                    Err(e) => work.refused(&e),
                }
            }
        }
        Err(e) => work.iter().for_each(|work| work.refused(&e)),
    }
}
