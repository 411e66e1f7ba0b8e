//! The canonical form of a document.

use super::DocumentError;
use super::check::is_canonical;
use super::token::{Key, Token, Tokens};
use super::writer::Writer;

/// The canonical form of a document (see the module): equal documents have equal bytes.
///
/// # Errors
/// What [`super::check_document`] refuses.
pub fn canonical(bytes: &[u8]) -> Result<Vec<u8>, DocumentError> {
    if is_canonical(bytes)? { Ok(bytes.to_vec()) } else { rewrite(bytes) }
}

/// Encodes a document anew that has been checked.
pub(super) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, DocumentError> {
    let mut writer = Writer::new(bytes.len());
    value(&mut Tokens::new(bytes), &mut writer)?;
    Ok(writer.finish())
}

fn value(tokens: &mut Tokens<'_>, writer: &mut Writer) -> Result<(), DocumentError> {
    match tokens.next()?.token {
        Token::Nil => writer.nil(),
        Token::Bool(value) => writer.bool(value),
        Token::Unsigned(value) => writer.unsigned(value),
        Token::Negative(value) => writer.signed(value),
        Token::Float(value) => writer.float(value),
        Token::Text(text) => writer.text(text),
        Token::Binary(bytes) => writer.binary(bytes),
        Token::Array(len) => {
            let open = writer.open();
            for _ in 0..len {
                value(tokens, writer)?;
            }
            writer.close_array(open, len);
        }
        Token::Map(len) => {
            let open = writer.open();
            for _ in 0..len {
                let at = tokens.at();
                writer.key(Key::new(tokens.next()?.token, at)?);
                value(tokens, writer)?;
            }
            writer.close_map(open)?;
        }
    }
    Ok(())
}
