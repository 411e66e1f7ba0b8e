//! What a source has for an event that it cannot read, as a document that can be looked at.

use super::{token::Key, writer::Writer};

/// A map of the parts that there are: as text where they are text, else as binary under a name that says so, `payload` and
/// `payloadBase64`. Of a part that has more than `most` bytes there are as many, text up to a whole character, and how many
/// bytes it has as `payloadBytes`.
pub fn raw_document(parts: &[(&str, Option<&[u8]>)], most: usize) -> Vec<u8> {
    let mut writer = Writer::default();
    let map = writer.open();
    for (name, part) in parts {
        let Some(bytes) = part else { continue };
        let kept = &bytes[..bytes.len().min(most)];
        match text(kept, kept.len() < bytes.len()) {
            Some(text) => {
                writer.key(Key::Text(name));
                writer.text(text);
            }
            None => {
                writer.key(Key::Text(&format!("{name}Base64")));
                writer.binary(kept);
            }
        }
        if kept.len() < bytes.len() {
            writer.key(Key::Text(&format!("{name}Bytes")));
            writer.unsigned(bytes.len() as u64);
        }
    }
    let closed = writer.close_map(map);
    debug_assert!(closed.is_ok(), "the names of parts differ");
    writer.finish()
}

/// The text that `bytes` are; where they are `cut` off, up to the last whole character.
fn text(bytes: &[u8], cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(e) if cut && e.error_len().is_none() => std::str::from_utf8(&bytes[..e.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check_document, to_json};
    use serde_json::json;

    #[test]
    fn what_is_too_large_is_cut_between_characters_and_says_how_large_it_is() {
        let shown = |bytes: &[u8], most| {
            let document = raw_document(&[("payload", Some(bytes)), ("time", None), ("metadata", Some(b"{}"))], most);
            check_document(&document).unwrap();
            to_json(&document).unwrap()
        };
        let text = "a\u{e9}\u{1f600}z".as_bytes();
        assert_eq!(shown(text, 8), json!({ "metadata": "{}", "payload": "a\u{e9}\u{1f600}z" }));
        for (most, kept) in [(7, "a\u{e9}\u{1f600}"), (6, "a\u{e9}"), (4, "a\u{e9}"), (3, "a\u{e9}"), (2, "a")] {
            assert_eq!(shown(text, most), json!({ "metadata": "{}", "payload": kept, "payloadBytes": 8 }), "{most}");
        }
        // What is no text is none for being cut.
        assert_eq!(shown(b"\xff\xfe\xfd", 2), json!({ "metadata": "{}", "payloadBase64": "//4=", "payloadBytes": 3 }));
        assert_eq!(shown(b"a\xc3", 8), json!({ "metadata": "{}", "payloadBase64": "YcM=" }));
    }
}
