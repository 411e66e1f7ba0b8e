//! How a PostgreSQL history is named: `postgres:PRESET?key=value&...` on the command line, or a table of `unspool.toml`.

use crate::SourceError;
use std::collections::BTreeMap;
use unspool_postgres::{Target, is_word};

/// A preset, its options, and the database.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// As messages and records have it.
    pub(super) name: String,
    pub(super) preset: String,
    pub(super) target: Target,
    options: BTreeMap<String, String>,
}

/// The options of every preset.
const COMMON: [&str; 4] = ["time", "shift", "numbers", "nested"];

impl Settings {
    /// From what follows `postgres:` on a command line.
    pub(super) fn inline(name: &str, text: &str) -> Result<Settings, SourceError> {
        let (preset, pairs) = text.split_once('?').unwrap_or((text, ""));
        let (mut connection, mut options) = (String::new(), BTreeMap::new());
        for pair in pairs.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(SourceError::permanent(format!("{name}: {pair} is not of the form key=value")));
            };
            let value = decoded(name, value)?;
            if key == "password" {
                return Err(SourceError::permanent(
                    "a password on the command line shows in process lists and records; leave it out, and give it in \
                     PGPASSWORD, or in a file named by PGPASSFILE",
                ));
            }
            if is_word(key) {
                let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
                connection.push_str(&format!("{key}='{quoted}' "));
            } else {
                options.insert(key.to_owned(), value);
            }
        }
        Settings::new(name, preset, connection.trim_end(), options)
    }

    /// From a table of `unspool.toml`: `preset`, `connection`, and options.
    pub(super) fn named(name: &str, table: &toml::Table) -> Result<Settings, SourceError> {
        let mut options = BTreeMap::new();
        for (key, value) in table {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(_) | toml::Value::Boolean(_) => value.to_string(),
                _ => return Err(SourceError::permanent(format!("source {name}: {key} must be text"))),
            };
            options.insert(key.clone(), value);
        }
        let mut required = |key: &str| {
            options
                .remove(key)
                .ok_or_else(|| SourceError::permanent(format!("source {name} has no {key} in unspool.toml")))
        };
        let (preset, connection) = (required("preset")?, required("connection")?);
        Settings::new(name, &preset, &connection, options)
    }

    fn new(
        name: &str,
        preset: &str,
        connection: &str,
        options: BTreeMap<String, String>,
    ) -> Result<Settings, SourceError> {
        let target = connection.parse().map_err(|e| SourceError::permanent(format!("{name}: {e}")))?;
        Ok(Settings { name: name.to_owned(), preset: preset.to_owned(), target, options })
    }

    /// Preset and options, whatever connection they are read over: two that differ read different events, or differently.
    pub(super) fn what_is_read(&self) -> String {
        let options: String = self.options.iter().map(|(key, value)| format!("\n{key}={value}")).collect();
        format!("{}{options}", self.preset)
    }

    /// The option `key`.
    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    /// Refuses options that are none of `known`.
    pub(super) fn refuse_others(&self, known: &[&str]) -> Result<(), SourceError> {
        let known: Vec<&str> = known.iter().chain(&COMMON).copied().collect();
        match self.options.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(unknown) => Err(SourceError::permanent(format!(
                "{}: the preset {} has no option {unknown}; it has: {}",
                self.name,
                self.preset,
                known.join(", ")
            ))),
        }
    }
}

/// A value with its percent escapes resolved; `+` stays what it is.
fn decoded(name: &str, value: &str) -> Result<String, SourceError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
        let digits = std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(digits.ok_or_else(|| bad_escape(name, value))?);
    }
    String::from_utf8(bytes).map_err(|_| bad_escape(name, value))
}

fn bad_escape(name: &str, value: &str) -> SourceError {
    SourceError::permanent(format!("{name}: {value} has a % that is no escape; write %25 for a percent sign"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_and_the_options_are_told_apart() {
        let text = "marten?host=db.example&user=re%26play&dbname=it's&schema=orders&port=6000";
        let settings = Settings::inline("it", text).unwrap();
        assert_eq!((settings.preset.as_str(), settings.option("schema")), ("marten", Some("orders")));
        assert_eq!((settings.target.user(), settings.target.database()), ("re&play", "it's"));
        assert!(settings.refuse_others(&["schema"]).is_ok());
        let refused = settings.refuse_others(&["table"]).unwrap_err().message;
        assert_eq!(refused, "it: the preset marten has no option schema; it has: table, time, shift, numbers, nested");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, expected) in [
            ("marten?host=h&user=u&password=x", "a password on the command line"),
            ("marten?host", "host is not of the form key=value"),
            ("marten?host=%zz&user=u", "has a % that is no escape"),
            ("marten?host=%ff&user=u", "has a % that is no escape"),
            ("marten?user=u", "names no host"),
        ] {
            let refused = Settings::inline("it", text).unwrap_err().message;
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn a_table_of_the_settings_names_the_same() {
        let table: toml::Table =
            "preset = 'emmett'\nconnection = 'postgresql://u@h/db'\npartition = 'tenant-1'\n".parse().unwrap();
        let settings = Settings::named("shop", &table).unwrap();
        assert_eq!((settings.preset.as_str(), settings.option("partition")), ("emmett", Some("tenant-1")));
        let missing = Settings::named("shop", &toml::Table::new()).unwrap_err().message;
        assert_eq!(missing, "source shop has no preset in unspool.toml");
    }
}
