//! The command line: what a person types, and what they see.

mod activity;
mod args;
mod changes;
mod declared;
pub mod demo;
#[cfg(feature = "http")]
mod elsewhere;
mod export;
mod following;
mod health;
mod hosting;
#[cfg(feature = "http")]
mod http;
mod import;
mod manual;
mod output;
mod paths;
mod plugins;
mod progress;
mod rebuilds;
mod schema;
mod serve;
mod service;
mod session;
mod signals;

#[cfg(feature = "http")]
use args::HttpArgs;
use args::{AlertCommand, Cli, Command, DeadLettersCommand, EventsCommand, ModelCommand, PluginCommand, StoreCommand};
use clap::error::ErrorKind as ClapError;
use output::{Listing, Output};
use paths::absolute;
use session::{Session, json};
use std::{
    fmt::Debug,
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tracing::field::Field;
use tracing_subscriber::{field::MakeExt, fmt::format, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    control::{Access, Compacted, ControlError, ErrorKind, Request, Response},
    log,
    rebuild::{Accept, FAILURES, UnfinishedRebuild},
    settings::{LogFormat, Settings},
    traces,
    vocabulary::visible,
};

/// Exit code of a rebuild that failed, a check that found a difference, or a host that cannot work.
pub(crate) const FAILED: u8 = 1;
/// Exit code of wrong usage and of input that is not acceptable.
pub(crate) const REFUSED: u8 = 2;
/// Exit code of what is not there, or not possible as things are.
pub(crate) const NOT_POSSIBLE: u8 = 3;
/// Exit code after an interruption; the rebuild is left paused.
pub(crate) const INTERRUPTED: u8 = 130;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::of(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => return ExitCode::from(help_or_usage(e)),
    };
    if matches!(cli.command, Command::CompilePlugin) {
        return crate::plugin::compile_for_another_process();
    }
    start_logging(&cli);
    traces::start();
    let output = Output::new(cli.json, cli.wide);
    let done = run_again_where_the_host_ended(&cli, &output).unwrap_or_else(|e| {
        output.error(&e);
        e.exit_code()
    });
    traces::end();
    match output.finish() {
        Ok(()) => ExitCode::from(done),
        Err(e) => {
            output::say_aside(&format!("error: standard output: {e}; not all of the answer was written"));
            ExitCode::from(if done == 0 { FAILED } else { done })
        }
    }
}

/// How often a command is tried whose hosts end before they answer.
const TRIES: u32 = 3;

/// Runs the command; once more, as if there had been no host, where that ended before it answered anything.
fn run_again_where_the_host_ended(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    let mut tries = 1;
    loop {
        match run(cli, output) {
            Err(e) if e.again && !output.has_answered() && tries < TRIES => {
                tracing::debug!(tries, "again: {e}");
                tries += 1;
            }
            done => return done,
        }
    }
}

/// Shows what was asked for, or what is wrong with the command line; a reader that has gone does not matter.
fn help_or_usage(error: clap::Error) -> u8 {
    // There are no parsed options yet.
    let json = std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    let error = if error.use_stderr() { with_visible_arguments(error) } else { error };
    let text = error.render().to_string();
    if json && error.use_stderr() {
        let message = text.trim_end().trim_start_matches("error: ").to_owned();
        let output = Output::new(true, false);
        output.error(&ControlError::new(ErrorKind::Usage, message));
        return REFUSED;
    }
    if text.lines().any(|line| visible(line) != line) {
        // Text from the environment.
        text.lines().for_each(output::say_aside);
        return REFUSED;
    }
    let shown = error.print().or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) });
    match (error.kind(), shown) {
        (ClapError::DisplayHelp | ClapError::DisplayVersion, Ok(())) => 0,
        (ClapError::DisplayHelp | ClapError::DisplayVersion, Err(e)) => {
            output::say_aside(&format!("error: standard output: {e}"));
            FAILED
        }
        _ => REFUSED,
    }
}

