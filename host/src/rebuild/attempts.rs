//! Runs the attempts of one rebuild, one after another, until it ends.

use super::{
    Effect, Input, RebuildError, State,
    following::Held,
    host::Host,
    same_history::{self, Accept},
    step,
    supervisor::Supervisor,
};
use crate::{
    crash, limits,
    pipeline::{self, Attempt, Committer, Ended, Observed, Part, Published, Stop, Tally, Touched},
    plugin::Plugin,
    source::{Source, SourceError},
    store::{Allow, AttemptStart, CaughtUp, Purpose, RebuildRecord, StoreError},
    vocabulary::{EventFailure, FailureKind, Matcher, Position, Status, now_ms},
};
use std::{cell::Cell, sync::Arc, time::Instant};

/// What becomes of a rebuild that has reached its target and follows its history.
enum Arrived {
    /// It is complete, and followed from now on.
    Complete,
    /// There is more to do first: this is claimed for the next attempt.
    Further(Box<RebuildRecord>),
    /// It was stopped before it was complete.
    Stopped,
}

/// How often a transient failure without progress in between is met before it counts as permanent. A source may be away
/// for as long as a server takes to start again.
pub(super) fn max_retries(failure: &EventFailure) -> u32 {
    match failure.kind {
        FailureKind::Source => limits::SOURCE_TRIES,
        FailureKind::Store => limits::DATABASE_TRIES,
        _ => limits::TRANSIENT_TRIES,
    }
}

/// The laps in which a rebuild catches up with a live generation that moves on.
#[derive(Default)]
struct Laps {
    begun: Option<Instant>,
    done: u32,
    /// The live generation stands still for the last lap.
    held: Option<Held>,
}

impl Laps {
    fn begin(&mut self) {
        self.begun = Some(Instant::now());
        self.done += 1;
    }

    /// Whether readers would have to wait for another one as long as this: then it is done while the live generation moves on.
    fn is_long(&self) -> bool {
        self.done < limits::LAPS && self.begun.is_some_and(|begun| begun.elapsed() > limits::LAP)
    }
}

/// What every attempt of a rebuild has in common.
struct Attempts {
    host: Arc<Host>,
    source: Arc<dyn Source>,
    /// The current plugin; parts of the rebuild may belong to earlier ones.
    plugin: Plugin,
    /// Notes which rows they touch, where a caller wants to know.
    touched: Option<Touched>,
    /// Tells what becomes of one row, where a caller wants to know.
    observed: Option<Observed>,
    stop: Stop,
    published: Arc<Published>,
    committer: Committer,
    /// Whether its history has been counted again at a target.
    counted: Cell<bool>,
}

/// Works on `record`, claimed already, on a thread of its own, and notes in `touched` which rows that touches, and tells `observed`
/// what becomes of one.
///
/// # Errors
/// When the host is ending, or the system gives no thread.
pub(super) fn begin(
    host: &Arc<Host>,
    key: &str,
    record: RebuildRecord,
    source: Arc<dyn Source>,
    plugin: Plugin,
    touched: Option<Touched>,
    observed: Option<Observed>,
) -> Result<(), RebuildError> {
    let entry = host.enter_rebuild(key, &record)?;
    let attempts = Attempts {
        host: host.clone(),
        source,
        plugin,
        touched,
        observed,
        stop: entry.stop.clone(),
        published: entry.published.clone(),
        committer: host.committer_for(&record)?,
        counted: Cell::default(),
    };
    entry.spawn(format!("rebuild {key}"), move || attempts.run(record))
}

