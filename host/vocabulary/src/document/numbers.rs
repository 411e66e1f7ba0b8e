//! The choice for JSON numbers that documents cannot hold.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What becomes of a JSON number that cannot be held exactly (see [`super::from_json()`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// It is refused.
    #[default]
    Exact,
    /// It becomes text, as it is written.
    Text,
    /// It becomes the nearest double; refused where that is infinite.
    Round,
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Numbers::Exact => "exact",
            Numbers::Text => "text",
            Numbers::Round => "round",
        })
    }
}

impl FromStr for Numbers {
    type Err = String;

    /// What the option `numbers` of a source says.
    fn from_str(text: &str) -> Result<Numbers, String> {
        let known = [Numbers::Exact, Numbers::Text, Numbers::Round];
        let found = known.into_iter().find(|numbers| numbers.to_string() == text);
        found.ok_or_else(|| format!("numbers={text} is not known; it is exact, text or round"))
    }
}
