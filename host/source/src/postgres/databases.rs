//! The databases with histories, by name.

use super::PostgresSource;
use crate::{Source, SourceError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A database, with the description that it was opened from.
type Opened = (String, Arc<PostgresSource>);

/// Databases that have been opened. What is known of the end of a history is worth keeping.
#[derive(Default)]
pub(crate) struct Databases {
    open: Mutex<HashMap<String, Opened>>,
}

impl Databases {
    /// The history that `name` describes: `postgres:` and `text`.
    pub(crate) fn inline(&self, name: &str, text: &str) -> Result<Arc<dyn Source>, SourceError> {
        self.open(name, name, || PostgresSource::inline(name, text))
    }

    /// The history that `unspool.toml` describes under `name`.
    pub(crate) fn named(&self, name: &str, table: &toml::Table) -> Result<Arc<dyn Source>, SourceError> {
        self.open(name, &table.to_string(), || PostgresSource::named(name, table))
    }

    /// The database under `name`, opened before from the same description, or now.
    fn open(
        &self,
        name: &str,
        description: &str,
        open: impl FnOnce() -> Result<PostgresSource, SourceError>,
    ) -> Result<Arc<dyn Source>, SourceError> {
        let known = self.opened().get(name).filter(|(known, _)| known == description).map(|(_, source)| source.clone());
        // Its name may lead to another server by now.
        if let Some(source) = known
            && source.is_current()?
        {
            return Ok(source);
        }
        // Not under the lock: a server that does not answer keeps only the callers that want it waiting.
        let source = Arc::new(open()?);
        self.opened().insert(name.to_owned(), (description.to_owned(), source.clone()));
        Ok(source)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
