//! What a trigger names, looked up: the source, the range, where the rows are to live; and what an attempt starts with.

use super::{Answer, RebuildError, locate, same_history, supervisor::Supervisor, trigger::Trigger};
use crate::{
    source::Source,
    store::{AttemptStart, NewRebuild, ProjectionRecord, Purpose, RebuildRecord, RebuildSpec, Segment},
    vocabulary::{Description, Matcher, Position, Status},
};
use std::sync::Arc;

/// What `--into` says for rows that live in the store itself.
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
        let lives = latest.as_ref().and_then(|record| record.external.as_ref()).map(|external| external.into.as_str());
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
            Some(record) => (record.spec.source.clone(), self.host.source(&record.spec.source)?, None),
            None => self.remembered_source(name, trigger.source.as_deref(), trigger.restart)?,
        };
        let range = Range::find(source, &source_name, trigger.from.as_deref(), trigger.to.as_deref())?;
        let mut trigger = trigger.clone();
        // What is promoted in place of a generation that is followed, is followed.
        let whole = range.to.is_none() && goes_on.is_none_or(|record| record.spec.to.is_none());
        let promotes = !trigger.options.no_promote && goes_on.is_none_or(|record| record.spec.options.promotes());
        trigger.options.follow |=
            whole && promotes && self.host.store.live_rebuild(name)?.is_some_and(|live| live.is_followed());
        Ok(Prepared {
            name: name.to_owned(),
            source: range.source,
            owner,
            latest,
            trigger,
            source_name,
            source_was,
            after: range.after,
            to: range.to,
            into,
            indexes: settings.tables.into_values().flat_map(|table| table.indexes).collect(),
        })
    }

    /// The source to build `name` from: as it is `named`, else the one that the live generation came from, else that of the
    /// latest rebuild, else the log. Where it is another history than that of the live generation, it must be named, or
    /// `anew` must allow another; the answer then has the source of the live generation.
    pub(super) fn remembered_source(
        &self,
        name: &str,
        named: Option<&str>,
        anew: bool,
    ) -> Result<Chosen, RebuildError> {
        let live = self.host.store.live_rebuild(name)?;
        let before = live.clone().or(self.host.store.latest_rebuild(name)?);
        let remembered = before.as_ref().map_or("log", |record| record.spec.source.as_str());
        let source_name = named.unwrap_or(remembered).to_owned();
        let source = self.host.source(&source_name)?;
        let Some(live) = live else { return Ok((source_name, source, None)) };
        match same_history::why_other(source.as_ref(), &live)? {
            None => Ok((source_name, source, None)),
            Some(why) if named.is_some() || anew => {
                let was = if live.spec.source == source_name {
                    format!("{} ({why})", live.spec.source)
                } else {
                    live.spec.source
                };
                Ok((source_name, source, Some(was)))
            }
            Some(why) => Err(RebuildError::OtherHistory {
                message: format!(
                    "the live generation of {name}, {}, was built from another history than {source_name} is now ({why})",
                    live.checkpoint_id()
                ),
                remedy: format!("where that is meant, name it: --source {source_name}"),
            }),
        }
    }
}

/// A source by its name, and where the live generation came from, where that is another history.
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
            Some(from) => locate::before(source.as_ref(), source_name, from)?,
            None => Position::START,
        };
        let to = to.map(|to| locate::end(source.as_ref(), source_name, to)).transpose()?;
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
    /// See [`super::Plan::source_was`].
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

    /// Its source, and that of the live generation, where this is another history.
    pub(super) fn came_from(&self) -> Option<(String, String)> {
        self.source_was.clone().map(|was| (self.source_name.clone(), was))
    }

    pub(super) fn new_rebuild(&self, segments: Vec<Segment>) -> NewRebuild {
        NewRebuild {
            spec: RebuildSpec {
                source: self.source_name.clone(),
                source_identity: self.source.identity().to_owned(),
                after: self.after,
                to: self.to,
                purpose: Purpose::Rebuild,
                label: None,
                segments,
                options: self.trigger.options.clone(),
            },
            shape: None,
            into: self.into.clone(),
            indexes: self.indexes.clone(),
        }
    }

    /// A running rebuild does not change its options on the way: those requested are the ones it has, or the request is
    /// refused.
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
        let lives = record.external.as_ref().map(|external| &external.into);
        let place = |to: Option<Position>| to.map_or_else(|| "the end of the history".to_owned(), |to| to.to_string());
        let differs = [
            (
                "--source",
                asked.source.as_ref().is_some_and(|source| *source != record.spec.source),
                record.spec.source.clone(),
            ),
            ("--from", asked.from.is_some() && self.after != record.spec.after, format!("after {}", record.spec.after)),
            ("--to", asked.to.is_some() && self.to != record.spec.to, place(record.spec.to)),
            (
                "--into",
                asked.into.is_some() && self.into.as_ref() != lives,
                lives.map_or(STORE, String::as_str).to_owned(),
            ),
        ];
        let differs = differs.into_iter().find(|(_, differs, _)| *differs);
        differs
            .map(|(option, _, runs_with)| (option, runs_with))
            .or_else(|| record.spec.options.other_than(&asked.options, record.chunk_size))
    }

    /// What an attempt starts with: of a new rebuild, or of `record`, with what the trigger changes of it.
    pub(super) fn start(&self, record: Option<&RebuildRecord>) -> Result<AttemptStart, RebuildError> {
        let (source, description, trigger) = (self.source.as_ref(), &self.owner.description, &self.trigger);
        let Some(record) = record else {
            let new = self.new_rebuild(Vec::new());
            return attempt_start(source, description, &new.spec, new.spec.after, 0);
        };
        let seen = same_history::check(source, record, Some(source.ceiling()?), &trigger.accept)?;
        let options = record.spec.options.with(&trigger.options);
        let spec = RebuildSpec { options, ..record.spec.clone() };
        let done = record.passed() + record.checkpoint.missing;
        let start = attempt_start(source, description, &spec, record.checkpoint.position, done)?;
        Ok(AttemptStart {
            chunk_size: spec.options.chunk_size.unwrap_or(record.chunk_size),
            known: Some((source.identity().to_owned(), seen)),
            ..start
        })
    }
}

/// What an attempt starts with that goes on after `position`, where `done` events are handled.
pub(super) fn attempt_start(
    source: &dyn Source,
    description: &Description,
    spec: &RebuildSpec,
    position: Position,
    done: u64,
) -> Result<AttemptStart, RebuildError> {
    if spec.options.follow {
        source.refuse_following()?;
    }
    let ceiling = source.ceiling()?;
    // A range that ends before it begins has nothing in it.
    let target = spec.to.map_or(ceiling, |to| to.min(ceiling)).max(position);
    let counted = source.count(&Matcher::new(&description.event_types), position, target)?;
    Ok(AttemptStart {
        target,
        total_events: counted.map(|events| done + events),
        chunk_size: spec.options.chunk_size_of(description),
        options: spec.options.clone(),
        known: None,
    })
}

/// Whether an unfinished rebuild can go on with a plugin of this description.
pub(super) fn same_shape(record: &RebuildRecord, description: &Description) -> bool {
    let tables = description.tables.iter().map(|table| &table.name);
    record.state_version == description.version && record.tables.iter().eq(tables)
}