impl Attempts {
    /// Works on `record`, claimed already, until the rebuild ends; the store then says how.
    fn run(&self, mut record: RebuildRecord) {
        let (mut tries, mut laps) = (1, Laps::default());
        loop {
            let reached = self.published.position();
            laps.begin();
            let (completes, ended) = match self.attempt(record.clone()) {
                Ok((attempt, completes)) => (completes, pipeline::run(attempt)),
                // Its source is away.
                Err(failure) if failure.transient => (false, Ended::Interrupted(failure)),
                Err(failure) => return self.give_up(&record, failure),
            };
            self.counted.set(self.counted.get() || (completes && matches!(ended, Ended::Completed)));
            match ended {
                Ended::Completed if completes && !record.spec.options.follow => return self.completed(&record),
                Ended::Completed if completes => match self.arrive(&record, &mut laps) {
                    Ok(Arrived::Complete) => return self.followed(&record, laps),
                    Ok(Arrived::Further(further)) => {
                        (record, tries) = (*further, 1);
                        continue;
                    }
                    Ok(Arrived::Stopped) => return self.set_status(&record, self.stop.status(), None),
                    Err(failure) if failure.transient => {
                        // Readers do not wait for what is away.
                        laps.held = None;
                        tries += 1;
                        if tries > max_retries(&failure) {
                            return self.give_up(&record, failure.given_up(tries - 1));
                        }
                        if !self.wait_to_try(&record, tries - 1, &failure) {
                            return self.set_status(&record, self.stop.status(), None);
                        }
                    }
                    Err(failure) => {
                        self.give_up(&record, failure);
                        // It may be complete, and followed, all the same.
                        drop(laps);
                        return self.host.begin_followers(self.name(&record));
                    }
                },
                // A part is done; the next one goes on.
                Ended::Completed => {}
                Ended::Stopped(_) => return,
                Ended::Failed(failure) => return self.failed(&record, &failure),
                Ended::Lost(failure) => return self.lost(&record, failure),
                Ended::Interrupted(failure) => {
                    tries = if self.published.position() > reached { 1 } else { tries + 1 };
                    if tries > max_retries(&failure) {
                        return self.give_up(&record, failure.given_up(tries - 1));
                    }
                    if !self.wait_to_try(&record, tries - 1, &failure) {
                        return self.set_status(&record, self.stop.status(), None);
                    }
                }
            }
            record = loop {
                match self.begin_again(&record) {
                    Ok(record) => break record,
                    Err(failure) if failure.transient && tries < max_retries(&failure) => {
                        tries += 1;
                        if !self.wait_to_try(&record, tries - 1, &failure) {
                            return self.set_status(&record, self.stop.status(), None);
                        }
                    }
                    Err(failure) => return self.lost(&record, failure.given_up(tries)),
                }
            };
            // The last commit was made after all.
            if record.status() == Status::Completed {
                return self.completed(&record);
            }
        }
    }

    /// The next attempt, and whether it completes the rebuild: one that ends where another plugin's part does, does not.
    fn attempt(&self, mut record: RebuildRecord) -> Result<(Attempt, bool), EventFailure> {
        same_history::check(self.source.as_ref(), &record, None, &Accept::default())?;
        if record.total_events == Some(0) {
            pipeline::refuse_empty(&self.host.store, &record)?;
        }
        let part = record.spec.segments.iter().find(|part| part.through > record.checkpoint.position);
        let (plugin, completes) = match part.cloned() {
            Some(part) => {
                let completes = part.through >= record.target;
                record.target = part.through.min(record.target);
                let plugin = self.host.plugin(&part.plugin_digest);
                (plugin.map_err(|e| EventFailure::permanent(FailureKind::Plugin, e.to_string()))?, completes)
            }
            None => (self.plugin.clone(), true),
        };
        let record_follows = record.spec.options.follow;
        let matcher = Matcher::new(&plugin.description().event_types);
        let attempt = Attempt {
            end: self.source.at(record.target).map_err(unreadable)?,
            tally: completes.then(|| self.tally_once(&record, &matcher)).transpose()?,
            record,
            source: self.source.clone(),
            matcher,
            plugin: Arc::new(plugin),
            store: self.host.store.clone(),
            committer: self.committer.clone(),
            pool: self.host.pool.clone(),
            stop: self.stop.clone(),
            published: self.published.clone(),
            completes: completes && !record_follows,
            follows: false,
            retry: None,
            touched: self.touched.clone(),
            observed: self.observed.clone(),
            recent: None,
            backoff: limits::backoff,
        };
        Ok((attempt, completes))
    }

    /// [`Attempts::tally`], counted again once: the laps after it compare with the count that they began with.
    fn tally_once(&self, record: &RebuildRecord, matcher: &Matcher) -> Result<Tally, EventFailure> {
        match self.counted.get() {
            true => Ok(Tally { parts: Vec::new(), accepted: record.spec.options.accept_missing() }),
            false => self.tally(record, matcher),
        }
    }

    /// What must add up at the target of `record`: where it is promoted there, all of it is counted again.
    fn tally(&self, record: &RebuildRecord, matcher: &Matcher) -> Result<Tally, EventFailure> {
        let mut tally = Tally { parts: Vec::new(), accepted: record.spec.options.accept_missing() };
        for range in &record.ranges {
            let matcher = if range.plugin_digest == self.plugin.digest() {
                Matcher::new(&self.plugin.description().event_types)
            } else {
                let plugin = self.host.plugin(&range.plugin_digest);
                let plugin = plugin.map_err(|e| EventFailure::permanent(FailureKind::Plugin, e.to_string()))?;
                Matcher::new(&plugin.description().event_types)
            };
            Part::push(&mut tally.parts, Part { matcher, after: range.after, through: range.through });
        }
        let (after, through) = (record.checkpoint.position, record.target);
        Part::push(&mut tally.parts, Part { matcher: matcher.clone(), after, through });
        Ok(tally)
    }

