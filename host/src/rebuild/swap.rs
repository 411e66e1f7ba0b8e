//! Installing and swapping plugins: a recorded decision.

use super::{
    Input, RebuildError, locate,
    perform::{Means, NewPlugin},
    prepared::{Prepared, same_shape},
    same_history::Accept,
    same_history::refuse_other_history,
    supervisor::Supervisor,
    trigger::{Trigger, TriggerAnswer},
};
use crate::{
    plugin::Plugin,
    store::{RebuildRecord, Segment},
    vocabulary::{Description, Status, now_ms},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to an unfinished rebuild when its plugin is swapped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnfinishedRebuild {
    /// It goes on from its checkpoint with the new plugin: at once where it runs, else when it is resumed.
    #[default]
    Continue,
    /// A new generation is built: by the plugin before up to and including this event (or position, or time), by the new
    /// one from there on.
    RewindTo(String),
    /// A new generation is built by the new plugin alone.
    Restart,
}

/// What a swap changed, and what follows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwapReport {
    /// The projection.
    pub projection_name: String,
    /// The plugin before.
    pub from_digest: String,
    /// The plugin now.
    pub to_digest: String,
    /// The state version before.
    pub from_version: u32,
    /// The state version now.
    pub to_version: u32,
    /// Event types that only the new plugin handles.
    pub added_event_types: Vec<String>,
    /// Event types that only the plugin before handled.
    pub removed_event_types: Vec<String>,
    /// Tables that only the new plugin has.
    pub added_tables: Vec<String>,
    /// Tables that only the plugin before had.
    pub removed_tables: Vec<String>,
    /// Whether an unfinished rebuild can go on with it.
    pub same_shape: bool,
    /// The rebuild that was started, where one was.
    pub rebuild: Option<TriggerAnswer>,
    /// What the operator does next.
    pub next: String,
}

impl Supervisor {
    /// Checks a plugin and registers its projection.
    ///
    /// # Errors
    /// When the plugin is not accepted, is none of the projection `named`, or that is installed with another plugin: that is a swap.
    pub fn install(&self, component: &[u8], named: Option<&str>) -> Result<(Description, String, bool), RebuildError> {
        // Before the command lock: compiling may take long, and no other command is to wait for it.
        let plugin = self.host.engine.load(component)?;
        let description = plugin.description().clone();
        if let Some(named) = named.filter(|named| *named != description.name) {
            return Err(RebuildError::Usage(format!(
                "the plugin that is declared for {named} is one of {}: it was not installed",
                description.name
            )));
        }
        let _lock = self.host.command(&description.name)?;
        let known = self.host.store.projections()?.into_iter().find(|known| known.description.name == description.name);
        if let Some(known) = known.filter(|known| known.digest() != plugin.digest()) {
            return Err(RebuildError::Usage(format!(
                "{} is installed with another plugin ({}); unspool plugin swap {} FILE replaces it",
                description.name,
                known.digest().get(..12).unwrap_or_default(),
                description.name
            )));
        }
        let new = self.host.store.install(&description, plugin.digest(), component, "install", now_ms())?;
        Ok((description, plugin.digest().to_owned(), new))
    }

    /// Checks a plugin and replaces the current one with it. A running rebuild takes it up between two chunks.
    ///
    /// # Errors
    /// When the plugin is not accepted or belongs to another projection, or a running rebuild cannot go on with it.
    pub fn swap(
        &self,
        name: &str,
        component: &[u8],
        how: &str,
        after: &UnfinishedRebuild,
    ) -> Result<SwapReport, RebuildError> {
        let plugin = self.load_for(name, component)?;
        let _lock = self.host.command(name)?;
        let description = plugin.description().clone();
        let before = self.host.store.projection(name)?;
        let latest = self.host.store.latest_rebuild(name)?;
        let fits = latest.as_ref().is_none_or(|record| same_shape(record, &description));
        refuse_silent_shape_change(&before.description, &description)?;
        let segments = self.segments(name, latest.as_ref(), after, fits)?;
        let anew = *after != UnfinishedRebuild::Continue;
        let input = if anew { Input::SwapAnew } else { Input::Swap { same_shape: fits } };
        // Whatever can be refused of the new rebuild is refused before anything is changed.
        let prepared = match anew {
            true => Some(self.prepare_restart(&trigger_like(name, latest.as_ref()), latest.as_ref(), &description)?),
            false => None,
        };
        let came_from = prepared.as_ref().and_then(Prepared::came_from);
        let new = NewPlugin { plugin: &plugin, component, how };
        let means = Means { plugin: Some(new), prepared, segments };
        let begun = self.perform(name, input, means)?.begun;
        self.swap_follower(name)?;
        let status = self.host.store.latest_rebuild(name)?.as_ref().map(RebuildRecord::status);
        let rebuild = begun.map(|record| TriggerAnswer::begun(&record, !anew, came_from));
        let only_in =
            |these: &[String], those: &[String]| these.iter().filter(|x| !those.contains(x)).cloned().collect();
        let tables = |of: &Description| of.tables.iter().map(|table| table.name.clone()).collect::<Vec<_>>();
        let (old, new) = (&before.description, &description);
        Ok(SwapReport {
            projection_name: name.to_owned(),
            from_digest: before.digest().to_owned(),
            to_digest: plugin.digest().to_owned(),
            from_version: old.version,
            to_version: new.version,
            added_event_types: only_in(&new.event_types, &old.event_types),
            removed_event_types: only_in(&old.event_types, &new.event_types),
            added_tables: only_in(&tables(new), &tables(old)),
            removed_tables: only_in(&tables(old), &tables(new)),
            same_shape: fits,
            next: next_after_swap(name, status, fits, anew, rebuild.is_some()),
            rebuild,
        })
    }

