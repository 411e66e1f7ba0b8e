//! Shadow builds: generations that are built separately from the rebuild, to be compared or inspected.

use super::{
    RebuildError, attempts,
    compare::{Comparison, compare, compare_with},
    locate,
    prepared::attempt_start,
    same_history::Accept,
    same_history::refuse_other_history,
    supervisor::Supervisor,
};
use crate::{
    pipeline::{Observed, Touched},
    plugin::Plugin,
    source::{SomeStreams, Source},
    store::{
        Generation, NewRebuild, OnError, Purpose, RebuildOptions, RebuildRecord, RebuildSpec, Segment, Verification,
    },
    vocabulary::{Matcher, Position, Status, now_ms, work},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

/// What a verification found.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// The projection.
    pub projection_name: String,
    /// The generation that was verified.
    pub generation: u64,
    /// It was compared with history up to here, its own position.
    pub position: Position,
    /// The plugin that built what it was compared with.
    pub plugin_digest: String,
    /// How many events the other side of the comparison was built from.
    pub events: u64,
    /// How the rows differ.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The generation that was promoted, where it was repaired.
    pub repaired_by: Option<u64>,
}

/// What a candidate would change.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialReport {
    /// The projection.
    pub projection_name: String,
    /// The installed plugin.
    pub current_digest: String,
    /// The plugin that was tried.
    pub candidate_digest: String,
    /// Where the events came from.
    pub source: String,
    /// The candidate handled the events after this position.
    pub after: Position,
    /// Dead letters of the installed plugin, and of the candidate after it tried them.
    pub parked: (u64, u64),
    /// How the rows of the installed plugin differ from those of the candidate, which are the expected ones.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// What a shadow build is made from.
pub(super) struct Shadow {
    pub(super) source: Arc<dyn Source>,
    /// The same, where it is some streams: how far that is shows in how much of their history has been looked through.
    pub(super) found_in: Option<Arc<SomeStreams>>,
    pub(super) source_name: String,
    pub(super) plugin: Plugin,
    pub(super) segments: Vec<Segment>,
    pub(super) after: Position,
    pub(super) to: Position,
    pub(super) chunk_size: Option<u32>,
    pub(super) on_error: OnError,
    pub(super) purpose: Purpose,
    pub(super) label: Option<String>,
    /// See `NewRebuild::into`.
    pub(super) into: Option<String>,
    /// See `NewRebuild::indexes`.
    pub(super) indexes: Vec<String>,
    /// Notes which rows it touches, where a caller wants to know.
    pub(super) touched: Option<Touched>,
    /// Tells what becomes of one row, where a caller wants to know.
    pub(super) observed: Option<Observed>,
}

/// What comparing the live generation with a shadow came to.
struct Verified {
    /// Where both stood.
    position: Position,
    /// Events that the shadow was built from.
    events: u64,
    comparison: Comparison,
    repaired_by: Option<u64>,
}

/// No event on either side says nothing about rows.
pub(super) fn nothing_compared(name: &str, source: &str) -> RebuildError {
    RebuildError::NotPossible(format!("nothing was compared: {source} has no event of the types that {name} handles"))
}

/// A build from fewer events than the generation that it is compared with does not show what is right.
fn refuse_fewer(record: &RebuildRecord, shadow: &RebuildRecord) -> Result<(), RebuildError> {
    let name = &record.checkpoint.projection_name;
    if record.passed() + shadow.passed() == 0 {
        return Err(nothing_compared(name, &record.spec.source));
    }
    let digests = || record.ranges.iter().chain(&shadow.ranges).map(|range| &range.plugin_digest);
    let same_plugin = digests().all(|digest| Some(digest) == digests().next());
    if same_plugin && shadow.passed() < record.passed() {
        return Err(RebuildError::NotPossible(format!(
            "{} was built from {} events, and {} has {} of them now: the others were deleted, and what differs for that reason \
             is not known to be wrong; unspool rebuild {name} builds from what is there",
            record.checkpoint_id(),
            record.passed(),
            record.spec.source,
            shadow.passed()
        )));
    }
    Ok(())
}

