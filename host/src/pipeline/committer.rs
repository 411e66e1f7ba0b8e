//! Makes the work of all rebuilds durable, one transaction after the other.
//!
//! Work waits until a rebuild ends, or has enough of it, or it must be durable soon (see [`limits::COMMIT_LAG`]).
//! Coalescing decides the speed: a row that changes a hundred times in between is written once, and so is a page of rows.
//!
//! Between commits the store is given time for what the rows of a rebuild need.
//!
//! What is due at the same time is committed together as long as it is little, so that small work shares the cost of a
//! transaction, and large work does not wait for that of others.

use super::{
    commit_queue::{CommitQueue, Refused, Work},
    overlay::{Overlay, Reached},
    panics, priority,
};
use crate::{
    limits,
    plugin::{RowWrite, thread_cpu_time},
    store::{ParkedEvent, Priority, Store, StoreError},
    vocabulary::{EventFailure, Status},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// What makes work durable: one thread at a time, for all rebuilds of a host. Where all of them have low priority, that is a
/// thread of low priority, too. The threads end when the last handle goes; attempts hold one, and have their last commit
/// before they let go of it.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
    _threads: Arc<Threads>,
}

struct Shared {
    queues: Mutex<Members>,
    /// Something may have become due.
    ready: Condvar,
    /// Something has been committed, or refused.
    done: Condvar,
}

/// The attempts whose work is made durable.
#[derive(Default)]
struct Members {
    all: Vec<Arc<CommitQueue>>,
    /// Why no work is made durable any more, once a thread has ended too early: what it had in hand may be half done.
    gone: Option<Refused>,
}

struct Threads {
    shared: Arc<Shared>,
    quit: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        {
            // Under the lock: a committer that has looked already is waiting when it is notified.
            let _queues = self.shared.lock();
            self.quit.store(true, Ordering::SeqCst);
        }
        self.shared.ready.notify_all();
        for handle in self.handles.drain(..) {
            // Its panic was reported to all queues.
            let _ = handle.join();
        }
    }
}

impl Committer {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: Store) -> std::io::Result<Committer> {
        let shared = Arc::new(Shared { queues: Mutex::default(), ready: Condvar::new(), done: Condvar::new() });
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
    ///
    /// # Errors
    /// Where no work is made durable any more, since a thread has panicked.
    pub(super) fn register(&self, commit_queue: CommitQueue) -> Result<CommitHandle, Refused> {
        let commit_queue = Arc::new(commit_queue);
        let mut queues = self.shared.lock();
        if let Some(refused) = &queues.gone {
            return Err(refused.clone());
        }
        queues.all.push(commit_queue.clone());
        drop(queues);
        self.shared.ready.notify_all();
        Ok(CommitHandle { shared: self.shared.clone(), commit_queue, worked: thread_cpu_time() })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits for a committer that is gone.
    fn refuse_all(&self, refused: &Refused) {
        let mut queues = self.lock();
        queues.all.iter().for_each(|queue| queue.refuse(refused.clone()));
        queues.gone.get_or_insert_with(|| refused.clone());
        self.done.notify_all();
    }
}

/// An attempt's side of the committer. Leaves when dropped.
pub(super) struct CommitHandle {
    shared: Arc<Shared>,
    commit_queue: Arc<CommitQueue>,
    /// Processor time of the thread that handles, up to its last chunk.
    worked: Duration,
}

impl CommitHandle {
    /// The queue in which its work waits.
    pub(super) fn overlay(&self) -> &Arc<Overlay> {
        self.commit_queue.overlay()
    }

    /// Hands over a chunk's writes.
    pub(super) fn apply(&mut self, writes: Vec<RowWrite>, parked: Vec<ParkedEvent>, reached: Reached) {
        let worked = thread_cpu_time();
        let work = worked.saturating_sub(std::mem::replace(&mut self.worked, worked));
        self.overlay().apply(writes, parked, reached, work);
        // The lock makes sure that a committer which is about to wait sees the work first.
        let _queues = self.shared.lock();
        self.shared.ready.notify_all();
    }

    /// Counts a transient failure; it becomes durable with the next commit.
    pub(super) fn count_retry(&self) {
        self.overlay().lock().open.retries += 1;
    }

    /// Waits until what is in memory is within its bounds.
    pub(super) fn wait_for_room(&self) -> Result<(), Refused> {
        self.wait_until(|commit_queue| !commit_queue.is_full())
    }

