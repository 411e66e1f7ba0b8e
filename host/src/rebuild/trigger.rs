//! Starting and resuming rebuilds.

use super::{
    Answer, Effect, Input, RebuildError, place,
    same_history::{self, Accept},
    supervisor::Supervisor,
};
use crate::{
    crash, limits,
    source::Source,
    store::{AttemptStart, NewRebuild, OnError, Priority, ProjectionRecord, Purpose, RebuildRecord, Segment},
    vocabulary::{Description, Matcher, Position, Status, now_ms},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// What `--into` says of rows that live in the store itself.
const STORE: &str = "store";

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
    /// Events per chunk; the projection's own where absent.
    pub chunk_size: Option<u32>,
    /// How much the rebuild yields; low where absent.
    pub priority: Option<Priority>,
    /// Events per second that it may handle at most; as many as it can where absent.
    pub rate_limit: Option<u32>,
    /// Leave readers where they are when it completes.
    pub no_promote: bool,
    /// What happens to events that cannot be handled; the rebuild stops where absent.
    pub on_error: Option<OnError>,
    /// Count the rebuild as done, and promote it, with parked events too.
    pub allow_parked: bool,
    /// Replace what readers see although the source has no event for it.
    #[serde(default)]
    pub allow_empty: bool,
    /// What an operator says of a history that is not quite what it was.
    #[serde(default)]
    pub accept: Accept,
    /// Go on with new events once the end of the history is reached.
    #[serde(default)]
    pub follow: bool,
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
            promotes: start.promote,
        })
    }

    /// For who holds the command's turn.
    pub(super) fn resume_in_turn(&self, name: &str, accept: &Accept) -> Result<TriggerAnswer, RebuildError> {
        let prepared =
            self.prepare(&Trigger { name: name.to_owned(), accept: accept.clone(), ..Trigger::default() })?;
        let input = Input::Resume { same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(name, &prepared.latest, input)?;
        self.carry_out(&prepared, effects, answer, Vec::new())
    }

    /// Starts a new generation over the range of `like`, whose first parts earlier plugins build. For who holds the
    /// command's turn.
    pub(super) fn restart_in_turn(
        &self,
        trigger: &Trigger,
        like: Option<&RebuildRecord>,
        segments: Vec<Segment>,
    ) -> Result<TriggerAnswer, RebuildError> {
        let mut prepared = self.prepare(&Trigger { restart: true, ..trigger.clone() })?;
        if let Some(like) = like {
            (prepared.after, prepared.to) = (like.after, like.to);
        }
        let input = Input::Trigger { restart: true, same_shape: prepared.same_shape() };
        let (answer, effects) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        self.carry_out(&prepared, effects, answer, segments)
    }

    fn prepare(&self, trigger: &Trigger) -> Result<Prepared, RebuildError> {
        let name = trigger.name.as_str();
        let owner = self.host.store.projection(name)?;
        let latest = self.host.store.latest_rebuild(name)?;
        let unfinished = latest.as_ref().filter(|record| matches!(record.status(), Status::Paused | Status::Failed));
        let goes_on = unfinished.filter(|_| !trigger.restart);
        if goes_on.is_some() && (trigger.from.is_some() || trigger.to.is_some() || trigger.source.is_some()) {
            return Err(RebuildError::Usage(format!(
                "{name} has an unfinished rebuild, which goes on with its own source and range; \
                 add --restart to start anew, or leave out --source, --from and --to to resume"
            )));
        }
        let lives = latest.as_ref().and_then(|record| record.home.as_ref()).map(|home| home.into.as_str());
        let settings = self.host.settings(&owner.description)?;
        let set = settings.into.as_deref().filter(|_| goes_on.is_none());
        let into = match trigger.into.as_deref().or(set) {
            Some(STORE) => None,
            Some(into) => Some(into),
            None => lives,
        };
        if goes_on.is_some() && into != lives {
            return Err(RebuildError::Usage(format!(
                "{name} has an unfinished rebuild, whose rows live in {}; add --restart to start anew, or leave out --into to resume",
                lives.unwrap_or("the store")
            )));
        }
        if !trigger.restart {
            self.host.store.refuse_misfit(name, goes_on.map(|record| record.generation), into)?;
        }
        let into = into.map(str::to_owned);
        let (source_name, source, source_was) = match goes_on {
            Some(record) => (record.source.clone(), self.host.source(&record.source)?, None),
            None => self.remembered_source(name, trigger.source.as_deref(), trigger.restart)?,
        };
        let range = Range::find(source, &source_name, trigger.from.as_deref(), trigger.to.as_deref())?;
        Ok(Prepared {
            name: name.to_owned(),
            source: range.source,
            owner,
            latest,
            trigger: trigger.clone(),
            source_name,
            source_was,
            after: range.after,
            to: range.to,
            into,
            indexes: settings.tables.into_values().flat_map(|table| table.indexes).collect(),
        })
    }

    /// The source to build `name` from: as it is `named`, else the one that readers' rows came from, else that of the latest
    /// rebuild, else the log. Where it is another history than that of readers' rows, it must be named, or be meant to be
    /// another by `anew`; the answer then has the source of those.
    pub(super) fn remembered_source(
        &self,
        name: &str,
        named: Option<&str>,
        anew: bool,
    ) -> Result<Chosen, RebuildError> {
        let live = self.host.store.live_rebuild(name)?;
        let before = live.clone().or(self.host.store.latest_rebuild(name)?);
        let remembered = before.as_ref().map_or("log", |record| record.source.as_str());
        let source_name = named.unwrap_or(remembered).to_owned();
        let source = self.host.source(&source_name)?;
        let Some(live) = live else { return Ok((source_name, source, None)) };
        match same_history::why_other(source.as_ref(), &live)? {
            None => Ok((source_name, source, None)),
            Some(why) if named.is_some() || anew => {
                let was = if live.source == source_name { format!("{} ({why})", live.source) } else { live.source };
                Ok((source_name, source, Some(was)))
            }
            Some(why) => Err(RebuildError::OtherHistory(format!(
                "readers of {name} see {}, which was built from another history than {source_name} is now ({why}); where that is \
                 meant, name it: --source {source_name}",
                live.checkpoint_id()
            ))),
        }
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
        if start.total_events > 0 || !start.promote || start.allow_empty {
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
                live.source
            ))),
        }
    }
}

