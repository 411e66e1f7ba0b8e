//! The words of a connection string: those that are decided here, those that change nothing here, and the rest, which
//! PostgreSQL's client reads.

use std::{borrow::Cow, path::PathBuf};

/// What `sslmode` says. A certificate that is shown is always checked, also where libpq would take any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SslMode {
    /// Never.
    Disable,
    /// Where the server offers it: `prefer`, and `allow`, whose first try without it would show what TLS hides.
    #[default]
    Prefer,
    /// Always; the certificate may name another host: `verify-ca`.
    VerifyCa,
    /// Always; the certificate names the host: `verify-full`, and `require`.
    VerifyFull,
}

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those of the system, or of `SSL_CERT_FILE`: `system`, and where nothing is said.
    #[default]
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// How a server may ask for a password; where it is not given, in clear text and as MD5 only where TLS or a local socket
/// hides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Methods {
    pub(super) clear_text: bool,
    pub(super) md5: bool,
    pub(super) scram: bool,
}

/// A connection string, looked through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) ssl_mode: SslMode,
    pub(super) roots: Roots,
    pub(super) require_auth: Option<Methods>,
    /// What is left of the string.
    pub(super) rest: String,
}

/// What PostgreSQL's client reads.
const CLIENT: [&str; 18] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "password",
    "options",
    "application_name",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
    "sslnegotiation",
];

/// What is read here.
const OURS: [&str; 3] = ["sslmode", "sslrootcert", "require_auth"];

/// What other clients know, and the values with which it changes nothing here.
const OTHERS: [(&str, &[&str]); 26] = [
    ("client_encoding", &["UTF8", "UTF-8", "utf8", "utf-8", "auto"]),
    ("fallback_application_name", &[]),
    ("gssdelegation", &["0"]),
    ("gssencmode", &["disable", "prefer"]),
    ("gsslib", &[]),
    ("keepalives_count", &[]),
    ("krbsrvname", &[]),
    ("max_protocol_version", &[]),
    ("min_protocol_version", &[]),
    ("passfile", &[]),
    ("replication", &["false", "off", "no", "0"]),
    ("requirepeer", &[]),
    ("requiressl", &["0"]),
    ("service", &[]),
    ("servicefile", &[]),
    ("sslcert", &[]),
    ("sslcertmode", &["disable", "allow"]),
    ("sslcompression", &["0"]),
    ("sslcrl", &[]),
    ("sslcrldir", &[]),
    ("sslkey", &[]),
    ("sslpassword", &[]),
    ("sslsni", &["1"]),
    ("ssl_max_protocol_version", &[]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
    ("uselibpqcompat", &["true", "false"]),
];

/// Whether some client of PostgreSQL knows the word.
pub(super) fn is_known(key: &str) -> bool {
    CLIENT.contains(&key) || OURS.contains(&key) || OTHERS.iter().any(|(word, _)| *word == key)
}

impl Words {
    /// Looks through `text`. The error names the word that is wrong, and nothing that may be a password.
    pub(super) fn of(text: &str) -> Result<Words, String> {
        match ["postgres://", "postgresql://"].iter().find(|scheme| text.starts_with(**scheme)) {
            Some(scheme) => Words::of_url(text, scheme.len()),
            None => Words::of_pairs(text),
        }
    }

    fn of_url(text: &str, scheme: usize) -> Result<Words, String> {
        let behind_role = text.find('@').unwrap_or(scheme);
        let Some(query) = text[behind_role..].find('?').map(|at| behind_role + at) else {
            return Ok(Words { rest: text.to_owned(), ..Words::default() });
        };
        let (address, pairs) = (&text[..query], &text[query + 1..]);
        let safe = !text[scheme..behind_role].contains(':');
        let mut words = Words::default();
        let mut left = Vec::new();
        for pair in pairs.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !words.takes(&decoded(key), &decoded(value), safe)? {
                left.push(pair);
            }
        }
        let mark = if left.is_empty() { "" } else { "?" };
        words.rest = format!("{address}{mark}{}", left.join("&"));
        Ok(words)
    }

    fn of_pairs(text: &str) -> Result<Words, String> {
        let safe = !text.contains("pass");
        let (mut words, mut left, mut rest) = (Words::default(), Vec::new(), text.trim_start());
        while !rest.is_empty() {
            let Some((key, behind)) = rest.split_once('=') else {
                // The client says what is wrong with it.
                left.push(rest);
                break;
            };
            let (value, end) = value(behind.trim_start());
            let behind = behind.trim_start();
            let pair = &rest[..rest.len() - behind.len() + end];
            if !words.takes(key.trim(), &value, safe)? {
                left.push(pair);
            }
            rest = behind[end..].trim_start();
        }
        words.rest = left.join(" ");
        Ok(words)
    }

    /// Takes a word that is decided here; `false` leaves it to the client. `safe` is whether no password can be among
    /// the words, so that any of them may be shown.
    fn takes(&mut self, key: &str, value: &str, safe: bool) -> Result<bool, String> {
        match key {
            "sslmode" => {
                self.ssl_mode = match value {
                    "disable" => SslMode::Disable,
                    "allow" | "prefer" => SslMode::Prefer,
                    "verify-ca" => SslMode::VerifyCa,
                    "require" | "verify-full" => SslMode::VerifyFull,
                    _ => {
                        let known = "disable, allow, prefer, require, verify-ca or verify-full";
                        return Err(wrong(key, value, safe, known));
                    }
                };
            }
            "sslrootcert" => {
                self.roots = if value == "system" { Roots::System } else { Roots::File(value.into()) };
            }
            "require_auth" => {
                self.require_auth = Some(methods(value).ok_or_else(|| {
                    wrong(key, value, safe, "a list, separated by commas, of scram-sha-256, md5, password and none")
                })?)
            }
            key if CLIENT.contains(&key) => return Ok(false),
            key => match OTHERS.iter().find(|(known, _)| *known == key) {
                Some((_, harmless)) if harmless.contains(&value) => {}
                Some((_, harmless)) => {
                    let but =
                        if harmless.is_empty() { String::new() } else { format!(", but for {}", harmless.join(", ")) };
                    return Err(format!(
                        "{key} in the connection string is not known here{but}; known are: {}",
                        known()
                    ));
                }
                None if safe => {
                    return Err(format!("{key} in the connection string is no word of it; known are: {}", known()));
                }
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}

fn known() -> String {
    let words: Vec<&str> = CLIENT.iter().chain(&OURS).copied().filter(|word| *word != "password").collect();
    words.join(", ")
}

fn wrong(key: &str, value: &str, safe: bool, known: &str) -> String {
    let shown = if safe { format!("{key}={value}") } else { format!("the value of {key}") };
    format!("{shown} in the connection string is not known; it is {known}")
}

fn methods(list: &str) -> Option<Methods> {
    let mut methods = Methods { clear_text: false, md5: false, scram: false };
    for method in list.split(',') {
        match method.trim() {
            "password" => methods.clear_text = true,
            "md5" => methods.md5 = true,
            "scram-sha-256" => methods.scram = true,
            "none" => {}
            _ => return None,
        }
    }
    Some(methods)
}

/// The value at the beginning of `text`, and where it ends there: quoted, or up to a white space; a backslash takes the next
/// character as it is.
fn value(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let (mut value, mut characters) = (String::new(), text.char_indices().skip(usize::from(quoted)));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, character)| character)),
            '\'' if quoted => return (value, at + 1),
            character if !quoted && character.is_whitespace() => return (value, at),
            character => value.push(character),
        }
    }
    (value, text.len())
}

