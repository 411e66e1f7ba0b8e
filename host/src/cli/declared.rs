//! `plan` and `apply`: the projections that `unspool.toml` declares, and what makes them so.

use super::{
    args::{ApplyArgs, Cli},
    hosting::{Hosting, attached, detached, wait_for_others},
    output::Output,
    rebuilds::start_and_watch,
    session::{Session, json, settings_file, unknown_answer},
};
use crate::{
    control::{
        Access, ControlError, ErrorKind, GenerationRole, ListedGeneration, ListedProjection, Request, Response, Row,
    },
    rebuild::{Accept, Trigger, UnfinishedRebuild},
    settings::{ErrorPolicy, KeepPrevious, Projection, Settings, Yielding},
    store::{OnError, Priority, RebuildOptions},
    vocabulary::{FollowState, Status},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Exit code of a plan with changes.
const PENDING: u8 = 10;

/// What makes one projection what was declared.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    /// The projection.
    projection_name: String,
    /// What is done.
    action: Action,
    /// Why.
    because: String,
    #[serde(skip)]
    plugin: PathBuf,
    #[serde(skip)]
    declared: Projection,
}

/// What is done about a projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Install its plugin.
    Install,
    /// Replace its plugin.
    Swap,
    /// Build a generation, beside the live one where there is one.
    Rebuild,
    /// Let its unfinished rebuild go on.
    Resume,
    /// Keep the live generation up to date.
    Follow,
    /// Leave it as it is.
    Unfollow,
}

/// Shows what differs from what is declared; exit code 10 where something does.
pub(super) fn plan(cli: &Cli, output: &Output) -> Result<u8, ControlError> {
    let declared = declared(cli)?;
    let standing = match Session::open(cli, Access::Read) {
        Ok(session) => standing(&session)?,
        // Nothing is there yet.
        Err(e) if e.kind == ErrorKind::NoDirectory => BTreeMap::new(),
        Err(e) => return Err(e),
    };
    let changes = changes(&declared, &standing);
    for change in &changes {
        output.row(&json(change));
    }
    if changes.is_empty() {
        output.say("nothing to do");
    }
    Ok(if changes.is_empty() { 0 } else { PENDING })
}

/// Makes everything as it is declared, and waits for the rebuilds that takes.
pub(super) fn apply(cli: &Cli, args: &ApplyArgs, output: &Output) -> Result<u8, ControlError> {
    let declared = declared(cli)?;
    // Where there is nothing yet, it begins here.
    drop(Session::open(cli, Access::Begin)?);
    let session = if args.detach { detached(cli)? } else { attached(cli, Access::Change)? };
    let before = standing(&session)?;
    let rebuilds = begin(&session, &declared, output)?;
    if changes(&declared, &before).is_empty() {
        output.say("nothing to do");
    }
    if rebuilds.is_empty() {
        // What is followed from now on needs a host that stays.
        let follows = changes(&declared, &before).iter().any(|change| change.action == Action::Follow);
        if follows && !session.is_remote() {
            let hosting = Hosting::begin(&session, super::INTERRUPTED, true)?;
            wait_for_others(&session, Some(&hosting));
        }
        return Ok(0);
    }
    start_and_watch(&session, rebuilds, args.detach, output)
}

/// As [`apply`], for a host that is about to serve: rebuilds go on while it does, and what cannot be done now is said and left.
pub(super) fn apply_to(session: &Session, declared: &Declared, output: &Output) {
    let left = |e: ControlError| tracing::error!("not as it is declared: {e}");
    for (name, projection) in declared {
        let one = BTreeMap::from([(name.clone(), projection.clone())]);
        let begun = begin(session, &one, output).and_then(|requests| {
            requests.into_iter().try_for_each(|request| session.ask(request, &mut |_| true).map(drop))
        });
        begun.unwrap_or_else(left);
    }
}

