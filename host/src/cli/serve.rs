//! `serve`: a host that waits for commands from other terminals.

use super::{
    args::{Cli, HttpArgs},
    declared,
    hosting::{HOST_START, Hosting, POLL_INTERVAL},
    output::Output,
    service,
    session::Session,
};
use crate::control::{Access, ControlError, Request, Response};
use std::time::{Duration, Instant};

/// What a host does beside waiting.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Means {
    /// First it makes everything as the settings declare it.
    pub(super) apply: bool,
    /// It ends once nothing runs any more.
    pub(super) until_idle: bool,
    /// It says where its dashboard is.
    pub(super) dashboard: bool,
}

/// Waits for commands from other terminals.
pub(super) fn serve(
    cli: &Cli,
    http: &HttpArgs,
    Means { apply, until_idle, dashboard }: Means,
    output: &Output,
) -> Result<u8, ControlError> {
    // A file that is wrong is refused before anything runs.
    let declared = if apply { Some(declared::declared(cli)?) } else { None };
    let session = Session::open(cli, Access::Begin)?;
    let Session::Local(host, _) = &session else {
        return Err(ControlError::not_possible(format!("a host is running on {} already", cli.data.display())));
    };
    let hosting = Hosting::begin(&session, 0, true)?;
    if let Some(declared) = &declared {
        declared::apply_to(&session, declared, output);
    }
    host.resume_interrupted()?;
    let supervisor = host.supervisor()?.clone();
    #[cfg(feature = "http")]
    let _http = super::http::listen(cli, http, host)?;
    #[cfg(not(feature = "http"))]
    refuse_http(http)?;
    if dashboard && let Response::SessionCode(code) = session.ask(Request::SessionCode, &mut |_| true)? {
        output.say(&format!("the dashboard, for the next minute (unspool ui opens it later): {}", code.url));
    }
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

#[cfg(not(feature = "http"))]
fn refuse_http(http: &HttpArgs) -> Result<(), ControlError> {
    match http.listen.or(http.listen_metrics) {
        None => Ok(()),
        Some(_) => Err(ControlError::refused("this unspool was built without the feature http")),
    }
}