/// A source by its name, and where readers' rows came from, where that is another history.
pub(super) type Chosen = (String, Arc<dyn Source>, Option<String>);

/// A source with the ends of a range in it.
pub(super) struct Range {
    pub(super) source: Arc<dyn Source>,
    pub(super) after: Position,
    pub(super) to: Option<Position>,
}

impl Range {
    /// Looks up where the range begins and ends.
    pub(super) fn find(
        source: Arc<dyn Source>,
        source_name: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Range, RebuildError> {
        let after = match from {
            Some(from) => place::before(source.as_ref(), source_name, from)?,
            None => Position::START,
        };
        let to = to.map(|to| place::end(source.as_ref(), source_name, to)).transpose()?;
        Ok(Range { source, after, to })
    }
}

/// A trigger, with everything it names looked up.
struct Prepared {
    name: String,
    owner: ProjectionRecord,
    latest: Option<RebuildRecord>,
    trigger: Trigger,
    source: Arc<dyn Source>,
    source_name: String,
    /// See [`Plan::source_was`].
    source_was: Option<String>,
    after: Position,
    to: Option<Position>,
    into: Option<String>,
    indexes: Vec<String>,
}

impl Prepared {
    fn same_shape(&self) -> bool {
        self.latest.as_ref().is_none_or(|record| same_shape(record, &self.owner.description))
    }

    fn new_rebuild(&self, segments: Vec<Segment>) -> NewRebuild {
        let trigger = &self.trigger;
        NewRebuild {
            source: self.source_name.clone(),
            source_identity: self.source.identity().to_owned(),
            after: self.after,
            to: self.to,
            chunk_size: chunk_size(&self.owner.description, trigger.chunk_size),
            chunks_per_call: chunks_per_call(trigger.chunk_size),
            priority: trigger.priority.unwrap_or_default(),
            rate_limit: trigger.rate_limit,
            promote: !trigger.no_promote,
            purpose: Purpose::Rebuild,
            label: None,
            on_error: trigger.on_error.unwrap_or_default(),
            allow_parked: trigger.allow_parked,
            allow_empty: trigger.allow_empty,
            accept_missing: trigger.accept.missing.unwrap_or_default(),
            follow: trigger.follow,
            segments,
            into: self.into.clone(),
            indexes: self.indexes.clone(),
        }
    }

    /// A rebuild that runs is not told otherwise on its way: what is asked for is what is there, or it is said.
    fn refuse_other_options(&self, answer: Answer) -> Result<(), RebuildError> {
        let (Answer::AlreadyRunning, Some(record)) = (answer, &self.latest) else { return Ok(()) };
        let Some((option, runs_with)) = self.other_option(record) else { return Ok(()) };
        let name = &self.name;
        let what_to_do = match option {
            "--source" | "--from" | "--to" | "--into" => {
                format!("unspool cancel {name}, and the same command again begins a new generation")
            }
            _ => format!("unspool pause {name}, and the same command again goes on with it"),
        };
        Err(RebuildError::NotPossible(format!(
            "{name} is running already, with another {option} than was asked for ({runs_with}); {what_to_do}"
        )))
    }

