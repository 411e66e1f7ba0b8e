//! Colours, where they are seen and wanted.

use std::{env, io::IsTerminal};

/// The colour of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Something has failed.
    Red,
    /// Something waits for somebody.
    Yellow,
    /// Something is complete.
    Green,
    /// Something goes on.
    Cyan,
    /// A heading.
    Bold,
}

impl Colour {
    /// The colour of a status.
    pub fn of_status(status: &str) -> Option<Colour> {
        match status {
            "failed" => Some(Colour::Red),
            "paused" | "interrupted" => Some(Colour::Yellow),
            "completed" => Some(Colour::Green),
            "running" => Some(Colour::Cyan),
            _ => None,
        }
    }

    /// `text` in this colour.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Colour::Red => 31,
            Colour::Yellow => 33,
            Colour::Green => 32,
            Colour::Cyan => 36,
            Colour::Bold => 1,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Whether what is written to `stream` is coloured: on a terminal that is not dumb, unless `NO_COLOR` is set to anything, or
/// `CLICOLOR` to 0.
pub fn is_coloured(stream: &impl IsTerminal) -> bool {
    wants_colour(stream.is_terminal() && !is_dumb(), |name| {
        env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    })
}

/// Whether the terminal can do nothing but show text line by line.
pub fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn wants_colour(can: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    can && !refused && variable("CLICOLOR").is_none_or(|value| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_refused_by_who_does_not_want_or_see_them() {
        let with =
            |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
        assert!(wants_colour(true, |_| None));
        assert!(!wants_colour(false, |_| None));
        assert!(!wants_colour(true, with("NO_COLOR", "1")));
        assert!(wants_colour(true, with("NO_COLOR", "")));
        assert!(!wants_colour(true, with("CLICOLOR", "0")));
        assert!(!wants_colour(false, with("CLICOLOR", "1")));
    }
}
