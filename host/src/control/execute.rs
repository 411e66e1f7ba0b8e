//! Carries out requests.

use super::{
    BackedUp, Caller, ControlError, ErrorKind, Host, Import, InstallStatus, Installed, ListedProjection, LoggedEvent,
    Request, Response, Row, Sink, response::Answer, watch::NUMBERS,
};
use crate::{
    plugin::{NoDigest, PinnedDigest},
    rebuild::{RebuildError, UnfinishedRebuild},
    source::event_file::{Aside, EventFile, EventFileError},
    store::Allow,
    vocabulary::{to_json, work},
};
use std::{
    path::Path,
    sync::{Arc, mpsc},
};

impl Host {
    /// Carries `request` out for `caller`, and records what that has come to. Rows go to `sink`, and the last answer to the caller; a request that takes long reports its
    /// progress there, as [`Row::Progress`].
    ///
    /// # Errors
    /// What it refuses, or cannot do.
    pub fn execute(&self, caller: &Caller, request: Request, sink: &mut Sink<'_>) -> Answer {
        self.may(&request)?;
        if !request.tells_how_far() {
            return self.recorded(caller, &request.clone(), || self.carry_out(request, sink));
        }
        // Its rows wait for this thread, and it does not wait for them: who reads slowly holds up nothing.
        let (give, given) = mpsc::channel();
        let work = move || {
            self.recorded(caller, &request.clone(), || self.carry_out(request, &mut |row| give.send(row).is_ok()))
        };
        let mut given = Some(given);
        let mut pass_on = |sink: &mut Sink<'_>| {
            if given.iter().flat_map(mpsc::Receiver::try_iter).any(|row| !sink(row)) {
                given = None;
            }
        };
        let done = work::watched(NUMBERS, work, &mut |work| {
            pass_on(sink);
            sink(Row::Progress(work));
        });
        pass_on(sink);
        done.map_err(|e| ControlError::failed(format!("a thread for the request does not start: {e}")))?
    }

    fn carry_out(&self, request: Request, sink: &mut Sink<'_>) -> Answer {
        match request {
            Request::EventsImport(import) => self.import(import, sink),
            Request::Activity { filter, before, last } => self.activity(&filter, before, last, sink),
            Request::ActivityCheck => Ok(Response::ActivityChecked(self.store().check_activity()?)),
            Request::EventsSchema { source, types } => self.events_schema(source.as_deref(), &types, sink),
            Request::AlertList => self.list_alert_routes(sink),
            Request::AlertTest { name } => self.test_alerts(name.as_deref(), sink),
            Request::EventsStats => Ok(Response::LogStats(self.log()?.stats()?)),
            Request::EventsShow { id } => self.show_event(&id),
            Request::PluginInstall { file, named, digest } => self.install(&file, named.as_deref(), digest.as_deref()),
            Request::PluginList => self.list_plugins(sink),
            Request::PluginHistory { name } => self.plugin_history(&name, sink),
            Request::PluginSwap { name, file, after } => self.swap_plugin(&name, &file, &after),
            Request::PluginTry { name, file, last, source } => {
                let tried = self.supervisor()?.trial(&name, &read_plugin(&file)?, last, source.as_deref());
                Ok(Response::Tried(Box::new(tried.map_err(|e| about_file(&file, e))?)))
            }
            Request::PluginVerify { file, source } => {
                let verified = self.supervisor()?.verify_plugin(&read_plugin(&file)?, &source);
                Ok(Response::PluginVerified(Box::new(verified.map_err(|e| about_file(&file, e))?)))
            }
            Request::PluginRollback { name } => self.rollback_plugin(&name),
            Request::Rebuild(trigger) => Ok(Response::Triggered(self.supervisor()?.trigger(&trigger)?)),
            Request::Plan(trigger) => Ok(Response::Planned(self.supervisor()?.plan(&trigger)?)),
            Request::RebuildStream { name, stream } => {
                Ok(Response::StreamRebuilt(self.supervisor()?.rebuild_stream(&name, &stream)?))
            }
            Request::Watch { names } => self.watch(&names, sink),
            Request::ModelWatch { name, table, prefix, from } => {
                self.model_watch(&name, table.as_deref(), &prefix, from.as_deref(), sink)
            }
            Request::Status { name } => self.status(&name),
            Request::List { all } => self.list(all, sink),
            Request::Pause { name } => {
                self.supervisor()?.pause(&name)?;
                self.status(&name)
            }
            Request::Resume { name, accept } => {
                Ok(Response::Triggered(self.supervisor()?.resume_accepting(&name, &accept)?))
            }
            Request::Follow { name, accept } => Ok(Response::Followed(self.supervisor()?.follow(&name, &accept)?)),
            Request::Unfollow { name } => Ok(Response::Followed(self.supervisor()?.unfollow(&name)?)),
            Request::CatchUp { name, accept } => Ok(Response::Followed(self.supervisor()?.catch_up(&name, &accept)?)),
            Request::Cancel { name } => Ok(Response::Cancelled(self.supervisor()?.cancel(&name)?)),
            Request::ModelGet { name, table, key, generation, fresh } => {
                let wanted = self.wait_for_events(&name, generation.as_deref(), &fresh)?;
                self.model_get(&name, &table, &key, generation.as_deref(), wanted)
            }
            Request::ModelScan { name, table, prefix, after, limit, generation, fresh } => {
                let wanted = self.wait_for_events(&name, generation.as_deref(), &fresh)?;
                let range = (prefix.as_str(), after, limit);
                self.model_scan((&name, &table), range, (generation.as_deref(), wanted), sink)
            }
            Request::ModelExport { name, table, generation, columns } => {
                self.model_export(&name, table.as_deref(), generation.as_deref(), columns, sink)
            }
            Request::ModelDigest { name, generation } => self.model_digest(&name, generation.as_deref()),
            Request::ModelGenerations { name } => self.model_generations(&name, sink),
            Request::ModelReceipt { name, generation } => self.model_receipt(&name, generation.as_deref()),
            Request::ModelVerify { name, repair, accept } => {
                Ok(Response::ModelVerified(Box::new(self.supervisor()?.verify(&name, repair, &accept)?)))
            }
            Request::ModelAsOf { name, to, label, source } => self.model_as_of(&name, &to, label, source.as_deref()),
            Request::ModelHistory { name, table, key, to, generation } => {
                self.model_history(&name, (&table, &key), to.as_deref(), generation.as_deref(), sink)
            }
            Request::ModelDiff { name, left, right, table, after, limit } => {
                let range = (table.as_deref(), after.as_deref(), limit);
                self.model_diff(&name, &left, right.as_deref(), range, sink)
            }
            Request::ModelDrop { name, generation } => self.model_drop(&name, &generation),
            Request::ModelPromote { name, generation, allow_parked, allow_empty } => {
                let allow = Allow { parked: allow_parked, empty: allow_empty };
                self.model_promote(&name, generation.as_deref(), allow)
            }
            Request::ModelRollback { name, now, allow_empty } => self.model_rollback(&name, now, allow_empty),
            Request::DeadLettersList { name, stream } => self.dead_letters(&name, stream.as_deref(), sink),
            Request::DeadLettersShow { name, id } => self.dead_letter(&name, &id),
            Request::DeadLettersRetry { name, stream, out_of_order } => {
                Ok(Response::Retried(self.supervisor()?.retry(&name, stream.as_deref(), out_of_order)?))
            }
            Request::DeadLettersDiscard { name, stream } => {
                Ok(Response::Retried(self.supervisor()?.discard(&name, stream.as_deref())?))
            }
            Request::Projections { name } => self.projections(name.as_deref(), sink),
            Request::SessionCode => self.session_code(),
            Request::Health if self.is_ready() => Ok(Response::Nothing),
            Request::Health => Err(ControlError::new(
                ErrorKind::Host,
                "the host is not ready: it is starting, or ending, or its store fails",
            )),
            Request::StoreBackup { file } => {
                let bytes = self.store().backup(Path::new(&file))?;
                Ok(Response::BackedUp(BackedUp { file, bytes }))
            }
            Request::StoreAdopt => Ok(Response::Adopted(self.store().adopt_databases()?)),
            Request::StoreCheck => Ok(Response::Checked(self.check()?)),
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
            sink(Row::Import(*progress));
        });
        Ok(Response::Imported(summary.map_err(|e| match e.disk {
            true => ControlError::new(ErrorKind::Store, e.message),
            false => ControlError::refused(e.message),
        })?))
    }

    fn show_event(&self, id: &str) -> Answer {
        let Some((position, event)) = self.log()?.show(id)? else {
            return Err(ControlError::not_possible(format!("no event in the log has the id {id}")));
        };
        let shown = |bytes: &[u8]| to_json(bytes).map_err(|e| ControlError::failed(format!("event {id}: {e}")));
        let (data, metadata) = (shown(&event.data)?, shown(&event.metadata)?);
        Ok(Response::Event(LoggedEvent {
            id: event.id,
            position,
            stream: event.stream,
            r#type: event.kind,
            timestamp: event.timestamp,
            schema_version: event.schema_version,
            data,
            metadata,
        }))
    }

    fn install(&self, file: &str, named: Option<&str>, digest: Option<&str>) -> Answer {
        let component = read_plugin(file)?;
        if let Some(digest) = digest {
            let pinned: PinnedDigest = digest.parse().map_err(|e: NoDigest| ControlError::refused(e.to_string()))?;
            pinned.check(&component).map_err(|found| {
                ControlError::refused(format!(
                    "{file} is another file than the one asked for: it is {found}, not {pinned}"
                ))
            })?;
        }
        let installed = self.supervisor()?.install(&component, named);
        let (description, digest, new) = installed.map_err(|e| about_file(file, e))?;
        Ok(Response::Installed(Installed {
            projection_name: description.name,
            version: description.version,
            digest,
            sha256: crate::plugin::sha256(&component),
            status: if new { InstallStatus::Installed } else { InstallStatus::AlreadyInstalled },
        }))
    }

    fn swap_plugin(&self, name: &str, file: &str, after: &UnfinishedRebuild) -> Answer {
        let swapped = self.supervisor()?.swap(name, &read_plugin(file)?, "swap", after);
        Ok(Response::Swapped(Box::new(swapped.map_err(|e| about_file(file, e))?)))
    }

    fn list_plugins(&self, sink: &mut Sink<'_>) -> Answer {
        for projection in self.store().projections()? {
            sink(Row::Projection(ListedProjection::of(&projection)));
        }
        Ok(Response::Nothing)
    }

    fn plugin_history(&self, name: &str, sink: &mut Sink<'_>) -> Answer {
        for install in self.store().projection(name)?.installs {
            sink(Row::Install(install));
        }
        Ok(Response::Nothing)
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
        let swapped = self.supervisor()?.swap(name, &component, "rollback", &UnfinishedRebuild::Continue)?;
        Ok(Response::Swapped(Box::new(swapped)))
    }

    fn status(&self, name: &str) -> Answer {
        match self.overview(|rebuilds| rebuilds.progress(name))? {
            Some(progress) => Ok(Response::Status(Box::new(progress))),
            None => {
                Err(ControlError::not_possible(format!("{name} has never been rebuilt: unspool rebuild {name} starts")))
            }
        }
    }

    fn list(&self, all: bool, sink: &mut Sink<'_>) -> Answer {
        for progress in self.overview(|rebuilds| rebuilds.list(all))? {
            sink(Row::Rebuild(Box::new(progress)));
        }
        Ok(Response::Nothing)
    }
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
