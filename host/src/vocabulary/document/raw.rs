//! What a source has for an event that it cannot read, as a document that can be looked at.

use super::{token::Key, writer::Writer};

/// A map of the parts that there are: as text where they are text, else as binary under a name that says so, `payload` and
/// `payloadBase64`.
pub fn raw_document(parts: &[(&str, Option<&[u8]>)]) -> Vec<u8> {
    let mut writer = Writer::default();
    let map = writer.open();
    for (name, part) in parts {
        let Some(bytes) = part else { continue };
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                writer.key(Key::Text(name));
                writer.text(text);
            }
            Err(_) => {
                writer.key(Key::Text(&format!("{name}Base64")));
                writer.binary(bytes);
            }
        }
    }
    let closed = writer.close_map(map);
    debug_assert!(closed.is_ok(), "the names of parts differ");
    writer.finish()
}