    /// The first option that was given and is another than that of `record`, and what that is.
    fn other_option(&self, record: &RebuildRecord) -> Option<(&'static str, String)> {
        let asked = &self.trigger;
        let lives = record.home.as_ref().map(|home| &home.into);
        let place = |to: Option<Position>| to.map_or_else(|| "the end of the history".to_owned(), |to| to.to_string());
        let written = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        let differs = [
            ("--source", asked.source.as_ref().is_some_and(|source| *source != record.source), record.source.clone()),
            ("--from", asked.from.is_some() && self.after != record.after, format!("behind {}", record.after)),
            ("--to", asked.to.is_some() && self.to != record.to, place(record.to)),
            (
                "--into",
                asked.into.is_some() && self.into.as_ref() != lives,
                lives.map_or(STORE, String::as_str).to_owned(),
            ),
            (
                "--chunk-size",
                asked.chunk_size.is_some_and(|size| size != record.chunk_size),
                record.chunk_size.to_string(),
            ),
            ("--priority", asked.priority.is_some_and(|other| other != record.priority), written(&record.priority)),
            (
                "--rate-limit",
                asked.rate_limit.is_some() && asked.rate_limit != record.rate_limit,
                record.rate_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
            ),
            ("--on-error", asked.on_error.is_some_and(|other| other != record.on_error), written(&record.on_error)),
            ("--no-promote", asked.no_promote && record.promote, "it promotes".to_owned()),
            ("--allow-parked", asked.allow_parked && !record.allow_parked, "it may lack no event".to_owned()),
            ("--follow", asked.follow && !record.follow, "it ends with its history".to_owned()),
        ];
        differs.into_iter().find(|(_, differs, _)| *differs).map(|(option, _, runs_with)| (option, runs_with))
    }

    /// What an attempt starts with: of a new rebuild, or of `record`, with what the trigger changes of it.
    fn start(&self, record: Option<&RebuildRecord>) -> Result<AttemptStart, RebuildError> {
        let (source, description, trigger) = (self.source.as_ref(), &self.owner.description, &self.trigger);
        let Some(record) = record else {
            let new = self.new_rebuild(Vec::new());
            return attempt_start(source, description, &new, new.after, 0);
        };
        let seen = same_history::check(source, record, Some(source.ceiling()?), &trigger.accept)?;
        let changed = NewRebuild {
            chunk_size: trigger.chunk_size.unwrap_or(record.chunk_size),
            chunks_per_call: if trigger.chunk_size.is_some() { 1 } else { record.chunks_per_call },
            priority: trigger.priority.unwrap_or(record.priority),
            rate_limit: trigger.rate_limit.or(record.rate_limit),
            promote: record.promote && !trigger.no_promote,
            on_error: trigger.on_error.unwrap_or(record.on_error),
            allow_parked: record.allow_parked || trigger.allow_parked,
            allow_empty: record.allow_empty || trigger.allow_empty,
            accept_missing: trigger.accept.missing.unwrap_or(record.accept_missing),
            follow: record.follow || trigger.follow,
            to: record.to,
            ..self.new_rebuild(Vec::new())
        };
        let done = record.passed() + record.checkpoint.missing;
        let start = attempt_start(source, description, &changed, record.checkpoint.position, done)?;
        Ok(AttemptStart { known: Some((source.identity().to_owned(), seen)), ..start })
    }
}

/// A checkpoint holds for the history that it was made from.
pub(super) fn refuse_other_history(
    source: &dyn Source,
    record: &RebuildRecord,
    accept: &Accept,
) -> Result<(), RebuildError> {
    let end = source.ceiling()?;
    Ok(same_history::check(source, record, Some(end), accept).map(drop)?)
}

/// What an attempt starts with that goes on behind `position`, where `done` events are behind it.
pub(super) fn attempt_start(
    source: &dyn Source,
    description: &Description,
    wanted: &NewRebuild,
    position: Position,
    done: u64,
) -> Result<AttemptStart, RebuildError> {
    let ceiling = source.ceiling()?;
    // A range that ends before it begins has nothing in it.
    let target = wanted.to.map_or(ceiling, |to| to.min(ceiling)).max(position);
    let matcher = Matcher::new(&description.event_types);
    Ok(AttemptStart {
        target,
        total_events: done + source.count(&matcher, position, target)?,
        chunk_size: wanted.chunk_size.max(1),
        chunks_per_call: wanted.chunks_per_call.max(1),
        priority: wanted.priority,
        rate_limit: wanted.rate_limit,
        promote: wanted.promote,
        on_error: wanted.on_error,
        allow_parked: wanted.allow_parked,
        allow_empty: wanted.allow_empty,
        accept_missing: wanted.accept_missing,
        follow: wanted.follow,
        known: None,
    })
}

pub(super) fn chunk_size(description: &Description, asked: Option<u32>) -> u32 {
    asked.or(description.chunk_size).unwrap_or_else(|| description.complexity.chunk_size()).max(1)
}

/// A chunk size that an operator asks for is that of a call, too.
pub(super) fn chunks_per_call(asked: Option<u32>) -> u32 {
    if asked.is_some() { 1 } else { limits::CHUNKS_PER_CALL }
}

/// Whether an unfinished rebuild can go on with a plugin of this description.
pub(super) fn same_shape(record: &RebuildRecord, description: &Description) -> bool {
    let tables = description.tables.iter().map(|table| &table.name);
    record.state_version == description.version && record.tables.iter().eq(tables)
}
