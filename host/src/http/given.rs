//! What a request over HTTP is given: the parts of its path, its query, and its body.

use super::routes::Parameter;
use crate::control::ControlError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a request is given.
#[derive(Debug, Default)]
pub struct Given {
    pub(super) path: BTreeMap<String, String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
    /// The file that was sent.
    pub(super) file: Option<PathBuf>,
}

impl Given {
    /// A part of the path.
    pub(super) fn part(&self, name: &str) -> String {
        self.path.get(name).cloned().unwrap_or_default()
    }

    /// The projection.
    pub(super) fn name(&self) -> String {
        self.part("name")
    }

    /// The generation: a number or a name; `None` for the live one.
    pub(super) fn generation(&self) -> Option<String> {
        Some(self.part("generation")).filter(|generation| generation != "live")
    }

    /// A value of the query, where it is there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned()
    }

    /// A value of the query of another type.
    pub(super) fn value<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ControlError> {
        let Some(text) = self.query.get(name) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| ControlError::refused(format!("{name}={text} in the query is no such value")))
    }

    /// The body, as what it is to be.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, ControlError> {
        let body = if self.body.is_null() { Value::Object(serde_json::Map::new()) } else { self.body.clone() };
        serde_json::from_value(body).map_err(|e| ControlError::refused(format!("the body of the request: {e}")))
    }

    /// The file that was sent, as requests name files.
    pub(super) fn sent(&self) -> String {
        self.file.as_deref().unwrap_or(Path::new("")).display().to_string()
    }

    /// Refuses what the query has and nobody asked for: a word that is misspelt has no effect, and is not to look as if it had.
    pub(super) fn refuse_unknown(&self, known: &[Parameter]) -> Result<(), ControlError> {
        let is_known = |name: &&String| *name == "documents" || known.iter().any(|known| known.name == *name);
        match self.query.keys().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<_> = known.iter().map(|known| known.name).chain(["documents"]).collect();
                let has = known.join(", ");
                Err(ControlError::refused(format!("{name} is no parameter of the query here; it has: {has}")))
            }
        }
    }
}
