//! Connections to PostgreSQL, for histories that are read from it and for read models that live in it.
//!
//! A [`Target`] never holds a password, so that it may stand on a command line, in a record and in a message. The
//! password comes from the environment: `PGPASSWORD`, or a file named by `PGPASSFILE` (`~/.pgpass` by default).

mod connection;
mod door;
mod guard;
mod passfile;
mod silence;
mod tls;
mod words;

pub use connection::{Cancel, Connection};

use guard::{Guard, Refusal, Unreached};
use postgres::{
    Config, NoTls,
    config::{Host, SslNegotiation},
    error::SqlState,
};
use silence::Ask;
use std::{error::Error, fmt, io, str::FromStr, sync::Arc, time::Duration};
use words::{Methods, Roots, SslMode, Words};

/// How long a server may take to accept a connection, where the target does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long without an answer on the network a connection counts as lost, where the target does not say.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// A database: a libpq-style URL (`postgresql://user@host:port/db?...`) or a string of `key=value` pairs. Shown as it was
/// written.
#[derive(Clone)]
pub struct Target {
    config: Config,
    ssl_mode: SslMode,
    roots: Roots,
    require_auth: Option<Methods>,
    written: String,
}

/// Whether `key` is a word of connection strings, here or elsewhere: [`Target`] says which of them it takes. A password is none.
pub fn is_word(key: &str) -> bool {
    key != "password" && words::is_known(key)
}

impl FromStr for Target {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Target, ConnectError> {
        let words = Words::of(text).map_err(ConnectError::permanent)?;
        // The parser's message may quote a part of the text, and a part of the text may be a password.
        let mut config: Config = words.rest.parse().map_err(|_: postgres::Error| {
            ConnectError::permanent(
                "the connection string is not one that PostgreSQL's clients read; write postgresql://USER@HOST:PORT/DATABASE, \
                 or host=... user=... dbname=...",
            )
        })?;
        if config.get_password().is_some() {
            return Err(ConnectError::permanent(
                "the connection string has a password in it, which would show in process lists and records; leave it out, and \
                 give it in PGPASSWORD, or in a file named by PGPASSFILE",
            ));
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConnectError::permanent(format!(
                "{text} names no host; write postgresql://USER@HOST/DATABASE"
            )));
        }
        if config.get_user().is_none() {
            return Err(ConnectError::permanent(format!(
                "{text} names no role; write postgresql://USER@HOST/DATABASE"
            )));
        }
        let sockets = config.get_hosts().iter().filter(|host| matches!(host, Host::Unix(_))).count();
        if sockets > 0 && sockets < config.get_hosts().len() {
            return Err(ConnectError::permanent(format!("{text} names local sockets and other hosts; name one kind")));
        }
        // TLS needs a name to check.
        if config.get_hosts().is_empty() {
            for address in config.get_hostaddrs().to_vec() {
                config.host(&address.to_string());
            }
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(LOST_AFTER);
        }
        if config.get_application_name().is_none() {
            config.application_name("unspool");
        }
        config.notice_callback(|notice| tracing::debug!("{}: {}", notice.severity(), notice.message()));
        let Words { ssl_mode, roots, require_auth, .. } = words;
        Ok(Target { config, ssl_mode, roots, require_auth, written: text.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.written)
    }
}

impl Target {
    /// The role that connects.
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The database; a role's own has its name.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or(self.user())
    }

    /// Whether it is a socket of this machine, over which nobody else reads.
    fn is_local(&self) -> bool {
        self.config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_)))
    }

    fn guard(&self) -> Result<Guard, ConnectError> {
        let (mode, require_auth) = (self.ssl_mode, self.require_auth);
        if self.is_local() {
            return Ok(Guard { tls: None, mode, direct: false, require_auth, ask: None });
        }
        let direct = self.config.get_ssl_negotiation() == SslNegotiation::Direct;
        let tls = (mode != SslMode::Disable).then(|| tls::tls(mode, &self.roots, direct)).transpose()?;
        Ok(Guard { tls, mode, direct, require_auth, ask: None })
    }
}

