//! Brings a complete generation forward with the events that have come since: in short attempts, through the same pipeline and the
//! same commits as a rebuild's.

use crate::{
    limits,
    pipeline::{self, Attempt, Committer, Ended, Published, Recent, Stop, Tally},
    plugin::Plugin,
    rebuild::{
        host::Host,
        same_history::{self, Accept},
    },
    source::{Source, SourceError},
    store::{AttemptStart, Generation, RebuildRecord, StoreError},
    vocabulary::{EventFailure, FailureKind, Matcher, Position, now_ms},
};
use std::{sync::Arc, time::Instant};

/// What one generation is brought forward with.
pub(in crate::rebuild) struct Follower {
    pub(in crate::rebuild) host: Arc<Host>,
    pub(in crate::rebuild) projection: String,
    pub(in crate::rebuild) generation: u64,
    /// Where it ends; it goes on where absent.
    pub(in crate::rebuild) to: Option<Position>,
    pub(in crate::rebuild) stop: Stop,
    pub(in crate::rebuild) published: Arc<Published>,
    pub(in crate::rebuild) committer: Committer,
}

/// What a look at the history came to.
enum Look {
    /// It had gone on, and so has the generation.
    Moved,
    /// It has not.
    Nothing,
    /// The follower is at its end, or was told to stop, or another one has taken over.
    Over,
}

/// The history and the plugin, once they have been opened.
struct Opened {
    source: Arc<dyn Source>,
    plugin: Plugin,
    /// When the event at the checkpoint was last looked at.
    looked: Instant,
    /// Rows that the last attempt knew.
    recent: Recent,
    /// The number of that attempt, where it came to its end; whoever has claimed the generation since may have changed other rows.
    last: Option<u64>,
}

