//! The canonical form of a document.

use super::check::is_canonical;
use super::error::DocumentError;
use super::token::{Key, Token, Tokens};
use super::writer::Writer;

/// The canonical form of a document (see the module): equal documents have equal bytes.
///
/// # Errors
/// What [`super::check_document`] refuses.
pub fn canonical(bytes: &[u8]) -> Result<Vec<u8>, DocumentError> {
    Canonical::default().of(bytes).map(<[u8]>::to_vec)
}

/// Brings one document after the other into canonical form, in the same memory.
#[derive(Default)]
pub struct Canonical(Writer);

impl Canonical {
    /// The canonical form of `document`.
    ///
    /// # Errors
    /// What [`super::check_document`] refuses.
    pub fn of<'a>(&'a mut self, document: &'a [u8]) -> Result<&'a [u8], DocumentError> {
        if is_canonical(document)? { Ok(document) } else { self.rewritten(document) }
    }

    /// A document that has been checked, encoded again.
    pub(super) fn rewritten(&mut self, document: &[u8]) -> Result<&[u8], DocumentError> {
        self.0.clear();
        value(&mut Tokens::new(document), &mut self.0)?;
        Ok(self.0.written())
    }
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