/// A server that cannot be reached or does not accept the connection: names the culprit, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    /// What is wrong, and what to do about it.
    pub message: String,
    /// Whether another try may succeed.
    pub transient: bool,
}

impl ConnectError {
    fn permanent(message: impl Into<String>) -> ConnectError {
        ConnectError { message: message.into(), transient: false }
    }
}

/// Opens a connection. A password goes out in clear text or as MD5 only over TLS or a local socket, or where `require_auth`
/// allows it. Not to be called, nor the client to be used, on a thread of an asynchronous runtime.
///
/// # Errors
/// When the server cannot be reached or refuses; transient where another try may find it ready.
pub fn connect(target: &Target) -> Result<Connection, ConnectError> {
    let local = if target.is_local() { door::through(&target.config) } else { Some(target.config.clone()) };
    let guarded = local.is_some();
    let mut config = local.unwrap_or_else(|| target.config.clone());
    if let Some(password) = passfile::password(target)? {
        config.password(password);
    }
    config.notice_callback(|notice| tracing::debug!("{}: {}", notice.severity(), notice.message()));
    let guard = if guarded { Some(target.guard()?) } else { None };
    let (connected, guard) = match guard {
        None => (config.ssl_mode(postgres::config::SslMode::Disable).connect(NoTls), None),
        Some(guard) => {
            // The guard asks for TLS itself.
            config.ssl_mode(postgres::config::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
            let guard = Guard { ask: Some(ask(config.clone(), guard.clone())), ..guard };
            (config.connect(guard.clone()), Some(guard))
        }
    };
    connected.map(|client| Connection::new(client, guard)).map_err(|e| ConnectError {
        message: format!("{target}: {}{}", describe(&e), remedy(target, &e)),
        transient: is_transient(&e),
    })
}

/// Probes by one more connection whether a server is there: whatever it answers, it is.
fn ask(config: Config, guard: Guard) -> Ask {
    Arc::new(move || {
        let (says, heard) = tokio::sync::oneshot::channel();
        let (config, guard) = (config.clone(), guard.clone());
        let asking = std::thread::Builder::new().name("postgres-ask".into()).spawn(move || {
            let there = match config.connect(guard) {
                Ok(_) => true,
                Err(e) => cause::<io::Error>(&e).is_none() || refusal(&e).is_some(),
            };
            // Nobody may wait for it any more.
            let _heard = says.send(there);
        });
        if let Err(e) = asking {
            tracing::warn!("a server cannot be asked whether it is there: {e}");
        }
        heard
    })
}

/// What a server or the way to it says is wrong, in one line.
pub fn describe(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let more = |what: Option<&str>| what.map_or_else(String::new, |what| format!(" ({what})"));
        return format!("{} [{}]{}{}", said.message(), said.code().code(), more(said.detail()), more(said.hint()));
    }
    if let Some(refusal) = refusal(error) {
        return refusal.to_string();
    }
    if let Some(unreached) =
        cause::<io::Error>(error).and_then(io::Error::get_ref).and_then(|e| e.downcast_ref::<Unreached>())
    {
        return unreached.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        text = format!("{text}: {this}");
        cause = this.source();
    }
    text
}

/// Whether what failed may succeed when it is tried again: the connection is lost or was not made, the server starts, ends
/// or has no resources left, or transactions stood in each other's way.
pub fn is_transient(error: &postgres::Error) -> bool {
    if let Some(code) = error.code() {
        let code = code.code();
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::LOCK_NOT_AVAILABLE,
            // Behind a pooler somebody may have left one of this name; the next has another.
            SqlState::DUPLICATE_PSTATEMENT,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ];
        return code.starts_with("08") || code.starts_with("53") || passing.iter().any(|state| state.code() == code);
    }
    match cause::<io::Error>(error) {
        // A certificate that is not trusted comes as invalid data.
        Some(e) => !matches!(
            e.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        ),
        None => is_lost(error),
    }
}

