//! What a call may use, and how it ends when it uses more.

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use unspool_vocabulary::limits;
use unspool_vocabulary::{EventFailure, FailureKind};
use wasmtime::{ResourceLimiter, Result, StoreContextMut, UpdateDeadline};

/// Why the host ended a call that the guest would have gone on with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the call was stopped")]
    Stopped,
    #[error("the handler used up its {} ms of processor time; it loops, or its chunk is too large", .0.as_millis())]
    Deadline(Duration),
    #[error("the handler asked for {} of memory in all; it may have {}; --memory MIB allows more", mebibytes(*.wanted), mebibytes(*.limit))]
    Memory { wanted: usize, limit: usize },
    #[error("{0}")]
    Failed(EventFailure),
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The epoch callback of a call that starts now, on this thread: ends it when `stop` is raised or `cpu_time` is used up.
pub(super) fn watch<T>(
    stop: Arc<AtomicBool>,
    cpu_time: Duration,
) -> impl FnMut(StoreContextMut<'_, T>) -> Result<UpdateDeadline> + Send + Sync + 'static {
    let start = thread_cpu_time();
    move |_| {
        if stop.load(Ordering::Relaxed) {
            return Err(Ended::Stopped.into());
        }
        if thread_cpu_time().saturating_sub(start) > cpu_time {
            return Err(Ended::Deadline(cpu_time).into());
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

/// Processor time that the calling thread has used so far.
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Counts the memories and tables of one store together. A growth that is refused traps, with both sizes: a guest that only
/// gets a "no" aborts silently.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    used: usize,
    limit: usize,
}

/// The engine keeps one pointer per table element.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

impl MemoryGuard {
    pub(super) fn new(limit: usize) -> MemoryGuard {
        MemoryGuard { used: 0, limit }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    fn grow(&mut self, current: usize, desired: usize) -> Result<bool> {
        let wanted = self.used.saturating_sub(current).saturating_add(desired);
        if wanted > self.limit {
            return Err(Ended::Memory { wanted, limit: self.limit }.into());
        }
        self.used = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryGuard {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.grow(current, desired)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        Err(grow_failed(&error))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.grow(current.saturating_mul(TABLE_ELEMENT_BYTES), desired.saturating_mul(TABLE_ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        Err(grow_failed(&error))
    }
}

/// A growth that the guard allowed and the memory's own maximum, or the machine, did not.
fn grow_failed(error: &wasmtime::Error) -> wasmtime::Error {
    let message = format!("the handler's memory cannot grow: {}", error.root_cause());
    Ended::Failed(EventFailure::permanent(FailureKind::Memory, message)).into()
}

/// Words of a guest as they may be shown: cut to [`limits::MESSAGE_BYTES`], and without the control characters by which
/// they could take over a terminal.
pub(super) fn clip(text: &str) -> String {
    let shown = &text[..text.floor_char_boundary(limits::MESSAGE_BYTES)];
    let mut clean: String = shown
        .chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.len() < text.len() {
        clean.push('…');
    }
    clean
}
