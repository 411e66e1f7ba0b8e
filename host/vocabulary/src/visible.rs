//! Text of others where people read it: nothing in it moves a cursor, sets a title, begins a line or turns its direction.

use std::{borrow::Cow, fmt::Write};

/// Whether a terminal acts on `c` instead of showing it, or shows nothing of it: control characters, line and paragraph
/// separators, marks and overrides of direction, spaces of no width, tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` in one line, with every character that would not be seen in Rust's notation: `\n`, `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |out, c| out.extend(c.escape_default()))
}

/// JSON `text` with the characters that would not be seen as `\uXXXX`: the same JSON. Outside of its strings there are none,
/// where it is in one line.
pub fn visible_in_json(text: &str) -> Cow<'_, str> {
    escaped(text, |out, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a text does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) { escape(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_as_it_is() {
        for text in ["", "orders/1", "Grüße, 東京 🙂", "a\\n\"b\""] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
            assert!(matches!(visible_in_json(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        assert_eq!(visible("a\u{1b}[2J\r\n\tb\u{7}\u{7f}\u{9b}31m"), r"a\u{1b}[2J\r\n\tb\u{7}\u{7f}\u{9b}31m");
        for hidden in
            ["\u{202e}", "\u{2066}", "\u{200f}", "\u{61c}", "\u{2028}", "\u{2029}", "\u{200b}", "\u{feff}", "\u{e0041}"]
        {
            assert!(visible(hidden).is_ascii() && visible_in_json(hidden).is_ascii(), "{hidden:?}");
        }
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "k\u{9b}\u{202e}": "\u{7f}\u{e0041}\n\u{1b}\u{feff} \u{2028}x" });
        let shown = value.to_string();
        let shown = visible_in_json(&shown);
        assert!(shown.is_ascii(), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
