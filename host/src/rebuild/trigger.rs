//! Starting and resuming rebuilds.

use super::{
    Answer, Effect, Input, RebuildError, perform::Means, prepared::Prepared, same_history::Accept,
    supervisor::Supervisor,
};
use crate::{
    source::Source,
    store::{AttemptStart, RebuildOptions, RebuildRecord},
    vocabulary::{Description, Matcher, Position, Status},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a trigger requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// The projection.
    pub name: String,
    /// `log`, `file:PATH`, `postgres:PRESET?...` or a name of `unspool.toml`; where absent the source of the live generation,
    /// else of the latest rebuild, else `log`. An unfinished rebuild keeps its own.
    pub source: Option<String>,
    /// The first event, by id, position or time; from the first of the source where absent.
    pub from: Option<String>,
    /// The last event, by id, position or time; up to the source's ceiling where absent.
    pub to: Option<String>,
    /// Start over, giving up what an unfinished rebuild has done.
    pub restart: bool,
    /// What an operator says about a history that is not quite what it was.
    #[serde(default)]
    pub accept: Accept,
    /// How it goes about it.
    #[serde(default)]
    pub options: RebuildOptions,
    /// Where its rows are to live: `postgres:` and a connection string, or `store`. Where `unspool.toml` says, or those of
    /// the latest rebuild live, where absent; an unfinished rebuild keeps its own.
    pub into: Option<String>,
}

/// The answer to a trigger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum TriggerAnswer {
    /// A new rebuild.
    Started {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
        /// Where its events come from, and those of the live generation; only where that is another history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// See `source`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source_was: Option<String>,
    },
    /// It is running anyway.
    AlreadyRunning {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
    },
    /// It goes on from its checkpoint.
    Resumed {
        /// The projection.
        projection_name: String,
        /// Projection and generation.
        checkpoint_id: String,
        /// The last event that had been handled; absent where there was none.
        from_event_id: Option<String>,
    },
}

impl TriggerAnswer {
    /// The projection.
    pub fn projection_name(&self) -> &str {
        match self {
            TriggerAnswer::Started { projection_name, .. }
            | TriggerAnswer::AlreadyRunning { projection_name, .. }
            | TriggerAnswer::Resumed { projection_name, .. } => projection_name,
        }
    }

    /// The answer about an attempt that has begun: of a generation that goes on, or of a new one. `came_from`: see
    /// [`TriggerAnswer::Started`].
    pub(super) fn begun(record: &RebuildRecord, resumed: bool, came_from: Option<(String, String)>) -> TriggerAnswer {
        let (projection_name, checkpoint_id) = (record.checkpoint.projection_name.clone(), record.checkpoint_id());
        if resumed || record.status() == Status::Completed {
            let from_event_id = record.checkpoint.last_event_id.clone();
            return TriggerAnswer::Resumed { projection_name, checkpoint_id, from_event_id };
        }
        let (source, source_was) = came_from.unzip();
        TriggerAnswer::Started { projection_name, checkpoint_id, source, source_was }
    }
}

/// What a trigger would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The projection.
    pub projection_name: String,
    /// `started`, `resumed` or `already_running`.
    pub would_be: String,
    /// Where the events come from.
    pub source: String,
    /// Where those of the live generation come from, where that is another history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_was: Option<String>,
    /// It begins after this position.
    pub after: Position,
    /// It ends here.
    pub target: Position,
    /// Matching events between the two; absent where the source does not count them.
    pub events: Option<u64>,
    /// Records between the two that are no events of the history any more, by why: archived ones and the like; those that are
    /// known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Events per chunk.
    pub chunk_size: u32,
    /// The plugin that handles them.
    pub plugin_digest: String,
    /// Whether it is promoted when it completes.
    pub promotes: bool,
}

impl Supervisor {
    /// Starts or resumes it, or leaves it running.
    ///
    /// # Errors
    /// When something that is named does not exist, the source cannot be read, or it is not possible as things are.
    pub fn trigger(&self, trigger: &Trigger) -> Result<TriggerAnswer, RebuildError> {
        self.host.compile(&trigger.name);
        if trigger.options.follow {
            self.host.follows();
        }
        let _lock = self.host.command(&trigger.name)?;
        let prepared = self.prepare(trigger)?;
        let input = Input::Trigger { restart: trigger.restart, same_shape: prepared.same_shape() };
        self.carry_out(input, prepared)
    }

