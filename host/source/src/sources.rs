//! The histories of a host, by the names that `--source` knows.

use super::{Source, SourceError, event_file::FileOptions, file::FileSources, log::EventLog, postgres::Databases};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use unspool_vocabulary::settings::Settings;

/// Opens histories: `log`, `file:PATH`, `postgres:PRESET?...`, and those that `unspool.toml` names.
#[derive(Clone)]
pub struct Sources {
    /// Or why there is none.
    log: Result<EventLog, SourceError>,
    files: FileSources,
    /// The file with the settings.
    settings: PathBuf,
    /// What the host was given.
    given: HashMap<String, Arc<dyn Source>>,
    /// Databases that have been opened, with what described them. What is known of the end of a history is worth keeping.
    postgres: Arc<Databases>,
}

impl Sources {
    /// The embedded log or why it cannot be read, event files indexed in `files`, and what the file `settings` names.
    pub fn new(log: Result<EventLog, SourceError>, files: FileSources, settings: PathBuf) -> Sources {
        Sources { log, files, settings, given: HashMap::new(), postgres: Arc::default() }
    }

    /// These, and `source` under a name that no other history has: one that a program of its own reads.
    pub fn with(mut self, name: &str, source: Arc<dyn Source>) -> Sources {
        self.given.insert(name.to_owned(), source);
        self
    }

    /// The history that `name` stands for.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be opened; transient where another try may succeed.
    pub fn open(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        if name.contains("://") && !name.starts_with("file:") {
            // It may have a password in it.
            return Err(SourceError::permanent(
                "a connection string is no source; name it postgres:PRESET?host=HOST&port=PORT&user=USER&dbname=DATABASE, or in \
                 unspool.toml",
            ));
        }
        match name.split_once(':') {
            None if name == "log" => Ok(Arc::new(self.log.clone()?)),
            Some(("file", text)) => {
                let split = FileOptions::split(text);
                let (path, options) = split.map_err(|e| SourceError::permanent(format!("{name}: {e}")))?;
                Ok(Arc::new(self.files.open(Path::new(path), &options)?))
            }
            Some(("postgres", text)) => self.postgres.inline(name, text),
            _ => self.named(name),
        }
    }

    /// The history that was given under this name, or that the settings name so.
    fn named(&self, name: &str) -> Result<Arc<dyn Source>, SourceError> {
        if let Some(source) = self.given.get(name) {
            return Ok(source.clone());
        }
        let settings = Settings::read(&self.settings).map_err(|e| SourceError::permanent(e.to_string()))?;
        let Some(table) = settings.sources.get(name) else {
            return Err(SourceError::permanent(format!(
                "source {name} is not known; use log, file:PATH, postgres:PRESET?..., or a name that {} gives",
                self.settings.display()
            )));
        };
        if table.get("preset").and_then(toml::Value::as_str) == Some("file") {
            return self.file(name, table);
        }
        self.postgres.named(name, table)
    }

    /// The event file that the settings describe: its `path`, from the folder of the settings on, and how it is read.
    fn file(&self, name: &str, table: &toml::Table) -> Result<Arc<dyn Source>, SourceError> {
        let refuse = |e: String| SourceError::permanent(format!("source {name}: {e}"));
        let (mut path, mut options) = (None, FileOptions::default());
        for (key, value) in table.iter().filter(|(key, _)| *key != "preset") {
            let value = value.as_str().ok_or_else(|| refuse(format!("{key} must be text")))?;
            match key.as_str() {
                "path" => path = Some(self.settings.parent().unwrap_or(Path::new(".")).join(value)),
                key => options.set(key, value).map_err(refuse)?,
            }
        }
        let path = path.ok_or_else(|| refuse(format!("it has no path in {}", self.settings.display())))?;
        Ok(Arc::new(self.files.open(&path, &options)?))
    }
}
