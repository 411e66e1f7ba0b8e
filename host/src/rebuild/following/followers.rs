//! The followers of a host: each keeps one generation up to date, on a thread of its own.

use super::follower::Follower;
use crate::{
    pipeline::{Published, Stop},
    rebuild::{
        RebuildError,
        host::{
            Host,
            follower_key::{key, of_key},
        },
    },
    settings::KeepPrevious,
    store::{Following, RebuildRecord},
    vocabulary::{FollowState, Position, Status, act, now_ms, work},
};
use std::sync::Arc;

/// While it lives, no generation of the projection is brought forward; afterwards those are which the store says.
pub(in crate::rebuild) struct Held {
    host: Arc<Host>,
    projection: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.host.release(&self.projection);
        self.host.begin_followers(&self.projection);
    }
}

impl Host {
    /// Lets a follower of a generation work, unless one does, or this host does not stay: then the next one that serves does.
    ///
    /// # Errors
    /// When there is no such generation, or the system gives no thread.
    pub(in crate::rebuild) fn begin_follower(
        self: &Arc<Host>,
        projection: &str,
        generation: u64,
    ) -> Result<(), RebuildError> {
        let record = self.store.rebuild(projection, generation)?;
        let once = record.following.as_ref().is_some_and(|following| following.once);
        if !record.is_followed() || once {
            return Ok(());
        }
        let Some(entry) = self.enter_follower(key(projection, generation), &record) else { return Ok(()) };
        let follower = self.follower(&record, None, entry.stop.clone(), entry.published.clone())?;
        entry.spawn(format!("follower {projection}"), move || {
            if let Err(failure) = follower.run() {
                tracing::debug!(projection = follower.projection, "not followed any more: {failure}");
            }
        })
    }

    /// Lets followers work of all generations of `projection` that the store says are followed.
    pub(in crate::rebuild) fn begin_followers(self: &Arc<Host>, projection: &str) {
        if let Err(e) = self.keep_previous(projection) {
            tracing::error!(projection, "its previous generation is not kept current: {e}");
        }
        let records = self.store.rebuilds(projection).inspect_err(|e| tracing::error!(projection, "not followed: {e}"));
        for record in records.unwrap_or_default() {
            if let Err(e) = self.begin_follower(projection, record.generation) {
                tracing::error!(projection, "{} is not followed: {e}", record.checkpoint_id());
            }
        }
    }

    /// Has the previous generation followed like the live one, where the settings say so.
    fn keep_previous(&self, projection: &str) -> Result<(), RebuildError> {
        let owner = self.store.projection(projection)?;
        let stays = self.stays();
        let Some(previous) = owner.previous.filter(|_| stays) else { return Ok(()) };
        if self.settings(&owner.description)?.keep_previous != KeepPrevious::Current {
            if self.store.rebuild(projection, previous)?.is_followed() {
                self.store.set_following(projection, previous, None)?;
            }
            return Ok(());
        }
        let live = self.store.live_rebuild(projection)?.filter(RebuildRecord::is_followed);
        let record = self.store.rebuild(projection, previous)?;
        let fits = record.status() == Status::Completed && record.spec.to.is_none() && record.following.is_none();
        let same = |live: &RebuildRecord| live.spec.source_identity == record.spec.source_identity;
        if let (true, Some(plugin)) = (fits && live.is_some_and(|live| same(&live)), record.last_plugin()) {
            self.store.set_following(projection, previous, Some(Following::with(plugin, now_ms())))?;
        }
        Ok(())
    }

    /// Stops the followers of a projection until what this returns is dropped. What they have handled is durable then.
    pub(in crate::rebuild) fn hold_followers(self: &Arc<Host>, projection: &str) -> Held {
        self.hold(projection);
        let held = Held { host: self.clone(), projection: projection.to_owned() };
        let running = self.running_keys();
        let live = self.store.live_rebuild(projection).ok().flatten().map(|live| live.generation);
        // What another command brings forward and readers do not see is left alone.
        let once = |generation| {
            let record = self.store.rebuild(projection, generation).ok();
            record.and_then(|record| record.following).is_some_and(|following| following.once)
        };
        let held_up = |key: &String| {
            let Some((name, generation)) = of_key(key) else { return false };
            name == projection && (Some(generation) == live || !once(generation))
        };
        // What it has handled by then is the host's work, whoever has it stopped.
        act::on_behalf_of(None, || {
            for follower in running.iter().filter(|key| held_up(key)) {
                self.stop(follower, Status::Paused);
            }
        });
        held
    }

