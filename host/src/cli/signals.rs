//! Ctrl-C and its like: the first pauses cleanly, the second stops at once.

use super::INTERRUPTED;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::signal::unix::{SignalKind, signal};

type OnFirst = Box<dyn FnOnce() + Send>;

/// Whether the process was asked to end. Once this is dropped, the first signal does nothing more than say so: what it
/// would have stopped may be gone, and its files closed.
pub(super) struct Interrupted {
    set: Arc<AtomicBool>,
    on_first: Arc<Mutex<Option<OnFirst>>>,
}

impl Interrupted {
    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        drop(self.on_first.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Runs `on_first` on a thread of its own at the first SIGINT or SIGTERM. At the second the process ends where it is:
/// what is committed stays, what is not will be handled again.
pub(super) fn watch(on_first: impl FnOnce() + Send + 'static) -> std::io::Result<Interrupted> {
    let interrupted = Interrupted { set: Arc::default(), on_first: Arc::new(Mutex::new(Some(Box::new(on_first)))) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (set, on_first) = (interrupted.set.clone(), interrupted.on_first.clone());
    let (mut interrupts, mut terminations) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async move {
            // Both are cancellation-safe: a signal that is not taken stays pending.
            tokio::select! { _ = interrupts.recv() => {}, _ = terminations.recv() => {} }
            set.store(true, Ordering::SeqCst);
            if let Some(on_first) = on_first.lock().unwrap_or_else(PoisonError::into_inner).take() {
                std::thread::spawn(on_first);
            }
            tokio::select! { _ = interrupts.recv() => {}, _ = terminations.recv() => {} }
            std::process::exit(i32::from(INTERRUPTED));
        });
    })?;
    Ok(interrupted)
}
