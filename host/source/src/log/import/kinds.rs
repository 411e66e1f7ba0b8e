//! The event types that a log knows, by number.

use super::super::{KINDS, damage};
use crate::SourceError;
use ahash::AHashMap;
use redb::{ReadableTable, WriteTransaction};

/// Event types and their numbers.
pub(super) struct Kinds {
    numbers: AHashMap<String, u32>,
    known: u32,
}

impl Kinds {
    /// Those that the log has.
    pub(super) fn load(write: &WriteTransaction) -> Result<Kinds, SourceError> {
        let table = write.open_table(KINDS).map_err(damage)?;
        let mut numbers = AHashMap::new();
        for entry in table.iter().map_err(damage)? {
            let (name, number) = entry.map_err(damage)?;
            numbers.insert(name.value().to_owned(), number.value());
        }
        Ok(Kinds { known: numbers.len() as u32, numbers })
    }

    /// The number of a type; a new one for one that is not known.
    pub(super) fn number(&mut self, kind: &str) -> u32 {
        if let Some(number) = self.numbers.get(kind) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(kind.to_owned(), number);
        number
    }

    /// Keeps those that are new.
    pub(super) fn save(&self, write: &WriteTransaction) -> Result<(), SourceError> {
        let mut table = write.open_table(KINDS).map_err(damage)?;
        for (name, number) in self.numbers.iter().filter(|(_, number)| **number >= self.known) {
            table.insert(name.as_str(), number).map_err(damage)?;
        }
        Ok(())
    }
}
