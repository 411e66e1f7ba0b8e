//! All projections at a glance, with what can be done with each.

use super::{
    Action, ControlError, GenerationRole, Host, ListedGeneration, ListedProjection, ProjectionOverview, Request,
    Response, Row, Sink, response::Answer,
};
use crate::{
    rebuild::{Accept, Input, State, Trigger, UnfinishedRebuild, step},
    store::{ProjectionRecord, RebuildRecord, StoreError},
    vocabulary::{FollowState, Status},
};

/// How often a projection is looked at again that has changed while it was looked at.
const LOOKS: u32 = 3;

impl Host {
    /// Gives all projections, or the one with this name.
    pub(super) fn projections(&self, name: Option<&str>, sink: &mut Sink<'_>) -> Answer {
        let all = match name {
            Some(name) => vec![name.to_owned()],
            None => self.store().projections()?.into_iter().map(|owner| owner.description.name).collect(),
        };
        for projection in all {
            match self.projection_overview(&projection) {
                Ok(overview) => drop(sink(Row::Overview(Box::new(overview)))),
                // It has changed in between: the next look shows it.
                Err(e) if e.kind == super::ErrorKind::NotFound && name.is_none() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(Response::Nothing)
    }

    /// The projection as it was at one moment: where it changes meanwhile, it is looked at again. One that changes all the time is
    /// called what it was before, so that what is asked for by that is refused.
    fn projection_overview(&self, name: &str) -> Result<ProjectionOverview, ControlError> {
        let mut overview = self.look_at(name)?;
        for _ in 0..LOOKS {
            if self.store().newest_change(name)? == overview.changed {
                break;
            }
            overview = self.look_at(name)?;
        }
        Ok(overview)
    }

    fn look_at(&self, name: &str) -> Result<ProjectionOverview, ControlError> {
        // The number first: of what is read after it, nothing is older.
        let changed = self.store().newest_change(name)?;
        let owner = self.store().projection(name)?;
        let rebuild = self.overview(|rebuilds| rebuilds.progress(name))?;
        let record = |number: Option<u64>| match number.map(|number| self.store().rebuild(name, number)).transpose() {
            Err(StoreError::NotFound(_)) => Ok(None),
            record => record,
        };
        let (live, latest) = (record(owner.live)?, record(owner.latest)?);
        let parked = latest.as_ref().map_or(0, |record| record.parked);
        let actions = Situation { owner: &owner, live: live.as_ref(), latest: latest.as_ref() }.actions();
        Ok(ProjectionOverview {
            changed,
            plugin: ListedProjection::of(&owner),
            rebuild: rebuild.map(Box::new),
            live: live.map(|record| ListedGeneration::new(&record, GenerationRole::Live)),
            generations: self.store().rebuilds(name)?.len() as u64,
            dead_letters: parked,
            last_verify: owner.last_verify,
            actions,
            name: name.to_owned(),
        })
    }
}

/// What decides what can be done.
struct Situation<'a> {
    owner: &'a ProjectionRecord,
    live: Option<&'a RebuildRecord>,
    latest: Option<&'a RebuildRecord>,
}

impl Situation<'_> {
    fn actions(&self) -> Vec<Action> {
        let name = self.owner.description.name.clone();
        let accept = Accept::default;
        let trigger = Trigger { name: name.clone(), ..Trigger::default() };
        let all = [
            (
                "rebuild",
                "rebuild",
                Request::Rebuild(trigger),
                self.may(Input::Trigger { restart: false, same_shape: true }),
            ),
            ("pause", "pause", Request::Pause { name: name.clone() }, self.may(Input::Pause)),
            (
                "resume",
                "resume",
                Request::Resume { name: name.clone(), accept: accept() },
                self.may(Input::Resume { same_shape: self.same_shape() }),
            ),
            ("cancel", "cancel", Request::Cancel { name: name.clone() }, self.may_cancel()),
            ("follow", "follow", Request::Follow { name: name.clone(), accept: accept() }, self.may_follow()),
            ("unfollow", "unfollow", Request::Unfollow { name: name.clone() }, self.may_unfollow()),
            ("catch-up", "catch-up", Request::CatchUp { name: name.clone(), accept: accept() }, self.needs_live()),
            (
                "promote",
                "model promote",
                Request::ModelPromote { name: name.clone(), generation: None, allow_parked: false, allow_empty: false },
                self.may_promote(),
            ),
            (
                "rollback",
                "model rollback",
                Request::ModelRollback { name: name.clone(), now: false, allow_empty: false },
                self.may_roll_back(),
            ),
            (
                "verify",
                "model verify",
                Request::ModelVerify { name: name.clone(), repair: false, accept: accept() },
                self.needs_live(),
            ),
            (
                "dead-letters-retry",
                "dead-letters retry",
                Request::DeadLettersRetry { name: name.clone(), stream: None, out_of_order: false },
                self.needs_dead_letters(),
            ),
            (
                "dead-letters-discard",
                "dead-letters discard",
                Request::DeadLettersDiscard { name: name.clone(), stream: None },
                self.needs_dead_letters(),
            ),
            (
                "swap",
                "plugin swap",
                Request::PluginSwap { name: name.clone(), file: String::new(), after: UnfinishedRebuild::Continue },
                None,
            ),
            (
                "plugin-rollback",
                "plugin rollback",
                Request::PluginRollback { name: name.clone() },
                self.needs_earlier_plugin(),
            ),
            (
                "try",
                "plugin try",
                Request::PluginTry { name: name.clone(), file: String::new(), last: 0, source: None },
                self.needs_latest(),
            ),
            (
                "as-of",
                "model as-of",
                Request::ModelAsOf { name: name.clone(), to: String::new(), label: None, source: None },
                self.needs_latest(),
            ),
        ];
        let shown = |(action, words, request, because): (&str, &str, Request, Option<String>)| {
            let rest = match action {
                "swap" | "try" => " FILE",
                "as-of" => " --to X",
                "dead-letters-discard" => " --all",
                _ => "",
            };
            let path = match action {
                "swap" => format!("projections/{name}/plugin"),
                _ => format!("projections/{name}/{}", action.replacen("dead-letters-", "dead-letters/", 1)),
            };
            Action {
                name: action.to_owned(),
                allowed: because.is_none(),
                because,
                role: request.role(),
                needs_match: request.must_match(),
                command: format!("unspool {words} {name}{rest}"),
                method: if action == "swap" { "PUT" } else { "POST" }.to_owned(),
                path,
            }
        };
        all.into_iter().map(shown).collect()
    }

