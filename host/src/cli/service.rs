//! What a supervisor of services is told of a host (systemd and those that speak as it does): that it is ready, alive, and ending.
//! Without such a supervisor nobody is told anything.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// Signs of life, as often as the supervisor wants them.
pub(super) struct Heartbeat {
    every: Option<Duration>,
    last: Instant,
}

/// The host answers commands.
pub(super) fn ready() -> Heartbeat {
    tell(NotifyState::Ready);
    // Twice as often as it must be heard of.
    Heartbeat { every: sd_notify::watchdog_enabled().map(|within| within / 2), last: Instant::now() }
}

/// The host ends.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

impl Heartbeat {
    /// Says that the host is alive, where it is time to: called by a thread that goes on only while it is.
    pub(super) fn beat(&mut self) {
        if self.every.is_some_and(|every| self.last.elapsed() >= every) {
            self.last = Instant::now();
            tell(NotifyState::Watchdog);
        }
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(e) = sd_notify::notify(&[state]) {
        tracing::warn!("the supervisor of this service is not told: {e}");
    }
}