impl Supervisor {
    /// Builds the model of `name` again up to the exact position of the live generation, and compares row by row. With
    /// `repair`, the new build is promoted where it differs; otherwise it is dropped.
    ///
    /// # Errors
    /// When nothing is live, the history is not the one it was built from, or the rebuild does not complete.
    pub fn verify(&self, name: &str, repair: bool, accept: &Accept) -> Result<VerifyReport, RebuildError> {
        let live = self.host.store.live(name)?;
        self.host.store.refuse_misfit(name, None, None)?;
        let record = self.host.store.rebuild(name, live.number)?;
        let source = self.host.source(&record.spec.source)?;
        refuse_other_history(source.as_ref(), &record, accept)?;
        let plugin = self.host.plugin(self.host.store.projection(name)?.digest())?;
        let plugin_digest = plugin.digest().to_owned();
        let shadow = self.build_shadow(
            name,
            Shadow {
                source,
                found_in: None,
                source_name: record.spec.source.clone(),
                plugin,
                segments: Vec::new(),
                after: record.spec.after,
                to: record.checkpoint.position,
                chunk_size: record.spec.options.chunk_size,
                on_error: record.spec.options.on_error(),
                purpose: Purpose::Scratch,
                label: None,
                // What may be promoted is built where the live generation is.
                into: record.external.as_ref().filter(|_| repair).map(|external| external.into.clone()),
                indexes: record.external.as_ref().map_or_else(Vec::new, |external| external.indexes.clone()),
                touched: None,
                observed: None,
            },
        )?;
        let verified = self.compare_with_live(&live, &record, &shadow, repair);
        let verified = match verified {
            Ok(verified) if verified.repaired_by.is_some() => verified,
            other => self.dropping(&shadow, other)?,
        };
        let Comparison { missing, extra, different, .. } = &verified.comparison;
        let verification = Verification {
            at: now_ms(),
            generation: live.number,
            position: verified.position,
            differences: missing + extra + different,
            repaired_by: verified.repaired_by,
        };
        if let Err(e) = self.host.store.record_verification(name, verification) {
            tracing::warn!(projection = name, "what its verification came to is not on record: {e}");
        }
        Ok(VerifyReport {
            projection_name: name.to_owned(),
            generation: live.number,
            position: verified.position,
            plugin_digest,
            events: verified.events,
            comparison: verified.comparison,
            repaired_by: verified.repaired_by,
        })
    }

    /// Compares `live` with what was built up to where it stood, at one position: while it is followed, the shadow catches up with it,
    /// and its rows are compared as they were then. With `repair`, what differs is replaced.
    fn compare_with_live(
        &self,
        live: &Generation,
        record: &RebuildRecord,
        shadow: &RebuildRecord,
        repair: bool,
    ) -> Result<Verified, RebuildError> {
        let (name, store) = (live.projection.as_str(), &self.host.store);
        let plugin = self.host.store.projection(name)?.digest().to_owned();
        let shadow = match record.is_followed() {
            true => self.catch_up_with(name, live.number, shadow.clone(), &plugin)?,
            false => shadow.clone(),
        };
        // It stands still while its rows are taken, and no longer.
        let (record, rows) = {
            let _held = self.host.hold_followers(name);
            let record = match record.is_followed() {
                true => store.claim(name, live.number)?,
                false => store.rebuild(name, live.number)?,
            };
            (record, store.rows(live)?)
        };
        let shadow = self.host.bring_forward(&shadow, record.checkpoint.position, &plugin)?;
        refuse_fewer(&record, &shadow)?;
        let comparison = compare_with(store, &self.generation_of(&shadow)?, live, &rows)?;
        drop(rows);
        let (position, events) = (record.checkpoint.position, shadow.passed());
        let verified = |comparison, repaired_by| Verified { position, events, comparison, repaired_by };
        if !(repair && comparison.differs()) {
            return Ok(verified(comparison, None));
        }
        let shadow = match record.is_followed() {
            true => self.catch_up_with(name, live.number, shadow, &plugin)?,
            false => shadow,
        };
        let _held = self.host.hold_followers(name);
        let shadow =
            self.host.bring_forward(&shadow, store.rebuild(name, live.number)?.checkpoint.position, &plugin)?;
        store.adopt(name, shadow.generation, live.number)?;
        Ok(verified(comparison, Some(shadow.generation)))
    }