    fn begin_again(&self, record: &RebuildRecord) -> Result<RebuildRecord, EventFailure> {
        self.claim(record, &AttemptStart::again(record))
    }

    fn claim(&self, record: &RebuildRecord, start: &AttemptStart) -> Result<RebuildRecord, EventFailure> {
        let claimed = self.host.store.begin_attempt(self.name(record), record.generation, start);
        claimed.map_err(refused)
    }

    /// The target is reached, and new events are to be followed. While the live generation moves on, that is caught up with in
    /// laps that become shorter and shorter; the last one is done while it stands still, so that the promotion takes nobody back.
    fn arrive(&self, record: &RebuildRecord, laps: &mut Laps) -> Result<Arrived, EventFailure> {
        let (name, store) = (self.name(record), &self.host.store);
        let live = store.live_rebuild(name).map_err(refused)?;
        let live = live.filter(|live| live.generation != record.generation && live.is_followed());
        if live.is_some()
            && laps.held.is_none()
            && laps.is_long()
            && let Some(start) = self.further(record)?
        {
            return Ok(Arrived::Further(Box::new(self.claim(record, &start)?)));
        }
        if let Some(live) = live.filter(|_| laps.held.is_none()) {
            laps.held = Some(self.host.hold_followers(name));
            // Nothing is committed to it from here on, and what its database has is known.
            store.claim(name, live.generation).map_err(refused)?;
        }
        if self.stop.is_raised() {
            return Ok(Arrived::Stopped);
        }
        let completed = store.caught_up(name, record.generation, record.attempt, self.plugin.digest(), now_ms());
        match completed.map_err(refused)? {
            CaughtUp::Yes => Ok(Arrived::Complete),
            CaughtUp::Behind(position) => {
                let start = self.start_to(record, position)?;
                Ok(Arrived::Further(Box::new(self.claim(record, &start)?)))
            }
        }
    }

    /// It is complete; following goes on with it.
    fn followed(&self, record: &RebuildRecord, laps: Laps) {
        self.perform(record, Input::TargetReached, None);
        drop(laps);
        self.host.begin_followers(self.name(record));
    }

    /// What the next attempt starts with, where the history has gone on.
    fn further(&self, record: &RebuildRecord) -> Result<Option<AttemptStart>, EventFailure> {
        let stable = self.source.stable().map_err(unreadable)?;
        if stable <= record.target {
            return Ok(None);
        }
        self.start_to(record, stable).map(Some)
    }

    /// What an attempt starts with that goes on to `target`.
    fn start_to(&self, record: &RebuildRecord, target: Position) -> Result<AttemptStart, EventFailure> {
        let matcher = Matcher::new(&self.plugin.description().event_types);
        let new = self.source.count(&matcher, record.target, target).map_err(unreadable)?;
        let now = self.host.store.rebuild(self.name(record), record.generation).map_err(refused)?;
        Ok(AttemptStart {
            target,
            total_events: new.map(|new| now.passed() + now.checkpoint.missing + new),
            ..AttemptStart::again(&now)
        })
    }

    /// Takes the digest of what was built, for its receipt. The rows are complete and durable already.
    fn completed(&self, record: &RebuildRecord) {
        self.perform(record, Input::TargetReached, None);
        crash::point("digest.before");
        let name = self.name(record);
        let recorded = self.host.store.generation(name, record.generation).and_then(|generation| {
            let digest = self.host.store.digest(&generation)?;
            self.host.store.record_built(name, record.generation, digest, self.published.stages().report())
        });
        if let Err(e) = recorded {
            tracing::error!(projection = name, "the digest for its receipt cannot be taken: {e}");
        }
        self.promote_late(record);
        self.host.begin_followers(name);
    }

