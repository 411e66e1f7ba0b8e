//! The histories of a host, by the names that `--source` knows.

use super::{Source, SourceError, file::FileSources, log::EventLog, postgres::PostgresSource};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Opens histories: `log`, `file:PATH`, `postgres:PRESET?...`, and those that `unspool.toml` names.
#[derive(Clone)]
pub struct Sources {
    log: EventLog,
    files: FileSources,
    /// `unspool.toml`.
    settings: PathBuf,
    /// Databases that have been opened, with what described them. What is known of the end of a history is worth keeping.
    postgres: Arc<Mutex<HashMap<String, (String, Arc<PostgresSource>)>>>,
}

impl Sources {
    /// The embedded log, event files indexed in `files`, and what the file `settings` names.
    pub fn new(log: EventLog, files: FileSources, settings: PathBuf) -> Sources {
        Sources { log, files, settings, postgres: Arc::default() }
    }

    /// The history that `name` stands for.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be opened; transient where another try may succeed.
    pub fn open(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        match name.split_once(':') {
            None if name == "log" => Ok(Arc::new(self.log.clone())),
            Some(("file", path)) => Ok(Arc::new(self.files.open(Path::new(path))?)),
            Some(("postgres", text)) => Ok(self.database(name, name, || PostgresSource::inline(name, text))?),
            _ => self.named(name),
        }
    }

    /// The history in the table `sources.NAME` of the settings.
    fn named(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        let shown = self.settings.display();
        let unknown = || {
            SourceError::permanent(format!(
                "source {name} is not known; use log, file:PATH, postgres:PRESET?..., or a name from {shown}"
            ))
        };
        let text = match fs::read_to_string(&self.settings) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(unknown()),
            Err(e) => return Err(SourceError::permanent(format!("{shown}: {e}"))),
        };
        let settings: toml::Table = text.parse().map_err(|e| SourceError::permanent(format!("{shown}: {e}")))?;
        let table = settings.get("sources").and_then(|sources| sources.get(name)).and_then(toml::Value::as_table);
        let table = table.ok_or_else(unknown)?;
        Ok(self.database(name, &table.to_string(), || PostgresSource::named(name, table))?)
    }

    /// The database under `name`, opened before from the same description, or now.
    fn database(
        &self,
        name: &str,
        description: &str,
        open: impl FnOnce() -> Result<PostgresSource, SourceError>,
    ) -> Result<Arc<PostgresSource>, SourceError> {
        if let Some((known, source)) = self.opened().get(name)
            && known == description
        {
            return Ok(source.clone());
        }
        // Not under the lock: a server that does not answer keeps only who asks for it waiting.
        let source = Arc::new(open()?);
        self.opened().insert(name.to_owned(), (description.to_owned(), source.clone()));
        Ok(source)
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<String, (String, Arc<PostgresSource>)>> {
        self.postgres.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
