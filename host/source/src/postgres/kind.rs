//! Of which type a column is.

use postgres::types::Type;
use std::fmt;

/// The type of a column, or that on which its domain stands.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// A type that PostgreSQL brings along; [`Type::UNKNOWN`] for all others.
    pub(super) base: Type,
    pub(super) name: String,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Kind {
    /// Whether it holds text, compared as text is.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.base, Type::TEXT | Type::VARCHAR | Type::BPCHAR)
    }
}