    /// Where the live generation was brought beyond it while this was built, or is followed by now: it is brought forward first.
    fn promote_late(&self, record: &RebuildRecord) {
        let name = self.name(record);
        let late = || -> Result<bool, StoreError> {
            let (now, live) = (self.host.store.rebuild(name, record.generation)?, self.host.store.live_rebuild(name)?);
            let waits = now.is_ready() && !now.promoted && now.spec.options.promotes();
            let beyond = |live: &RebuildRecord| live.checkpoint.position > now.checkpoint.position;
            let other = live.filter(|live| live.generation != now.generation);
            Ok(waits && other.is_some_and(|live| live.is_followed() || beyond(&live)))
        };
        let options = &record.spec.options;
        let allow = Allow { parked: options.allow_parked, empty: options.allow_empty };
        let supervisor = Supervisor { host: self.host.clone() };
        let promoted = loop {
            let promoted = match late() {
                Ok(true) => supervisor.promote_forward(name, record.generation, allow).map(drop),
                Ok(false) => Ok(()),
                Err(e) => Err(e.into()),
            };
            // What is under way comes to its end.
            let again = matches!(promoted, Err(RebuildError::UnderWay { .. } | RebuildError::Busy(_)));
            if !again || self.stop.is_raised() || !self.host.pause(limits::FOLLOW_POLL) {
                break promoted;
            }
        };
        if let Err(e) = promoted {
            tracing::error!(projection = name, "{} is complete, and not promoted: {e}", record.checkpoint_id());
        }
    }

    /// The caller that requested a shadow build waits for it and gets the failure.
    fn failed(&self, record: &RebuildRecord, failure: &EventFailure) {
        if record.spec.purpose != Purpose::Rebuild {
            return;
        }
        self.perform(record, Input::EventFailed, Some(failure));
    }

    /// Performs what follows from the end of an attempt; whatever it is, the store has it already.
    fn perform(&self, record: &RebuildRecord, news: Input, failure: Option<&EventFailure>) {
        let effects = step(State::Present(Status::Running), news).map_or(&[][..], |(_, _, effects)| effects);
        for effect in effects {
            match (effect, failure) {
                (Effect::Alert, Some(failure)) => {
                    let (name, position) = (self.name(record), self.published.position());
                    self.host.alerts.failed(name, record.generation, position, failure);
                }
                (Effect::Alert, None) => {}
                (
                    Effect::Stop(_) | Effect::SetStatus(_) | Effect::Install | Effect::CreateGeneration | Effect::Begin,
                    _,
                ) => tracing::error!(projection = self.name(record), "{effect:?} does not follow from {news:?}"),
            }
        }
    }

    /// The store refused a commit. What it holds is right, only older; it is asked to record the failure, which it may
    /// refuse too (a full disk): then it still says `running`, and the next host to open it leaves the rebuild paused.
    fn lost(&self, record: &RebuildRecord, failure: EventFailure) {
        if record.spec.purpose == Purpose::Rebuild {
            self.host.note_lost(self.name(record), failure.clone());
        }
        self.give_up(record, failure);
    }

    fn give_up(&self, record: &RebuildRecord, failure: EventFailure) {
        let now = self.host.store.rebuild(self.name(record), record.generation);
        if now.is_ok_and(|now| now.attempt != record.attempt && now.status() == Status::Completed) {
            tracing::error!(
                projection = self.name(record),
                "it is complete, and what follows is not done yet: {failure}"
            );
            return;
        }
        self.set_status(record, Status::Failed, Some(failure.clone()));
        self.failed(record, &failure);
    }

    /// Sets the status of the rebuild, unless another attempt has taken it over.
    fn set_status(&self, record: &RebuildRecord, status: Status, error: Option<EventFailure>) {
        let name = self.name(record);
        let ours = self.host.store.rebuild(name, record.generation).is_ok_and(|now| now.attempt == record.attempt);
        if !ours {
            return;
        }
        if let Err(e) = self.host.store.set_status(name, record.generation, status, error, now_ms()) {
            tracing::error!(projection = name, "its end could not be noted: {e}");
        }
    }

    /// Says what try number `tries` ran into, and waits for the next one; `false` where the stop was raised meanwhile.
    fn wait_to_try(&self, record: &RebuildRecord, tries: u32, failure: &EventFailure) -> bool {
        tracing::warn!(projection = self.name(record), tries, "retrying: {failure}");
        self.published.waits_for(failure);
        self.host.has_news();
        self.stop.wait_until(Instant::now() + limits::backoff(tries))
    }

    fn name<'r>(&self, record: &'r RebuildRecord) -> &'r str {
        &record.checkpoint.projection_name
    }
}

/// What the source says, as a failure.
fn unreadable(error: SourceError) -> EventFailure {
    EventFailure { transient: error.transient, ..EventFailure::permanent(FailureKind::Source, error.message) }
}

/// What the store says, as a failure.
pub(super) fn refused(error: StoreError) -> EventFailure {
    let transient = error.is_transient();
    EventFailure { transient, ..EventFailure::permanent(FailureKind::Store, error.to_string()) }
}
