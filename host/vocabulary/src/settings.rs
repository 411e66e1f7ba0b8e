//! `unspool.toml`: what operators declare once instead of saying it with each command. It is in the data directory, unless a host is
//! given another file.
//!
//! ```toml
//! [host]
//! memory = 128
//!
//! [projections.order-summary]
//! plugin = "plugins/order-summary.wasm"
//! source = "shop"
//! follow = true
//! into = "postgres:postgresql://unspool@db.example/shop"
//!
//! [projections.order-summary.tables.orders]
//! indexes = ["CREATE INDEX by_customer ON orders ((document->>'customerId'))"]
//!
//! [sources.shop]
//! preset = "message-db"
//! connection = "postgresql://replay@db.example/shop"
//!
//! [[alert]]
//! name = "on-call"
//! on = ["failed", "stalled"]
//! for = "30s"
//! to = { webhook = "https://hooks.example/unspool", secret_file = "on-call.secret" }
//! ```

mod alert;

pub use alert::{AlertFormat, AlertSettings, AlertTarget, duration};

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// The file's name.
pub const FILE: &str = "unspool.toml";

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of hosts.
    #[serde(default)]
    pub host: HostSettings,
    /// Of how they answer HTTP.
    #[serde(default)]
    pub http: HttpSettings,
    /// Who is told of what goes wrong.
    #[serde(default)]
    pub alert: Vec<AlertSettings>,
    /// By projection.
    #[serde(default)]
    pub projections: BTreeMap<String, Projection>,
    /// Histories by the names that `--source` may have, each as its source reads it.
    #[serde(default)]
    pub sources: BTreeMap<String, toml::Table>,
}

/// What it says about hosts, where the command line and the environment do not.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSettings {
    /// Memory that one plugin instance may use, in MiB.
    pub memory: Option<u64>,
    /// Instances that handle chunks of one projection at the same time.
    pub instances: Option<u8>,
    /// A command that gets alerts: short for an `[[alert]]` of that name (see [`AlertSettings::of_command`]).
    pub alert: Option<String>,
    /// How lines of the log are written.
    pub log_format: Option<LogFormat>,
}

/// What it says about HTTP, where the command line does not.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// The address to listen on, such as `127.0.0.1:7117`.
    pub listen: Option<SocketAddr>,
    /// The address on which nothing but metrics and questions for its health are answered, without asking who wants to know.
    pub listen_metrics: Option<SocketAddr>,
    /// The file with the certificate chain, in PEM, relative to the folder of the settings.
    pub tls_cert: Option<PathBuf>,
    /// The file with its key.
    pub tls_key: Option<PathBuf>,
    /// Whether a proxy in front of it has TLS.
    #[serde(default)]
    pub behind_proxy: bool,
    /// Names by which it may be asked, beside addresses and `localhost`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What the host is called; the name of the machine where absent.
    pub name: Option<String>,
    /// Whether people are reminded that others depend on it.
    #[serde(default)]
    pub production: bool,
    /// Who is let in on the word of a proxy.
    pub proxy: Option<ProxySettings>,
}

/// See [`HttpSettings::proxy`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// The header in which it says who it is.
    pub user_header: String,
    /// The addresses from which that is believed.
    pub from: Vec<IpAddr>,
    /// The role of whoever has no other: `viewer`, `operator` or `admin`; `viewer` where absent.
    pub role: Option<String>,
    /// The roles of some, by their names.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// What they may see of rows and events: `none`, `masked` or `full`; `none` where absent.
    pub payloads: Option<String>,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object each.
    Json,
}

/// What it says about one projection. What is absent is left as it is.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// The file of its plugin, relative to the folder of the settings: with it, the projection is declared (see `unspool apply`).
    pub plugin: Option<PathBuf>,
    /// Where its events come from, as `--source` names it.
    pub source: Option<String>,
    /// Whether the live generation is kept up to date.
    pub follow: Option<bool>,
    /// Where the rows of a new rebuild are to live, as `--into` says it.
    pub into: Option<String>,
    /// What happens to events that cannot be handled.
    pub on_error: Option<ErrorPolicy>,
    /// Events per chunk.
    pub chunk_size: Option<u32>,
    /// How much a rebuild yields to everything else on the machine.
    pub priority: Option<Yielding>,
    /// What becomes of the previous generation.
    #[serde(default)]
    pub keep_previous: KeepPrevious,
    /// By table.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
}

/// See [`Projection::on_error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorPolicy {
    /// The rebuild stops there.
    Stop,
    /// They become dead letters.
    Park,
}

/// See [`Projection::priority`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Yielding {
    /// Its threads run when nothing else wants to.
    Low,
    /// Its threads compete like any other.
    Normal,
}

/// See [`Projection::keep_previous`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepPrevious {
    /// It stays as it was when another one was promoted.
    #[default]
    Standing,
    /// It is kept up to date like the live one, so that a rollback takes no time.
    Current,
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
    /// Reads the file at `path`; where there is none, nothing is set.
    ///
    /// # Errors
    /// When it cannot be read, or has a field that is unknown or of another type: names the line.
    pub fn read(path: &Path) -> Result<Settings, SettingsError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let wrong = |what: String| SettingsError(format!("{}: {what}", path.display()));
                let settings: Settings = toml::from_str(&text).map_err(|e| wrong(place(&text, &e)))?;
                settings.check().map_err(wrong)?;
                Ok(settings)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(e) => Err(SettingsError(format!("{}: {e}", path.display()))),
        }
    }

    /// Refuses numbers that no command would take.
    fn check(&self) -> Result<(), String> {
        let within = |key: &str, number: Option<u64>, most: u64| match number {
            Some(number) if number < 1 || number > most => Err(format!("{key} is {number}; it may be 1 to {most}")),
            _ => Ok(()),
        };
        within("[host] memory", self.host.memory, 1024)?;
        within("[host] instances", self.host.instances.map(u64::from), 5)?;
        for (name, projection) in &self.projections {
            within(&format!("[projections.{name}] chunk_size"), projection.chunk_size.map(u64::from), 1_000_000)?;
        }
        alert::check(&self.alert)
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
        assert!(Settings::read(&dir.path().join(FILE)).unwrap().projections.is_empty());
        fs::write(
            dir.path().join(FILE),
            "[projections.a]\ninto = \"store\"\n[projections.a.tables.rows]\nindexes = []\n",
        )
        .unwrap();
        let settings = Settings::read(&dir.path().join(FILE)).unwrap();
        assert_eq!(settings.projection("a", &["rows"]).unwrap().into.as_deref(), Some("store"));
        assert!(settings.projection("a", &["other"]).unwrap_err().to_string().contains("a/rows"));
        assert_eq!(settings.projection("b", &["other"]).unwrap().into, None);
        fs::write(dir.path().join(FILE), "[projections.a]\nint = \"store\"\n").unwrap();
        let refused = Settings::read(&dir.path().join(FILE)).unwrap_err().to_string();
        assert!(refused.contains("unspool.toml") && refused.contains("int"), "{refused}");
    }
}
