//! How a file is to be read, where that is given.

use super::mapping::Mapping;
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use unspool_vocabulary::Numbers;

/// How the events of a file are to be read, where they are not as our own form and CloudEvents have them. Written as
/// `map=...&without_time=...&numbers=...`, each part where it says something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileOptions {
    /// Which fields make the event.
    pub map: Option<Mapping>,
    /// The time of events that have none; they are refused where absent.
    pub without_time: Option<WithoutTime>,
    /// What becomes of numbers that cannot be held exactly.
    pub numbers: Numbers,
}

/// The time of events that have none. Written as `last`, or as a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WithoutTime {
    /// That of the event before it in the file.
    Last,
    /// This one, in milliseconds since 1970.
    At {
        /// As it was written.
        text: String,
        /// The same.
        milliseconds: i64,
    },
}

/// The names of the options, as sources have them.
const OPTIONS: [&str; 3] = ["map", "without_time", "numbers"];

impl FileOptions {
    /// Whether nothing is given.
    pub fn is_default(&self) -> bool {
        *self == FileOptions::default()
    }

    /// The path and the options in what follows `file:`. A question mark is part of the path where none of the options
    /// follows it.
    ///
    /// # Errors
    /// Says what is wrong with the options.
    pub fn split(text: &str) -> Result<(&str, FileOptions), String> {
        let begins = |options: &str| OPTIONS.iter().any(|name| options.starts_with(&format!("{name}=")));
        match text.rsplit_once('?') {
            Some((path, options)) if begins(options) => Ok((path, options.parse()?)),
            _ => Ok((text, FileOptions::default())),
        }
    }

    /// Sets one option.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot have that value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "map" => self.map = Some(value.parse()?),
            "without_time" => self.without_time = Some(value.parse()?),
            "numbers" => self.numbers = value.parse()?,
            _ => return Err(format!("an event file has no option {name}; it has: {}", OPTIONS.join(", "))),
        }
        Ok(())
    }
}

impl FromStr for FileOptions {
    type Err = String;

    fn from_str(text: &str) -> Result<FileOptions, String> {
        let mut options = FileOptions::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair} is not of the form key=value"))?;
            options.set(name, value)?;
        }
        Ok(options)
    }
}

impl fmt::Display for FileOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.map.as_ref().map(|map| format!("map={map}")));
        parts.extend(self.without_time.as_ref().map(|time| format!("without_time={time}")));
        if self.numbers != Numbers::default() {
            parts.push(format!("numbers={}", self.numbers));
        }
        f.write_str(&parts.join("&"))
    }
}

impl TryFrom<String> for FileOptions {
    type Error = String;

    fn try_from(text: String) -> Result<FileOptions, String> {
        text.parse()
    }
}

impl From<FileOptions> for String {
    fn from(options: FileOptions) -> String {
        options.to_string()
    }
}

impl FromStr for WithoutTime {
    type Err = String;

    fn from_str(text: &str) -> Result<WithoutTime, String> {
        if text == "last" {
            return Ok(WithoutTime::Last);
        }
        let moment = Moment::parse(text).map_err(|found| {
            format!("expected `last`, or a time such as 1970-01-01T00:00:00Z, for events without one; found {found}")
        })?;
        Ok(WithoutTime::At { text: text.to_owned(), milliseconds: moment.milliseconds })
    }
}

impl fmt::Display for WithoutTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WithoutTime::Last => f.write_str("last"),
            WithoutTime::At { text, .. } => f.write_str(text),
        }
    }
}
