//! What a projection declares, and what it may declare.

use std::collections::HashSet;
use unspool_frame::Description;

/// A description that the host does not accept, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("describe: {0}")]
pub struct InvalidDescription(String);

/// Checks what a plugin declares.
///
/// # Errors
/// Names the first field that is empty, repeated, out of range or has characters that it may not have.
pub fn validate(description: &Description) -> Result<(), InvalidDescription> {
    let refuse = |reason: String| Err(InvalidDescription(reason));
    check_name("the projection's name", &description.name)?;
    if description.event_types.is_empty() {
        return refuse("no event types; name those it handles, or \"*\"".into());
    }
    let mut seen = HashSet::new();
    for kind in &description.event_types {
        if kind.is_empty() || kind.len() > crate::limits::NAME_BYTES {
            return refuse("an event type is empty or too long".into());
        }
        if !seen.insert(kind) {
            return refuse(format!("event type \"{kind}\" is named twice"));
        }
    }
    if description.tables.is_empty() {
        return refuse("no tables; a projection writes to at least one".into());
    }
    let mut seen = HashSet::new();
    for table in &description.tables {
        check_name("a table's name", &table.name)?;
        if !seen.insert(&table.name) {
            return refuse(format!("table \"{}\" is named twice", table.name));
        }
    }
    match description.chunk_size {
        Some(0) => refuse("a chunk size of 0; a chunk holds at least one event".into()),
        _ => Ok(()),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), InvalidDescription> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() {
        return Err(InvalidDescription(format!("{what} is empty")));
    }
    if name.len() > 64 || !name.chars().all(allowed) {
        return Err(InvalidDescription(format!(
            "{what}, \"{}\", may only have lower-case letters, digits, '-' and '_', 64 at most",
            name.chars().take(80).collect::<String>()
        )));
    }
    Ok(())
}

/// Which event types a projection handles: its part of the handler registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// Every type.
    All,
    /// These types.
    Types(HashSet<String>),
}

impl Matcher {
    /// The matcher of a projection that handles `event_types`; `*` stands for all.
    pub fn new(event_types: &[String]) -> Matcher {
        if event_types.iter().any(|kind| kind == "*") {
            Matcher::All
        } else {
            Matcher::Types(event_types.iter().cloned().collect())
        }
    }

    /// Whether events of type `kind` are handled.
    pub fn matches(&self, kind: &str) -> bool {
        match self {
            Matcher::All => true,
            Matcher::Types(types) => types.contains(kind),
        }
    }
}
