//! Switching readers to another generation: never to one that is behind what they see, unless that is asked for.

use super::{RebuildError, supervisor::Supervisor};
use crate::{
    limits,
    store::{Allow, ProjectionRecord, RebuildRecord},
    vocabulary::Position,
};
use std::time::Instant;

/// What a switch of readers came to.
#[derive(Debug)]
pub struct Switch {
    /// The projection, as it is now.
    pub projection: ProjectionRecord,
    /// How far back readers were taken: from this position to that. Absent where they were not.
    pub taken_back: Option<(Position, Position)>,
}

impl Supervisor {
    /// Switches readers of `name` back to the generation they saw before. It is first brought to where the live generation stands, by
    /// the plugin that built it; `now`: afterwards.
    ///
    /// # Errors
    /// When there is no earlier generation, or it cannot be brought forward.
    pub fn rollback(&self, name: &str, now: bool, allow_empty: bool) -> Result<Switch, RebuildError> {
        let _lock = self.host.long_command(name, "a rollback")?;
        let previous = self.host.store.projection(name)?.previous;
        self.host.store.refuse_misfit(name, previous, None)?;
        let previous = previous
            .ok_or_else(|| RebuildError::NotFound(format!("{name} has no earlier generation to roll back to")))?;
        let allow = Allow { parked: true, empty: allow_empty };
        self.switch(name, previous, allow, now)
    }

    /// Switches readers of `name` to `generation`. Where the live generation is followed, it is first brought to where that stands.
    ///
    /// # Errors
    /// When it is not complete, or cannot be brought forward.
    pub fn promote(&self, name: &str, generation: u64, allow: Allow) -> Result<Switch, RebuildError> {
        let _lock = self.host.long_command(name, "a promotion")?;
        self.host.store.refuse_misfit(name, Some(generation), None)?;
        let follows = self.host.store.live_rebuild(name)?.is_some_and(|live| live.is_followed());
        self.switch(name, generation, allow, !follows)
    }

    /// As [`Supervisor::promote`]; wherever readers would be taken back, it is first brought to where the live generation stands.
    pub(super) fn promote_forward(&self, name: &str, generation: u64, allow: Allow) -> Result<Switch, RebuildError> {
        let _lock = self.host.long_command(name, "a promotion")?;
        self.host.store.refuse_misfit(name, Some(generation), None)?;
        self.switch(name, generation, allow, false)
    }

    fn switch(&self, name: &str, generation: u64, allow: Allow, now: bool) -> Result<Switch, RebuildError> {
        let store = &self.host.store;
        let target = store.rebuild(name, generation)?;
        let live = store.live_rebuild(name)?.filter(|live| live.generation != generation);
        let same = |live: &RebuildRecord| live.spec.source_identity == target.spec.source_identity;
        let live = live.filter(same);
        let behind = live.filter(|live| live.checkpoint.position > target.checkpoint.position || live.is_followed());
        let Some(live) = behind else {
            let _held = self.host.hold_followers(name);
            return Ok(Switch { projection: store.promote(name, generation, allow)?, taken_back: None });
        };
        let plugin = target.last_plugin().unwrap_or_default().to_owned();
        if now {
            let _held = self.host.hold_followers(name);
            let from = store.claim(name, live.generation)?.checkpoint.position;
            let projection = store.promote(name, generation, allow)?;
            let to = store.rebuild(name, generation)?;
            let taken_back = (to.checkpoint.position < from).then_some((from, to.checkpoint.position));
            // What is followed catches up by itself.
            if taken_back.is_some() && !to.is_followed() && to.spec.to.is_none() {
                let back = format!("readers were taken back from {from} to {}", to.checkpoint.position);
                self.host.bring_forward(&to, from, &plugin).map_err(|e| all_the_same(e, &back))?;
            }
            return Ok(Switch { projection, taken_back });
        }
        if let Some(to) = target.spec.to {
            return Err(RebuildError::NotPossible(format!(
                "{} was built up to position {to} on purpose (--to), and the live generation, {}, is at {}: readers would be taken \
                 back; nothing was changed: unspool model rollback {name} --now does it all the same, and unspool unfollow {name} lets \
                 unspool model promote do it",
                target.checkpoint_id(),
                live.checkpoint_id(),
                live.checkpoint.position
            )));
        }
        let forward = |e: RebuildError| match e {
            RebuildError::NotBuilt { message, failure } => RebuildError::NotBuilt {
                message: format!(
                    "{message}; readers were not switched: --now does so at once, and takes them back to there"
                ),
                failure,
            },
            other => other,
        };
        let target = self.catch_up_with(name, live.generation, target, &plugin).map_err(forward)?;
        let _held = self.host.hold_followers(name);
        // What its database has is known then, and nothing is committed to it any more.
        let position = store.claim(name, live.generation)?.checkpoint.position;
        self.host.bring_forward(&target, position, &plugin).map_err(forward)?;
        Ok(Switch { projection: store.promote(name, generation, allow)?, taken_back: None })
    }

    /// Brings `record` forward to where generation `leader` stands, in laps, while that moves on: until a lap takes but a moment.
    pub(super) fn catch_up_with(
        &self,
        name: &str,
        leader: u64,
        mut record: RebuildRecord,
        plugin: &str,
    ) -> Result<RebuildRecord, RebuildError> {
        for _ in 0..limits::LAPS {
            let begun = Instant::now();
            let to = self.host.store.rebuild(name, leader)?.checkpoint.position;
            record = self.host.bring_forward(&record, to, plugin)?;
            if begun.elapsed() <= limits::LAP {
                break;
            }
        }
        Ok(record)
    }
}

/// Why what follows a switch of readers has failed, with what has been done all the same.
fn all_the_same(error: RebuildError, done: &str) -> RebuildError {
    match error {
        RebuildError::NotBuilt { message, failure } => {
            RebuildError::NotBuilt { message: format!("{done}, and {message}"), failure }
        }
        other => RebuildError::NotPossible(format!("{done}, and not brought forward since: {other}")),
    }
}