    /// Stops the follower of a generation.
    pub(in crate::rebuild) fn stop_follower(&self, projection: &str, generation: u64) {
        self.stop(&key(projection, generation), Status::Paused);
    }

    /// Brings a complete generation, which nobody follows now, forward to `to`, on this thread.
    ///
    /// # Errors
    /// When an event cannot be handled, or the host ends. It is at the event before then.
    pub(in crate::rebuild) fn bring_forward(
        self: &Arc<Host>,
        record: &RebuildRecord,
        to: Position,
        plugin_digest: &str,
    ) -> Result<RebuildRecord, RebuildError> {
        if record.checkpoint.position >= to {
            return Ok(record.clone());
        }
        let (name, generation) = (record.checkpoint.projection_name.as_str(), record.generation);
        // One that is kept current has a follower of its own, which goes on afterwards.
        let before = record.following.clone().filter(|following| !following.once);
        let _held = record.is_followed().then(|| self.hold_followers(name));
        self.stop_follower(name, generation);
        let following = Following { once: true, ..Following::with(plugin_digest, now_ms()) };
        let claimed = self.store.set_following(name, generation, Some(following))?;
        work::begin(format!("bringing {} up to date", record.checkpoint_id()), "events", None);
        let ended = self.work_on(key(name, generation), &claimed, |stop, published| {
            Ok::<_, RebuildError>(self.follower(&claimed, Some(to), stop, published)?.run())
        });
        // What had failed is over where it has got past that.
        let arrived = matches!(&ended, Ok(Ok(Ok(()))));
        let before = before.filter(|before| before.state == FollowState::Following || !arrived);
        let now = self.store.set_following(name, generation, before)?;
        let ended = ended??;
        let position = now.checkpoint.position;
        match ended {
            Err(failure) => Err(RebuildError::NotBuilt {
                message: format!(
                    "{} could not be brought forward beyond {position}: {failure}{}",
                    record.checkpoint_id(),
                    failure.remedy.as_ref().map_or_else(String::new, |remedy| format!("; {remedy}"))
                ),
                failure: Some(Box::new(failure)),
            }),
            Ok(()) if position < to => Err(RebuildError::NotPossible(format!(
                "{} was brought forward to {position} of {to} only: {}",
                record.checkpoint_id(),
                if self.is_closing() { "the host ends" } else { "another command has stopped that; try again" }
            ))),
            Ok(()) => Ok(now),
        }
    }

    /// Follows a generation on this thread, as the store says that it is followed, until it is at `to`, or has failed, or the host ends.
    ///
    /// # Errors
    /// When the host is ending, or the system gives no thread.
    pub(in crate::rebuild) fn follow_to(
        self: &Arc<Host>,
        record: &RebuildRecord,
        to: Position,
    ) -> Result<(), RebuildError> {
        let key = key(&record.checkpoint.projection_name, record.generation);
        let ended = self.work_on(key, record, |stop, published| {
            Ok::<_, RebuildError>(self.follower(record, Some(to), stop, published)?.run())
        })??;
        if let Err(failure) = ended {
            tracing::debug!(projection = record.checkpoint.projection_name, "not followed any more: {failure}");
        }
        Ok(())
    }

    fn follower(
        self: &Arc<Host>,
        record: &RebuildRecord,
        to: Option<Position>,
        stop: Stop,
        published: Arc<Published>,
    ) -> Result<Follower, RebuildError> {
        Ok(Follower {
            host: self.clone(),
            projection: record.checkpoint.projection_name.clone(),
            generation: record.generation,
            to,
            stop,
            published,
            committer: self.committer_for(record)?,
        })
    }
}
