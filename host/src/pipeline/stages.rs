//! How long each stage of an attempt worked and waited: where the time goes.

use crate::vocabulary::StageReport;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Time that the stages of one attempt have spent so far. Written by the stages, read by anyone.
#[derive(Debug, Default)]
pub struct Stages {
    /// What earlier runs of the same rebuild took.
    before: StageReport,
    read: Clock,
    read_waited: Clock,
    handle: Clock,
    handle_waited_for_read: Clock,
    handle_waited_for_commit: Clock,
    commit: Clock,
    commits: AtomicU64,
    rows: AtomicU64,
    memory: AtomicU64,
    memory_peak: AtomicU64,
}

/// Nanoseconds that have been spent on something.
#[derive(Debug, Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    /// Adds the time that `work` takes.
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.add(started.elapsed());
        done
    }

    pub(super) fn add(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / 1_000_000
    }
}

impl Stages {
    pub(super) fn new(before: StageReport) -> Stages {
        Stages { before, ..Stages::default() }
    }

    pub(super) fn read(&self) -> &Clock {
        &self.read
    }

    pub(super) fn read_waited(&self) -> &Clock {
        &self.read_waited
    }

    pub(super) fn handle(&self) -> &Clock {
        &self.handle
    }

    pub(super) fn handle_waited_for_read(&self) -> &Clock {
        &self.handle_waited_for_read
    }

    pub(super) fn handle_waited_for_commit(&self) -> &Clock {
        &self.handle_waited_for_commit
    }

    pub(super) fn committed(&self, time: Duration, rows: usize) {
        self.commit.add(time);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Notes the memory that an instance had at the end of a call, in bytes.
    pub(super) fn called_with(&self, memory: usize) {
        self.memory.store(memory as u64, Ordering::Relaxed);
        self.memory_peak.fetch_max(memory as u64, Ordering::Relaxed);
    }

    /// Time of the committer for what the store needs between commits.
    pub(super) fn maintained(&self, time: Duration) {
        self.commit.add(time);
    }

    /// [`Stages::report`] as it is once a commit of `rows` is made, but for the time that this takes: what the commit itself
    /// keeps.
    pub(super) fn report_with(&self, rows: usize) -> StageReport {
        let report = self.report();
        StageReport { commits: report.commits + 1, rows_committed: report.rows_committed + rows as u64, ..report }
    }

    /// The time so far, with that of earlier runs.
    pub fn report(&self) -> StageReport {
        let before = &self.before;
        StageReport {
            read_ms: before.read_ms + self.read.ms(),
            read_waited_ms: before.read_waited_ms + self.read_waited.ms(),
            handle_ms: before.handle_ms + self.handle.ms(),
            handle_waited_for_read_ms: before.handle_waited_for_read_ms + self.handle_waited_for_read.ms(),
            handle_waited_for_commit_ms: before.handle_waited_for_commit_ms + self.handle_waited_for_commit.ms(),
            commit_ms: before.commit_ms + self.commit.ms(),
            commits: before.commits + self.commits.load(Ordering::Relaxed),
            rows_committed: before.rows_committed + self.rows.load(Ordering::Relaxed),
            memory_bytes: self.memory.load(Ordering::Relaxed),
            memory_peak_bytes: before.memory_peak_bytes.max(self.memory_peak.load(Ordering::Relaxed)),
        }
    }
}
