//! The process that is, or becomes, a host for a command: it listens to other terminals meanwhile, and ends cleanly when it is asked to.

use super::{
    INTERRUPTED,
    args::Cli,
    session::Session,
    signals::{self, Asked, Ending},
};
use crate::{
    control::{Access, Client, ControlError, Host, Request, Server},
    private,
    vocabulary::act,
};
use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a host that was started in the background may take until it answers.
pub(super) const HOST_START: Duration = Duration::from_secs(10);

/// How often a host looks whether it was asked to end.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The process that has the data directory: a host that runs has the memory and the instances that it was started with.
pub(super) fn attached(cli: &Cli, wanted: Access) -> Result<Session, ControlError> {
    let session = Session::open(cli, wanted)?;
    match cli.of_host.first().filter(|_| session.is_remote()) {
        None => Ok(session),
        Some(option) => Err(ControlError::not_possible(format!(
            "the host that runs on {} was started with a --{option} of its own: end it, and start it with this one, or leave --{option} \
             out",
            cli.data.display()
        ))),
    }
}

/// The host that runs, or a new one in the background that ends once nothing runs any more.
pub(super) fn detached(cli: &Cli) -> Result<Session, ControlError> {
    let session = attached(cli, Access::Change)?;
    let Session::Local(host, _) = session else { return Ok(session) };
    let (log, socket) = (host.dir().host_log(), host.dir().socket());
    drop(host);
    let failed = |what: &str, e: std::io::Error| ControlError::failed(format!("{what}: {e}"));
    let log_file =
        private::options().create(true).append(true).open(&log).map_err(|e| failed(&log.display().to_string(), e))?;
    let program = std::env::current_exe().map_err(|e| failed("this program", e))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(&cli.data).args(cli.alert.iter().flat_map(|alert| ["--alert", alert]));
    command.args(cli.memory.iter().flat_map(|memory| ["--memory".to_owned(), memory.to_string()]));
    command.args(cli.config.iter().flat_map(|config| ["--config".into(), config.clone().into_os_string()]));
    command.args(cli.instances.iter().flat_map(|instances| ["--instances".to_owned(), instances.to_string()]));
    command.args(["serve", "--until-idle"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
    // A group of its own: Ctrl-C in this terminal does not reach it.
    command.process_group(0).spawn().map_err(|e| failed("a host in the background does not start", e))?;
    let until = Instant::now() + HOST_START;
    while Instant::now() < until {
        if Client::connect(&socket)?.is_some() {
            return Ok(Session::Remote(socket, cli.reason.clone()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(ControlError::failed(format!("the host in the background does not answer; see {}", log.display())))
}

/// A command that works on something for longer: other terminals may send requests to this process meanwhile, where it has the data
/// directory, and it ends cleanly when it is asked to.
pub(super) struct Hosting {
    pub(super) ending: Ending,
    /// The rebuilds that the command is about: Ctrl-C pauses them, whoever runs them. What else runs in this process goes
    /// on with the next host.
    own: Arc<Mutex<Vec<String>>>,
    _server: Option<Server>,
}

impl Hosting {
    /// Begins. `exit` and `ends_itself`: see [`signals::watch`].
    pub(super) fn begin(session: &Session, exit: u8, ends_itself: bool) -> Result<Hosting, ControlError> {
        let own = Arc::new(Mutex::new(Vec::new()));
        let (server, ending) = match session {
            Session::Local(host, caller) => {
                // Where nothing is written, others read by themselves.
                let server = if host.only_reads() { None } else { Some(listen(host)?) };
                let (host, own, act) = (host.clone(), own.clone(), caller.interrupts());
                let stop = move |asked| match asked {
                    Asked::Interrupt => act::on_behalf_of(Some(act.clone()), || host.shut_down(&names(&own))),
                    _ => host.shut_down(&[]),
                };
                (server, signals::watch(exit, ends_itself, stop))
            }
            Session::Remote(socket, reason) => {
                let (socket, reason, own) = (socket.clone(), reason.clone(), own.clone());
                let stop = move |asked| {
                    // A terminal that goes away says nothing about what its host runs.
                    let paused = if asked == Asked::Interrupt { names(&own) } else { Vec::new() };
                    for name in paused {
                        let session = Session::Remote(socket.clone(), reason.clone());
                        if let Err(e) = session.ask(Request::Pause { name }, &mut |_| true) {
                            tracing::warn!("not paused: {e}");
                        }
                    }
                };
                (None, signals::watch(exit, ends_itself, stop))
            }
            // What runs there is not this terminal's alone.
            #[cfg(feature = "http")]
            Session::Elsewhere(_) => {
                let own = own.clone();
                let stop = move |_| {
                    for name in names(&own) {
                        super::output::say_aside(&format!("{name} goes on there; unspool pause {name} pauses it"));
                    }
                };
                (None, signals::watch(exit, ends_itself, stop))
            }
        };
        let ending = ending.map_err(|e| ControlError::failed(format!("signals: {e}")))?;
        Ok(Hosting { ending, own, _server: server })
    }

    /// Notes that the command is about the rebuild of `name`.
    pub(super) fn owns(&self, name: &str) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }
}

fn names(own: &Mutex<Vec<String>>) -> Vec<String> {
    own.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// As [`Hosting::begin`], for a command that does one thing; nothing where a host does it.
pub(super) fn serve_meanwhile(session: &Session) -> Result<Option<Hosting>, ControlError> {
    if session.is_remote() { Ok(None) } else { Hosting::begin(session, INTERRUPTED, false).map(Some) }
}

fn listen(host: &Host) -> Result<Server, ControlError> {
    Server::start(host.clone()).map_err(|e| {
        ControlError::failed(format!("the control socket {} cannot be made: {e}", host.dir().socket().display()))
    })
}

/// Waits until no rebuild runs here that another terminal has started meanwhile, or until everything has stopped.
pub(super) fn wait_for_others(session: &Session, hosting: Option<&Hosting>) {
    let (Session::Local(host, _), Some(hosting)) = (session, hosting) else { return };
    let Some(supervisor) = host.started_supervisor() else { return };
    while !hosting.ending.is_asked() && !supervisor.wait_idle(None, POLL_INTERVAL) {}
    hosting.ending.wait_until_stopped();
}