/// The same error about arguments whose text does not act on a terminal.
fn with_visible_arguments(error: clap::Error) -> clap::Error {
    let args = std::env::args_os().map(|arg| visible(&arg.to_string_lossy()).into_owned());
    Cli::of(args).err().unwrap_or(error)
}

fn start_logging(cli: &Cli) {
    // A rebuild that is watched on a terminal shows there how it ended, and once is enough.
    let watches = matches!(cli.command, Command::Rebuild(_) | Command::Resume(_) | Command::Demo { .. });
    let told = watches && !cli.json && io::stdout().is_terminal() && io::stderr().is_terminal();
    let usual = if told { format!("info,{FAILURES}=off") } else { "info".to_owned() };
    let filter = tracing_subscriber::EnvFilter::try_from_env("UNSPOOL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(progress::LogWriter::default).with_target(false);
    // What is wrong with the settings is said by whoever needs them.
    let set = || Settings::read(&session::settings_file(cli)).ok()?.host.log_format;
    let format = std::env::var("UNSPOOL_LOG_FORMAT").ok().filter(|format| !format.is_empty());
    let format = format.or_else(|| (set()? == LogFormat::Json).then(|| "json".to_owned()));
    let started = match format.as_deref() {
        Some("json") => lines.json().flatten_event(true).with_target(true).finish().with(log::Keep).try_init(),
        format => {
            if let Some(unknown) = format.filter(|format| *format != "text") {
                output::say_aside(&format!(
                    "UNSPOOL_LOG_FORMAT is {unknown:?}; it may be text or json: text is written"
                ));
            }
            lines
                .fmt_fields(format::debug_fn(log_field).delimited(" "))
                .with_ansi(output::is_coloured(&io::stderr()))
                .finish()
                .with(log::Keep)
                .try_init()
        }
    };
    if let Err(e) = started {
        output::say_aside(&format!("logging does not start: {e}"));
    }
}

/// Values of log lines are often text of others: each stays in its line.
fn log_field(out: &mut format::Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let shown = format!("{value:?}");
    match field.name() {
        "message" => write!(out, "{}", visible(&shown)),
        name => write!(out, "{name}={}", visible(&shown)),
    }
}

/// What is done on this machine, whoever is asked.
fn refuse_elsewhere(cli: &Cli) -> Result<(), ControlError> {
    #[cfg(feature = "http")]
    if let Some(host) = &cli.host {
        let here = match &cli.command {
            Command::Demo { .. } => "demo",
            Command::Serve { .. } => "serve",
            Command::Token(_) => "token",
            Command::Ui { .. } => "ui",
            Command::Apply(_) => "apply",
            Command::Plan => "plan",
            Command::Store(StoreCommand::Compact) => "store compact",
            Command::Store(StoreCommand::Adopt) => "store adopt",
            Command::Plugin(PluginCommand::Verify { .. }) => "plugin verify",
            Command::Events(EventsCommand::Import(args::ImportArgs { skip_bad_lines: Some(_), .. })) => {
                "events import --skip-bad-lines"
            }
            _ => return Ok(()),
        };
        return Err(ControlError::refused(format!("{here} is done on the host's machine, not over {host}")));
    }
    let _ = cli;
    Ok(())
}

fn run(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    refuse_elsewhere(cli)?;
    match &cli.command {
        #[cfg(feature = "http")]
        Command::Demo { events, serve: true, listen } => match demo::run(cli, *events, output)? {
            0 => {
                let http = HttpArgs { listen: Some(*listen), ..HttpArgs::default() };
                serve::serve(cli, &http, serve::Means { dashboard: true, ..serve::Means::default() }, output)
            }
            exit => Ok(exit),
        },
        Command::Demo { events, .. } => demo::run(cli, *events, output),
        Command::Events(EventsCommand::Import(args)) => import::import(cli, args, output),
        Command::Events(EventsCommand::Schema(args)) => {
            let source = paths::source(args.source.as_deref(), &args.reading)?;
            let request = Request::EventsSchema { source: source.clone(), types: args.types.clone() };
            let (session, _dir) = Session::over(cli, source.as_deref().unwrap_or("log"), request.access())?;
            schema::show(&session, request, args.lang, output)
        }
        Command::Events(EventsCommand::Stats) => ask(cli, Request::EventsStats, output),
        Command::Events(EventsCommand::Show { id }) => ask(cli, Request::EventsShow { id: id.clone() }, output),
        Command::Plugin(PluginCommand::Build { path, output: file, features }) => {
            plugins::build(path, file.as_deref(), features, output)
        }
        Command::Plugin(PluginCommand::Wrap { file, output: component }) => {
            plugins::wrap(file, component.as_deref(), output)
        }
        Command::Plugin(PluginCommand::Check { file }) => plugins::check(file, output),
        Command::Plugin(PluginCommand::Verify { file, events, source, reading }) => {
            let events = events.as_ref().map(|events| format!("file:{}", events.display()));
            let source = paths::source(events.as_deref().or(source.as_deref()), reading)?;
            verify_plugin(cli, file, source, output)
        }
        Command::Plugin(command) => ask(cli, plugin_request(command)?, output),
        Command::Rebuild(args) => rebuilds::rebuild(cli, args, output),
        Command::Status { name } => ask(cli, Request::Status { name: name.clone() }, output),
        Command::List { all } => ask(cli, Request::List { all: *all }, output),
        Command::Pause { name } => ask(cli, Request::Pause { name: name.clone() }, output),
        Command::Resume(args) => rebuilds::resume(cli, args, output),
        Command::Follow(args) => following::follow(cli, args, output),
        Command::Unfollow { name } => following::unfollow(cli, name, output),
        Command::CatchUp { name, accept } => {
            ask(cli, Request::CatchUp { name: name.clone(), accept: accept.accept() }, output)
        }
        Command::Cancel { name } => rebuilds::cancel(&Session::open(cli, Access::Change)?, name, output),
        Command::Model(ModelCommand::Export(args)) => {
            export::export(&Session::open(cli, Access::Read)?, &cli.data, args, output)
        }
        Command::Model(ModelCommand::Watch(args)) => changes::watch(cli, args, output),
        Command::Model(command) => ask(cli, model_request(command)?, output),
        Command::DeadLetters(command) => ask(cli, dead_letters_request(command), output),
        Command::Store(StoreCommand::Compact) => compact(cli, output),
        Command::Store(StoreCommand::Backup { file }) => {
            paths::refuse_inside(&cli.data, file)?;
            ask(cli, Request::StoreBackup { file: absolute(file)? }, output)
        }
        Command::Store(StoreCommand::Adopt) => ask(cli, Request::StoreAdopt, output),
        Command::Store(StoreCommand::Check) => ask(cli, Request::StoreCheck, output),
        Command::Activity(args) => activity::activity(cli, args, output),
        Command::Alert(AlertCommand::List) => ask(cli, Request::AlertList, output),
        Command::Alert(AlertCommand::Test { name }) => ask(cli, Request::AlertTest { name: name.clone() }, output),
        Command::Plan => declared::plan(cli, output),
        Command::Apply(args) => declared::apply(cli, args, output),
        Command::Serve { apply, until_idle, http } => {
            let means = serve::Means { apply: *apply, until_idle: *until_idle, ..serve::Means::default() };
            serve::serve(cli, http, means, output)
        }
        Command::Health => health::health(cli, output),
        #[cfg(feature = "http")]
        Command::Token(command) => http::token(cli, command, output),
        #[cfg(feature = "http")]
        Command::Ui { print } => http::ui(cli, *print, output),
        Command::Completions { shell } => manual::completions(*shell),
        Command::Man { dir } => manual::pages(dir, output),
        // Has its own way in: it answers another process, and nobody else.
        Command::CompilePlugin => Ok(0),
    }
}

/// Has a request carried out on the data directory, and shows the answer.
fn ask(cli: &Cli, request: Request, output: &Output) -> Result<u8, ControlError> {
    let session = Session::open(cli, request.access())?;
    match request.wait() {
        Some(wait) if !session.is_remote() => ask_until(cli, session, request, Instant::now() + wait, output),
        _ => show(&session, request, output),
    }
}

/// Asks again and again what may be there later: nothing moves while this process has the data directory.
fn ask_until(
    cli: &Cli,
    mut session: Session,
    request: Request,
    until: Instant,
    output: &Output,
) -> Result<u8, ControlError> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match show(&session, request.clone().waiting(if session.is_remote() { left } else { Duration::ZERO }), output) {
            Err(e) if e.kind == ErrorKind::Busy && !left.is_zero() => {}
            done => return done,
        }
        drop(session);
        std::thread::sleep(left.min(AGAIN));
        session = Session::open(cli, request.access())?;
    }
}