    /// The plugin in `component`, which must be one of `name`.
    pub(super) fn load_for(&self, name: &str, component: &[u8]) -> Result<Plugin, RebuildError> {
        let plugin = self.host.engine.load(component)?;
        let described = &plugin.description().name;
        if described == name {
            return Ok(plugin);
        }
        Err(RebuildError::Usage(format!(
            "the plugin describes projection {described}, not {name}; swap that one, or install this plugin"
        )))
    }

    /// The parts that a rebuild after the swap leaves to the plugins that built them before.
    fn segments(
        &self,
        name: &str,
        latest: Option<&RebuildRecord>,
        after: &UnfinishedRebuild,
        fits: bool,
    ) -> Result<Vec<Segment>, RebuildError> {
        let UnfinishedRebuild::RewindTo(to) = after else { return Ok(Vec::new()) };
        let Some(record) = latest else {
            return Err(RebuildError::Usage(format!(
                "{name} has never been rebuilt; there is nothing to rewind: leave out --rewind-to"
            )));
        };
        if !fits {
            return Err(RebuildError::Usage(
                "the plugins have another state version or other tables; their rows do not mix: use --restart"
                    .to_owned(),
            ));
        }
        self.host.store.refuse_misfit(name, Some(record.generation), None)?;
        let source = self.host.source(&record.spec.source)?;
        refuse_other_history(source.as_ref(), record, &Accept::default())?;
        let through = locate::end(source.as_ref(), &record.spec.source, to)?;
        if through > record.checkpoint.position {
            return Err(RebuildError::Usage(format!(
                "{to} is at position {through}, beyond the checkpoint at {}; rewinding goes back",
                record.checkpoint.position
            )));
        }
        let before = record.ranges.iter().filter(|range| range.after < through);
        Ok(before
            .map(|range| Segment { plugin_digest: range.plugin_digest.clone(), through: range.through.min(through) })
            .collect())
    }
}

/// A trigger for a rebuild like `record`: the same source and options. Its range is known by position.
fn trigger_like(name: &str, record: Option<&RebuildRecord>) -> Trigger {
    let Some(record) = record else { return Trigger { name: name.to_owned(), ..Trigger::default() } };
    Trigger {
        name: name.to_owned(),
        source: Some(record.spec.source.clone()),
        from: None,
        to: None,
        restart: true,
        accept: Accept::default(),
        options: record.spec.options.clone(),
        into: None,
    }
}

/// Tables are part of the state's shape: another set of them needs another version, or the change would go unnoticed.
fn refuse_silent_shape_change(before: &Description, after: &Description) -> Result<(), RebuildError> {
    if before.version == after.version && before.tables != after.tables {
        return Err(RebuildError::Usage(format!(
            "this plugin has other tables than the installed one, but the same version {}; give it a new version",
            after.version
        )));
    }
    Ok(())
}

fn next_after_swap(name: &str, status: Option<Status>, same_shape: bool, anew: bool, goes_on: bool) -> String {
    match status {
        _ if anew => "a new generation is being built".to_owned(),
        _ if goes_on => "the rebuild goes on with it".to_owned(),
        Some(Status::Paused | Status::Failed) if same_shape => {
            format!("unspool resume {name} goes on from its checkpoint")
        }
        Some(Status::Paused | Status::Failed) => format!("unspool rebuild {name} --restart builds a new generation"),
        _ => format!("unspool rebuild {name} builds a new generation with it"),
    }
}