/// Whether the connection is gone, so that the outcome of the last request is unknown.
pub fn is_lost(error: &postgres::Error) -> bool {
    let closing = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN];
    error.is_closed()
        || cause::<io::Error>(error).is_some()
        || error.code().is_some_and(|code| code.code().starts_with("08") || closing.contains(code))
}

/// Why we ourselves do not use the connection.
fn refusal(error: &postgres::Error) -> Option<&Refusal> {
    cause::<io::Error>(error)?.get_ref()?.downcast_ref()
}

fn cause<E: Error + 'static>(error: &postgres::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        cause = this.source();
    }
    None
}

/// What to do about a connection that was not made.
fn remedy(target: &Target, error: &postgres::Error) -> String {
    let (user, database) = (target.user(), target.database());
    let text = error.to_string();
    match error.code() {
        Some(&SqlState::INVALID_PASSWORD) => {
            format!("; set the password of role {user} in PGPASSWORD, or in a file named by PGPASSFILE")
        }
        Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
            format!("; see whether role {user} exists, may log in, and has a line in pg_hba.conf")
        }
        Some(&SqlState::INVALID_CATALOG_NAME) => format!("; create it: CREATE DATABASE \"{database}\""),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            format!("; let the role in: GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\"")
        }
        Some(_) => String::new(),
        None if describe(error).contains("password missing") => {
            "; the server asks for a password: set it in PGPASSWORD, or in a file named by PGPASSFILE".to_owned()
        }
        None if refusal(error).is_some() => String::new(),
        None if text.contains("TLS") && !is_transient(error) => {
            "; name the server's certificate authority in sslrootcert or SSL_CERT_FILE, or add sslmode=disable where the network \
             is trusted"
                .to_owned()
        }
        None if is_transient(error) => "; see whether the server runs and listens there".to_owned(),
        None => String::new(),
    }
}

/// Host and port of the first server that `target` names, as a password file has them.
fn server(target: &Target) -> (String, u16) {
    let config = &target.config;
    let host = match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(host)), _) => host.clone(),
        (Some(Host::Unix(_)), _) => "localhost".to_owned(),
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    };
    (host, config.get_ports().first().copied().unwrap_or(5432))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = text.parse::<Target>().unwrap_err();
        assert!(!error.transient);
        error.message
    }

    #[test]
    fn a_password_in_a_connection_string_is_refused_and_not_repeated() {
        for text in ["postgresql://ada:s3cret@localhost/db", "host=localhost user=ada password=s3cret"] {
            let message = refused(text);
            assert!(message.contains("PGPASSWORD") && !message.contains("s3cret"), "{message}");
        }
        // Not even where the string cannot be read.
        let message = refused("postgresql://ada:s3cret@localhost:port/db");
        assert!(message.contains("postgresql://USER@HOST") && !message.contains("s3cret"), "{message}");
        let message = refused("postgresql://ada@localhost/db?sslmode=always");
        assert!(
            message.contains("sslmode=always in the connection string is not known; it is disable, allow"),
            "{message}"
        );
    }

    #[test]
    fn what_a_target_must_name_is_asked_for() {
        assert!(refused("postgresql:///db?user=ada").contains("names no host"));
        assert!(refused("host=localhost dbname=db").contains("names no role"));
        let target: Target = "host=/run/postgresql user=ada".parse().unwrap();
        assert_eq!((target.user(), target.database()), ("ada", "ada"));
        assert_eq!(target.to_string(), "host=/run/postgresql user=ada");
    }

    #[test]
    fn a_server_that_is_not_there_may_come() {
        let directory = tempfile::tempdir().unwrap();
        let target: Target = format!("host={} user=ada", directory.path().display()).parse().unwrap();
        let error = connect(&target).map(drop).unwrap_err();
        assert!(error.transient && error.message.contains("see whether the server runs"), "{error}");
    }
}
