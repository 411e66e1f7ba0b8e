//! Performs what the state machine decides about an operator's command: only here does it install a plugin, end or begin an
//! attempt, or set a status.

use super::{
    Answer, Effect, Input, RebuildError, attempts, prepared::Prepared, supervisor::Supervisor, trigger::Trigger,
};
use crate::{
    crash,
    plugin::Plugin,
    store::{AttemptStart, RebuildRecord, Segment},
    vocabulary::{Status, now_ms},
};

/// What effects are performed with, where an input can have them.
#[derive(Default)]
pub(super) struct Means<'a> {
    /// The plugin to install.
    pub(super) plugin: Option<NewPlugin<'a>>,
    /// What begins; where absent, the latest rebuild goes on.
    pub(super) prepared: Option<Prepared>,
    /// The parts that earlier plugins build of it.
    pub(super) segments: Vec<Segment>,
}

/// A plugin that is to be installed.
pub(super) struct NewPlugin<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) component: &'a [u8],
    /// `swap` or `rollback`.
    pub(super) how: &'a str,
}

/// What an input has come to.
pub(super) struct Performed {
    pub(super) answer: Answer,
    /// The rebuild whose attempt has begun, where one has.
    pub(super) begun: Option<RebuildRecord>,
}

impl Supervisor {
    /// Performs all that follows from `input` for the latest rebuild of `name`. Where an attempt ends otherwise than it was
    /// stopped to, the decision is made again. The caller holds the command lock.
    ///
    /// # Errors
    /// What the state machine refuses; and what cannot be done, before anything is changed where that can be known.
    pub(super) fn perform(&self, name: &str, input: Input, mut means: Means<'_>) -> Result<Performed, RebuildError> {
        loop {
            let latest = self.host.store.latest_rebuild(name)?;
            let (answer, effects) = self.host.decide(name, &latest, input)?;
            if let Some(begun) = self.all_of(name, latest.as_ref(), effects, &mut means)? {
                return Ok(Performed { answer, begun });
            }
        }
    }

    /// Performs `effects`, in their order; `None` where the attempt that was to be stopped has ended otherwise.
    fn all_of(
        &self,
        name: &str,
        latest: Option<&RebuildRecord>,
        effects: &[Effect],
        means: &mut Means<'_>,
    ) -> Result<Option<Option<RebuildRecord>>, RebuildError> {
        let store = &self.host.store;
        let (mut created, mut begun) = (None, None);
        for effect in effects {
            match (*effect, latest) {
                (Effect::Stop(status), Some(record)) => {
                    self.host.stop(name, status);
                    match store.rebuild(name, record.generation)?.status() {
                        now if now == status => {}
                        Status::Running if status == Status::Paused => return Err(self.not_durable(name)),
                        _ => return Ok(None),
                    }
                }
                (Effect::SetStatus(status), Some(record)) => {
                    store.set_status(name, record.generation, status, None, now_ms())?;
                }
                (Effect::Stop(_) | Effect::SetStatus(_), None) => return Err(lacks(*effect)),
                (Effect::Install, _) => {
                    crash::point("swap.stopped");
                    let NewPlugin { plugin, component, how } = means.plugin.take().ok_or_else(|| lacks(*effect))?;
                    store.install(plugin.description(), plugin.digest(), component, how, now_ms())?;
                    crash::point("swap.installed");
                }
                (Effect::CreateGeneration, _) => {
                    let prepared = means.prepared.as_mut().ok_or_else(|| lacks(*effect))?;
                    // Which plugin builds it may just have been changed.
                    prepared.owner = store.projection(name)?;
                    let (plugin, start) = (self.host.plugin(prepared.owner.digest())?, prepared.start(None)?);
                    self.refuse_loss(prepared, &start)?;
                    let new = prepared.new_rebuild(std::mem::take(&mut means.segments));
                    created = Some((store.create_generation(name, new, now_ms())?.generation, plugin, start));
                }
                (Effect::Begin, _) => begun = Some(self.begin(name, latest, created.take(), means)?),
                // The effects of an attempt's end are performed where it ends.
                (Effect::Alert, _) => return Err(lacks(*effect)),
            }
        }
        Ok(Some(begun))
    }

    /// Begins an attempt: of the generation that was `created`, or of the latest one from its checkpoint on.
    fn begin(
        &self,
        name: &str,
        latest: Option<&RebuildRecord>,
        created: Option<(u64, Plugin, AttemptStart)>,
        means: &mut Means<'_>,
    ) -> Result<RebuildRecord, RebuildError> {
        let prepared = match means.prepared.take() {
            Some(prepared) => prepared,
            None => self.prepare(&Trigger { name: name.to_owned(), ..Trigger::default() })?,
        };
        let (generation, plugin, start) = match (created, latest) {
            (Some(created), _) => created,
            (None, Some(record)) => {
                let plugin = self.host.plugin(prepared.owner.digest())?;
                (record.generation, plugin, prepared.start(Some(record))?)
            }
            (None, None) => return Err(lacks(Effect::Begin)),
        };
        let record = self.host.store.begin_attempt(name, generation, &start)?;
        crash::point("begin-attempt.after");
        if record.status() == Status::Completed {
            // Its database had its last commit, which the store did not know.
            return Ok(record);
        }
        if let Err(e) = attempts::begin(&self.host, name, record.clone(), prepared.source, plugin, None, None) {
            self.host.store.set_status(name, generation, Status::Paused, None, now_ms())?;
            return Err(e);
        }
        Ok(record)
    }

    fn not_durable(&self, name: &str) -> RebuildError {
        let why = self.host.lost(name).map_or_else(String::new, |failure| format!(": {failure}"));
        std::io::Error::other(format!("the end of the rebuild of {name} is not durable{why}")).into()
    }
}

/// No input has such an effect without what it takes.
fn lacks(effect: Effect) -> RebuildError {
    std::io::Error::other(format!("{effect:?} lacks what it is performed with")).into()
}
