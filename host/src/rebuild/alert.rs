//! Tells the operator that a rebuild has failed.

use crate::vocabulary::{EventFailure, Position};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// The failure as the log and the alert command get it.
pub(super) fn describe(projection: &str, checkpoint_id: &str, position: Position, failure: &EventFailure) -> Value {
    json!({
        "projectionName": projection,
        "checkpointId": checkpoint_id,
        "status": "failed",
        "position": position,
        "error": failure.to_string(),
        "failure": failure,
    })
}

/// Logs the failure at error level, and gives it as JSON to the standard input of `command`, if there is one. The command
/// is one line for `sh -c`. Whatever becomes of it, the rebuild is as it is.
pub(super) fn raise(command: Option<&str>, projection: &str, report: &Value) {
    tracing::error!(projection, "rebuild failed: {}", report["error"].as_str().unwrap_or_default());
    let Some(command) = command else { return };
    let outcome = (|| {
        let mut child =
            Command::new("sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(format!("{report}\n").as_bytes())?;
        }
        child.wait()
    })();
    match outcome {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::error!(projection, "the alert command ended with {status}: {command}"),
        Err(e) => tracing::error!(projection, "the alert command does not run: {e}: {command}"),
    }
}
