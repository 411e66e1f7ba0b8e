//! Places in a source's global order.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in a source's global order: opaque, ordered, never a time.
///
/// Most sources count; some order by a pair (a transaction and a number in it). A position that only counts has
/// `major` 0 and is shown as its number; another is shown as `major:minor`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The first part of a pair; 0 for sources that count.
    pub major: u64,
    /// The number; what a plugin sees as the event's position.
    pub minor: u64,
}

impl Position {
    /// Before every event.
    pub const START: Position = Position { major: 0, minor: 0 };
    /// Behind every event.
    pub const END: Position = Position { major: u64::MAX, minor: u64::MAX };

    /// The position of a source that counts.
    pub fn number(minor: u64) -> Position {
        Position { major: 0, minor }
    }

    /// As JSON shows it: a number, or `"major:minor"`.
    pub fn to_json(self) -> serde_json::Value {
        if self.major == 0 { self.minor.into() } else { self.to_string().into() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.major == 0 { write!(f, "{}", self.minor) } else { write!(f, "{}:{}", self.major, self.minor) }
    }
}
