//! `rebuild`, `resume` and `serve`: the commands during which this process is, or becomes, a host.

use super::{
    FAILED, INTERRUPTED, NOT_POSSIBLE,
    args::{Cli, RebuildArgs},
    output::Output,
    progress::Rebuilds,
    session::Session,
    signals,
};
use crate::{
    control::{Client, ControlError, Host, Request, Server},
    rebuild::Trigger,
    vocabulary::{Progress, Status},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How long a host that was started in the background may take until it answers.
const HOST_START: Duration = Duration::from_secs(10);

/// How often a host looks whether it was asked to end.
const GLANCE: Duration = Duration::from_millis(100);

/// Starts or resumes rebuilds, and shows their progress until they end.
pub(super) fn rebuild(cli: &Cli, args: &RebuildArgs, output: &Output) -> Result<u8, ControlError> {
    let session = if args.detach && !args.dry_run { detached(cli)? } else { Session::open(cli)? };
    if let Some(stream) = &args.stream {
        return streams(&session, &args.names, stream, output);
    }
    let names = if args.all { installed(&session)? } else { args.names.clone() };
    let source = args.source.as_deref().map(super::absolute_source).transpose()?;
    let trigger = |name: &String| Trigger {
        name: name.clone(),
        source: source.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        restart: args.restart,
        chunk_size: args.chunk_size,
        priority: args.priority,
        rate_limit: args.rate_limit,
        no_promote: args.no_promote,
        on_error: args.on_error,
        allow_parked: args.allow_parked,
        follow: args.follow,
        into: args.into.clone(),
    };
    let triggers: Vec<_> = names.iter().map(trigger).collect();
    if args.dry_run {
        for trigger in triggers {
            output.answer(&session.ask(Request::Plan(trigger), &mut |_| true)?);
        }
        return Ok(0);
    }
    let requests = triggers.into_iter().map(Request::Rebuild).collect();
    start_and_watch(&session, requests, args.detach, output)
}

/// Lets one rebuild go on, and shows its progress until it ends.
pub(super) fn resume(cli: &Cli, name: &str, detach: bool, output: &Output) -> Result<u8, ControlError> {
    let session = if detach { detached(cli)? } else { Session::open(cli)? };
    start_and_watch(&session, vec![Request::Resume { name: name.to_owned() }], detach, output)
}

/// Waits for commands from other terminals.
pub(super) fn serve(cli: &Cli, until_idle: bool) -> Result<u8, ControlError> {
    let Session::Local(host) = Session::open(cli)? else {
        return Err(ControlError::not_possible(format!("a host is running on {} already", cli.data.display())));
    };
    let _server = listen(&host)?;
    host.resume_interrupted()?;
    let supervisor = host.supervisor()?.clone();
    let interrupted = signals::watch(|| ()).map_err(|e| ControlError::failed(format!("signals: {e}")))?;
    tracing::info!("serving {}", cli.data.display());
    let started = Instant::now();
    loop {
        if interrupted.is_set() {
            supervisor.shut_down();
            return Ok(INTERRUPTED);
        }
        std::thread::sleep(GLANCE);
        let idle = until_idle && started.elapsed() > HOST_START && supervisor.wait_idle(None, Duration::ZERO);
        if idle {
            return Ok(0);
        }
    }
}

/// Every installed projection, for `--all`.
fn installed(session: &Session) -> Result<Vec<String>, ControlError> {
    let mut names = Vec::new();
    session.ask(Request::PluginList, &mut |row| {
        names.extend(row["projectionName"].as_str().map(str::to_owned));
        true
    })?;
    if names.is_empty() {
        return Err(ControlError::not_possible("no projection is installed: unspool plugin install FILE"));
    }
    Ok(names)
}

/// Rebuilds one stream of each projection.
fn streams(session: &Session, names: &[String], stream: &str, output: &Output) -> Result<u8, ControlError> {
    let _server = serve_meanwhile(session)?;
    for name in names {
        let request = Request::RebuildStream { name: name.clone(), stream: stream.to_owned() };
        output.answer(&session.ask(request, &mut |_| true)?);
    }
    wait_for_others(session)?;
    Ok(0)
}

/// Lets other terminals ask this process while it works, where it is not itself asking a host.
pub(super) fn serve_meanwhile(session: &Session) -> Result<Option<Server>, ControlError> {
    match session {
        Session::Local(host) => listen(host).map(Some),
        Session::Remote(_) => Ok(None),
    }
}

/// Triggers, and shows progress until what was triggered ends. While it works on rebuilds of its own, a local session is
/// a host for other terminals.
pub(super) fn start_and_watch(
    session: &Session,
    requests: Vec<Request>,
    detach: bool,
    output: &Output,
) -> Result<u8, ControlError> {
    let _server = serve_meanwhile(session)?;
    let mut triggered = Vec::new();
    let mut refused = None;
    for request in requests {
        match session.ask(request, &mut |_| true) {
            Ok(answer) => triggered.push(answer),
            // What was triggered before goes on; the refusal decides the exit code.
            Err(e) => refused = Some(e),
        }
    }
    if detach || !output.is_json() {
        for answer in &triggered {
            output.row(answer);
        }
    }
    let exit = if detach || triggered.is_empty() { 0 } else { watch(session, &triggered, output)? };
    match refused {
        Some(e) if exit == 0 => Err(e),
        Some(e) => {
            output.error(&e.message);
            Ok(exit)
        }
        None => Ok(exit),
    }
}

/// Shows progress until the rebuilds that answered `triggered` end, and then until no other terminal's rebuild runs here
/// either. The answer for each is how it ended, with `trigger`: how it began.
pub(super) fn watch(session: &Session, triggered: &[Value], output: &Output) -> Result<u8, ControlError> {
    let names: Vec<_> =
        triggered.iter().filter_map(|answer| answer["projectionName"].as_str().map(str::to_owned)).collect();
    let interrupted = pause_on_signal(session, &names)?;
    let mut bars = Rebuilds::new(output.is_json());
    let ended = session.ask(Request::Watch { names }, &mut |row| {
        if let Ok(progress) = serde_json::from_value::<Progress>(row) {
            bars.show(&progress);
        }
        true
    })?;
    let ended: Vec<Progress> = serde_json::from_value(ended)
        .map_err(|e| ControlError::failed(format!("the host gave an unknown answer: {e}")))?;
    for (progress, trigger) in ended.iter().zip(triggered) {
        bars.show(progress);
        if output.is_json() {
            let mut answer = serde_json::to_value(progress).unwrap_or(Value::Null);
            answer["trigger"] = trigger.clone();
            output.answer(&answer);
        } else {
            output.say(&ended_line(progress));
        }
    }
    if let Session::Local(host) = session
        && !interrupted.is_set()
    {
        let supervisor = host.supervisor()?;
        while !supervisor.wait_idle(None, GLANCE) && !interrupted.is_set() {}
        if interrupted.is_set() {
            supervisor.shut_down();
        }
    }
    Ok(exit_code(&ended, interrupted.is_set()))
}

/// Waits until no rebuild runs here that another terminal has started meanwhile. A signal pauses them.
pub(super) fn wait_for_others(session: &Session) -> Result<(), ControlError> {
    let Session::Local(host) = session else { return Ok(()) };
    let Some(supervisor) = host.started_supervisor() else { return Ok(()) };
    if !supervisor.wait_idle(None, Duration::ZERO) {
        let _interrupted = pause_on_signal(session, &[])?;
        while !supervisor.wait_idle(None, GLANCE) {}
    }
    Ok(())
}

/// How a rebuild ended, and what to do next where something is left to do.
fn ended_line(progress: &Progress) -> String {
    let Progress { projection_name: name, status, events_processed, total_events, events_per_second: rate, .. } =
        progress;
    let line = format!("{name}: {status}, {events_processed} of {total_events} events, {rate:.0} events/s");
    let next = match status {
        Status::Failed => format!(
            "\n  {}\n  fix the handler and `unspool plugin swap {name} FILE`, then `unspool resume {name}`",
            progress.error.as_deref().unwrap_or("no reason was noted")
        ),
        Status::Completed if progress.parked > 0 => format!(
            "\n  parked: {}; see `unspool dead-letters list {name}`{}",
            progress.parked,
            if progress.allow_parked { "" } else { "; readers were not switched" }
        ),
        Status::Paused => format!("\n  `unspool resume {name}` goes on from its checkpoint"),
        Status::Running | Status::Completed | Status::Cancelled => String::new(),
    };
    line + &next
}

/// Gives a rebuild up; exit code 3 where there is none to give up.
pub(super) fn cancel(session: &Session, name: &str, output: &Output) -> Result<u8, ControlError> {
    let answer = session.ask(Request::Cancel { name: name.to_owned() }, &mut |_| true)?;
    output.answer(&answer);
    Ok(if answer["status"] == "cancelled" { 0 } else { NOT_POSSIBLE })
}

/// 0 only when every rebuild is complete, and lacks no event that it may not lack.
fn exit_code(ended: &[Progress], interrupted: bool) -> u8 {
    let lacks = |progress: &Progress| progress.parked > 0 && !progress.allow_parked;
    if ended.iter().any(|progress| matches!(progress.status, Status::Failed | Status::Cancelled) || lacks(progress)) {
        FAILED
    } else if interrupted || ended.iter().any(|progress| progress.status != Status::Completed) {
        INTERRUPTED
    } else {
        0
    }
}

fn pause_on_signal(session: &Session, names: &[String]) -> Result<signals::Interrupted, ControlError> {
    let failed = |e: std::io::Error| ControlError::failed(format!("signals: {e}"));
    match session {
        Session::Local(host) => {
            let supervisor = host.supervisor()?.clone();
            signals::watch(move || supervisor.shut_down()).map_err(failed)
        }
        Session::Remote(socket) => {
            let (socket, names) = (socket.clone(), names.to_vec());
            signals::watch(move || {
                for name in names {
                    if let Some(client) = Client::connect(&socket)
                        && let Err(e) = client.ask(&Request::Pause { name }, &mut |_| true)
                    {
                        tracing::warn!("not paused: {e}");
                    }
                }
            })
            .map_err(failed)
        }
    }
}

fn listen(host: &Host) -> Result<Server, ControlError> {
    Server::start(host.clone()).map_err(|e| {
        ControlError::failed(format!("the control socket {} cannot be made: {e}", host.dir().socket().display()))
    })
}

/// The host that runs, or a new one in the background that ends once nothing runs any more.
fn detached(cli: &Cli) -> Result<Session, ControlError> {
    let session = Session::open(cli)?;
    let Session::Local(host) = session else { return Ok(session) };
    let (log, socket) = (host.dir().host_log(), host.dir().socket());
    drop(host);
    let failed = |what: &str, e: std::io::Error| ControlError::failed(format!("{what}: {e}"));
    let log_file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(|e| failed(&log.display().to_string(), e))?;
    let program = std::env::current_exe().map_err(|e| failed("this program", e))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(&cli.data).args(cli.alert.iter().flat_map(|alert| ["--alert", alert]));
    command.arg("--memory").arg(cli.memory.to_string());
    command.args(cli.instances.iter().flat_map(|instances| ["--instances".to_owned(), instances.to_string()]));
    command.args(["serve", "--until-idle"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
    // A group of its own: Ctrl-C in this terminal does not reach it.
    command.process_group(0).spawn().map_err(|e| failed("a host in the background does not start", e))?;
    let until = Instant::now() + HOST_START;
    while Instant::now() < until {
        if Client::connect(&socket).is_some() {
            return Ok(Session::Remote(socket));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(ControlError::failed(format!("the host in the background does not answer; see {}", log.display())))
}
