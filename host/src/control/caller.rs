//! Who asks for something, and what is recorded of that.

use super::{ControlError, ErrorKind, Host, Request, response::Answer};
use crate::{
    limits,
    store::Outcome,
    vocabulary::act::{self, Act, Actor, ActorKind, Via},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Who asks, through what, and why.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// Through what.
    pub via: Via,
    /// Why, in their own words.
    pub reason: Option<String>,
    /// The number that the newest change of the projection must have: what was seen of it, and is to be changed. Anything where
    /// absent.
    pub expects: Option<u64>,
}

/// What is recorded in place of what may be a secret.
const SECRET: &str = "(not recorded: it may contain a password)";

/// A request on its way to a host of this machine, with what goes along with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    #[serde(flatten)]
    pub(super) request: Request,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl Caller {
    /// The user of this machine with this number, who asks on the command line.
    pub fn user(id: u32) -> Caller {
        let name = uzers::get_user_by_uid(id).map(|user| user.name().to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| format!("user {id}"));
        Caller { actor: Actor { kind: ActorKind::User, name }, via: Via::Cli, reason: None, expects: None }
    }

    /// The host itself, which looks at what it shows.
    pub fn host() -> Caller {
        Caller { actor: Act::of_host().actor, via: Via::Host, reason: None, expects: None }
    }

    /// The user of this process.
    pub fn this_user() -> Caller {
        Caller::user(rustix::process::geteuid().as_raw())
    }

    /// The same, for this reason.
    pub fn because(self, reason: Option<String>) -> Caller {
        Caller { reason, ..self }
    }

    fn act(&self, request: &Request) -> Act {
        let (name, arguments) = name_and_arguments(request);
        self.acts(&name, arguments)
    }

    /// What is done where the command is interrupted from its terminal.
    pub fn interrupts(&self) -> Arc<Act> {
        Arc::new(self.acts("interrupt", Value::Null))
    }

    fn acts(&self, name: &str, arguments: Value) -> Act {
        // What belongs together shows by it, also where hosts change in between.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:x}-{:x}-{count}", crate::vocabulary::now_ms(), std::process::id());
        Act::new(self.actor.clone(), self.via, name, id, arguments).because(self.reason.clone())
    }
}

impl Host {
    /// Does `work`, which carries `request` out, on behalf of `caller`, and records what becomes of it where that is recorded.
    pub(super) fn recorded(&self, caller: &Caller, request: &Request, work: impl FnOnce() -> Answer) -> Answer {
        let name = request.projection().map(str::to_owned);
        if !request.is_recorded() || self.only_reads() {
            return self.refuse_changed(caller, name.as_deref()).and_then(|()| work());
        }
        let act = Arc::new(caller.act(request));
        let done = self
            .refuse_changed(caller, name.as_deref())
            .and_then(|()| act::on_behalf_of(Some(act.clone()), || act::expecting(caller.expects, work)));
        let (outcome, message) = match &done {
            // What was changed says so itself.
            Ok(_) if act.has_changed() => return done,
            Ok(_) => (Outcome::Done, None),
            // It may repeat what is not recorded of its arguments.
            Err(e) if act.arguments.to_string().contains(SECRET) => (outcome_of(e.kind), Some(SECRET.to_owned())),
            Err(e) => (outcome_of(e.kind), Some(e.message.clone())),
        };
        // The projection may have got its name by this very request.
        let about = name.filter(|name| self.store().projection(name).is_ok());
        if let Err(e) = self.store().note_activity(Act::clone(&act), about.as_deref(), outcome, message) {
            tracing::error!("the record of activity lacks the end of {}: {e}", act.request);
        }
        done
    }

    /// Refuses where the projection has changed since the caller looked.
    fn refuse_changed(&self, caller: &Caller, name: Option<&str>) -> Result<(), ControlError> {
        let (Some(expected), Some(name)) = (caller.expects, name) else { return Ok(()) };
        if self.store().newest_change(name)? == expected {
            return Ok(());
        }
        Err(ControlError::new(ErrorKind::Changed, format!("{name} was changed since it was looked at; look again")))
    }
}

fn outcome_of(kind: ErrorKind) -> Outcome {
    match kind {
        ErrorKind::Usage
        | ErrorKind::Refused
        | ErrorKind::NoDirectory
        | ErrorKind::NotFound
        | ErrorKind::NotPossible
        | ErrorKind::Changed
        | ErrorKind::Busy
        | ErrorKind::InUse
        | ErrorKind::Plugin => Outcome::Refused,
        ErrorKind::Host
        | ErrorKind::Source
        | ErrorKind::Index
        | ErrorKind::Store
        | ErrorKind::Damaged
        | ErrorKind::Interrupted
        | ErrorKind::Failed => Outcome::Failed,
    }
}

/// What a request is called, and what it was asked with: without what is absent, and without anything that may be a secret.
fn name_and_arguments(request: &Request) -> (String, Value) {
    let mut arguments = serde_json::to_value(request).unwrap_or_default();
    let name = arguments.as_object_mut().and_then(|fields| fields.remove("request"));
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    tidy(&mut arguments);
    if arguments.to_string().len() > limits::ACTIVITY_ARGUMENT_BYTES {
        arguments = Value::String("(too long to be recorded)".to_owned());
    }
    (name, arguments)
}

/// Whether a text has a user with a password as URLs have them.
fn has_userinfo(text: &str) -> bool {
    let after = text.split_once("://").map_or("", |(_, after)| after);
    after.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        // Such a source is refused, since it would be recorded.
        Value::String(text) if text.to_ascii_lowercase().contains("password") || has_userinfo(text) => {
            *text = SECRET.to_owned();
        }
        _ => {}
    }
}