    /// Why the state machine refuses it; `None` where it does not.
    fn may(&self, input: Input) -> Option<String> {
        let state = self.latest.map_or(State::Absent, |record| State::Present(record.status()));
        step(state, input).err().map(|refusal| refusal.to_string())
    }

    fn same_shape(&self) -> bool {
        let description = &self.owner.description;
        self.latest.is_none_or(|record| {
            let tables = description.tables.iter().map(|table| &table.name);
            record.state_version == description.version && record.tables.iter().eq(tables)
        })
    }

    fn may_cancel(&self) -> Option<String> {
        let unfinished = |record: &&RebuildRecord| !matches!(record.status(), Status::Completed | Status::Cancelled);
        self.latest.filter(unfinished).is_none().then(|| "no rebuild is running, paused or failed".to_owned())
    }

    fn needs_live(&self) -> Option<String> {
        self.live.is_none().then(|| "there is no live generation yet".to_owned())
    }

    fn needs_latest(&self) -> Option<String> {
        self.latest.is_none().then(|| "there has been no rebuild".to_owned())
    }

    fn follows(&self) -> Option<FollowState> {
        self.live.and_then(|record| Some(record.following.as_ref()?.state))
    }

    fn may_follow(&self) -> Option<String> {
        if self.follows() == Some(FollowState::Following) {
            return Some("it is followed already".to_owned());
        }
        self.needs_live()
    }

    fn may_unfollow(&self) -> Option<String> {
        self.follows().is_none().then(|| "it is not followed".to_owned())
    }

    fn may_promote(&self) -> Option<String> {
        let Some(latest) = self.latest else { return self.needs_latest() };
        match latest.status() {
            _ if self.owner.live == Some(latest.generation) => Some("the latest generation is live already".to_owned()),
            Status::Completed => None,
            status => Some(format!("the latest rebuild is {status}; only a complete generation is promoted")),
        }
    }

    fn may_roll_back(&self) -> Option<String> {
        self.owner.previous.is_none().then(|| "there is no earlier generation to go back to".to_owned())
    }

    fn needs_dead_letters(&self) -> Option<String> {
        self.latest.is_none_or(|record| record.parked == 0).then(|| "there are no dead letters".to_owned())
    }

    fn needs_earlier_plugin(&self) -> Option<String> {
        let digest = self.owner.digest();
        let earlier = self.owner.installs.iter().any(|install| install.digest != digest);
        (!earlier).then(|| "it has had one plugin only".to_owned())
    }
}
