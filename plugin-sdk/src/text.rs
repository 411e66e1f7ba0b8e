//! A string that needs no allocation while it is short.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;

/// Bytes of a text that stands in the row itself.
const INLINE: usize = 22;

/// A string for rows: up to 22 bytes stand in the row itself, longer ones on the heap. Most of what a row says in words -
/// names of things, codes, keys of other rows - is that short, and a row is decoded and dropped once per chunk.
#[derive(Clone)]
pub struct Text(Form);

#[derive(Clone)]
enum Form {
    /// The first `len` bytes are UTF-8.
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    Heap(Box<str>),
}

impl Text {
    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Inline { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Form::Heap(text) => text,
        }
    }

    /// The string's UTF-8 bytes; comparing them is comparing the strings.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Form::Heap(text) => text.as_bytes(),
        }
    }

    /// Appends a character.
    pub fn push(&mut self, letter: char) {
        let mut buffer = [0; 4];
        let letter = letter.encode_utf8(&mut buffer);
        match &mut self.0 {
            Form::Inline { len, bytes } => {
                let (start, end) = (usize::from(*len), usize::from(*len) + letter.len());
                match bytes.get_mut(start..end) {
                    Some(room) => {
                        room.copy_from_slice(letter.as_bytes());
                        *len = end as u8;
                    }
                    None => self.0 = Form::Heap([self.as_str(), letter].concat().into()),
                }
            }
            Form::Heap(text) => *text = [text, letter].concat().into(),
        }
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Text {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                Text(Form::Inline { len: text.len() as u8, bytes })
            }
            None => Text(Form::Heap(text.into())),
        }
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::from("")
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(AsText)
    }
}

struct AsText;

impl Visitor<'_> for AsText {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_say_what_strings_say() {
        let mut text = Text::default();
        let mut string = String::new();
        for letter in "aßc→🎁".chars().cycle().take(40) {
            text.push(letter);
            string.push(letter);
            assert_eq!(text.as_str(), string);
            assert_eq!(text, Text::from(string.as_str()));
            let bytes = rmp_serde::to_vec(&text).unwrap();
            assert_eq!(bytes, rmp_serde::to_vec(&string).unwrap());
            assert_eq!(crate::from_slice::<Text>(&bytes).unwrap(), text);
        }
        let [a, b, long] = ["a", "b", "abcdefghijklmnopqrstuvwxyz"].map(Text::from);
        assert!(a < b && a < long && long < b);
        assert_eq!(size_of::<Text>(), 24);
    }
}
