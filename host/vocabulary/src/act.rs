//! On whose behalf something is done: carried along by the thread that does it, so that what changes the records notes who asked for
//! it, in the same transaction.
//!
//! A thread that works for nobody in particular works for the host itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What tells who it is.
    pub kind: ActorKind,
    /// The name of a user of this machine, of a token, or the one that a proxy gives; `host` for the host itself.
    pub name: String,
}

/// What tells who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// The user of a process of this machine, as the system tells it.
    User,
    /// A token.
    Token,
    /// A proxy that has authenticated somebody.
    Proxy,
    /// Nobody: the host does it by itself.
    Host,
}

/// Through what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// A command on the host's machine.
    Cli,
    /// HTTP.
    Http,
    /// The dashboard.
    Ui,
    /// Nothing: the host does it by itself.
    Host,
}

/// A request, as the record of activity has it.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who acts.
    pub actor: Actor,
    /// Through what.
    pub via: Via,
    /// The name of the request, such as `pause`; of what the host does by itself, `host`.
    pub request: String,
    /// Tells what belongs to one request from what belongs to another of the same name; empty for the host itself.
    pub request_id: String,
    /// What it was asked with.
    pub arguments: Value,
    /// Why, in the words of whoever asked.
    pub reason: Option<String>,
    /// Whether the record has an entry of something that was changed for it.
    noted: Arc<AtomicBool>,
}

impl Act {
    /// What somebody asks for.
    pub fn new(actor: Actor, via: Via, request: &str, request_id: String, arguments: Value) -> Act {
        let request = request.to_owned();
        Act { actor, via, request, request_id, arguments, reason: None, noted: Arc::default() }
    }

    /// The same, for this reason.
    pub fn because(self, reason: Option<String>) -> Act {
        Act { reason, ..self }
    }

    /// Notes that the record has an entry of something that was changed for it.
    pub fn note_changed(&self) {
        self.noted.store(true, Ordering::SeqCst);
    }

    /// Whether that has been noted.
    pub fn has_changed(&self) -> bool {
        self.noted.load(Ordering::SeqCst)
    }

    /// What the host does by itself.
    pub fn of_host() -> Act {
        let actor = Actor { kind: ActorKind::Host, name: "host".to_owned() };
        Act::new(actor, Via::Host, "host", String::new(), Value::Null)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Via {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Via::Cli => "cli",
            Via::Http => "http",
            Via::Ui => "ui",
            Via::Host => "host",
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Act>>> = const { RefCell::new(None) };
    static EXPECTED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does `work` on behalf of `act`; of the host itself where absent.
pub fn on_behalf_of<T>(act: Option<Arc<Act>>, work: impl FnOnce() -> T) -> T {
    /// Puts back what was there before, also where `work` panics.
    struct Before(Option<Arc<Act>>);
    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _before = Before(CURRENT.replace(act));
    work()
}

/// Does `work`, which is to change a projection only where the number of its newest change is `expected`: see [`take_expected`].
pub fn expecting<T>(expected: Option<u64>, work: impl FnOnce() -> T) -> T {
    EXPECTED.set(expected);
    let done = work();
    EXPECTED.set(None);
    done
}

/// The number that the newest change of a projection must have for what this thread is about to change of it. It is looked at once,
/// when nobody else changes the projection any more: what follows belongs to the same request.
pub fn take_expected() -> Option<u64> {
    EXPECTED.take()
}

/// On whose behalf this thread works; `None` where that is the host itself.
pub fn current() -> Option<Arc<Act>> {
    CURRENT.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_comes_back() {
        let act = |request: &str| Some(Arc::new(Act { request: request.to_owned(), ..Act::of_host() }));
        let name = || current().map(|act| act.request.clone());
        on_behalf_of(act("pause"), || {
            let inner = std::panic::catch_unwind(|| on_behalf_of(act("resume"), || panic!("{:?}", name())));
            assert!(inner.is_err());
            assert_eq!(name().as_deref(), Some("pause"));
            on_behalf_of(None, || assert_eq!(name(), None));
        });
        assert_eq!(name(), None);
    }
}