/// Between two tries of a command that waits for a host's work without one.
const AGAIN: Duration = Duration::from_millis(100);

/// Sends the request once, and shows rows and answer. What takes long and writes does so as a host: other terminals read meanwhile.
fn show(session: &Session, request: Request, output: &Output) -> Result<u8, ControlError> {
    let begins_rebuild = matches!(&request, Request::PluginSwap { after, .. } if *after != UnfinishedRebuild::Continue);
    let hosting = if request.takes_long() || begins_rebuild { hosting::serve_meanwhile(session)? } else { None };
    if let (Some(hosting), Request::PluginSwap { name, .. }) = (&hosting, &request) {
        hosting.owns(name);
    }
    let mut steps = progress::Steps::new(output.is_json());
    let mut listing = Listing::of(&request, output);
    let answer = session.ask(request.clone(), &mut |row| steps.row(&row) || listing.row(&row.json()));
    drop(steps);
    listing.end();
    if let Ok(answer) = &answer {
        match answer {
            Response::Found(row) if !output.is_json() => output.document(&row.value),
            answer => output.answer(&answer.json()),
        }
        if let (Some(hosting), Response::Swapped(report)) = (&hosting, answer)
            && let Some(begun) = &report.rebuild
        {
            return rebuilds::watch(session, hosting, std::slice::from_ref(begun), output);
        }
    }
    hosting::wait_for_others(session, hosting.as_ref());
    if answer.is_err() && hosting.is_some_and(|hosting| hosting.ending.is_asked()) {
        return Err(ControlError::interrupted());
    }
    Ok(if found_something(&request, &answer?) { FAILED } else { 0 })
}

