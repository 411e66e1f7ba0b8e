//! In place of PostgreSQL in a build without it.

use crate::{Source, SourceError};
use std::sync::Arc;

/// No databases.
#[derive(Default)]
pub(crate) struct Databases;

impl Databases {
    pub(crate) fn inline(&self, name: &str, _text: &str) -> Result<Arc<dyn Source>, SourceError> {
        Err(absent(name))
    }

    pub(crate) fn named(&self, name: &str, _table: &toml::Table) -> Result<Arc<dyn Source>, SourceError> {
        Err(absent(name))
    }
}

/// What was requested may have a password in it, but for the name.
fn absent(name: &str) -> SourceError {
    let name = name.split('?').next().unwrap_or(name);
    SourceError::permanent(format!(
        "{name}: this unspool was built without PostgreSQL: build it with the feature postgres, which is on by default"
    ))
}
