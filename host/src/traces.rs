//! Traces: a span for each commit of a rebuild, with what of its time was reading, handling and committing; and one for each event
//! that could not be handled, linked to the trace in which it was written. They are sent over OTLP where the feature `otlp` is built
//! in and `OTEL_EXPORTER_OTLP_ENDPOINT` names a receiver; otherwise nothing here costs anything.
//!
//! Names of attributes follow OpenTelemetry's conventions for messaging, which are still in development:
//! <https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>.

use crate::vocabulary::{EventFailure, Position};
use std::time::{Duration, Instant};

#[cfg(feature = "otlp")]
mod otlp;

/// The generation that a span is about.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only what is sent is read"))]
pub(crate) struct Of<'a> {
    pub(crate) projection: &'a str,
    pub(crate) generation: u64,
    pub(crate) source: &'a str,
}

/// When what a commit makes durable was read, and when its handling began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) read: (Instant, Instant),
    pub(crate) handled: Instant,
}

impl Times {
    /// Those of this and of what came before it.
    pub(crate) fn after(self, earlier: Option<Times>) -> Times {
        match earlier {
            None => self,
            Some(Times { read, handled }) => {
                Times { read: (read.0.min(self.read.0), read.1.max(self.read.1)), handled: handled.min(self.handled) }
            }
        }
    }
}

/// What has been committed together.
#[derive(Debug)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only what is sent is read"))]
pub(crate) struct Batch<'a> {
    pub(crate) of: Of<'a>,
    pub(crate) after: Position,
    pub(crate) through: Position,
    pub(crate) events: u64,
    pub(crate) rows: usize,
    pub(crate) times: Times,
    /// Processor time of the handling.
    pub(crate) work: Duration,
    /// When the commit began, and how long it took.
    pub(crate) commit: (Instant, Duration),
}

/// Begins to send spans, where this is asked for.
pub(crate) fn start() {
    #[cfg(feature = "otlp")]
    otlp::start();
    #[cfg(not(feature = "otlp"))]
    if is_asked_for() {
        tracing::warn!("no traces are sent: this binary is built without them (cargo build --release --features otlp)");
    }
}

/// Sends what waits, for a few seconds at most.
pub(crate) fn end() {
    #[cfg(feature = "otlp")]
    otlp::end();
}

/// Whether the environment names a receiver.
fn is_asked_for() -> bool {
    let named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    !off && (named("OTEL_EXPORTER_OTLP_ENDPOINT") || named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
}

/// A commit was made.
pub(crate) fn committed(batch: &Batch<'_>) {
    #[cfg(feature = "otlp")]
    otlp::committed(batch);
    #[cfg(not(feature = "otlp"))]
    let _ = batch;
}

/// An event could not be handled; `metadata` is what its writer noted beside it, as one MessagePack value.
pub(crate) fn failed(of: Of<'_>, began: Instant, failure: &EventFailure, metadata: &[u8]) {
    #[cfg(feature = "otlp")]
    otlp::failed(of, began, failure, metadata);
    #[cfg(not(feature = "otlp"))]
    let _ = (of, began, failure, metadata);
}
