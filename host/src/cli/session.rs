//! Who carries requests out: the host that runs on the data directory, or this process.

use super::args::Cli;
#[cfg(feature = "http")]
use super::elsewhere::Elsewhere;
use crate::{
    control::{Access, Caller, Client, ControlError, ErrorKind, Host, HostOptions, Process, Request, Response, Sink},
    limits,
    plugin::THIS_PROGRAM,
    rebuild::AlertRoute,
    settings::{self, AlertSettings, Settings},
    store::DataDir,
};
use serde::Serialize;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long to wait for a host that is just starting or ending.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// A way to have requests carried out.
pub(super) enum Session {
    /// By the host that runs on the data directory, which is asked on this socket, for this reason.
    Remote(PathBuf, Option<String>),
    /// By this process, for this user.
    Local(Host, Caller),
    /// By a host elsewhere.
    #[cfg(feature = "http")]
    Elsewhere(std::sync::Arc<Elsewhere>),
}

impl Session {
    /// Finds the running host, or opens the data directory for what the command is to do with it.
    pub(super) fn open(cli: &Cli, wanted: Access) -> Result<Session, ControlError> {
        #[cfg(feature = "http")]
        if let Some(host) = &cli.host {
            let elsewhere = Elsewhere::named(host, cli.token_file.as_deref(), cli.reason.clone(), cli.yes)?;
            return Ok(Session::Elsewhere(std::sync::Arc::new(elsewhere)));
        }
        DataDir::refuse_foreign(&cli.data)?;
        let socket = cli.data.join("control.sock");
        let until = Instant::now() + LOCK_WAIT;
        loop {
            if Client::connect(&socket)?.is_some() {
                return Ok(Session::Remote(socket, cli.reason.clone()));
            }
            match Host::open_for(&cli.data, options(cli, wanted)?, wanted) {
                Ok(host) => return Ok(Session::Local(host, Caller::this_user().because(cli.reason.clone()))),
                // Between a host's first lock and its socket, or while another command has the store for a moment.
                Err(e) if e.kind == ErrorKind::InUse && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Err(e) if e.kind == ErrorKind::InUse => return Err(held(cli, e)),
                Err(e) => return Err(e),
            }
        }
    }

    /// The same for what only reads `source`, and what has to stay until it is over: a source of its own needs no data directory, and
    /// is read in a temporary one, unless a host elsewhere is to read it.
    pub(super) fn over(cli: &Cli, source: &str, wanted: Access) -> Result<(Session, Option<TempDir>), ControlError> {
        let own = source.starts_with("file:") || source.starts_with("postgres:");
        #[cfg(feature = "http")]
        let own = own && cli.host.is_none();
        if !own {
            return Ok((Session::open(cli, wanted)?, None));
        }
        let dir = tempfile::tempdir().map_err(|e| ControlError::failed(format!("no temporary directory: {e}")))?;
        let host = Host::open(dir.path(), options(cli, Access::Begin)?)?;
        Ok((Session::Local(host, Caller::this_user()), Some(dir)))
    }

    /// Whether a process other than this one carries requests out.
    pub(super) fn is_remote(&self) -> bool {
        !matches!(self, Session::Local(..))
    }

    /// Whether that process is reached over HTTP.
    pub(super) fn is_elsewhere(&self) -> bool {
        !matches!(self, Session::Local(..) | Session::Remote(..))
    }

    /// Has `request` carried out; rows go to `sink`.
    pub(super) fn ask(&self, request: Request, sink: &mut Sink<'_>) -> Result<Response, ControlError> {
        let (socket, reason) = match self {
            Session::Local(host, caller) => return host.execute(caller, request, sink),
            Session::Remote(socket, reason) => (socket, reason),
            #[cfg(feature = "http")]
            Session::Elsewhere(elsewhere) => return elsewhere.ask(request, sink),
        };
        if let Some(client) = Client::connect(socket)? {
            return client.because(reason.clone()).ask(&request, sink);
        }
        let ended = ControlError::new(ErrorKind::Host, "the host that ran on this data directory has ended; try again");
        // It has not received the request. What it ran has ended with it, too: from its beginning, the command goes on with that.
        Err(ControlError { again: true, ..ended })
    }
}

/// The host's answer does not fit the request.
pub(super) fn unknown_answer() -> ControlError {
    ControlError::failed("the host gave an unknown answer; it may be of another version: end it, and try again")
}

/// The data directory is in use by a process that does not answer on the socket: which, and why.
fn held(cli: &Cli, error: ControlError) -> ControlError {
    let Some(holder) = Process::holding(&cli.data.join("store.redb")) else { return error };
    let advice = if holder.is_stopped() { holder.advice() } else { "wait for its end, or end it".to_owned() };
    ControlError::new(error.kind, format!("{} is in use by {holder}; {advice}", cli.data.display()))
}

/// The file with the settings.
pub(super) fn settings_file(cli: &Cli) -> PathBuf {
    cli.config.clone().unwrap_or_else(|| cli.data.join(settings::FILE))
}

/// What a host in this process is given: what the command line and the environment say, then the settings.
///
/// # Errors
/// When the settings cannot be read.
pub(super) fn options(cli: &Cli, wanted: Access) -> Result<HostOptions, ControlError> {
    // Who only reads starts nothing that they are about.
    if wanted == Access::Read {
        return Ok(HostOptions { settings: cli.config.clone(), ..HostOptions::default() });
    }
    let file = settings_file(cli);
    let settings = Settings::read(&file).map_err(|e| ControlError::refused(e.to_string()))?;
    if cli.config.is_some() && !file.exists() {
        return Err(ControlError::refused(format!("{} does not exist", file.display())));
    }
    let alerts = alerts(cli, &settings, &file)?;
    let set = settings.host;
    let memory = cli.memory.or(set.memory);
    let memory_bytes = memory.and_then(|memory| usize::try_from(memory << 20).ok());
    let instances = cli.instances.or(set.instances);
    Ok(HostOptions {
        alerts: Some(alerts),
        memory_bytes: memory_bytes.unwrap_or(limits::GUEST_MEMORY_BYTES),
        instances: instances.map_or_else(limits::instances_of_one, usize::from),
        compiler: Some(PathBuf::from(THIS_PROGRAM)),
        settings: cli.config.clone(),
        ..HostOptions::default()
    })
}

/// Who is told of what goes wrong: those of the settings, and the command of the command line, the environment or the settings.
fn alerts(cli: &Cli, settings: &Settings, file: &Path) -> Result<Vec<AlertRoute>, ControlError> {
    let command = cli.alert.as_ref().or(settings.host.alert.as_ref()).cloned().map(AlertSettings::of_command);
    let folder = file.parent().unwrap_or(Path::new("."));
    let routes = settings.alert.iter().chain(&command).map(|alert| AlertRoute::of(alert, folder));
    let refused = |e: String| ControlError::refused(format!("{}: {e}", file.display()));
    routes.collect::<Result<_, _>>().map_err(refused)
}

/// What programs are shown of an answer that is made here.
pub(super) fn json(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_else(|e| {
        tracing::error!("an answer cannot be shown: {e}");
        Value::Null
    })
}
