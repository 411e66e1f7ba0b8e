//! Starting and resuming rebuilds.

use super::{Answer, Effect, Input, RebuildError, prepared::Prepared, same_history::Accept, supervisor::Supervisor};
use crate::{
    crash,
    store::{AttemptStart, RebuildOptions, RebuildRecord, Segment},
    vocabulary::{Description, Position, Status, now_ms},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a trigger asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Trigger {
    /// The projection.
    pub name: String,
    /// `log`, `file:PATH`, `postgres:PRESET?...` or a name of `unspool.toml`; what readers see was built from where absent, else
    /// what the latest rebuild used, else `log`. An unfinished rebuild keeps its own.
    pub source: Option<String>,
    /// The first event, by id, position or time; from the first of the source where absent.
    pub from: Option<String>,
    /// The last event, by id, position or time; up to the source's ceiling where absent.
    pub to: Option<String>,
    /// Start anew, giving up what an unfinished rebuild has done.
    pub restart: bool,
    /// What an operator says of a history that is not quite what it was.
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
        /// Where its events come from, and those of what readers see; only where that is another history.
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
    /// Where those of what readers see come from, where that is another history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_was: Option<String>,
    /// It begins behind this position.
    pub after: Position,
    /// It ends here.
    pub target: Position,
    /// Matching events between the two.
    pub events: u64,
    /// Records between the two that are no events of the history any more, by why: archived ones and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Events per chunk.
    pub chunk_size: u32,
    /// The plugin that handles them.
    pub plugin_digest: String,
    /// Whether readers are switched when it completes.
    pub promotes: bool,
}

impl Supervisor {
    /// Starts, resumes, or leaves running.
    ///
    /// # Errors
    /// When something that is named does not exist, the source cannot be read, or it is not possible as things are.
    pub fn trigger(&self, trigger: &Trigger) -> Result<TriggerAnswer, RebuildError> {
        self.host.compile(&trigger.name);
        let _turn = self.host.command(&trigger.name)?;
        let prepared = self.prepare(trigger)?;
        let input = Input::Trigger { restart: trigger.restart, same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        prepared.refuse_other_options(answer)?;
        self.carry_out(&prepared, effects, answer, Vec::new())
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
            self.refuse_empty(&prepared, &start)?;
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
            events: start.total_events.saturating_sub(record.map_or(0, RebuildRecord::passed)),
            left_out: prepared.source.left_out(after, start.target)?,
            chunk_size: start.chunk_size,
            plugin_digest: prepared.owner.digest().to_owned(),
            promotes: start.options.promotes(),
        })
    }

    /// For who holds the command's turn.
    pub(super) fn resume_in_turn(&self, name: &str, accept: &Accept) -> Result<TriggerAnswer, RebuildError> {
        let options = RebuildOptions { accept_missing: accept.missing, ..RebuildOptions::default() };
        let asked = Trigger { name: name.to_owned(), accept: accept.clone(), options, ..Trigger::default() };
        let prepared = self.prepare(&asked)?;
        let input = Input::Resume { same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(name, &prepared.latest, input)?;
        self.carry_out(&prepared, effects, answer, Vec::new())
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
        self.refuse_empty(&prepared, &start)?;
        Ok(prepared)
    }

    /// Starts what was prepared by [`Supervisor::prepare_restart`], whose first parts earlier plugins build. For who holds the
    /// command's turn.
    pub(super) fn restart_in_turn(
        &self,
        mut prepared: Prepared,
        segments: Vec<Segment>,
    ) -> Result<TriggerAnswer, RebuildError> {
        prepared.owner = self.host.store.projection(&prepared.name)?;
        prepared.latest = self.host.store.latest_rebuild(&prepared.name)?;
        let input = Input::Trigger { restart: true, same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        self.carry_out(&prepared, effects, answer, segments)
    }

    fn carry_out(
        &self,
        prepared: &Prepared,
        effects: &[Effect],
        answer: Answer,
        segments: Vec<Segment>,
    ) -> Result<TriggerAnswer, RebuildError> {
        let projection_name = prepared.name.clone();
        if answer == Answer::AlreadyRunning {
            let checkpoint_id = prepared.latest.as_ref().map_or_else(String::new, RebuildRecord::checkpoint_id);
            return Ok(TriggerAnswer::AlreadyRunning { projection_name, checkpoint_id });
        }
        // Everything that can fail for reasons of the operator's comes before anything is changed.
        let plugin = self.host.plugin(prepared.owner.digest())?;
        let anew = effects.contains(&Effect::CreateGeneration);
        let kept = prepared.latest.as_ref().filter(|_| !anew);
        let start = prepared.start(kept)?;
        if kept.is_none() {
            self.refuse_empty(prepared, &start)?;
        }
        let generation = match kept {
            Some(record) => record.generation,
            None => {
                self.host.store.create_generation(&prepared.name, prepared.new_rebuild(segments), now_ms())?.generation
            }
        };
        let record = self.host.store.begin_attempt(&prepared.name, generation, &start)?;
        crash::point("begin-attempt.after");
        let (checkpoint_id, from_event_id) = (record.checkpoint_id(), record.checkpoint.last_event_id.clone());
        if record.status() == Status::Completed {
            // Its database had its last commit, and the store did not know.
            return Ok(TriggerAnswer::Resumed { projection_name, checkpoint_id, from_event_id });
        }
        if let Err(e) = self.host.begin(&prepared.name, record, prepared.source.clone(), plugin) {
            self.host.store.settle(&prepared.name, generation, Status::Paused, None, now_ms())?;
            return Err(e);
        }
        Ok(match answer {
            Answer::Resumed => TriggerAnswer::Resumed { projection_name, checkpoint_id, from_event_id },
            _ => {
                let source = prepared.source_was.as_ref().map(|_| prepared.source_name.clone());
                TriggerAnswer::Started {
                    projection_name,
                    checkpoint_id,
                    source,
                    source_was: prepared.source_was.clone(),
                }
            }
        })
    }

    /// What readers see is not replaced by what is built from nothing, unless that is asked for.
    fn refuse_empty(&self, prepared: &Prepared, start: &AttemptStart) -> Result<(), RebuildError> {
        let name = &prepared.name;
        if start.total_events > 0 || !start.options.promotes() || start.options.allow_empty {
            return Ok(());
        }
        match self.host.store.live_rebuild(name)?.filter(|live| live.passed() > 0) {
            None => Ok(()),
            Some(live) => Err(RebuildError::NotPossible(format!(
                "{} has no event of the types that {name} handles ({}) in this range: readers would see no rows instead of {}, \
                 which was built from {} events of {}; add --allow-empty where that is meant, or --no-promote",
                prepared.source_name,
                prepared.owner.description.event_types.join(", "),
                live.checkpoint_id(),
                live.passed(),
                live.spec.source
            ))),
        }
    }
}
