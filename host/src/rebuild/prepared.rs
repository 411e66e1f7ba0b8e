//! What a trigger names, looked up: the source, the range, where the rows are to live; and what an attempt starts with.

use super::{Answer, RebuildError, place, same_history, supervisor::Supervisor, trigger::Trigger};
use crate::{
    limits,
    source::Source,
    store::{AttemptStart, NewRebuild, ProjectionRecord, Purpose, RebuildRecord, Segment},
    vocabulary::{Description, Matcher, Position, Status},
};
use std::sync::Arc;

/// What `--into` says of rows that live in the store itself.
const STORE: &str = "store";

impl Supervisor {
    /// Looks up what `trigger` names.
    ///
    /// # Errors
    /// When it does not exist, or does not go with what is there.
    pub(super) fn prepare(&self, trigger: &Trigger) -> Result<Prepared, RebuildError> {
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
            Some(why) => Err(RebuildError::OtherHistory {
                message: format!(
                    "readers of {name} see {}, which was built from another history than {source_name} is now ({why})",
                    live.checkpoint_id()
                ),
                remedy: format!("where that is meant, name it: --source {source_name}"),
            }),
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
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) owner: ProjectionRecord,
    pub(super) latest: Option<RebuildRecord>,
    pub(super) trigger: Trigger,
    pub(super) source: Arc<dyn Source>,
    pub(super) source_name: String,
    /// See [`Plan::source_was`].
    pub(super) source_was: Option<String>,
    pub(super) after: Position,
    pub(super) to: Option<Position>,
    pub(super) into: Option<String>,
    pub(super) indexes: Vec<String>,
}

impl Prepared {
    pub(super) fn same_shape(&self) -> bool {
        self.latest.as_ref().is_none_or(|record| same_shape(record, &self.owner.description))
    }

    pub(super) fn new_rebuild(&self, segments: Vec<Segment>) -> NewRebuild {
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
    pub(super) fn refuse_other_options(&self, answer: Answer) -> Result<(), RebuildError> {
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
            ("--allow-empty", asked.allow_empty && !record.allow_empty, "it replaces no rows by nothing".to_owned()),
            (
                "--accept-missing",
                asked.accept.missing.is_some_and(|missing| missing != record.accept_missing),
                record.accept_missing.to_string(),
            ),
            ("--follow", asked.follow && !record.follow, "it ends with its history".to_owned()),
        ];
        differs.into_iter().find(|(_, differs, _)| *differs).map(|(option, _, runs_with)| (option, runs_with))
    }

    /// What an attempt starts with: of a new rebuild, or of `record`, with what the trigger changes of it.
    pub(super) fn start(&self, record: Option<&RebuildRecord>) -> Result<AttemptStart, RebuildError> {
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