/// Does all but the rebuilds, which it returns.
fn begin(session: &Session, declared: &Declared, output: &Output) -> Result<Vec<Request>, ControlError> {
    let changes = changes(declared, &standing(session)?);
    let mut rebuilds = Vec::new();
    for change in changes {
        output.row(&json(&change));
        let name = change.projection_name.clone();
        let file = super::paths::absolute(&change.plugin)?;
        let request = match change.action {
            Action::Install => Request::PluginInstall { file, named: Some(name), digest: None },
            Action::Swap => Request::PluginSwap { name, file, after: UnfinishedRebuild::Continue },
            Action::Rebuild => {
                rebuilds.push(Request::Rebuild(trigger(name, &change.declared)));
                continue;
            }
            Action::Resume => {
                rebuilds.push(Request::Resume { name, accept: Accept::default() });
                continue;
            }
            Action::Follow => Request::Follow { name, accept: Accept::default() },
            Action::Unfollow => Request::Unfollow { name },
        };
        session.ask(request, &mut |_| true)?;
    }
    Ok(rebuilds)
}

fn trigger(name: String, declared: &Projection) -> Trigger {
    Trigger {
        name,
        source: declared.source.clone(),
        restart: true,
        options: RebuildOptions {
            chunk_size: declared.chunk_size,
            priority: declared.priority.map(|priority| match priority {
                Yielding::Low => Priority::Low,
                Yielding::Normal => Priority::Normal,
            }),
            on_error: declared.on_error.map(|policy| match policy {
                ErrorPolicy::Stop => OnError::Stop,
                ErrorPolicy::Park => OnError::Park,
            }),
            allow_parked: declared.on_error == Some(ErrorPolicy::Park),
            follow: declared.follow == Some(true),
            ..RebuildOptions::default()
        },
        into: declared.into.clone(),
        ..Trigger::default()
    }
}

/// The projections that are declared.
pub(super) type Declared = BTreeMap<String, DeclaredProjection>;

/// A projection whose plugin is named.
#[derive(Debug, Clone)]
pub(super) struct DeclaredProjection {
    plugin: PathBuf,
    digest: String,
    settings: Projection,
}

