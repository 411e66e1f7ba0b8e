//! Tokens, by which programs and people are known who do not come over the socket: kept as digests, in a file for the host's owner alone.
//!
//! ```toml
//! [[token]]
//! name = "grafana"
//! role = "viewer"
//! payloads = "none"
//! digest = "..."          # BLAKE3 of the token, in hexadecimal
//! created_at = 1767225600000
//! ```
//!
//! A token is 32 random bytes: its digest needs no salt, and cannot be turned back by trying.

use crate::{
    control::{ControlError, Payloads, Role},
    private,
    vocabulary::now_ms,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The name of the file, in the data directory.
pub const FILE: &str = "http-tokens.toml";

/// What a token begins with: so it is found where it should not be.
const PREFIX: &str = "unspool_";

/// A token, without what proves it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// What it may see of rows and events.
    #[serde(default)]
    pub payloads: Payloads,
    /// Its digest.
    digest: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    token: Vec<Token>,
}

/// The tokens of a data directory.
#[derive(Debug, Clone)]
pub struct Tokens {
    file: PathBuf,
}

impl Tokens {
    /// Those of the data directory at `dir`.
    pub fn of(dir: &Path) -> Tokens {
        Tokens { file: dir.join(FILE) }
    }

    /// All of them.
    ///
    /// # Errors
    /// When the file is damaged, or others may read it.
    pub fn all(&self) -> Result<Vec<Token>, ControlError> {
        let refused = |e: &dyn std::fmt::Display| ControlError::refused(format!("{}: {e}", self.file.display()));
        let text = match fs::read_to_string(&self.file) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text.map_err(|e| refused(&e))?,
        };
        let mode = fs::symlink_metadata(&self.file).map_err(|e| refused(&e))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            let file = self.file.display();
            return Err(refused(&format!(
                "others may read it (mode {mode:o}), and nobody is let in by it: chmod 600 {file}, and make tokens anew that \
                 somebody may have seen"
            )));
        }
        Ok(toml::from_str::<Listed>(&text).map_err(|e| refused(&e.message()))?.token)
    }

    /// Makes a token, which is only ever shown here.
    ///
    /// # Errors
    /// When there is one of this name, or the file cannot be written.
    pub fn add(&self, name: &str, role: Role, payloads: Payloads) -> Result<String, ControlError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(ControlError::refused(format!(
                "{name:?} is no name of a token: up to 64 of the letters a to z, digits, and - _ . @"
            )));
        }
        let mut all = self.all()?;
        if all.iter().any(|token| token.name == name) {
            return Err(ControlError::not_possible(format!(
                "there is a token named {name}; unspool token remove {name} takes it away"
            )));
        }
        let secret =
            private::random_text().map_err(|e| ControlError::failed(format!("the system gives no randomness: {e}")))?;
        let token = format!("{PREFIX}{secret}");
        let digest = blake3::hash(token.as_bytes()).to_hex().to_string();
        all.push(Token { name: name.to_owned(), role, payloads, digest, created_at: now_ms() });
        self.write(all)?;
        Ok(token)
    }

    /// Takes a token away: nobody is let in by it any more.
    ///
    /// # Errors
    /// When there is none of this name, or the file cannot be written.
    pub fn remove(&self, name: &str) -> Result<(), ControlError> {
        let mut all = self.all()?;
        let before = all.len();
        all.retain(|token| token.name != name);
        if all.len() == before {
            return Err(ControlError::not_possible(format!("no token is named {name}; unspool token list")));
        }
        self.write(all)
    }

    fn write(&self, token: Vec<Token>) -> Result<(), ControlError> {
        let failed = |e: &dyn std::fmt::Display| ControlError::failed(format!("{}: {e}", self.file.display()));
        let text = toml::to_string(&Listed { token }).map_err(|e| failed(&e))?;
        let draft = self.file.with_extension("draft");
        let write = || -> io::Result<()> {
            let mut file = private::options().write(true).create(true).truncate(true).open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &self.file)
        };
        write().map_err(|e| failed(&e))
    }

    /// The token that `secret` proves; `None` where it proves none.
    pub fn proven(&self, secret: &str) -> Result<Option<Token>, ControlError> {
        let given = blake3::hash(secret.as_bytes());
        // Digests compare in constant time, and all of them are compared.
        let proves = |token: &Token| blake3::Hash::from_hex(&token.digest).is_ok_and(|known| known == given);
        let proven = self.all()?.into_iter().filter(proves).collect::<Vec<_>>().pop();
        Ok(proven)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_proves_itself_and_is_kept_as_its_digest_only() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(dir.path());
        assert!(tokens.proven("unspool_").unwrap().is_none());
        let ann = tokens.add("ann", Role::Operator, Payloads::Masked).unwrap();
        let ben = tokens.add("ben", Role::Viewer, Payloads::None).unwrap();
        assert!(tokens.add("ann", Role::Admin, Payloads::Full).is_err());
        for name in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(tokens.add(name, Role::Viewer, Payloads::None).is_err(), "{name:?}");
        }
        let proven = tokens.proven(&ann).unwrap().unwrap();
        assert_eq!((proven.name.as_str(), proven.role, proven.payloads), ("ann", Role::Operator, Payloads::Masked));
        assert!(tokens.proven(&ann[..ann.len() - 1]).unwrap().is_none());
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains(&ann[PREFIX.len()..]) && !text.contains(&ben[PREFIX.len()..]), "{text}");
        tokens.remove("ann").unwrap();
        assert!(tokens.proven(&ann).unwrap().is_none() && tokens.proven(&ben).unwrap().is_some());
        assert!(tokens.remove("ann").is_err());
        fs::set_permissions(dir.path().join(FILE), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = tokens.proven(&ben).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
    }
}
