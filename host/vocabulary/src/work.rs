//! The progress of a long piece of work: reported by the code that does it, polled by the code that waits for it.
//!
//! A thread that is watched has a meter of its own; on any other thread what is reported is lost, at next to no cost. So what
//! works for long reports its progress, and need not know whether anybody listens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    io, panic,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// Stack of a thread that is watched: as large as that of the thread for which it works.
const STACK_BYTES: usize = 8 << 20;

/// One step of a long piece of work, and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// What is being done, such as `comparing rows`.
    pub what: String,
    /// What is counted, such as `rows`; empty where nothing is.
    pub unit: String,
    /// How many of them are done.
    pub done: u64,
    /// How many there are; absent where that is not known.
    pub total: Option<u64>,
}

type Meter = Arc<Mutex<Option<Work>>>;

thread_local! {
    static METER: RefCell<Option<Meter>> = const { RefCell::new(None) };
}

/// Does `work` on a thread of its own, and passes its progress to `look` every so often.
///
/// # Errors
/// When the system gives no thread; then nothing is done.
pub fn watched<T: Send>(every: Duration, work: impl FnOnce() -> T + Send, look: &mut dyn FnMut(Work)) -> io::Result<T> {
    let meter = Meter::default();
    thread::scope(|scope| {
        let (ending, ended) = mpsc::channel::<()>();
        let own = meter.clone();
        let worker =
            thread::Builder::new().name("work".into()).stack_size(STACK_BYTES).spawn_scoped(scope, move || {
                let _ending = ending;
                METER.set(Some(own));
                work()
            })?;
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            let now = meter.lock().unwrap_or_else(PoisonError::into_inner).clone();
            now.into_iter().for_each(&mut *look);
        }
        Ok(worker.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    })
}

/// Reports that a step begins, of which nothing is done yet.
pub fn begin(what: impl Into<String>, unit: &str, total: Option<u64>) {
    change(|step| *step = Some(Work { what: what.into(), unit: unit.to_owned(), done: 0, total }));
}

/// Reports that so many more are done.
pub fn advance(by: u64) {
    change(|step| step.iter_mut().for_each(|step| step.done += by));
}

/// Reports that so many are done by now.
pub fn reach(done: u64) {
    change(|step| step.iter_mut().for_each(|step| step.done = done));
}

fn change(change: impl FnOnce(&mut Option<Work>)) {
    METER.with_borrow(|meter| {
        if let Some(meter) = meter {
            change(&mut meter.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn who_waits_sees_how_far_it_is() {
        let (seen, goes_on) = sync_channel(0);
        let mut looks = Vec::new();
        let done = watched(
            Duration::from_millis(1),
            move || {
                begin("counting", "rows", Some(3));
                advance(1);
                goes_on.recv().unwrap();
                reach(3);
                begin("sorting", "rows", None);
                goes_on.recv().unwrap();
                17
            },
            &mut |work| {
                if looks.last() != Some(&work) {
                    looks.push(work);
                    seen.send(()).unwrap();
                }
            },
        );
        assert_eq!(done.unwrap(), 17);
        let work = |what: &str, done, total| Work { what: what.to_owned(), unit: "rows".to_owned(), done, total };
        assert!(
            looks.contains(&work("counting", 1, Some(3))) && looks.contains(&work("sorting", 0, None)),
            "{looks:?}"
        );
    }

    #[test]
    fn nobody_has_to_listen() {
        begin("counting", "rows", None);
        advance(1);
    }
}
