//! What is said of an alert, in each of the formats.

use crate::{
    store::{Alert, Phase},
    vocabulary::{AlertKind, now_ms},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an Alertmanager shows what is over as soon as it has happened.
const SHOWN: Duration = Duration::from_secs(5 * 60);

/// A message about an alert, or one that says that it is a test.
pub(super) struct Message {
    about: Option<Alert>,
    phase: Phase,
    /// When it is sent, in milliseconds since 1970.
    at: i64,
}

impl Message {
    pub(super) fn of(alert: &Alert, phase: Phase) -> Message {
        Message { about: Some(alert.clone()), phase, at: now_ms() }
    }

    pub(super) fn test() -> Message {
        Message { about: None, phase: Phase::Firing, at: now_ms() }
    }

    /// The same whenever it is delivered, and of no other message: what has come twice is known by it.
    #[cfg(feature = "http")]
    pub(super) fn id(&self) -> String {
        match &self.about {
            Some(alert) => format!("alert-{}-{}-{}", alert.number, alert.since, self.event()),
            None => format!("alert-test-{}", self.at),
        }
    }

    /// When it is sent, in seconds since 1970.
    #[cfg(feature = "http")]
    pub(super) fn seconds(&self) -> i64 {
        self.at.div_euclid(1_000)
    }

    /// The condition.
    pub(super) fn kind(&self) -> &'static str {
        self.about.as_ref().map_or("test", |alert| alert.kind.name())
    }

    /// The condition, or that it is over.
    pub(super) fn status(&self) -> &'static str {
        if self.phase == Phase::Resolved { "resolved" } else { self.kind() }
    }

    /// The projection; empty where it is about none.
    pub(super) fn projection(&self) -> &str {
        self.about.as_ref().map_or("", |alert| &alert.projection)
    }

    /// What it says.
    pub(super) fn data(&self) -> Value {
        let mut data = json!({ "status": self.status(), "kind": self.kind(), "message": self.text() });
        let Some(alert) = &self.about else { return data };
        let (name, cause) = (&alert.projection, &alert.cause);
        data["projectionName"] = json!(name);
        if let Some(generation) = cause.generation {
            data["checkpointId"] = json!(format!("{name}/{generation}"));
        }
        data["position"] = json!(cause.position);
        data["fingerprint"] = json!(alert.fingerprint());
        data["since"] = json!(alert.since);
        if let Some(ended) = alert.ended {
            data["ended"] = json!(ended);
        }
        if matches!(alert.kind, AlertKind::Failed | AlertKind::Stalled) {
            data["error"] = json!(cause.message);
        }
        if let Some(failure) = &cause.failure {
            data["failure"] = json!(failure);
        }
        if let Some(waiting) = &cause.waiting {
            data["waiting"] = json!(waiting);
        }
        data["next"] = json!(self.next());
        data
    }

    /// As Standard Webhooks 1.0 recommends it: what has happened, when, and what is to be said of it.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub(super) fn unspool(&self) -> Value {
        json!({ "type": format!("alert.{}", self.event()), "timestamp": time(self.at), "data": self.data() })
    }

    /// As `POST /api/v2/alerts` of an Alertmanager takes it. What lasts is over there where it is not told again four times.
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    pub(super) fn alertmanager(&self, repeat: Duration) -> Value {
        let kind = self.about.as_ref().map(|alert| alert.kind);
        let (alertname, severity) = match kind {
            None => ("UnspoolTest", "info"),
            Some(AlertKind::Failed) => ("UnspoolFailed", "critical"),
            Some(AlertKind::Stalled) => ("UnspoolStalled", "warning"),
            Some(AlertKind::Behind) => ("UnspoolBehind", "warning"),
            Some(AlertKind::Parked) => ("UnspoolParked", "warning"),
            Some(AlertKind::VerifyDiffers) => ("UnspoolVerifyDiffers", "critical"),
            Some(AlertKind::Completed) => ("UnspoolCompleted", "info"),
        };
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let since = self.about.as_ref().map_or(self.at, |alert| alert.since);
        let ended = self.about.as_ref().and_then(|alert| alert.ended);
        let until = match (kind, self.phase, ended) {
            (None, _, _) => self.at.saturating_add(ms(repeat)),
            (Some(kind), _, _) if kind.is_momentary() => since.saturating_add(ms(SHOWN)),
            (_, Phase::Resolved, Some(ended)) => ended,
            _ => self.at.saturating_add(ms(repeat * 4)),
        };
        let mut labels = json!({
            "alertname": alertname, "severity": severity, "instance": rustix::system::uname().nodename().to_string_lossy(),
        });
        if self.about.is_some() {
            labels["projection"] = json!(self.projection());
        }
        json!([{
            "labels": labels,
            "annotations": { "summary": format!("{}: {}", self.projection(), self.kind()), "description": self.text(), "next": self.next() },
            "startsAt": time(since),
            "endsAt": time(until),
        }])
    }

    fn event(&self) -> &'static str {
        match (&self.about, self.phase) {
            (None, _) => "test",
            (_, Phase::Firing) => "firing",
            (_, Phase::Resolved) => "resolved",
        }
    }

    fn text(&self) -> &str {
        match &self.about {
            Some(alert) => &alert.cause.message,
            None => "this is a test: nothing is wrong",
        }
    }

    /// What helps, or says more.
    fn next(&self) -> String {
        let Some(alert) = &self.about else { return String::new() };
        let name = &alert.projection;
        match alert.kind {
            AlertKind::Failed | AlertKind::Stalled | AlertKind::Behind => format!("unspool status {name}"),
            AlertKind::Parked => format!("unspool dead-letters list {name}"),
            AlertKind::VerifyDiffers => format!("unspool model verify {name} --repair"),
            AlertKind::Completed => format!("unspool model receipt {name}"),
        }
    }
}

/// RFC 3339.
fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
