//! The parts of an event: what maps call them, what our own form does, and what they hold.

/// The parts of an event, as maps name them.
pub(super) const PARTS: [&str; 8] = ["id", "stream", "type", "time", "data", "metadata", "schema_version", "position"];

/// The fields of our own form, in the order of [`PARTS`].
pub(super) const FIELDS: [&str; 8] =
    ["id", "stream", "type", "timestamp", "data", "metadata", "schemaVersion", "position"];

/// What schema versions are.
pub(super) const SCHEMA_VERSIONS: &str = "an integer from 1 to 4294967295";

/// What positions are.
pub(super) const POSITIONS: &str = "an integer from 1 to 18446744073709551615";
