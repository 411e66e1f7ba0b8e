//! `serve`: a host that waits for commands from other terminals.

use super::{
    args::Cli,
    declared,
    hosting::{HOST_START, Hosting, POLL_INTERVAL},
    output::Output,
    service,
    session::Session,
};
use crate::control::{Access, ControlError};
use std::time::{Duration, Instant};

/// Waits for commands from other terminals.
pub(super) fn serve(cli: &Cli, apply: bool, until_idle: bool, output: &Output) -> Result<u8, ControlError> {
    // A file that is wrong is refused before anything runs.
    let declared = if apply { Some(declared::declared(cli)?) } else { None };
    let session = Session::open(cli, Access::Begin)?;
    let Session::Local(host) = &session else {
        return Err(ControlError::not_possible(format!("a host is running on {} already", cli.data.display())));
    };
    let hosting = Hosting::begin(&session, 0, true)?;
    if let Some(declared) = &declared {
        declared::apply_to(&session, declared, output);
    }
    host.resume_interrupted()?;
    let supervisor = host.supervisor()?.clone();
    tracing::info!("serving {}", cli.data.display());
    let (started, mut heartbeat) = (Instant::now(), service::ready());
    while !hosting.ending.is_asked() {
        std::thread::sleep(POLL_INTERVAL);
        // Whoever holds up everything else holds up this, too.
        supervisor.wait_idle(None, Duration::ZERO);
        heartbeat.beat();
        if until_idle && started.elapsed() > HOST_START && supervisor.wait_idle(None, Duration::ZERO) {
            return Ok(0);
        }
    }
    service::stopping();
    hosting.ending.wait_until_stopped();
    Ok(0)
}