    /// Builds the state of `name` as it was at `to`: an event's id, a position or a time. It is kept until it is dropped.
    ///
    /// # Errors
    /// When there is no such point, or the rebuild does not complete.
    pub fn as_of(
        &self,
        name: &str,
        to: &str,
        label: Option<String>,
        source: Option<&str>,
    ) -> Result<RebuildRecord, RebuildError> {
        let (source_name, source, _) = self.remembered_source(name, source, false)?;
        let to = locate::end(source.as_ref(), &source_name, to)?;
        let label = label.unwrap_or_else(|| format!("as-of-{to}"));
        // What `--generation` takes for a number, and what looks like one.
        if label.bytes().all(|byte| byte.is_ascii_digit()) || label.parse::<u64>().is_ok() {
            return Err(RebuildError::Usage(format!(
                "\"{label}\" is no name: it would read as the number of a generation"
            )));
        }
        if self.host.store.rebuilds(name)?.iter().any(|record| record.spec.label.as_deref() == Some(&label)) {
            return Err(RebuildError::Usage(format!(
                "{name} has a generation named {label}; unspool model drop {name} {label} drops it"
            )));
        }
        let plugin = self.host.plugin(self.host.store.projection(name)?.digest())?;
        // An earlier state may have dead letters where the live generation may.
        let on_error =
            self.host.store.latest_rebuild(name)?.map_or(OnError::Stop, |record| record.spec.options.on_error());
        self.build_shadow(
            name,
            Shadow {
                source,
                found_in: None,
                source_name,
                plugin,
                segments: Vec::new(),
                after: Position::START,
                to,
                chunk_size: None,
                on_error,
                purpose: Purpose::AsOf,
                label: Some(label),
                into: None,
                indexes: Vec::new(),
                touched: None,
                observed: None,
            },
        )
    }

    /// Runs a candidate for `name` beside the installed plugin: both on the whole history that the live generation came from
    /// (or `source`), the candidate from `last` matching events before its end on, and on the installed plugin's dead
    /// letters. Nothing is kept.
    ///
    /// # Errors
    /// When the candidate is not accepted or has another shape, there is no event to compare by, or a rebuild does not complete.
    pub fn trial(
        &self,
        name: &str,
        component: &[u8],
        last: u64,
        source: Option<&str>,
    ) -> Result<TrialReport, RebuildError> {
        let candidate = self.load_for(name, component)?;
        let owner = self.host.store.projection(name)?;
        let current = self.host.plugin(owner.digest())?;
        if current.description().tables != candidate.description().tables {
            return Err(RebuildError::Usage(
                "the candidate has other tables; there is nothing to compare row by row".to_owned(),
            ));
        }
        let (source_name, source, _) = self.remembered_source(name, source, false)?;
        let to = source.ceiling()?;
        let after = source.back(&Matcher::new(&owner.description.event_types), to, last)?.ok_or_else(|| {
            RebuildError::Usage(format!(
                "{source_name} is not read backwards: its last {last} events are not found; over all of it `unspool plugin swap \
                 {name} FILE`, `unspool model verify {name}` and `unspool plugin rollback {name}` compare the candidate's rows with \
                 the live ones, and change none"
            ))
        })?;
        let shadow = |plugin: &Plugin, segments: Vec<Segment>| Shadow {
            source: source.clone(),
            found_in: None,
            source_name: source_name.clone(),
            chunk_size: None,
            plugin: plugin.clone(),
            segments,
            after: Position::START,
            to,
            on_error: OnError::Park,
            purpose: Purpose::Scratch,
            label: None,
            into: None,
            indexes: Vec::new(),
            touched: None,
            observed: None,
        };
        let base = self.build_shadow(name, shadow(&current, Vec::new()))?;
        let segment = Segment { plugin_digest: current.digest().to_owned(), through: after };
        let segments = if after > Position::START { vec![segment] } else { Vec::new() };
        let report = self.build_shadow(name, shadow(&candidate, segments)).and_then(|tried| {
            let compared = || {
                if base.passed() + tried.passed() == 0 {
                    return Err(nothing_compared(name, &source_name));
                }
                self.retry_all(&candidate, &tried, &source)?;
                let comparison = compare(&self.host.store, &self.generation_of(&tried)?, &self.generation_of(&base)?)?;
                let left = self.host.store.rebuild(name, tried.generation)?.parked;
                Ok(TrialReport {
                    projection_name: name.to_owned(),
                    current_digest: current.digest().to_owned(),
                    candidate_digest: candidate.digest().to_owned(),
                    source: source_name.clone(),
                    after,
                    parked: (base.parked, left),
                    comparison,
                })
            };
            self.dropping(&tried, compared())
        });
        self.dropping(&base, report)
    }

