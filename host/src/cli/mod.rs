//! The command line: what a person types, and what they see.

mod args;
pub mod demo;
mod output;
mod plugins;
mod progress;
mod rebuilds;
mod session;
mod signals;

use args::{Cli, Command, EventsCommand, ModelCommand, PluginCommand};
use clap::{Parser, error::ErrorKind};
use output::Output;
use session::Session;
use std::{io::IsTerminal, path::Path, process::ExitCode};

use crate::control::{ControlError, Request};

/// Exit code of a rebuild that failed, or a check that found a difference.
pub(crate) const FAILED: u8 = 1;
/// Exit code of what is not there, or not possible as things are.
pub(crate) const NOT_POSSIBLE: u8 = 3;
/// Exit code after an interruption; the rebuild is left paused.
pub(crate) const INTERRUPTED: u8 = 130;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let shown = e.print();
            let asked = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked && shown.is_ok() { 0 } else { 2 });
        }
    };
    start_logging();
    let output = Output::new(cli.json);
    let done = run(&cli, &output).unwrap_or_else(|e| {
        output.error(&e.message);
        e.exit
    });
    ExitCode::from(done)
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("UNSPOOL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(progress::LogWriter::default)
        .with_ansi(terminal)
        .with_target(false)
        .try_init();
    if let Err(e) = started {
        eprintln!("logging does not start: {e}");
    }
}

fn run(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    let session = || Session::open(cli);
    match &cli.command {
        Command::Demo { events } => demo::run(cli, *events, output),
        Command::Events(EventsCommand::Import { files }) => import(&session()?, files, output),
        Command::Events(EventsCommand::Stats) => show(&session()?, Request::EventsStats, output),
        Command::Events(EventsCommand::Show { id }) => {
            show(&session()?, Request::EventsShow { id: id.clone() }, output)
        }
        Command::Plugin(PluginCommand::Build { dir, output: file, features }) => {
            plugins::build(dir, file.as_deref(), features, output)
        }
        Command::Plugin(PluginCommand::Check { file }) => plugins::check(file, output),
        Command::Plugin(command) => show(&session()?, plugin_request(command)?, output),
        Command::Rebuild(args) => rebuilds::rebuild(cli, args, output),
        Command::Status { name } => show(&session()?, Request::Status { name: name.clone() }, output),
        Command::List { all } => show(&session()?, Request::List { all: *all }, output),
        Command::Pause { name } => show(&session()?, Request::Pause { name: name.clone() }, output),
        Command::Resume { name, detach } => rebuilds::resume(cli, name, *detach, output),
        Command::Cancel { name } => rebuilds::cancel(&session()?, name, output),
        Command::Model(command) => show(&session()?, model_request(command), output),
        Command::Serve { until_idle } => rebuilds::serve(cli, *until_idle),
    }
}

/// Asks once, and shows rows and answer.
fn show(session: &Session, request: Request, output: &Output) -> Result<u8, ControlError> {
    let answer = session.ask(request, &mut |row| output.row(&row))?;
    output.answer(&answer);
    Ok(0)
}

fn import(session: &Session, files: &[String], output: &Output) -> Result<u8, ControlError> {
    for file in files {
        if file == "-" && session.is_remote() {
            return Err(ControlError::refused(
                "a host is running on this data directory, and cannot read your standard input: import a file",
            ));
        }
        let bar = progress::import_bar(file, output.is_json());
        let path = if file == "-" { file.clone() } else { absolute(Path::new(file))? };
        let done = session.ask(Request::EventsImport { file: path }, &mut |row| {
            bar.show(&row);
            true
        });
        bar.finish();
        output.answer(&done?);
    }
    Ok(0)
}

fn plugin_request(command: &PluginCommand) -> Result<Request, ControlError> {
    Ok(match command {
        PluginCommand::Install { file } => Request::PluginInstall { file: absolute(file)? },
        PluginCommand::Swap { name, file } => Request::PluginSwap { name: name.clone(), file: absolute(file)? },
        PluginCommand::History { name } => Request::PluginHistory { name: name.clone() },
        PluginCommand::Rollback { name } => Request::PluginRollback { name: name.clone() },
        PluginCommand::List | PluginCommand::Build { .. } | PluginCommand::Check { .. } => Request::PluginList,
    })
}

fn model_request(command: &ModelCommand) -> Request {
    match command.clone() {
        ModelCommand::Get { table, key, generation } => {
            Request::ModelGet { name: table.name, table: table.table, key, generation }
        }
        ModelCommand::Scan { table, prefix, limit, generation } => {
            Request::ModelScan { name: table.name, table: table.table, prefix, limit: Some(limit), generation }
        }
        ModelCommand::Export { table, generation } => {
            Request::ModelScan { name: table.name, table: table.table, prefix: String::new(), limit: None, generation }
        }
        ModelCommand::Digest { name, generation } => Request::ModelDigest { name, generation },
        ModelCommand::Generations { name } => Request::ModelGenerations { name },
        ModelCommand::Promote { name, generation } => Request::ModelPromote { name, generation },
        ModelCommand::Rollback { name } => Request::ModelRollback { name },
    }
}

/// The host may have another working directory.
fn absolute(path: &Path) -> Result<String, ControlError> {
    let absolute = std::path::absolute(path).map_err(|e| ControlError::refused(format!("{}: {e}", path.display())))?;
    absolute.into_os_string().into_string().map_err(|path| {
        ControlError::refused(format!("{}: the path is not UTF-8; use one that is", Path::new(&path).display()))
    })
}
