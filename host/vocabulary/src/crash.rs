//! Points at which a test can end the process as `kill -9` would: what is durable then is all that the next host finds.
//!
//! Compiled with the feature `crash-points` alone; without it a point is nothing.

/// Ends the process here, where the environment variable `UNSPOOL_CRASH_AT` is `name`, or `name:N` and this is the N-th
/// time. `any` counts every point that is reached.
#[cfg(feature = "crash-points")]
pub fn point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };
    static WANTED: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("UNSPOOL_CRASH_AT").ok()?;
        Some(match wanted.split_once(':') {
            Some((name, nth)) => (name.to_owned(), nth.parse().unwrap_or(1)),
            None => (wanted, 1),
        })
    });
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let Some((wanted, nth)) = WANTED.as_ref() else { return };
    if (wanted == name || wanted == "any") && REACHED.fetch_add(1, Ordering::SeqCst) + 1 == *nth {
        end();
    }
}

/// No destructor runs, nothing is flushed, no other thread gets any further.
#[cfg(feature = "crash-points")]
fn end() -> ! {
    match rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL) {
        // A process may always signal itself, and none comes back from this signal.
        Ok(()) | Err(_) => std::process::abort(),
    }
}

/// Does nothing.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &str) {}