/// A text with its percent escapes resolved, as far as they are some.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_tls_are_taken_out_of_both_forms() {
        let file = Roots::File("/a b/root.pem".into());
        for (text, mode, roots, rest) in [
            ("postgresql://u@h/d?sslmode=verify-full", SslMode::VerifyFull, Roots::System, "postgresql://u@h/d"),
            (
                "postgresql://u@h/d?connect_timeout=3&sslmode=verify-ca&sslrootcert=%2Fa%20b%2Froot.pem",
                SslMode::VerifyCa,
                file.clone(),
                "postgresql://u@h/d?connect_timeout=3",
            ),
            ("host=h sslmode = 'disable' sslrootcert='/a b/root.pem' user=u", SslMode::Disable, file, "host=h user=u"),
            ("host=h gssencmode=disable sslmode=allow", SslMode::Prefer, Roots::System, "host=h"),
            (r"host=h dbname='it\'s x'", SslMode::Prefer, Roots::System, r"host=h dbname='it\'s x'"),
        ] {
            let words = Words::of(text).unwrap();
            assert_eq!((words.ssl_mode, words.roots, words.rest.as_str()), (mode, roots, rest), "{text}");
        }
        let words = Words::of("host=h require_auth=md5,scram-sha-256").unwrap();
        assert_eq!(words.require_auth, Some(Methods { clear_text: false, md5: true, scram: true }));
    }

    #[test]
    fn the_wrong_word_is_named_and_no_password() {
        for (text, named) in [
            ("postgresql://u@h/d?sslmode=verify", "sslmode=verify in"),
            ("host=h sslmode=on", "sslmode=on in"),
            ("host=h sslmod=require", "sslmod in"),
            ("host=h password=s3cret sslmode=on", "the value of sslmode"),
            ("postgresql://u@h/d?sslcert=a.pem", "sslcert in"),
            ("host=h password=s3cret sslcert=a", "sslcert in"),
            (
                "host=h gssencmode=require",
                "gssencmode in the connection string is not known here, but for disable, prefer",
            ),
            ("host=h require_auth=kerberos", "require_auth=kerberos"),
        ] {
            let refused = Words::of(text).unwrap_err();
            assert!(refused.contains(named) && !refused.contains("s3cret"), "{text}: {refused}");
        }
        // What may be a part of a password is left to the client, whose message is not shown.
        for text in
            ["postgresql://ada:s3?cr=et@h/d", "postgresql://ada:x@h/d?s3cret=1", "host=h password=my s3cret=x user=u"]
        {
            assert!(Words::of(text).is_ok(), "{text}");
        }
    }
}
