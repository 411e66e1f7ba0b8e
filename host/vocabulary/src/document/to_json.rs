//! Documents as JSON shows them.

use super::check::check_document;
use super::error::DocumentError;
use super::token::{Key, Token, Tokens};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value};

/// The document as JSON: integer keys as text, binary as base64 text, map entries in the order they stand in.
///
/// # Errors
/// What [`check_document`] refuses.
pub fn to_json(bytes: &[u8]) -> Result<Value, DocumentError> {
    check_document(bytes)?;
    value(&mut Tokens::new(bytes))
}

/// Reads one value of a document that has been checked: its lengths are true and its depth is bounded.
fn value(tokens: &mut Tokens<'_>) -> Result<Value, DocumentError> {
    Ok(match tokens.next()?.token {
        Token::Nil => Value::Null,
        Token::Bool(value) => value.into(),
        Token::Unsigned(value) => value.into(),
        Token::Negative(value) => value.into(),
        Token::Float(value) => value.into(),
        Token::Text(text) => text.into(),
        Token::Binary(bytes) => BASE64_STANDARD.encode(bytes).into(),
        Token::Array(len) => {
            let mut values = Vec::with_capacity(len);
            for _ in 0..len {
                values.push(value(tokens)?);
            }
            values.into()
        }
        Token::Map(len) => {
            let mut entries = Map::with_capacity(len);
            for _ in 0..len {
                let at = tokens.at();
                let key = Key::new(tokens.next()?.token, at)?;
                entries.insert(key.json(), value(tokens)?);
            }
            entries.into()
        }
    })
}
