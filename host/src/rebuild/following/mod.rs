//! Keeping the live generation up to date, beside whatever is rebuilt.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | the states of following as one pure function |
//! | `follower` | brings one generation forward, in short attempts |
//! | `followers` | the threads of a host on which followers work: beginning, holding and stopping them; catching up on the caller's |
//! | `mod` | the commands, and what follows from the state machine |

mod follower;
mod followers;
mod state;

pub(super) use followers::Held;
pub use state::{FollowAnswer, FollowEffect, FollowInput, follow_step};

use super::{
    RebuildError,
    host::follower_key::key,
    prepared::same_shape,
    same_history::{Accept, check},
    supervisor::Supervisor,
};
use crate::{
    limits,
    store::{Following, RebuildRecord},
    vocabulary::{FollowState, Position, Seen, Status, now_ms, work},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a command about following.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FollowStatus {
    /// The live generation is kept up to date from now on.
    Following,
    /// It has been kept up to date before.
    AlreadyFollowing,
    /// It is not kept up to date any more.
    Stopped,
    /// It has not been kept up to date.
    NotFollowing,
    /// It is at the end that its history had when this began.
    CaughtUp,
}

/// The answer to a command about following.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowReport {
    /// The projection.
    pub projection_name: String,
    /// What became of it.
    pub status: FollowStatus,
    /// The live generation.
    pub generation: u64,
    /// Where its events come from.
    pub source: String,
    /// The plugin that handles new events.
    pub plugin_digest: String,
    /// How far its source has been read.
    pub position: Position,
    /// Events that this command has handled.
    pub events: u64,
}

impl Supervisor {
    /// Keeps the live generation of `name` up to date from its checkpoint on, however long ago that was made.
    ///
    /// # Errors
    /// When there is none, it was built from another history or a part of it only, or that history cannot be followed.
    pub fn follow(&self, name: &str, accept: &Accept) -> Result<FollowReport, RebuildError> {
        self.host.compile(name);
        self.host.follows();
        let _lock = self.host.command(name)?;
        let report = self.perform_following(name, FollowInput::Follow, accept)?;
        // One that another host has followed, which is gone.
        self.host.begin_followers(name);
        Ok(report)
    }

    /// Leaves the live generation of `name` as it is.
    ///
    /// # Errors
    /// When there is none, or the store cannot be written.
    pub fn unfollow(&self, name: &str) -> Result<FollowReport, RebuildError> {
        let _lock = self.host.command(name)?;
        // Also what is kept current for a rollback.
        let _held = self.host.hold_followers(name);
        let report = self.perform_following(name, FollowInput::Unfollow, &Accept::default())?;
        self.host.leave_unfollowed(name);
        Ok(report)
    }

    /// Brings the live generation of `name` to the present end of its history, once.
    ///
    /// # Errors
    /// As [`Supervisor::follow`], and where an event cannot be handled.
    pub fn catch_up(&self, name: &str, accept: &Accept) -> Result<FollowReport, RebuildError> {
        self.host.compile(name);
        let _lock = self.host.long_command(name, "a catch-up")?;
        self.perform_following(name, FollowInput::CatchUp, accept)
    }

    /// Performs all that follows from `input` for the live generation of `name`. The caller holds the command lock.
    pub(super) fn perform_following(
        &self,
        name: &str,
        input: FollowInput,
        accept: &Accept,
    ) -> Result<FollowReport, RebuildError> {
        let store = &self.host.store;
        store.refuse_misfit(name, None, None)?;
        let live = store.live(name)?;
        let before = store.rebuild(name, live.number)?;
        let (_, answer, effects) = follow_step(before.following.as_ref().map(|following| following.state), input);
        let mut plugin = before.following.as_ref().map(|following| following.plugin_digest.clone());
        let (mut end, mut known) = (before.checkpoint.position, None);
        if effects.iter().any(|effect| matches!(effect, FollowEffect::BeginOnce | FollowEffect::Begin)) {
            // Where another plugin is installed, whatever else is in the way is for the follower to find.
            if input != FollowInput::Swap {
                let (position, identity, seen) = self.refuse_unfollowable(&before, accept)?;
                (end, known) = (position, Some((identity, seen)));
            }
            plugin = Some(self.plugin_to_follow_with(&before)?);
        }
        if let Some((identity, seen)) = known {
            store.recognise(name, live.number, identity, seen, accept.missing)?;
        }
        for effect in effects {
            match effect {
                FollowEffect::Stop => self.host.stop_follower(name, live.number),
                FollowEffect::Record(state) => {
                    let plugin = plugin.as_deref().unwrap_or_default();
                    let following = state.map(|state| Following { state, ..Following::with(plugin, now_ms()) });
                    store.set_following(name, live.number, following)?;
                }
                FollowEffect::Begin => self.host.begin_follower(name, live.number)?,
                FollowEffect::BeginOnce => {
                    self.host.bring_forward(&before, end, plugin.as_deref().unwrap_or_default())?;
                }
                FollowEffect::Wait => self.wait_for_follower(&before)?,
                // What a follower has to say of its end is performed where it ends.
                FollowEffect::Alert => {}
            }
        }
        let now = store.rebuild(name, live.number)?;
        Ok(FollowReport {
            projection_name: name.to_owned(),
            status: match answer {
                FollowAnswer::Following => FollowStatus::Following,
                FollowAnswer::AlreadyFollowing | FollowAnswer::Noted => FollowStatus::AlreadyFollowing,
                FollowAnswer::Stopped => FollowStatus::Stopped,
                FollowAnswer::NotFollowing => FollowStatus::NotFollowing,
                FollowAnswer::CaughtUp => FollowStatus::CaughtUp,
            },
            generation: live.number,
            source: now.spec.source.clone(),
            plugin_digest: plugin.or_else(|| now.last_plugin().map(str::to_owned)).unwrap_or_default(),
            position: now.checkpoint.position,
            events: now.checkpoint.events_processed.saturating_sub(before.checkpoint.events_processed),
        })
    }

