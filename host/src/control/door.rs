//! How a browser is let in: the host's owner asks for a code over the socket, and the browser gives it back once.

use super::{ControlError, Host, Response, answers::SessionCode, response::Answer};
use crate::vocabulary::act::{self, Actor};
use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How long a code may be used.
const CODE_TIME: Duration = Duration::from_secs(60);

/// Codes that may be outstanding.
const CODES: usize = 16;

/// Where a host answers HTTP, and the codes that let browsers in.
#[derive(Default)]
pub struct Door {
    url: OnceLock<String>,
    codes: Mutex<Vec<Code>>,
}

/// A code that has not been used: its digest, for whom it is, and until when.
struct Code {
    digest: blake3::Hash,
    actor: Actor,
    until: Instant,
}

impl Door {
    /// The host answers at `url` from now on.
    pub fn open(&self, url: String) {
        drop(self.url.set(url));
    }

    /// Uses a code: whom it lets in. It lets in nobody a second time.
    pub fn enter(&self, code: &str) -> Option<Actor> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|code| code.until > Instant::now());
        // Digests compare in constant time.
        let digest = blake3::hash(code.as_bytes());
        let found = codes.iter().position(|known| known.digest == digest)?;
        Some(codes.swap_remove(found).actor)
    }
}

impl Host {
    /// Makes a code for whoever asks.
    pub(super) fn session_code(&self) -> Answer {
        let door = self.door();
        let Some(url) = door.url.get() else {
            return Err(ControlError::not_possible(
                "the host of this data directory answers no browser: end it, and start it with unspool serve --listen 127.0.0.1:7117",
            ));
        };
        let code = crate::private::random_text()
            .map_err(|e| ControlError::failed(format!("the system gives no randomness: {e}")))?;
        let actor = act::current().map_or_else(|| act::Act::of_host().actor, |act| act.actor.clone());
        let mut codes = door.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|code| code.until > Instant::now());
        if codes.len() >= CODES {
            codes.remove(0);
        }
        codes.push(Code { digest: blake3::hash(code.as_bytes()), actor, until: Instant::now() + CODE_TIME });
        Ok(Response::SessionCode(SessionCode { url: format!("{url}#code={code}"), seconds: CODE_TIME.as_secs() }))
    }
}