/// What the file declares.
pub(super) fn declared(cli: &Cli) -> Result<Declared, ControlError> {
    let file = settings_file(cli);
    if !file.exists() {
        return Err(ControlError::refused(format!(
            "{} does not exist: it declares projections, [projections.NAME] with plugin = \"FILE\"",
            file.display()
        )));
    }
    let settings = Settings::read(&file).map_err(|e| ControlError::refused(e.to_string()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut declared = BTreeMap::new();
    for (name, mut projection) in settings.projections {
        // As the plugin is: from the folder of the settings on.
        let relative = projection.source.as_deref().and_then(|source| source.strip_prefix("file:"));
        if let Some(path) = relative.filter(|path| !path.starts_with('/')) {
            let folder = std::path::absolute(folder).map_err(|e| ControlError::refused(e.to_string()))?;
            projection.source = Some(format!("file:{}/{path}", folder.display()));
        }
        if let Some(source) = &projection.source
            && !source.contains(':')
            && source != "log"
            && !settings.sources.contains_key(source)
        {
            return Err(ControlError::refused(format!(
                "{}: the source {source} of projection {name} is not known: [sources.{source}] describes it",
                file.display()
            )));
        }
        match &projection.plugin {
            Some(plugin) => {
                let plugin = folder.join(plugin);
                let component = crate::plugin::read(&plugin)
                    .map_err(|e| ControlError::refused(format!("{}: {e}", plugin.display())))?;
                let digest = crate::plugin::digest(&component);
                declared.insert(name, DeclaredProjection { plugin, digest, settings: projection });
            }
            None if projection.source.is_some()
                || projection.follow.is_some()
                || projection.on_error.is_some()
                || projection.chunk_size.is_some()
                || projection.priority.is_some()
                || projection.keep_previous == KeepPrevious::Current =>
            {
                return Err(ControlError::refused(format!(
                    "{}: projection {name} has no plugin: plugin = \"FILE\" declares it",
                    file.display()
                )));
            }
            // Where its rows live, and their indexes, holds for commands too.
            None => {}
        }
    }
    Ok(declared)
}

/// What is there of a projection.
struct Standing {
    digest: String,
    live: Option<ListedGeneration>,
    following: Option<FollowState>,
    /// The status of the latest rebuild, where there was one, and the plugin that works or worked on it.
    latest: Option<Status>,
}

fn standing(session: &Session) -> Result<BTreeMap<String, Standing>, ControlError> {
    let mut installed: Vec<ListedProjection> = Vec::new();
    session.ask(Request::PluginList, &mut |row| {
        if let Row::Projection(projection) = row {
            installed.push(projection);
        }
        true
    })?;
    let mut standing = BTreeMap::new();
    for projection in installed {
        let name = projection.projection_name.clone();
        let mut live = None;
        session.ask(Request::ModelGenerations { name: name.clone() }, &mut |row| {
            if let Row::Generation(generation) = row
                && generation.role == GenerationRole::Live
            {
                live = Some(*generation);
            }
            true
        })?;
        let status = match session.ask(Request::Status { name: name.clone() }, &mut |_| true) {
            Ok(Response::Status(progress)) => Some(progress),
            Ok(_) => return Err(unknown_answer()),
            // It has never been rebuilt.
            Err(e) if e.kind == ErrorKind::NotPossible => None,
            Err(e) => return Err(e),
        };
        let following = status.as_ref().and_then(|progress| progress.following);
        let latest = status.map(|progress| progress.status);
        standing.insert(name, Standing { digest: projection.digest, live, following, latest });
    }
    Ok(standing)
}

fn changes(declared: &Declared, standing: &BTreeMap<String, Standing>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, DeclaredProjection { plugin, digest, settings: projection }) in declared {
        let change = |action, because: String| Change {
            projection_name: name.clone(),
            action,
            because,
            plugin: plugin.clone(),
            declared: projection.clone(),
        };
        let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
        let Some(now) = standing.get(name) else {
            changes.push(change(Action::Install, format!("{} is not installed", plugin.display())));
            changes.push(change(Action::Rebuild, "there is no live generation".to_owned()));
            continue;
        };
        if now.digest != *digest {
            let because = format!("installed is {}, declared is {}", short(&now.digest), short(digest));
            changes.push(change(Action::Swap, because));
        }
        let why = rebuild_because(projection, now, digest);
        let follows = now.following == Some(FollowState::Following);
        match (why, now.latest) {
            (Some(because), Some(Status::Paused | Status::Failed)) if now.live.is_none() && now.digest == *digest => {
                changes.push(change(Action::Resume, format!("{because}, and a rebuild is unfinished")));
            }
            // It is on its way; where the plugin is swapped, it goes on with that. Its end is waited for.
            (Some(because), Some(Status::Running)) => {
                changes.push(change(Action::Resume, format!("{because}, and a rebuild is running")));
            }
            (Some(because), _) => changes.push(change(Action::Rebuild, because)),
            (None, _) if projection.follow == Some(true) && !follows => {
                changes.push(change(Action::Follow, "the live generation is not followed".to_owned()));
            }
            (None, _) if projection.follow == Some(false) && now.following.is_some() => {
                changes.push(change(Action::Unfollow, "the live generation is followed".to_owned()));
            }
            (None, _) => {}
        }
    }
    changes
}

/// Why the live generation is not what was declared.
fn rebuild_because(projection: &Projection, now: &Standing, digest: &str) -> Option<String> {
    let Some(live) = &now.live else { return Some("there is no live generation".to_owned()) };
    let number = live.generation;
    if live.ranges.iter().any(|range| range.plugin_digest != digest) {
        return Some(format!("generation {number} was built by another plugin"));
    }
    // What is declared may have a password in it, and is not shown.
    if projection.source.as_ref().is_some_and(|source| *source != live.source) {
        return Some(format!("generation {number} was built from {}, and another source is declared", live.source));
    }
    let into = projection.into.as_deref().map(|into| Some(into).filter(|into| *into != "store"));
    if into.is_some_and(|into| into != live.into.as_deref()) {
        let is = live.into.as_deref().unwrap_or("the store");
        return Some(format!("the rows of generation {number} are in {is}, and it is declared otherwise"));
    }
    None
}
