//! Positions in a source's global order.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt, str::FromStr};

/// A position in a source's global order: opaque, ordered, never a time.
///
/// Most sources count; some order by a pair (a transaction and a number in it). A position that only counts has
/// `major` 0 and is shown as its number; another is shown as `major:minor`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The first part of a pair; 0 for sources that count.
    pub major: u64,
    /// The number; what a plugin sees as the event's position.
    pub minor: u64,
}

impl Position {
    /// Before every event.
    pub const START: Position = Position { major: 0, minor: 0 };
    /// After every event.
    pub const END: Position = Position { major: u64::MAX, minor: u64::MAX };

    /// The greatest position before this one: reading after it begins here.
    pub fn before(self) -> Position {
        match (self.major, self.minor) {
            (major, minor @ 1..) => Position { major, minor: minor - 1 },
            (major @ 1.., 0) => Position { major: major - 1, minor: u64::MAX },
            (0, 0) => Position::START,
        }
    }

    /// The position of a source that counts.
    pub fn number(minor: u64) -> Position {
        Position { major: 0, minor }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.major == 0 { write!(f, "{}", self.minor) } else { write!(f, "{}:{}", self.major, self.minor) }
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Position, Self::Err> {
        let (major, minor) = text.split_once(':').unwrap_or(("0", text));
        Ok(Position { major: major.parse()?, minor: minor.parse()? })
    }
}

/// In JSON a number, or `"major:minor"`; elsewhere the pair.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Shown {
    Number(u64),
    Text(String),
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.major, self.minor).serialize(serializer);
        }
        let shown = if self.major == 0 { Shown::Number(self.minor) } else { Shown::Text(self.to_string()) };
        shown.serialize(serializer)
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        "Position".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A position in the order of a history: opaque, ordered, and never a time.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^[0-9]+:[0-9]+$" },
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Position, D::Error> {
        if !deserializer.is_human_readable() {
            return <(u64, u64)>::deserialize(deserializer).map(|(major, minor)| Position { major, minor });
        }
        match Shown::deserialize(deserializer)? {
            Shown::Number(minor) => Ok(Position::number(minor)),
            Shown::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