/// Needs no data directory: without the events of one, it works in a temporary one.
fn verify_plugin(cli: &Cli, file: &Path, source: Option<String>, output: &Output) -> Result<u8, ControlError> {
    let Some(source) = source else {
        return Err(ControlError::refused(
            "there are no events to run the plugin over: name an event file with --events FILE, or a source of the data \
             directory with --source log",
        ));
    };
    let (session, _dir) = Session::over(cli, &source, Access::Change)?;
    show(&session, Request::PluginVerify { file: absolute(file)?, source }, output)
}

/// Whether a check found a difference, or something is left undone.
fn found_something(request: &Request, answer: &Response) -> bool {
    match answer {
        Response::ModelVerified(report) => report.comparison.differs(),
        Response::Diffed(report) => report.counts.differ(),
        Response::Retried(report) => match request {
            Request::DeadLettersRetry { stream: None, .. } => report.parked > 0,
            Request::DeadLettersRetry { .. } => !report.failures.is_empty(),
            _ => false,
        },
        Response::PluginVerified(report) => report.difference.is_some(),
        Response::Checked(report) => !report.problems.is_empty(),
        Response::ActivityChecked(report) => report.problem.is_some(),
        Response::AlertsTested(report) => report.failed > 0,
        _ => false,
    }
}

/// Nobody else may have the store open for this.
fn compact(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    let Session::Local(host, _) = Session::open(cli, Access::Change)? else {
        return Err(ControlError::not_possible("a host is running on this data directory; end it, then compact"));
    };
    let dir = host.dir().clone();
    drop(host);
    let compacted = progress::Steps::new(output.is_json()).of(|| crate::control::compact(&dir));
    let compacted = compacted.map_err(|e| ControlError::failed(format!("a thread does not start: {e}")))??;
    output.answer(&json(&Compacted { compacted }));
    Ok(0)
}

