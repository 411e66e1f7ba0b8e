//! The digests by which a component is known.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// The digest by which a host knows a component: BLAKE3, in hexadecimal.
pub fn digest(component: &[u8]) -> String {
    blake3::hash(component).to_hex().to_string()
}

/// The digest by which registries and `sha256sum` know the same file: SHA-256, in hexadecimal.
pub fn sha256(component: &[u8]) -> String {
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest that a file is to have: `sha256:HEX` or `blake3:HEX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedDigest {
    kind: Kind,
    hex: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sha256,
    Blake3,
}

/// A digest that is not written as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no digest; write sha256: or blake3: and 64 hexadecimal digits, as sha256sum and `plugin check` print them"
)]
pub struct NoDigest(String);

impl FromStr for PinnedDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<PinnedDigest, NoDigest> {
        let (kind, hex) = match text.split_once(':') {
            Some(("sha256", hex)) => (Kind::Sha256, hex),
            Some(("blake3", hex)) => (Kind::Blake3, hex),
            _ => return Err(NoDigest(text.to_owned())),
        };
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoDigest(text.to_owned()));
        }
        Ok(PinnedDigest { kind, hex: hex.to_ascii_lowercase() })
    }
}

impl PinnedDigest {
    /// Checks that a file has this digest.
    ///
    /// # Errors
    /// The digest of the same kind that it has instead.
    pub fn check(&self, component: &[u8]) -> Result<(), PinnedDigest> {
        let hex = match self.kind {
            Kind::Sha256 => sha256(component),
            Kind::Blake3 => digest(component),
        };
        let found = PinnedDigest { kind: self.kind, hex };
        if found == *self { Ok(()) } else { Err(found) }
    }
}

impl fmt::Display for PinnedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Sha256 => "sha256",
            Kind::Blake3 => "blake3",
        };
        write!(f, "{kind}:{}", self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_either_kind_tells_a_file_from_any_other() {
        let empty = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        let pinned: PinnedDigest = empty.parse().unwrap();
        assert_eq!(pinned.check(b""), Ok(()));
        assert_eq!(pinned.to_string(), empty.to_lowercase());
        assert!(pinned.check(b"x").unwrap_err().to_string().starts_with("sha256:2d711642"));
        let pinned: PinnedDigest = format!("blake3:{}", digest(b"x")).parse().unwrap();
        assert_eq!((pinned.check(b"x"), pinned.check(b"").is_err()), (Ok(()), true));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in ["", "sha256:", "sha256:abc", "md5:00", &"0".repeat(64), &format!("sha256:{}", "g".repeat(64))] {
            assert_eq!(PinnedDigest::from_str(text), Err(NoDigest(text.to_owned())), "{text}");
        }
    }
}
