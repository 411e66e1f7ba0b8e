//! `unspool.toml` in the data directory: what operators set once instead of giving it with each command.
//!
//! ```toml
//! [projections.order-summary]
//! into = "postgres:postgresql://unspool@db.example/shop"
//!
//! [projections.order-summary.tables.orders]
//! indexes = ["CREATE INDEX by_customer ON orders ((document->>'customerId'))"]
//!
//! [sources.shop]
//! preset = "message-db"
//! connection = "postgresql://replay@db.example/shop"
//! ```

use serde::Deserialize;
use std::{collections::BTreeMap, fs, io, path::Path};

/// The file's name.
pub const FILE: &str = "unspool.toml";

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// By projection.
    #[serde(default)]
    pub projections: BTreeMap<String, Projection>,
    /// Histories by the names that `--source` may have, each as its source reads it.
    #[serde(default)]
    pub sources: BTreeMap<String, toml::Table>,
}

/// What it says about one projection.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Where the rows of a new rebuild are to live, as `--into` says it.
    pub into: Option<String>,
    /// By table.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
}

/// What it says about one table.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Statements that make its indexes where it lives in a database; the table is named without a schema.
    #[serde(default)]
    pub indexes: Vec<String>,
}

/// A file that cannot be read, or does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl Settings {
    /// Reads the file in `dir`; where there is none, nothing is set.
    ///
    /// # Errors
    /// When it cannot be read, or has a field that is unknown or of another type: names the line.
    pub fn read(dir: &Path) -> Result<Settings, SettingsError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                toml::from_str(&text).map_err(|e| SettingsError(format!("{}: {}", path.display(), place(&text, &e))))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(e) => Err(SettingsError(format!("{}: {e}", path.display()))),
        }
    }

    /// What is set for `projection`, whose tables are `tables`.
    ///
    /// # Errors
    /// When it names a table that the projection does not have.
    pub fn projection(&self, projection: &str, tables: &[&str]) -> Result<Projection, SettingsError> {
        let set = self.projections.get(projection).cloned().unwrap_or_default();
        match set.tables.keys().find(|table| !tables.contains(&table.as_str())) {
            None => Ok(set),
            Some(table) => Err(SettingsError(format!(
                "{FILE} has indexes for {projection}/{table}, which is no table of it; it has: {}",
                tables.join(", ")
            ))),
        }
    }
}

/// What is wrong, with its line; in one line, as every message of ours.
fn place(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or_else(String::new, |before| format!("line {}: ", before.matches('\n').count() + 1));
    line + error.message()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Settings::read(dir.path()).unwrap().projections.is_empty());
        fs::write(
            dir.path().join(FILE),
            "[projections.a]\ninto = \"store\"\n[projections.a.tables.rows]\nindexes = []\n",
        )
        .unwrap();
        let settings = Settings::read(dir.path()).unwrap();
        assert_eq!(settings.projection("a", &["rows"]).unwrap().into.as_deref(), Some("store"));
        assert!(settings.projection("a", &["other"]).unwrap_err().to_string().contains("a/rows"));
        assert_eq!(settings.projection("b", &["other"]).unwrap().into, None);
        fs::write(dir.path().join(FILE), "[projections.a]\nint = \"store\"\n").unwrap();
        let refused = Settings::read(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("unspool.toml") && refused.contains("int"), "{refused}");
    }
}