fn plugin_request(command: &PluginCommand) -> Result<Request, ControlError> {
    Ok(match command {
        PluginCommand::Install { file, digest } => {
            paths::refuse_missing(file)?;
            let digest = digest.as_ref().map(ToString::to_string);
            Request::PluginInstall { file: absolute(file)?, named: None, digest }
        }
        PluginCommand::Swap { name, file, rewind_to, restart, .. } => {
            let after = match (rewind_to, restart) {
                (Some(to), _) => UnfinishedRebuild::RewindTo(to.clone()),
                (None, true) => UnfinishedRebuild::Restart,
                (None, false) => UnfinishedRebuild::Continue,
            };
            Request::PluginSwap { name: name.clone(), file: absolute(file)?, after }
        }
        PluginCommand::Try { name, file, last, source, reading } => {
            let source = paths::source(source.as_deref(), reading)?;
            Request::PluginTry { name: name.clone(), file: absolute(file)?, last: *last, source }
        }
        PluginCommand::History { name } => Request::PluginHistory { name: name.clone() },
        PluginCommand::Rollback { name } => Request::PluginRollback { name: name.clone() },
        PluginCommand::List
        | PluginCommand::Build { .. }
        | PluginCommand::Wrap { .. }
        | PluginCommand::Check { .. }
        | PluginCommand::Verify { .. } => Request::PluginList,
    })
}

fn model_request(command: &ModelCommand) -> Result<Request, ControlError> {
    Ok(match command.clone() {
        ModelCommand::Get { table, key, generation, fresh } => {
            Request::ModelGet { name: table.name, table: table.table, key, generation, fresh: fresh.fresh() }
        }
        ModelCommand::Scan { table, prefix, limit, generation, fresh } => Request::ModelScan {
            name: table.name,
            table: table.table,
            prefix,
            after: None,
            limit: Some(limit),
            generation,
            fresh: fresh.fresh(),
        },
        ModelCommand::Export(args) => export::request(&args),
        ModelCommand::Watch(args) => {
            let from = args.from.clone();
            changes::request(&args, from)
        }
        ModelCommand::Digest { name, generation } => Request::ModelDigest { name, generation },
        ModelCommand::Generations { name } => Request::ModelGenerations { name },
        ModelCommand::Promote { name, generation, allow_parked, allow_empty } => {
            Request::ModelPromote { name, generation, allow_parked, allow_empty }
        }
        ModelCommand::Receipt { name, generation } => Request::ModelReceipt { name, generation },
        ModelCommand::Verify { name, repair, accept_history } => {
            let accept = Accept { history: accept_history, ..Accept::default() };
            Request::ModelVerify { name, repair, accept }
        }
        ModelCommand::AsOf { name, to, label, source, reading } => {
            let source = paths::source(source.as_deref(), &reading)?;
            Request::ModelAsOf { name, to, label, source }
        }
        ModelCommand::History { table, key, to, generation } => {
            Request::ModelHistory { name: table.name, table: table.table, key, to, generation }
        }
        ModelCommand::Diff { name, left, right, table, limit } => {
            Request::ModelDiff { name, left, right, table, after: None, limit: Some(limit) }
        }
        ModelCommand::Drop { name, generation } => Request::ModelDrop { name, generation },
        ModelCommand::Rollback { name, now, allow_empty } => Request::ModelRollback { name, now, allow_empty },
    })
}

fn dead_letters_request(command: &DeadLettersCommand) -> Request {
    match command.clone() {
        DeadLettersCommand::List { name, stream } => Request::DeadLettersList { name, stream },
        DeadLettersCommand::Show { name, id } => Request::DeadLettersShow { name, id },
        DeadLettersCommand::Retry { name, stream, out_of_order } => {
            Request::DeadLettersRetry { name, stream, out_of_order }
        }
        DeadLettersCommand::Discard { name, stream, .. } => Request::DeadLettersDiscard { name, stream },
    }
}
