//! `demo`: the whole job on a fresh data directory.

pub mod orders;

use super::{
    args::Cli,
    output::Output,
    progress, rebuilds,
    session::{Session, unknown_answer},
};
use crate::{
    control::{Access, ControlError, Import, Request, Response},
    plugin::{self, BuildOptions},
    rebuild::{Trigger, UnfinishedRebuild},
};
use serde_json::Value;
use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
    time::Instant,
};

/// The example projections, and the table of each from which rows are shown.
const PROJECTIONS: [(&str, &str); 3] =
    [("order-summary", "orders"), ("inventory-levels", "stock"), ("process-map", "follows")];

/// Rows that are shown of each table.
const SHOWN_ROWS: u64 = 3;

const SEED: u64 = 42;

/// Builds the example plugins, imports a generated history, rebuilds all projections at once, and shows rows and digests.
pub(super) fn run(cli: &Cli, events: u64, output: &Output) -> Result<u8, ControlError> {
    let session = Session::open(cli, Access::Begin)?;
    refuse_foreign_history(&session, cli)?;
    for (name, _) in PROJECTIONS {
        install(&session, name, cli, output)?;
    }
    import(&session, events, cli, output)?;
    output.say(&format!("rebuilding {} projections at once", PROJECTIONS.len()));
    let triggers =
        PROJECTIONS.map(|(name, _)| Request::Rebuild(Trigger { name: name.to_owned(), ..Trigger::default() }));
    let exit = rebuilds::start_and_watch(&session, triggers.into(), false, output)?;
    if exit == 0 {
        show(&session, output)?;
        output.say(&format!(
            "look around: unspool --data {} list --all, or model scan order-summary/orders",
            cli.data.display()
        ));
    }
    Ok(exit)
}

/// The demo's events do not belong among others.
fn refuse_foreign_history(session: &Session, cli: &Cli) -> Result<(), ControlError> {
    let Response::LogStats(stats) = session.ask(Request::EventsStats, &mut |_| true)? else {
        return Err(unknown_answer());
    };
    if stats.events == 0 {
        return Ok(());
    }
    let mut first = Vec::new();
    orders::write(1, SEED, &mut first).map_err(|e| ControlError::failed(e.to_string()))?;
    let first: Value = serde_json::from_slice(&first).map_err(|e| ControlError::failed(e.to_string()))?;
    let id = first["id"].as_str().unwrap_or_default().to_owned();
    session.ask(Request::EventsShow { id }, &mut |_| true).map(drop).map_err(|_| {
        ControlError::refused(format!(
            "{} holds other events than the demo's; name a fresh directory with --data",
            cli.data.display()
        ))
    })
}

/// Builds an example, and installs it instead of whatever the demo installed before.
fn install(session: &Session, name: &str, cli: &Cli, output: &Output) -> Result<(), ControlError> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name);
    output.say(&format!("building plugin {name}"));
    let options = BuildOptions { quiet: true, ..BuildOptions::default() };
    let built = plugin::build(&dir, &options).map_err(|e| ControlError::refused(e.to_string()))?;
    let file = absolute(&cli.data.join(format!("{name}.wasm")))?;
    fs::write(&file, &built.component).map_err(|e| ControlError::failed(format!("{}: {e}", file.display())))?;
    let path = file.display().to_string();
    let known = session.ask(Request::PluginHistory { name: name.to_owned() }, &mut |_| true).is_ok();
    let request = if known {
        Request::PluginSwap { name: name.to_owned(), file: path, after: UnfinishedRebuild::Continue }
    } else {
        Request::PluginInstall { file: path, named: None, digest: None }
    };
    session.ask(request, &mut |_| true).map(drop)
}

fn import(session: &Session, events: u64, cli: &Cli, output: &Output) -> Result<(), ControlError> {
    let file = absolute(&cli.data.join("orders.ndjson"))?;
    let failed = |e: std::io::Error| ControlError::failed(format!("{}: {e}", file.display()));
    output.say(&format!("generating {} order events", output.values().count(events)));
    let mut out = BufWriter::new(fs::File::create(&file).map_err(failed)?);
    let mut steps = progress::Steps::new(output.is_json());
    steps.of(|| orders::write(events, SEED, &mut out)).and_then(|written| written).map_err(failed)?;
    drop((steps, out));
    let started = Instant::now();
    let mut steps = progress::Steps::new(output.is_json());
    let import = Import { file: file.display().to_string(), ..Import::default() };
    let done = session.ask(Request::EventsImport(import), &mut |row| {
        steps.import("orders.ndjson", &row);
        true
    });
    drop(steps);
    let Response::Imported(done) = done? else { return Err(unknown_answer()) };
    let values = output.values();
    output.say(&format!(
        "imported {} events, {} of them new, {}",
        values.count(done.read),
        values.count(done.added),
        values.rate(done.read as f64 / started.elapsed().as_secs_f64(), "events")
    ));
    fs::remove_file(&file).map_err(failed)
}

fn show(session: &Session, output: &Output) -> Result<(), ControlError> {
    for (name, table) in PROJECTIONS {
        output.say(&format!("{name}/{table}"));
        let scan = Request::ModelScan {
            name: name.to_owned(),
            table: table.to_owned(),
            prefix: String::new(),
            after: None,
            limit: Some(SHOWN_ROWS),
            generation: None,
            fresh: Default::default(),
        };
        session.ask(scan, &mut |row| output.row(&row.json()))?;
    }
    for (name, _) in PROJECTIONS {
        let digest = session.ask(Request::ModelDigest { name: name.to_owned(), generation: None }, &mut |_| true)?;
        output.row(&digest.json());
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, ControlError> {
    std::path::absolute(path).map_err(|e| ControlError::failed(format!("{}: {e}", path.display())))
}
