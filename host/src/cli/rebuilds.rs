//! `rebuild`, `resume` and `cancel`: rebuilds are requested, and shown until they end.

use super::{
    FAILED, INTERRUPTED, NOT_POSSIBLE,
    args::{Cli, RebuildArgs, ResumeArgs},
    hosting::{Hosting, attached, detached, serve_meanwhile, wait_for_others},
    output::Output,
    progress::{Rebuilds, Steps},
    session::{Session, json, unknown_answer},
    signals::Asked,
};
use crate::{
    control::{Access, ControlError, Request, Response, Row},
    rebuild::{Accept, CancelAnswer, Trigger, TriggerAnswer},
    vocabulary::{Progress, Status},
};

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
    let accept = args.accept.accept();
    let requests = names.into_iter().map(|name| Request::Resume { name, accept: accept.clone() }).collect();
    start_and_watch(&session, requests, args.detach, output)
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
    let leaves = || match ending.asked() {
        Some(Asked::End) => session.is_remote(),
        Some(Asked::Interrupt) => session.is_elsewhere(),
        None => false,
    };
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
