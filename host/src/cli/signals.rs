//! What asks the process to end: Ctrl-C, SIGTERM, SIGHUP.
//!
//! The first of them has what runs stopped cleanly; a second Ctrl-C ends the process where it is: what is committed stays,
//! what is not will be handled again. Whatever the process waits for, it ends within [`limits::END`].

use crate::limits;
use std::{
    fs, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until, timeout_at},
};

/// How the process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// By Ctrl-C: an operator is there, and wants what this command runs to stop.
    Interrupt,
    /// By SIGTERM or SIGHUP: the process is to end, which says nothing about what runs in it.
    End,
}

/// What happens when the process is asked to end, and whether it was.
pub(super) struct Ending {
    asked: Arc<OnceLock<Asked>>,
    stopped: Arc<AtomicBool>,
}

impl Ending {
    /// How the process was asked to end; `None` while it was not.
    pub(super) fn asked(&self) -> Option<Asked> {
        self.asked.get().copied()
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Waits until everything has stopped, where the process was asked to end.
    pub(super) fn wait_until_stopped(&self) {
        while self.is_asked() && !self.stopped.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How long what this process does itself may take to notice that it is to end, once everything that it runs has stopped.
const GRACE: Duration = Duration::from_millis(500);

/// Has `stop` run on a thread of its own when the process is asked to end the first time. The process then has time until
/// [`limits::END`] to end by itself where it `ends_itself`, otherwise a moment; afterwards it ends with `exit`.
///
/// # Errors
/// When the system gives no thread or no signals.
pub(super) fn watch(exit: u8, ends_itself: bool, stop: impl FnOnce(Asked) + Send + 'static) -> io::Result<Ending> {
    let ending = Ending { asked: Arc::default(), stopped: Arc::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    let (asked, stopped) = (ending.asked.clone(), ending.stopped.clone());
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            let how = signals.next().await;
            let end = Instant::now() + limits::END;
            let (done, stops) = tokio::sync::oneshot::channel::<()>();
            let _first = asked.set(how);
            std::thread::spawn(move || {
                let _done = done;
                stop(how);
                stopped.store(true, Ordering::SeqCst);
            });
            let ends = async {
                drop(timeout_at(end, stops).await);
                let end = if ends_itself { end } else { end.min(Instant::now() + GRACE) };
                sleep_until(end).await;
            };
            // Both are cancellation-safe: a signal that is not taken stays pending.
            tokio::select! { () = ends => {}, () = signals.interrupt() => {} }
            std::process::exit(i32::from(exit));
        });
    })?;
    Ok(ending)
}

/// The signals that ask a process to end.
struct Signals {
    interrupts: Signal,
    terminations: Signal,
    /// Absent where they were ignored when the process began: `nohup` wants it to outlive its terminal.
    hangups: Option<Signal>,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupts: signal(SignalKind::interrupt())?,
            terminations: signal(SignalKind::terminate())?,
            hangups: if ignores_hangups() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) -> Asked {
        let Signals { interrupts, terminations, hangups } = self;
        let hangup = async {
            match hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupts.recv() => Asked::Interrupt,
            _ = terminations.recv() => Asked::End,
            _ = hangup => Asked::End,
        }
    }

    async fn interrupt(&mut self) {
        self.interrupts.recv().await;
    }
}

/// Whether this process ignores SIGHUP, which has number 1: the lowest bit of the mask.
fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