    /// Lets the plugin that has just been installed handle new events of the live generation, where that is followed and has the same
    /// shape. The caller holds the command lock.
    pub(super) fn swap_follower(&self, name: &str) -> Result<(), RebuildError> {
        let installed = self.host.store.projection(name)?;
        match self.host.store.live_rebuild(name)? {
            Some(live) if live.following.is_some() && same_shape(&live, &installed.description) => {
                self.perform_following(name, FollowInput::Swap, &Accept::default()).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Refuses to bring a generation forward that is no beginning of its history as it is now. Where that ends, its identity, and by
    /// what the checkpoint is known.
    fn refuse_unfollowable(
        &self,
        record: &RebuildRecord,
        accept: &Accept,
    ) -> Result<(Position, String, Seen), RebuildError> {
        let (name, id) = (&record.checkpoint.projection_name, record.checkpoint_id());
        if record.status() != Status::Completed {
            return Err(RebuildError::NotPossible(format!(
                "{id} is {}: only a complete generation is kept up to date",
                record.status()
            )));
        }
        if let Some(to) = record.spec.to {
            return Err(RebuildError::NotPossible(format!(
                "{id} was built up to position {to} on purpose (--to): it does not go on from there; unspool rebuild {name} --follow \
                 builds one that does"
            )));
        }
        let missing = record.checkpoint.missing;
        if missing > accept.missing.unwrap_or_else(|| record.spec.options.accept_missing()) {
            return Err(RebuildError::NotPossible(format!(
                "{id} lacks {missing} events that were counted, and not there any more when they were to be read: unspool follow {name} \
                 --accept-missing {missing} takes its rows as they are, and unspool rebuild {name} --restart builds from what is there"
            )));
        }
        let source = self.host.source(&record.spec.source)?;
        source.refuse_following()?;
        let end = source.ceiling()?;
        // What helps is told as of one that is followed: it is to be.
        let followed = RebuildRecord { following: Some(Following::with("", now_ms())), ..record.clone() };
        let seen = check(source.as_ref(), &followed, Some(end), accept)?;
        Ok((end, source.identity().to_owned(), seen))
    }

    /// The plugin that is installed, where it has the shape of the generation; otherwise the one that built it.
    fn plugin_to_follow_with(&self, record: &RebuildRecord) -> Result<String, RebuildError> {
        let owner = self.host.store.projection(&record.checkpoint.projection_name)?;
        if same_shape(record, &owner.description) {
            return Ok(owner.digest().to_owned());
        }
        record.last_plugin().map(str::to_owned).ok_or_else(|| {
            RebuildError::NotPossible(format!(
                "{} was built from no event, and the installed plugin has another shape: unspool rebuild {} builds a new generation",
                record.checkpoint_id(),
                owner.description.name
            ))
        })
    }

    /// Waits until the follower of `record` is where its history ends now.
    fn wait_for_follower(&self, record: &RebuildRecord) -> Result<(), RebuildError> {
        let (name, generation) = (record.checkpoint.projection_name.as_str(), record.generation);
        let end = self.host.source(&record.spec.source)?.ceiling()?;
        work::begin(format!("bringing {name} up to date"), "events", None);
        if !self.host.is_running(&key(name, generation)) {
            // The host that followed it is gone.
            self.host.follow_to(record, end)?;
        }
        loop {
            let now = self.host.store.rebuild(name, generation)?;
            if now.checkpoint.position >= end {
                return Ok(());
            }
            match now.following {
                Some(Following { state: FollowState::Following, .. }) if self.host.pause(limits::FOLLOW_POLL) => {}
                following => {
                    let failure = following.and_then(|following| following.error);
                    return Err(RebuildError::NotBuilt {
                        message: failure.as_ref().map_or_else(
                            || format!("{name} is not followed any more"),
                            |failure| format!("{name} could not be brought up to date: {failure}"),
                        ),
                        failure: failure.map(Box::new),
                    });
                }
            }
        }
    }
}