    /// `result`, after dropping what was built for it.
    pub(super) fn dropping<T>(
        &self,
        built: &RebuildRecord,
        result: Result<T, RebuildError>,
    ) -> Result<T, RebuildError> {
        let dropped = self.host.store.drop_generation(&built.checkpoint.projection_name, built.generation);
        let result = result?;
        dropped?;
        Ok(result)
    }

    pub(super) fn generation_of(&self, record: &RebuildRecord) -> Result<Generation, RebuildError> {
        Ok(self.host.store.generation(&record.checkpoint.projection_name, record.generation)?)
    }

    /// Builds a generation to its end, on a thread of its own, and waits for it. One that does not complete is dropped.
    pub(super) fn build_shadow(&self, name: &str, shadow: Shadow) -> Result<RebuildRecord, RebuildError> {
        self.build_shadow_while(name, shadow, || ())
    }

    /// As [`Supervisor::build_shadow`]; again and again meanwhile, `look` is called.
    pub(super) fn build_shadow_while(
        &self,
        name: &str,
        shadow: Shadow,
        mut look: impl FnMut(),
    ) -> Result<RebuildRecord, RebuildError> {
        let description = shadow.plugin.description().clone();
        let spec = RebuildSpec {
            source: shadow.source_name,
            source_identity: shadow.source.identity().to_owned(),
            after: shadow.after,
            to: Some(shadow.to),
            purpose: shadow.purpose,
            label: shadow.label,
            segments: shadow.segments,
            options: RebuildOptions {
                chunk_size: shadow.chunk_size,
                no_promote: true,
                on_error: Some(shadow.on_error),
                allow_parked: true,
                ..RebuildOptions::default()
            },
        };
        let start = attempt_start(shadow.source.as_ref(), &description, &spec, shadow.after, 0)?;
        let shape = Some(description.clone());
        let new = NewRebuild { spec, shape, into: shadow.into, indexes: shadow.indexes };
        let created = self.host.store.create_generation(name, new, now_ms())?;
        let record = self.host.store.begin_attempt(name, created.generation, &start)?;
        let key = record.checkpoint_id();
        let total = match &shadow.found_in {
            Some(some) => some.history().count(&Matcher::new(&description.event_types), shadow.after, shadow.to)?,
            None => record.total_events,
        };
        if let Err(e) =
            attempts::begin(&self.host, &key, record, shadow.source, shadow.plugin, shadow.touched, shadow.observed)
        {
            self.host.store.set_status(name, created.generation, Status::Cancelled, None, now_ms())?;
            return self.dropping(&created, Err(e));
        }
        match &shadow.found_in {
            Some(some) => {
                work::begin(format!("looking through the history of {name}"), "events", total);
                self.host.wait_for_end_of(&key, |_| {
                    look();
                    some.looked_through().min(total.unwrap_or(u64::MAX))
                });
            }
            None => {
                work::begin(format!("building {name}"), "events", total);
                self.host.wait_for_end_of(&key, |published| {
                    look();
                    published.checkpoint().0.events_processed
                });
            }
        }
        self.host.stop(&key, Status::Cancelled);
        let ended = self.host.store.rebuild(name, created.generation)?;
        if ended.status() == Status::Completed {
            return Ok(ended);
        }
        let why = match &ended.checkpoint.error {
            Some(failure) => failure.to_string(),
            None => format!("it was {}", ended.status()),
        };
        if ended.status() != Status::Running {
            self.host.store.drop_generation(name, created.generation)?;
        }
        Err(RebuildError::NotBuilt {
            message: format!("{name} could not be built for this: {why}"),
            failure: ended.checkpoint.error.map(Box::new),
        })
    }
}
