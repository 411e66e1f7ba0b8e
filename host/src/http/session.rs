//! Sessions of browsers: a cookie that says who it is, sealed with a key of the data directory. So a session outlives the host that began
//! it, and nothing is kept of it.

use crate::{
    control::{Payloads, Role},
    private,
    vocabulary::{act::Actor, now_ms},
};
use axum::http::{HeaderMap, header};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use std::{fs, io, io::Write, path::Path};

/// How long a session may last, in milliseconds.
const LASTS: i64 = 12 * 60 * 60 * 1000;

/// The file with the key, in the data directory. Whoever removes it ends all sessions.
const KEY_FILE: &str = "http-session.key";

/// A browser that was let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Whom.
    pub actor: Actor,
    /// What they may have done.
    pub role: Role,
    /// What they may see of rows and events.
    pub payloads: Payloads,
    /// When the token was made with which it was begun, in milliseconds since 1970.
    pub token_made: Option<i64>,
    /// Until when, in milliseconds since 1970.
    until: i64,
}

/// Makes and recognises sessions.
pub struct Sessions {
    key: [u8; 32],
    /// Over TLS alone.
    secure: bool,
}

impl Sessions {
    /// Those of the data directory at `dir`.
    ///
    /// # Errors
    /// When the key can neither be read nor made.
    pub fn open(dir: &Path, secure: bool) -> io::Result<Sessions> {
        let file = dir.join(KEY_FILE);
        if let Ok(kept) = fs::read(&file)
            && let Ok(key) = kept.try_into()
        {
            return Ok(Sessions { key, secure });
        }
        let key = *blake3::hash(private::random_text()?.as_bytes()).as_bytes();
        private::options().write(true).create(true).truncate(true).open(&file)?.write_all(&key)?;
        Ok(Sessions { key, secure })
    }

    fn name(&self) -> &'static str {
        if self.secure { "__Host-unspool" } else { "unspool" }
    }

    fn seal(&self, text: &[u8]) -> String {
        blake3::keyed_hash(&self.key, text).to_hex().to_string()
    }

    /// The cookie of a session that begins.
    pub fn begin(&self, actor: Actor, role: Role, payloads: Payloads, token_made: Option<i64>) -> String {
        let session = Session { actor, role, payloads, token_made, until: now_ms() + LASTS };
        let text = serde_json::to_vec(&session).unwrap_or_default();
        let (value, seal) = (BASE64.encode(&text), self.seal(&text));
        self.cookie(&format!("{value}.{seal}"), LASTS / 1000)
    }

    /// The cookie that ends it.
    pub fn end(&self) -> String {
        self.cookie("", 0)
    }

    fn cookie(&self, value: &str, seconds: i64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}", self.name())
    }

    /// The session whose cookie is among `headers`.
    pub fn find(&self, headers: &HeaderMap) -> Option<Session> {
        let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (value, seal) =
            pairs.filter(|(name, _)| *name == self.name()).find_map(|(_, value)| value.split_once('.'))?;
        let text = BASE64.decode(value).ok()?;
        let given = blake3::Hash::from_hex(seal).ok()?;
        // In constant time.
        if blake3::keyed_hash(&self.key, &text) != given {
            return None;
        }
        serde_json::from_slice::<Session>(&text).ok().filter(|session| session.until > now_ms())
    }
}
