//! `rebuild`, `resume` and `serve`: the commands during which this process is, or becomes, a host.

use super::{
    FAILED, INTERRUPTED, NOT_POSSIBLE,
    args::{Cli, RebuildArgs, ResumeArgs},
    declared,
    output::Output,
    progress::{Rebuilds, Steps},
    service,
    session::{Session, json, unknown_answer},
    signals,
};
use crate::{
    control::{Access, Client, ControlError, Host, Request, Response, Row, Server},
    private,
    rebuild::{Accept, CancelAnswer, Trigger, TriggerAnswer},
    vocabulary::{Progress, Status},
};
use signals::{Asked, Ending};
use std::{
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a host that was started in the background may take until it answers.
const HOST_START: Duration = Duration::from_secs(10);

/// How often a host looks whether it was asked to end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Starts or resumes rebuilds, and shows their progress until they end.
pub(super) fn rebuild(cli: &Cli, args: &RebuildArgs, output: &Output) -> Result<u8, ControlError> {
    let session = match (args.dry_run, args.detach) {
        (true, _) => attached(cli, Access::Examine)?,
        (false, true) => detached(cli)?,
        (false, false) => attached(cli, Access::Change)?,
    };
    if let Some(stream) = &args.stream {
        return streams(&session, &args.names, stream, output);
    }
    let names = if args.all { installed(&session)? } else { args.names.clone() };
    let source = super::paths::source(args.source.as_deref(), &args.reading)?;
    let trigger = |name: &String| Trigger {
        name: name.clone(),
        source: source.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        restart: args.restart,
        accept: Accept::default(),
        options: args.options(),
        into: args.into.clone(),
    };
    let triggers: Vec<_> = names.iter().map(trigger).collect();
    if args.dry_run {
        for trigger in triggers {
            output.answer(&ask(&session, Request::Plan(trigger), output)?.json());
        }
        return Ok(0);
    }
    let requests = triggers.into_iter().map(Request::Rebuild).collect();
    start_and_watch(&session, requests, args.detach, output)
}

/// Lets rebuilds go on, and shows their progress until they end.
pub(super) fn resume(cli: &Cli, args: &ResumeArgs, output: &Output) -> Result<u8, ControlError> {
    let session = if args.detach { detached(cli)? } else { attached(cli, Access::Change)? };
    let names = if args.all { unfinished(&session)? } else { args.names.clone() };
    let accept =
        Accept { history: args.accept_history, changed: args.accept_changed.clone(), missing: args.accept_missing };
    let requests = names.into_iter().map(|name| Request::Resume { name, accept: accept.clone() }).collect();
    start_and_watch(&session, requests, args.detach, output)
}

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

/// Every installed projection, for `--all`.
fn installed(session: &Session) -> Result<Vec<String>, ControlError> {
    let mut names = Vec::new();
    session.ask(Request::PluginList, &mut |row| {
        if let Row::Projection(projection) = row {
            names.push(projection.projection_name);
        }
        true
    })?;
    if names.is_empty() {
        return Err(ControlError::not_possible("no projection is installed: unspool plugin install FILE"));
    }
    Ok(names)
}

/// Every projection with a rebuild that can go on, for `resume --all`.
fn unfinished(session: &Session) -> Result<Vec<String>, ControlError> {
    let mut names = Vec::new();
    session.ask(Request::List { all: false }, &mut |row| {
        if let Row::Rebuild(progress) = row
            && matches!(progress.status, Status::Paused | Status::Failed)
        {
            names.push(progress.projection_name);
        }
        true
    })?;
    if names.is_empty() {
        return Err(ControlError::not_possible("there is nothing to resume: no rebuild is paused or failed"));
    }
    Ok(names)
}

/// Sends the request, and shows meanwhile how far it is: a file is indexed before it is a source.
fn ask(session: &Session, request: Request, output: &Output) -> Result<Response, ControlError> {
    let mut steps = Steps::new(output.is_json());
    session.ask(request, &mut |row| {
        steps.row(&row);
        true
    })
}

/// Rebuilds one stream of each projection.
fn streams(session: &Session, names: &[String], stream: &str, output: &Output) -> Result<u8, ControlError> {
    let hosting = serve_meanwhile(session)?;
    for name in names {
        let request = Request::RebuildStream { name: name.clone(), stream: stream.to_owned() };
        output.answer(&ask(session, request, output)?.json());
    }
    wait_for_others(session, hosting.as_ref());
    Ok(0)
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
            Session::Local(host) => {
                // Where nothing is written, others read by themselves.
                let server = if host.only_reads() { None } else { Some(listen(host)?) };
                let (host, own) = (host.clone(), own.clone());
                let stop =
                    move |asked| host.shut_down(&if asked == Asked::Interrupt { names(&own) } else { Vec::new() });
                (server, signals::watch(exit, ends_itself, stop))
            }
            Session::Remote(socket) => {
                let (socket, own) = (socket.clone(), own.clone());
                let stop = move |asked| {
                    // A terminal that goes away says nothing about what its host runs.
                    let paused = if asked == Asked::Interrupt { names(&own) } else { Vec::new() };
                    for name in paused {
                        let session = Session::Remote(socket.clone());
                        if let Err(e) = session.ask(Request::Pause { name }, &mut |_| true) {
                            tracing::warn!("not paused: {e}");
                        }
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

/// Triggers, and shows progress until what was triggered ends. While it works on rebuilds of its own, a local session is
/// a host for other terminals.
pub(super) fn start_and_watch(
    session: &Session,
    requests: Vec<Request>,
    detach: bool,
    output: &Output,
) -> Result<u8, ControlError> {
    let hosting = Hosting::begin(session, INTERRUPTED, true)?;
    let mut triggered = Vec::new();
    let mut refused = None;
    for request in requests {
        if let Request::Rebuild(Trigger { name, .. }) | Request::Resume { name, .. } = &request
            && !detach
        {
            hosting.owns(name);
        }
        match ask(session, request, output) {
            Ok(Response::Triggered(answer)) => triggered.push(answer),
            Ok(_) => refused = Some(unknown_answer()),
            // What was triggered before goes on; the refusal decides the exit code.
            Err(e) => refused = Some(e),
        }
    }
    if detach || !output.is_json() {
        for answer in &triggered {
            output.row(&json(answer));
        }
    }
    let exit = if detach || triggered.is_empty() { 0 } else { watch(session, &hosting, &triggered, output)? };
    match refused {
        Some(e) if exit == 0 => Err(e),
        Some(e) => {
            output.error(&e);
            Ok(exit)
        }
        None => Ok(exit),
    }
}

/// Shows progress until the rebuilds that answered `triggered` end, and then until no other terminal's rebuild runs here
/// either. The answer for each is how it ended, with `trigger`: how it began.
pub(super) fn watch(
    session: &Session,
    hosting: &Hosting,
    triggered: &[TriggerAnswer],
    output: &Output,
) -> Result<u8, ControlError> {
    let ending = &hosting.ending;
    let names = triggered.iter().map(|answer| answer.projection_name().to_owned()).collect();
    let mut bars = Rebuilds::new(output.is_json());
    // Where a host runs them, they go on without this terminal.
    let leaves = || session.is_remote() && ending.asked() == Some(Asked::End);
    let ended = session.ask(Request::Watch { names }, &mut |row| {
        if let Row::Rebuild(progress) = row {
            bars.show(&progress);
        }
        !leaves()
    })?;
    if leaves() {
        return Ok(INTERRUPTED);
    }
    let Response::Ended(ended) = ended else { return Err(unknown_answer()) };
    drop(bars);
    for (progress, trigger) in ended.iter().zip(triggered) {
        if output.is_json() {
            let mut answer = json(progress);
            answer["trigger"] = json(trigger);
            output.answer(&answer);
        } else {
            say_ended(progress, output);
        }
    }
    wait_for_others(session, Some(hosting));
    Ok(exit_code(&ended, ending.is_asked()))
}

/// Waits until no rebuild runs here that another terminal has started meanwhile, or until everything has stopped.
pub(super) fn wait_for_others(session: &Session, hosting: Option<&Hosting>) {
    let (Session::Local(host), Some(hosting)) = (session, hosting) else { return };
    let Some(supervisor) = host.started_supervisor() else { return };
    while !hosting.ending.is_asked() && !supervisor.wait_idle(None, POLL_INTERVAL) {}
    hosting.ending.wait_until_stopped();
}

/// Says how a rebuild ended, and what to do next where something is left to do.
fn say_ended(progress: &Progress, output: &Output) {
    let (name, values) = (&progress.projection_name, output.values());
    let events = values.events(progress.events_processed, progress.total_events);
    let rate = values.rate(progress.events_per_second, "events");
    output.say_status(&format!("{name}: "), &progress.status.to_string(), &format!(", {events}, {rate}"));
    let events = progress.total_events.unwrap_or(progress.events_processed + progress.parked);
    if progress.status == Status::Completed && events == 0 {
        output.say(&format!("  the source has no event of the types that {name} handles"));
    }
    progress.error.iter().for_each(|error| output.say(&format!("  {error}")));
    if progress.parked > 0 {
        output.say(&format!("  parked: {}", values.count(progress.parked)));
    }
    // An operator who gives a rebuild up knows.
    let next = progress.next.as_ref().filter(|_| progress.status != Status::Cancelled);
    next.into_iter().for_each(|next| output.say(&format!("  {next}")));
}

/// Gives a rebuild up; exit code 3 where there is none to give up.
pub(super) fn cancel(session: &Session, name: &str, output: &Output) -> Result<u8, ControlError> {
    let answer = session.ask(Request::Cancel { name: name.to_owned() }, &mut |_| true)?;
    output.answer(&answer.json());
    Ok(match answer {
        Response::Cancelled(CancelAnswer::Cancelled { .. }) => 0,
        _ => NOT_POSSIBLE,
    })
}

/// 0 only when every rebuild is complete, and lacks no event that it may not lack.
fn exit_code(ended: &[Progress], interrupted: bool) -> u8 {
    let over = |progress: &Progress| progress.status == Status::Completed;
    let lacks = |progress: &Progress| over(progress) && progress.parked > 0 && !progress.allow_parked;
    if ended.iter().any(|progress| matches!(progress.status, Status::Failed | Status::Cancelled) || lacks(progress)) {
        FAILED
    } else if interrupted || ended.iter().any(|progress| progress.status != Status::Completed) {
        INTERRUPTED
    } else {
        0
    }
}

fn listen(host: &Host) -> Result<Server, ControlError> {
    Server::start(host.clone()).map_err(|e| {
        ControlError::failed(format!("the control socket {} cannot be made: {e}", host.dir().socket().display()))
    })
}

/// The host that runs, or a new one in the background that ends once nothing runs any more.
pub(super) fn detached(cli: &Cli) -> Result<Session, ControlError> {
    let session = attached(cli, Access::Change)?;
    let Session::Local(host) = session else { return Ok(session) };
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
            return Ok(Session::Remote(socket));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(ControlError::failed(format!("the host in the background does not answer; see {}", log.display())))
}
