//! A server that says nothing is told from one that works on something.
//!
//! The system acknowledges bytes on behalf of a process that is frozen, and a route that drops packets says nothing at all;
//! so neither the network nor a limit for statements tells that nobody will answer. Where an answer does not come, the server
//! is probed on another connection.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// How long an answer may take before the server is probed, and how long between two probes.
const TIMEOUT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(20);

/// How long it may take to answer a probe.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Probes the server on another connection, in the background; `true`: it said something.
pub(super) type Ask = Arc<dyn Fn() -> oneshot::Receiver<bool> + Send + Sync>;

/// Watches how long a connection has been waiting for its server.
pub(super) struct Silence {
    /// Absent where the connection itself is the probe.
    ask: Option<Ask>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    over: bool,
}

impl Silence {
    pub(super) fn new(ask: Option<Ask>) -> Silence {
        Silence { ask, waiting: None, over: false }
    }

    /// Something was written or read: the waiting starts over.
    pub(super) fn broken(&mut self) {
        self.waiting = None;
    }

    /// The connection has nothing to read. An error, now and for ever, once nobody is there to write it.
    pub(super) fn poll<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !self.over {
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(until_gone(self.ask.clone())));
            if waiting.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.over = true;
        }
        Poll::Ready(Err(gone()))
    }
}

/// The message about a server that does not answer.
pub(super) fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the server does not answer, nor on another connection: it is stopped, frozen or cut off",
    )
}

async fn until_gone(ask: Option<Ask>) {
    let mut wait = TIMEOUT;
    loop {
        sleep(wait).await;
        let Some(ask) = &ask else { return };
        if !matches!(timeout(ANSWERS_WITHIN, ask()).await, Ok(Ok(true))) {
            return;
        }
        wait = AGAIN;
    }
}
