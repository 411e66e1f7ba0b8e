//! Tells the operator what became of a rebuild: that it failed, that it waits for something that is away, that this is over.
//!
//! The command runs on a thread of its own, one alert after the other: whatever becomes of it, rebuilds go on as they are.

use crate::{
    limits,
    vocabulary::{EventFailure, Position, Waiting},
};
use serde_json::{Value, json};
use std::{
    io::{self, Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

/// The target of the log lines that say that a rebuild has failed.
pub const FAILURES: &str = "failures";

/// How often it looks whether a command has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Where alerts go: to the log, and to the operator's command, where there is one.
pub(super) struct Alerts {
    queue: Option<SyncSender<Value>>,
    /// Alerts that the command has not had yet.
    pending: Arc<AtomicUsize>,
    /// Nobody waits for them any more.
    left: AtomicBool,
}

impl Alerts {
    /// Alerts for `command`, one line for `sh -c`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(command: Option<String>) -> io::Result<Alerts> {
        let pending = Arc::<AtomicUsize>::default();
        let left = AtomicBool::new(false);
        let Some(command) = command else { return Ok(Alerts { queue: None, pending, left }) };
        let (queue, alerts) = sync_channel::<Value>(limits::ALERTS);
        let handled = pending.clone();
        std::thread::Builder::new().name("alerts".into()).spawn(move || {
            for alert in alerts {
                tell(&command, &alert);
                handled.fetch_sub(1, Ordering::SeqCst);
            }
        })?;
        Ok(Alerts { queue: Some(queue), pending, left })
    }

    /// A rebuild has failed.
    pub(super) fn failed(&self, projection: &str, checkpoint_id: &str, position: Position, failure: &EventFailure) {
        tracing::error!(target: FAILURES, projection, "rebuild failed: {failure}");
        self.give(json!({
            "projectionName": projection,
            "checkpointId": checkpoint_id,
            "status": "failed",
            "position": position,
            "error": failure.to_string(),
            "failure": failure,
        }));
    }

    /// A rebuild waits for something that has been away for some time.
    pub(super) fn waits(&self, projection: &str, checkpoint_id: &str, position: Position, waiting: &Waiting) {
        tracing::error!(projection, tries = waiting.tries, "waits for {} s: {}", waiting.ms / 1000, waiting.error);
        self.give(json!({
            "projectionName": projection,
            "checkpointId": checkpoint_id,
            "status": "waiting",
            "position": position,
            "error": waiting.error,
            "waiting": waiting,
        }));
    }

    /// What a rebuild waited for is back, or it does not wait for it any more: `now` is its status.
    pub(super) fn resolved(&self, projection: &str, checkpoint_id: &str, position: Position, now: &str) {
        tracing::info!(projection, "waits no more: {now}");
        self.give(json!({
            "projectionName": projection,
            "checkpointId": checkpoint_id,
            "status": "resolved",
            "position": position,
            "rebuild": now,
        }));
    }

    /// Whether the command has had every alert, or nobody waits for that.
    pub(super) fn are_told(&self) -> bool {
        self.pending.load(Ordering::SeqCst) == 0 || self.left.load(Ordering::SeqCst)
    }

    /// The host ends: a command that works does so by itself from now on.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    fn give(&self, alert: Value) {
        let Some(queue) = &self.queue else { return };
        self.pending.fetch_add(1, Ordering::SeqCst);
        if queue.try_send(alert).is_err() {
            self.pending.fetch_sub(1, Ordering::SeqCst);
            tracing::error!("the alert command is too slow: an alert was dropped");
        }
    }
}

/// Gives `alert` to the standard input of `command`, and waits for its end, for [`limits::ALERT_TIME`] at most.
fn tell(command: &str, alert: &Value) {
    let projection = alert["projectionName"].as_str().unwrap_or_default();
    match run(command, projection, alert) {
        Ok(Some(status)) if status.success() => {}
        Ok(Some(status)) => tracing::error!(projection, "the alert command ended with {status}: {command}"),
        Ok(None) => {
            let seconds = limits::ALERT_TIME.as_secs();
            tracing::error!(projection, "the alert command was ended: it took more than {seconds} s: {command}");
        }
        Err(e) => tracing::error!(projection, "the alert command does not run: {e}: {command}"),
    }
}

/// How the command ended; `None` where it was made to.
fn run(command: &str, projection: &str, alert: &Value) -> io::Result<Option<ExitStatus>> {
    // From a file: a command that does not read keeps nobody waiting.
    let mut input = tempfile::tempfile()?;
    input.write_all(format!("{alert}\n").as_bytes())?;
    input.rewind()?;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("UNSPOOL_ALERT_STATUS", alert["status"].as_str().unwrap_or_default())
        .env("UNSPOOL_ALERT_PROJECTION", projection)
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()?;
    let until = Instant::now() + limits::ALERT_TIME;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    end(&mut child)?;
    Ok(None)
}

/// Ends the command with whatever it has started.
fn end(child: &mut Child) -> io::Result<()> {
    let group = rustix::process::Pid::from_child(child);
    // It may have ended in this moment.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    child.wait().map(drop)
}
