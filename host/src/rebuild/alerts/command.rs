//! Messages to a command of the operator's: JSON on its standard input. Nothing of a message is part of the line that the shell gets.

use super::message::Message;
use crate::limits;
use std::{
    io::{self, Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often it looks whether a command has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Gives a message to the standard input of `line`, a line for `sh -c`, and waits for its end, for [`limits::ALERT_TIME`] at most.
pub(super) fn run(line: &str, message: &Message) -> Result<(), String> {
    match ended(line, message) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("the command ended with {status}")),
        Ok(None) => Err(format!("the command was ended: it took more than {} s", limits::ALERT_TIME.as_secs())),
        Err(e) => Err(format!("the command does not run: {e}")),
    }
}

/// How the command ended; `None` where it was made to.
fn ended(line: &str, message: &Message) -> io::Result<Option<ExitStatus>> {
    // From a file: a command that does not read keeps nobody waiting.
    let mut input = tempfile::tempfile()?;
    input.write_all(format!("{}\n", message.data()).as_bytes())?;
    input.rewind()?;
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .env("UNSPOOL_ALERT_STATUS", message.status())
        .env("UNSPOOL_ALERT_KIND", message.kind())
        .env("UNSPOOL_ALERT_PROJECTION", message.projection())
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
