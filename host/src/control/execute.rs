//! Carries out requests.

use super::{ControlError, ErrorKind, Host, Import, Request, Sink};
use crate::{
    rebuild::{After, RebuildError},
    source::event_file::{Aside, EventFile, EventFileError},
    store::Allow,
    vocabulary::{Progress, Status, to_json, work},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// How often a watcher hears of a rebuild that runs.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

type Answer = Result<Value, ControlError>;

impl Host {
    /// Carries `request` out. What has many rows gives them to `sink`, and what it says last to the caller; what takes long
    /// says there how far it is, as `{"progress": ...}` (see [`Work`](crate::vocabulary::Work)).
    ///
    /// # Errors
    /// With the exit code of the command.
    pub fn execute(&self, request: Request, sink: &mut Sink<'_>) -> Answer {
        self.may(&request)?;
        if !request.tells_how_far() {
            return self.carry_out(request, sink);
        }
        // It gives no rows of its own.
        let work = || self.carry_out(request, &mut |_| true);
        let done = work::watched(WATCH_INTERVAL, work, &mut |work| {
            sink(json!({ "progress": work }));
        });
        done.map_err(|e| ControlError::failed(format!("a thread for the request does not start: {e}")))?
    }

    fn carry_out(&self, request: Request, sink: &mut Sink<'_>) -> Answer {
        match request {
            Request::EventsImport(import) => self.import(import, sink),
            Request::EventsStats => value(self.log()?.stats()?),
            Request::EventsShow { id } => self.show_event(&id),
            Request::PluginInstall { file } => self.install(&file),
            Request::PluginList => self.list_plugins(sink),
            Request::PluginHistory { name } => self.plugin_history(&name, sink),
            Request::PluginSwap { name, file, after } => self.swap_plugin(&name, &file, &after),
            Request::PluginTry { name, file, last, source } => {
                let tried = self.supervisor()?.trial(&name, &read_plugin(&file)?, last, source.as_deref());
                value(tried.map_err(|e| about_file(&file, e))?)
            }
            Request::PluginVerify { file, source } => {
                let verified = self.supervisor()?.verify_plugin(&read_plugin(&file)?, &source);
                value(verified.map_err(|e| about_file(&file, e))?)
            }
            Request::PluginRollback { name } => self.rollback_plugin(&name),
            Request::Rebuild(trigger) => value(self.supervisor()?.trigger(&trigger)?),
            Request::Plan(trigger) => value(self.supervisor()?.plan(&trigger)?),
            Request::RebuildStream { name, stream } => value(self.supervisor()?.rebuild_stream(&name, &stream)?),
            Request::Watch { names } => self.watch(&names, sink),
            Request::Status { name } => self.status(&name),
            Request::List { all } => {
                for progress in self.supervisor()?.list(all)? {
                    sink(value(progress)?);
                }
                Ok(Value::Null)
            }
            Request::Pause { name } => {
                self.supervisor()?.pause(&name)?;
                self.status(&name)
            }
            Request::Resume { name, accept } => value(self.supervisor()?.resume_accepting(&name, &accept)?),
            Request::Cancel { name } => value(self.supervisor()?.cancel(&name)?),
            Request::ModelGet { name, table, key, generation } => {
                self.model_get(&name, &table, &key, generation.as_deref())
            }
            Request::ModelScan { name, table, prefix, limit, generation } => {
                self.model_scan(&name, &table, &prefix, limit, generation.as_deref(), sink)
            }
            Request::ModelExport { name, table, generation, columns } => {
                self.model_export(&name, table.as_deref(), generation.as_deref(), columns, sink)
            }
            Request::ModelDigest { name, generation } => self.model_digest(&name, generation.as_deref()),
            Request::ModelGenerations { name } => self.model_generations(&name, sink),
            Request::ModelReceipt { name, generation } => self.model_receipt(&name, generation.as_deref()),
            Request::ModelVerify { name, repair, accept } => value(self.supervisor()?.verify(&name, repair, &accept)?),
            Request::ModelAsOf { name, to, label, source } => self.model_as_of(&name, &to, label, source.as_deref()),
            Request::ModelDrop { name, generation } => self.model_drop(&name, &generation),
            Request::ModelPromote { name, generation, allow_parked, allow_empty } => {
                let allow = Allow { parked: allow_parked, empty: allow_empty };
                self.model_promote(&name, generation.as_deref(), allow)
            }
            Request::ModelRollback { name, allow_empty } => self.model_rollback(&name, allow_empty),
            Request::DeadLettersList { name, stream } => self.dead_letters(&name, stream.as_deref(), sink),
            Request::DeadLettersShow { name, id } => self.dead_letter(&name, &id),
            Request::DeadLettersRetry { name, stream, out_of_order } => {
                value(self.supervisor()?.retry(&name, stream.as_deref(), out_of_order)?)
            }
            Request::DeadLettersDiscard { name, stream } => {
                value(self.supervisor()?.discard(&name, stream.as_deref())?)
            }
            Request::StoreBackup { file } => {
                let bytes = self.store().backup(Path::new(&file))?;
                Ok(json!({ "file": file, "bytes": bytes }))
            }
            Request::StoreAdopt => value(self.store().adopt_databases()?),
            Request::StoreCheck => value(self.check()?),
        }
    }

    fn import(&self, import: Import, sink: &mut Sink<'_>) -> Answer {
        let Import { file, name, options, skip_bad_lines } = import;
        let aside = skip_bad_lines.map(|path| Aside::new(Path::new(&path)).map(Arc::new));
        let aside = aside.transpose().map_err(ControlError::refused)?;
        let opened = if file == "-" {
            EventFile::from_reader(Box::new(std::io::stdin()), "standard input")
        } else {
            EventFile::open(Path::new(&file))
        };
        let called = |mut error: EventFileError| {
            error.file = name.clone().unwrap_or(error.file);
            ControlError::refused(error.to_string())
        };
        let mut events = opened.map_err(called)?.with(options);
        if let Some(name) = &name {
            events = events.called(name);
        }
        if let Some(aside) = aside {
            events = events.setting_aside(aside);
        }
        let summary = self.log()?.import(&mut events, &mut |progress| {
            sink(json!({ "bytesRead": progress.bytes_read, "bytesTotal": progress.bytes_total, "events": progress.events }));
        });
        value(summary.map_err(|e| match e.disk {
            true => ControlError::failed(e.message).of_kind(ErrorKind::Store),
            false => ControlError::refused(e.message),
        })?)
    }

    fn show_event(&self, id: &str) -> Answer {
        let Some((position, event)) = self.log()?.show(id)? else {
            return Err(ControlError::not_possible(format!("no event in the log has the id {id}")));
        };
        let shown = |bytes: &[u8]| to_json(bytes).map_err(|e| ControlError::failed(format!("event {id}: {e}")));
        Ok(json!({
            "id": event.id, "position": position, "stream": event.stream, "type": event.kind,
            "timestamp": event.timestamp, "schemaVersion": event.schema_version,
            "data": shown(&event.data)?, "metadata": shown(&event.metadata)?,
        }))
    }

    fn install(&self, file: &str) -> Answer {
        let installed = self.supervisor()?.install(&read_plugin(file)?);
        let (description, digest, new) = installed.map_err(|e| about_file(file, e))?;
        Ok(json!({
            "projectionName": description.name, "version": description.version, "digest": digest,
            "status": if new { "installed" } else { "already_installed" },
        }))
    }

    fn swap_plugin(&self, name: &str, file: &str, after: &After) -> Answer {
        let swapped = self.supervisor()?.swap(name, &read_plugin(file)?, "swap", after);
        value(swapped.map_err(|e| about_file(file, e))?)
    }

    fn list_plugins(&self, sink: &mut Sink<'_>) -> Answer {
        for projection in self.store().projections()? {
            sink(json!({
                "projectionName": projection.description.name,
                "version": projection.description.version,
                "digest": projection.digest(),
                "eventTypes": projection.description.event_types,
                "tables": projection.description.tables.iter().map(|table| &table.name).collect::<Vec<_>>(),
                "complexity": projection.description.complexity,
                "partitioning": projection.description.partitioning,
                "liveGeneration": projection.live,
            }));
        }
        Ok(Value::Null)
    }

    fn plugin_history(&self, name: &str, sink: &mut Sink<'_>) -> Answer {
        for install in self.store().projection(name)?.installs {
            sink(value(install)?);
        }
        Ok(Value::Null)
    }

    fn rollback_plugin(&self, name: &str) -> Answer {
        let installs = self.store().projection(name)?.installs;
        let current = installs.last().map(|install| install.digest.clone()).unwrap_or_default();
        let Some(before) = installs.iter().rev().find(|install| install.digest != current) else {
            return Err(ControlError::not_possible(format!(
                "{name} has had one plugin only; there is none to go back to"
            )));
        };
        let component = self.store().component(&before.digest)?;
        value(self.supervisor()?.swap(name, &component, "rollback", &After::Continue)?)
    }

    fn status(&self, name: &str) -> Answer {
        match self.supervisor()?.progress(name)? {
            Some(progress) => value(progress),
            None => {
                Err(ControlError::not_possible(format!("{name} has never been rebuilt: unspool rebuild {name} starts")))
            }
        }
    }

    /// Gives the progress of `names` until none of them runs, then how each ended.
    fn watch(&self, names: &[String], sink: &mut Sink<'_>) -> Answer {
        let supervisor = self.supervisor()?;
        loop {
            let idle = supervisor.wait_idle(Some(names), WATCH_INTERVAL);
            let mut latest: Vec<Progress> = Vec::new();
            for name in names {
                latest.extend(supervisor.progress(name)?);
            }
            if idle && latest.iter().all(|progress| progress.status != Status::Running) {
                return value(latest);
            }
            for progress in latest {
                if !sink(value(progress)?) {
                    return Ok(Value::Null);
                }
            }
        }
    }
}

pub(super) fn value(answer: impl Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|e| ControlError::failed(format!("an answer does not encode: {e}")))
}

/// What is wrong with a plugin file, with the file's name.
fn about_file(file: &str, error: RebuildError) -> ControlError {
    match error {
        RebuildError::Plugin(e) => ControlError::refused(format!("{file}: {e}")),
        other => other.into(),
    }
}

fn read_plugin(file: &str) -> Result<Vec<u8>, ControlError> {
    crate::plugin::read(Path::new(file)).map_err(|e| ControlError::refused(format!("{file}: {e}")))
}
