//! The priority of threads. It can only be lowered without privileges, which is why each attempt has threads of its own.

use crate::{limits, store::Priority};

/// Lets everything else on the machine go first, where the rebuild asks for it.
pub(super) fn yield_if_low(priority: Priority) {
    if priority == Priority::Low {
        lower(limits::LOW_NICE);
    }
}

/// Gives this thread a nice value, unless the host was started with a greater one.
pub(super) fn lower(nice: i32) {
    let this = Some(rustix::thread::gettid());
    let lowered = rustix::process::getpriority_process(this)
        .and_then(|own| rustix::process::setpriority_process(this, own.max(nice)));
    if let Err(e) = lowered {
        tracing::debug!("the priority of a thread cannot be lowered: {e}");
    }
}