    /// Commits what is left, with the status that ends the attempt and the events that were missing, and waits until that is
    /// durable.
    pub(super) fn finish(self, status: Status, error: Option<EventFailure>, missing: u64) -> Result<(), Refused> {
        self.commit_queue.end_with(status, error, missing);
        {
            let _queues = self.shared.lock();
            self.shared.ready.notify_all();
        }
        self.wait_until(CommitQueue::has_ended)
    }

    /// Waits until `reached`, or until the store refuses.
    fn wait_until(&self, reached: impl Fn(&CommitQueue) -> bool) -> Result<(), Refused> {
        let mut queues = self.shared.lock();
        loop {
            if let Some(refused) = self.commit_queue.refused() {
                return Err(refused);
            }
            if reached(&self.commit_queue) {
                return Ok(());
            }
            // A claim of the generation takes its rows in memory out of the store, and notifies nobody here.
            let waited = self.shared.done.wait_timeout(queues, limits::COMMIT_WAIT);
            queues = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for CommitHandle {
    fn drop(&mut self) {
        self.shared.lock().all.retain(|queue| !Arc::ptr_eq(queue, &self.commit_queue));
        self.shared.ready.notify_all();
    }
}

/// Commits until the last handle goes. A panic is reported to all that wait, and to all that come later.
fn run(store: &Store, shared: &Shared, quit: &AtomicBool, priority: Priority) {
    if priority == Priority::Low {
        priority::lower(limits::LOW_COMMITTER_NICE);
    }
    if let Err(panic) = panics::caught(|| work(store, shared, quit, priority)) {
        let told = panics::told("commits", &panic);
        let message = format!("{told}; nothing is committed any more until the host is started again");
        shared.refuse_all(&Refused { message, transient: false });
    }
}

fn work(store: &Store, shared: &Shared, quit: &AtomicBool, priority: Priority) {
    while let Some(task) = wait_for_work(shared, quit, priority) {
        match task {
            Task::Commit(queues) => {
                let started = Instant::now();
                let work: Vec<_> = queues.iter().filter_map(Work::take).collect();
                commit_all(store, &work, started);
            }
            Task::Maintain(queue) => queue.maintain(),
        }
        let _queues = shared.lock();
        shared.done.notify_all();
    }
}

/// What a committer does next.
enum Task {
    /// Makes the work of these durable.
    Commit(Vec<Arc<CommitQueue>>),
    /// Lets the store do a part of what its rows need.
    Maintain(Arc<CommitQueue>),
}

/// Waits until some rebuild's work is due, and all rebuilds' priority is `priority`: whose is to be committed now. The work
/// of low ones is committed by the other thread while there is a normal one, which would have to wait for the store.
fn wait_for_work(shared: &Shared, quit: &AtomicBool, priority: Priority) -> Option<Task> {
    let mut queues = shared.lock();
    loop {
        if quit.load(Ordering::SeqCst) {
            return None;
        }
        let low = queues.all.iter().all(|queue| queue.priority() == Priority::Low);
        if low != (priority == Priority::Low) {
            queues = shared.ready.wait(queues).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let now = Instant::now();
        let mut waiting: Vec<_> = queues.all.iter().filter_map(|queue| Some((queue.due()?, queue))).collect();
        waiting.sort_by_key(|((due, _), _)| *due);
        let first = waiting.first().map(|((due, _), _)| *due);
        if first.is_some_and(|first| first <= now) {
            let mut total = 0;
            let together = waiting.iter().enumerate().take_while(|(index, ((due, bytes), _))| {
                total += bytes;
                *index == 0 || (*due <= now && total <= limits::COMMIT_LITTLE_BYTES)
            });
            return Some(Task::Commit(together.map(|(_, (_, queue))| Arc::clone(queue)).collect()));
        }
        // The one with most in memory is the next whose handling would wait.
        let wanting = queues.all.iter().filter(|queue| queue.wants_maintenance());
        if let Some(queue) = wanting.max_by_key(|queue| queue.unflushed_bytes()) {
            return Some(Task::Maintain(queue.clone()));
        }
        let wait = first.map_or(Duration::from_secs(3600), |due| due - now);
        queues = shared.ready.wait_timeout(queues, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Commits the work of all together. Where that is refused because one of them has lost its claim, each is tried alone:
/// one rebuild's fault does not end the others.
fn commit_all(store: &Store, work: &[Work<'_>], started: Instant) {
    let commits: Vec<_> = work.iter().map(Work::commit).collect();
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

#[cfg(test)]
mod tests;