impl Follower {
    /// Works until it is stopped, or what was asked for is reached. Whatever is away is waited for as long as it takes.
    ///
    /// # Errors
    /// Why it cannot go on; the store says so too.
    pub(in crate::rebuild) fn run(&self) -> Result<(), EventFailure> {
        let (mut opened, mut tries) = (None, 0);
        while !self.stop.is_raised() {
            match self.look(&mut opened) {
                Ok(Look::Moved) => tries = 0,
                Ok(Look::Nothing) => {
                    tries = 0;
                    self.published.in_contact();
                    if let Some(Opened { source, .. }) = &opened {
                        source.wait(limits::FOLLOW_POLL);
                    }
                }
                Ok(Look::Over) => return Ok(()),
                Err(failure) if failure.transient => {
                    tries += 1;
                    opened = None;
                    tracing::warn!(projection = self.projection, tries, "following, retrying: {failure}");
                    self.published.waits_for(&failure);
                    self.host.has_news();
                    self.stop.wait_until(Instant::now() + limits::backoff(tries));
                }
                Err(failure) => {
                    self.give_up(&failure);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Brings the generation to where its history is stable now.
    fn look(&self, opened: &mut Option<Opened>) -> Result<Look, EventFailure> {
        let record = match self.host.store.rebuild(&self.projection, self.generation) {
            // It was dropped.
            Err(StoreError::NotFound(_)) => return Ok(Look::Over),
            record => record.map_err(refused)?,
        };
        if !record.is_followed() {
            return Ok(Look::Over);
        }
        let opened = match opened {
            Some(opened) => opened,
            None => opened.insert(self.open(&record)?),
        };
        let stable = match self.to {
            Some(to) if record.checkpoint.position >= to => return Ok(Look::Over),
            Some(to) => to,
            None => opened.source.stable().map_err(unreadable)?,
        };
        let moved = stable > record.checkpoint.position;
        if moved || opened.looked.elapsed() >= limits::FOLLOW_LOOK {
            same_history::check(opened.source.as_ref(), &record, None, &Accept::default())?;
            opened.looked = Instant::now();
        }
        if !moved {
            return Ok(Look::Nothing);
        }
        let matcher = Matcher::new(&opened.plugin.description().event_types);
        let new = opened.source.count(&matcher, record.checkpoint.position, stable).map_err(unreadable)?;
        let start = AttemptStart {
            target: stable,
            total_events: new.map(|new| record.passed() + record.checkpoint.missing + new),
            ..AttemptStart::again(&record)
        };
        if record.checkpoint.position >= record.target {
            // It had nothing to do before.
            self.published.begins();
        }
        let claimed = match self.host.store.begin_following(&self.projection, self.generation, &start) {
            Err(StoreError::Fenced { .. }) => return Ok(Look::Over),
            claimed => claimed.map_err(refused)?,
        };
        let attempt = claimed.attempt;
        if opened.last.take().is_none_or(|last| last + 1 != attempt) {
            opened.recent.forget();
            self.learn(&claimed, &opened.recent).map_err(refused)?;
        }
        match pipeline::run(self.attempt(claimed, opened, matcher)?) {
            Ended::Completed => {
                opened.last = Some(attempt);
                Ok(Look::Moved)
            }
            Ended::Stopped(_) => Ok(Look::Over),
            Ended::Lost(failure) => match self.host.store.rebuild(&self.projection, self.generation) {
                Err(StoreError::NotFound(_)) => Ok(Look::Over),
                // Somebody has claimed it: whether it is followed still, the next look finds.
                Ok(now) if now.attempt != attempt => Ok(Look::Moved),
                _ => Err(failure),
            },
            Ended::Failed(failure) | Ended::Interrupted(failure) => Err(failure),
        }
    }

    /// Reads the rows that were changed last, once nobody else changes them any more: they are likely to change again, and one at a
    /// time each would cost its own way to the database. Rows that are in the store are at hand there.
    fn learn(&self, claimed: &RebuildRecord, recent: &Recent) -> Result<(), StoreError> {
        if claimed.external.is_none() {
            return Ok(());
        }
        let keys =
            self.host.store.keys_changed_last(&self.projection, limits::LEARNED_ROWS, limits::RECENT_BYTES / 2)?;
        let rows = self.host.store.current_rows(&Generation::of(claimed))?;
        for (table, name) in claimed.tables.iter().enumerate() {
            let keys: Vec<&str> = keys.iter().filter(|(of, _)| of == name).map(|(_, key)| key.as_str()).collect();
            for keys in keys.chunks(limits::LEARNED_AT_ONCE) {
                let documents = rows.get_many(table, keys)?;
                recent.learn(table, keys.iter().copied().zip(documents));
            }
        }
        Ok(())
    }

    fn open(&self, record: &RebuildRecord) -> Result<Opened, EventFailure> {
        let source = self.host.sources.open(&record.spec.source).map_err(unreadable)?;
        let digest = record.following.as_ref().map_or("", |following| &following.plugin_digest);
        let plugin = self.host.plugin(digest);
        let plugin = plugin.map_err(|e| EventFailure::permanent(FailureKind::Plugin, e.to_string()))?;
        same_history::check(source.as_ref(), record, None, &Accept::default())?;
        Ok(Opened { source, plugin, looked: Instant::now(), recent: Recent::default(), last: None })
    }

    fn attempt(&self, record: RebuildRecord, opened: &Opened, matcher: Matcher) -> Result<Attempt, EventFailure> {
        Ok(Attempt {
            end: opened.source.at(record.target).map_err(unreadable)?,
            tally: Some(Tally { parts: Vec::new(), accepted: record.spec.options.accept_missing() }),
            record,
            source: opened.source.clone(),
            matcher,
            plugin: Arc::new(opened.plugin.clone()),
            store: self.host.store.clone(),
            committer: self.committer.clone(),
            pool: self.host.pool.clone(),
            stop: self.stop.clone(),
            published: self.published.clone(),
            completes: false,
            follows: true,
            retry: None,
            touched: None,
            observed: None,
            recent: Some(opened.recent.clone()),
            backoff: limits::backoff,
        })
    }

    /// The rows stay as they are, and readable; the operator is told.
    fn give_up(&self, failure: &EventFailure) {
        let now = self.host.store.rebuild(&self.projection, self.generation);
        let recorded = match now {
            // Who stops it says what becomes of it.
            Ok(now) if now.is_followed() && self.stop.is_raised() => return,
            Ok(now) if now.is_followed() => {
                self.host.store.fail_following(&self.projection, self.generation, failure.clone(), now_ms())
            }
            // The commit that ended it says so; who else has ended it has told why.
            Ok(now) => match &now.following {
                Some(following) if following.error.as_ref() == Some(failure) => Ok(now),
                _ => return,
            },
            Err(e) => Err(e),
        };
        if let Err(e) = recorded {
            tracing::error!(projection = self.projection, "its end could not be recorded: {e}");
        }
        if self.to.is_none() {
            self.host.alerts.failed(&self.projection, self.generation, self.published.position(), failure);
        }
    }
}

/// What the source says, as a failure.
fn unreadable(error: SourceError) -> EventFailure {
    EventFailure { transient: error.transient, ..EventFailure::permanent(FailureKind::Source, error.message) }
}

/// What the store says, as a failure.
fn refused(error: StoreError) -> EventFailure {
    let transient = error.is_transient();
    EventFailure { transient, ..EventFailure::permanent(FailureKind::Store, error.to_string()) }
}
