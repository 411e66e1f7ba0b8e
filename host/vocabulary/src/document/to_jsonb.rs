//! Documents as PostgreSQL's `jsonb` holds them, in a text that [`super::from_json`] reads back as the same document.

use super::check::check_document;
use super::error::{DocumentError, at_path, shortened};
use super::token::{Key, Token, Tokens};
use std::io::Write;

/// A document that `jsonb` would not give back as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonbError {
    /// Not a document at all.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A value without a form there.
    #[error("{what}{}", at_path(path))]
    Value {
        /// Where it stands, as in `lines[3].amount`; empty for the document itself.
        path: String,
        /// What it is, and what to write instead.
        what: &'static str,
    },
}

impl JsonbError {
    fn value(what: &'static str) -> JsonbError {
        JsonbError::Value { path: String::new(), what }
    }

    /// The same problem, seen from the array or map around it.
    fn inside(self, step: &str) -> JsonbError {
        match self {
            JsonbError::Value { path, what } => {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                JsonbError::Value { path: format!("{step}{dot}{path}"), what }
            }
            other => other,
        }
    }
}

/// Appends the document to `out` as JSON text. `jsonb` keeps a number's scale: a float is written with a fraction and
/// without an exponent, an integer without either, and both are told apart when they come back.
///
/// # Errors
/// What `jsonb` does not hold, or not as what it is: NUL characters, binary, integer keys, the float `-0.0`.
pub fn to_jsonb(document: &[u8], out: &mut Vec<u8>) -> Result<(), JsonbError> {
    check_document(document)?;
    value(&mut Tokens::new(document), out)
}

/// Writes one value of a document that has been checked: its lengths are true and its depth is bounded.
fn value(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), JsonbError> {
    match tokens.next()?.token {
        Token::Nil => out.extend_from_slice(b"null"),
        Token::Bool(true) => out.extend_from_slice(b"true"),
        Token::Bool(false) => out.extend_from_slice(b"false"),
        Token::Unsigned(value) => put(out, format_args!("{value}")),
        Token::Negative(value) => put(out, format_args!("{value}")),
        Token::Float(value) => float(value, out)?,
        Token::Text(value) => text(value, out)?,
        Token::Binary(_) => {
            return Err(JsonbError::value("it has binary, which jsonb does not hold; write base64 text"));
        }
        Token::Array(len) => {
            out.push(b'[');
            for index in 0..len {
                if index > 0 {
                    out.push(b',');
                }
                value(tokens, out).map_err(|problem| problem.inside(&format!("[{index}]")))?;
            }
            out.push(b']');
        }
        Token::Map(len) => {
            out.push(b'{');
            for index in 0..len {
                if index > 0 {
                    out.push(b',');
                }
                let at = tokens.at();
                let Key::Text(key) = Key::new(tokens.next()?.token, at)? else {
                    return Err(JsonbError::value(
                        "it has an integer as a key, and those of jsonb are text; write text",
                    ));
                };
                let inside = |problem: JsonbError| problem.inside(&shortened(key).escape_debug().to_string());
                text(key, out).map_err(inside)?;
                out.push(b':');
                value(tokens, out).map_err(inside)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn float(value: f64, out: &mut Vec<u8>) -> Result<(), JsonbError> {
    if value == 0.0 && value.is_sign_negative() {
        return Err(JsonbError::value("it has the float -0.0, which jsonb holds as 0.0; write 0.0"));
    }
    let start = out.len();
    // Never an exponent, and the fewest digits that tell this float from all others.
    put(out, format_args!("{value}"));
    if !out[start..].contains(&b'.') {
        out.extend_from_slice(b".0");
    }
    Ok(())
}

fn text(value: &str, out: &mut Vec<u8>) -> Result<(), JsonbError> {
    if value.contains('\0') {
        return Err(JsonbError::value(
            "it has a NUL character in a text, which PostgreSQL does not hold; leave it out",
        ));
    }
    // Writing to memory does not fail, and text always has a JSON form.
    drop(serde_json::to_writer(out, value));
    Ok(())
}

fn put(out: &mut Vec<u8>, number: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    drop(out.write_fmt(number));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical, from_json};

    fn jsonb(document: &impl serde::Serialize) -> Result<String, String> {
        let mut out = Vec::new();
        let document = rmp_serde::to_vec_named(document).unwrap();
        to_jsonb(&document, &mut out).map_err(|e| e.to_string())?;
        let text = String::from_utf8(out).unwrap();
        assert_eq!(from_json(&text).unwrap(), canonical(&document).unwrap());
        Ok(text)
    }

    #[test]
    fn numbers_show_what_they_are() {
        assert_eq!(
            jsonb(&(1_u64, 1.0, -3, u64::MAX, i64::MIN)).unwrap(),
            format!("[1,1.0,-3,{},{}]", u64::MAX, i64::MIN)
        );
        assert_eq!(jsonb(&1e21).unwrap(), "1000000000000000000000.0");
        assert_eq!(jsonb(&1e-7).unwrap(), "0.0000001");
        for extreme in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2, 9007199254740993.0] {
            jsonb(&extreme).unwrap();
        }
    }

    #[test]
    fn what_jsonb_changes_or_refuses_is_named_with_its_place() {
        #[derive(serde::Serialize)]
        struct Row<T> {
            lines: Vec<T>,
        }
        let refused = |problem: Result<String, String>, place: &str, what: &str| {
            let problem = problem.unwrap_err();
            assert!(problem.ends_with(&format!(" at {place}")) && problem.contains(what), "{problem}");
        };
        refused(jsonb(&Row { lines: vec!["a", "b\0"] }), "lines[1]", "NUL");
        refused(jsonb(&Row { lines: vec![-0.0] }), "lines[0]", "-0.0");
        refused(
            jsonb(&Row { lines: vec![std::collections::BTreeMap::from([(1, 2)])] }),
            "lines[0]",
            "integer as a key",
        );
        refused(jsonb(&std::collections::BTreeMap::from([("a\0", 2)])), "a\\0", "NUL");
        let mut out = Vec::new();
        let binary = to_jsonb(&[0xc4, 1, 7], &mut out).unwrap_err().to_string();
        assert!(binary.contains("base64"), "{binary}");
    }
}
