//! Ctrl-C and its like: the first pauses cleanly, the second stops at once.

use super::INTERRUPTED;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::signal::unix::{SignalKind, signal};

/// Whether the process was asked to end.
#[derive(Clone, Default)]
pub(super) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs `on_first` on a thread of its own at the first SIGINT or SIGTERM. At the second the process ends where it is:
/// what is committed stays, what is not will be handled again.
pub(super) fn watch(on_first: impl FnOnce() + Send + 'static) -> std::io::Result<Interrupted> {
    let interrupted = Interrupted::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = interrupted.clone();
    let (mut interrupts, mut terminations) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            // Both are cancellation-safe: a signal that is not taken stays pending.
            tokio::select! { _ = interrupts.recv() => {}, _ = terminations.recv() => {} }
            seen.0.store(true, Ordering::SeqCst);
            std::thread::spawn(on_first);
            tokio::select! { _ = interrupts.recv() => {}, _ = terminations.recv() => {} }
            std::process::exit(i32::from(INTERRUPTED));
        });
    })?;
    Ok(interrupted)
}