    /// What [`Supervisor::trigger`] would do; nothing is changed.
    ///
    /// # Errors
    /// As [`Supervisor::trigger`].
    pub fn plan(&self, trigger: &Trigger) -> Result<Plan, RebuildError> {
        let prepared = self.prepare(trigger)?;
        let input = Input::Trigger { restart: trigger.restart, same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        prepared.refuse_other_options(answer)?;
        let anew = effects.contains(&Effect::CreateGeneration);
        let record = prepared.latest.as_ref().filter(|_| !anew);
        let start = prepared.start(record)?;
        if anew {
            self.refuse_loss(&prepared, &start)?;
        }
        let after = record.map_or(prepared.after, |record| record.checkpoint.position);
        Ok(Plan {
            projection_name: prepared.name.clone(),
            would_be: match answer {
                Answer::Resumed => "resumed",
                Answer::AlreadyRunning => "already_running",
                _ => "started",
            }
            .to_owned(),
            source: prepared.source_name.clone(),
            source_was: prepared.source_was.clone().filter(|_| anew),
            after,
            target: start.target,
            events: start.total_events.map(|total| total.saturating_sub(record.map_or(0, RebuildRecord::passed))),
            left_out: prepared.source.left_out(after, start.target)?.unwrap_or_default(),
            chunk_size: start.chunk_size,
            plugin_digest: prepared.owner.digest().to_owned(),
            promotes: start.options.promotes(),
        })
    }

    /// The caller holds the command lock.
    pub(super) fn resume_locked(&self, name: &str, accept: &Accept) -> Result<TriggerAnswer, RebuildError> {
        let options = RebuildOptions { accept_missing: accept.missing, ..RebuildOptions::default() };
        let asked = Trigger { name: name.to_owned(), accept: accept.clone(), options, ..Trigger::default() };
        let prepared = self.prepare(&asked)?;
        if prepared.latest.as_ref().is_some_and(|record| record.spec.options.follow) {
            self.host.follows();
        }
        self.carry_out(Input::Resume { same_shape: prepared.same_shape() }, prepared)
    }

    /// A new generation over the range of `like`, to be built by a plugin of this description; refused where that plugin's
    /// rebuild could not be started.
    pub(super) fn prepare_restart(
        &self,
        trigger: &Trigger,
        like: Option<&RebuildRecord>,
        description: &Description,
    ) -> Result<Prepared, RebuildError> {
        let mut prepared = self.prepare(&Trigger { restart: true, ..trigger.clone() })?;
        prepared.owner.description = description.clone();
        if let Some(like) = like {
            (prepared.after, prepared.to) = (like.spec.after, like.spec.to);
        }
        let start = prepared.start(None)?;
        self.refuse_loss(&prepared, &start)?;
        Ok(prepared)
    }

    fn carry_out(&self, input: Input, prepared: Prepared) -> Result<TriggerAnswer, RebuildError> {
        let (answer, _) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        prepared.refuse_other_options(answer)?;
        let name = prepared.name.clone();
        let came_from = prepared.came_from();
        let latest = prepared.latest.as_ref().map(RebuildRecord::checkpoint_id);
        let performed = self.perform(&name, input, Means { prepared: Some(prepared), ..Means::default() })?;
        Ok(match performed.begun {
            Some(record) => TriggerAnswer::begun(&record, performed.answer == Answer::Resumed, came_from),
            None => TriggerAnswer::AlreadyRunning { projection_name: name, checkpoint_id: latest.unwrap_or_default() },
        })
    }

    /// The live generation is not replaced by one that is built from nothing, or from less of the same history, unless that
    /// is requested.
    pub(super) fn refuse_loss(&self, prepared: &Prepared, start: &AttemptStart) -> Result<(), RebuildError> {
        let name = &prepared.name;
        let live = self.host.store.live_rebuild(name)?.filter(|live| live.passed() > 0 && start.options.promotes());
        let Some(live) = live else { return Ok(()) };
        if let Some(to) = prepared.to.filter(|to| *to < live.checkpoint.position)
            && live.is_followed()
            && live.spec.source_identity == prepared.source.identity()
        {
            return Err(RebuildError::NotPossible(format!(
                "readers of {name} see {}, which is followed and has come to {}: a rebuild that ends at {to} would take them back; \
                 leave out --to, add --no-promote, or stop following it first (unspool unfollow {name})",
                live.checkpoint_id(),
                live.checkpoint.position
            )));
        }
        if start.total_events == Some(0) {
            return match start.options.allow_empty {
                true => Ok(()),
                false => Err(RebuildError::NotPossible(format!(
                    "{} has no event of the types that {name} handles ({}) in this range: readers would see no rows instead of {}, \
                     which was built from {} events of {}; add --allow-empty where that is meant, or --no-promote",
                    prepared.source_name,
                    prepared.owner.description.event_types.join(", "),
                    live.checkpoint_id(),
                    live.passed(),
                    live.spec.source
                ))),
            };
        }
        let gone = match prepared.source_was {
            Some(_) => 0,
            None => self.gone(&live, prepared.source.as_ref())?,
        };
        if gone <= start.options.accept_missing() {
            return Ok(());
        }
        Err(RebuildError::NotPossible(format!(
            "{gone} of the {} events that the live generation, {}, was built from are not in {} any more: the new rows would lack what \
             they made; add --accept-missing {gone} where that is meant, or --no-promote",
            live.passed(),
            live.checkpoint_id(),
            prepared.source_name
        )))
    }

    /// How many of the events that `live` was built from `source` does not have any more, as far as its plugins are
    /// known and the source counts.
    fn gone(&self, live: &RebuildRecord, source: &dyn Source) -> Result<u64, RebuildError> {
        let mut there = 0;
        for range in &live.ranges {
            let Ok(plugin) = self.host.plugin(&range.plugin_digest) else { return Ok(0) };
            let matcher = Matcher::new(&plugin.description().event_types);
            let Some(count) = source.count(&matcher, range.after, range.through)? else { return Ok(0) };
            there += count;
        }
        Ok(live.passed().saturating_sub(there))
    }
}
