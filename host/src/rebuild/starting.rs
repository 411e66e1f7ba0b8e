//! Starting and resuming rebuilds.

use super::{
    Answer, Effect, Input, RebuildError,
    perform::Means,
    prepared::Prepared,
    same_history::Accept,
    supervisor::Supervisor,
    trigger::{Plan, Trigger, TriggerAnswer},
};
use crate::{
    store::{RebuildOptions, RebuildRecord},
    vocabulary::Description,
};

impl Supervisor {
    /// Starts or resumes it, or leaves it running.
    ///
    /// # Errors
    /// When something that is named does not exist, the source cannot be read, or it is not possible as things are.
    pub fn trigger(&self, trigger: &Trigger) -> Result<TriggerAnswer, RebuildError> {
        self.host.compile(&trigger.name);
        if trigger.options.follow {
            self.host.follows();
        }
        let _lock = self.host.command(&trigger.name)?;
        let prepared = self.prepare(trigger)?;
        let input = Input::Trigger { restart: trigger.restart, same_shape: prepared.same_shape() };
        self.carry_out(input, prepared)
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
            self.refuse_loss(&prepared, &start)?;
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
            events: start.total_events.map(|total| total.saturating_sub(record.map_or(0, RebuildRecord::passed))),
            left_out: prepared.source.left_out(after, start.target)?.unwrap_or_default(),
            chunk_size: start.chunk_size,
            plugin_digest: prepared.owner.digest().to_owned(),
            promotes: start.options.promotes(),
        })
    }

    /// Lets an unfinished rebuild go on from its checkpoint.
    ///
    /// # Errors
    /// When there is nothing to resume, or as [`Supervisor::trigger`].
    pub fn resume(&self, name: &str) -> Result<TriggerAnswer, RebuildError> {
        self.resume_accepting(name, &Accept::default())
    }

    /// [`Supervisor::resume`], where the operator vouches for its history.
    ///
    /// # Errors
    /// As [`Supervisor::resume`].
    pub fn resume_accepting(&self, name: &str, accept: &Accept) -> Result<TriggerAnswer, RebuildError> {
        self.host.compile(name);
        let _lock = self.host.command(name)?;
        self.resume_locked(name, accept)
    }

    /// The caller holds the command lock.
    fn resume_locked(&self, name: &str, accept: &Accept) -> Result<TriggerAnswer, RebuildError> {
        let options = RebuildOptions { accept_missing: accept.missing, ..RebuildOptions::default() };
        let asked = Trigger { name: name.to_owned(), accept: accept.clone(), options, ..Trigger::default() };
        let prepared = self.prepare(&asked)?;
        if prepared.latest.as_ref().is_some_and(|record| record.spec.options.follow) {
            self.host.follows();
        }
        self.carry_out(Input::Resume { same_shape: prepared.same_shape() }, prepared)
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
        self.refuse_loss(&prepared, &start)?;
        Ok(prepared)
    }

    fn carry_out(&self, input: Input, prepared: Prepared) -> Result<TriggerAnswer, RebuildError> {
        let (answer, _) = self.host.decide(&prepared.name, &prepared.latest, input)?;
        prepared.refuse_other_options(answer)?;
        let name = prepared.name.clone();
        let came_from = prepared.came_from();
        let latest = prepared.latest.as_ref().map(RebuildRecord::checkpoint_id);
        let performed = self.perform(&name, input, Means { prepared: Some(prepared), ..Means::default() })?;
        Ok(match performed.begun {
            Some(record) => TriggerAnswer::begun(&record, performed.answer == Answer::Resumed, came_from),
            None => TriggerAnswer::AlreadyRunning { projection_name: name, checkpoint_id: latest.unwrap_or_default() },
        })
    }
}
