//! Connections to one database, kept for whoever needs one next.

use crate::error::StoreError;
use postgres::error::SqlState;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use unspool_postgres::{self as server, Target, connect, describe, is_lost, is_transient};

/// Connections that are kept while nobody uses them.
const IDLE: usize = 4;

/// How long a connection may take to answer.
const VALID_WITHIN: Duration = Duration::from_secs(10);

/// What a role or a database may have set and rows must not depend on: limits of time, transactions that only read or see
/// one state, and how values are written. A setting that the server does not know is passed over.
const SETTINGS: &str = "SET statement_timeout = 0; SELECT set_config(name, wanted, false) FROM (VALUES ('lock_timeout', '0'), \
                        ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'), ('idle_session_timeout', '0'), \
                        ('default_transaction_read_only', 'off'), ('default_transaction_isolation', 'read committed'), \
                        ('default_transaction_deferrable', 'off'), ('TimeZone', 'UTC'), ('DateStyle', 'ISO'), \
                        ('bytea_output', 'hex'), ('standard_conforming_strings', 'on'), ('row_security', 'off')) \
                        AS needed(name, wanted) JOIN pg_settings USING (name)";

/// The connections to one database.
pub(crate) struct Pool {
    target: Target,
    /// Whether it is known that a connection has a session of the server for itself.
    alone: AtomicBool,
    idle: Mutex<Vec<Connection>>,
}

/// A connection in use.
pub(super) struct Connection {
    pub(super) client: server::Connection,
    /// Whether its temporary table is there (see `commit.rs`).
    pub(super) has_incoming: bool,
    /// It was used before, and may have been lost silently since.
    used: bool,
}

impl Pool {
    pub(crate) fn new(target: Target) -> Pool {
        Pool { target, alone: AtomicBool::new(false), idle: Mutex::default() }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// A connection, on which nothing is under way.
    pub(super) fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.connect(),
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let mut client = connect(&self.target)?;
        let wrong = |e: postgres::Error| self.failed("a connection is prepared", &e);
        // Before anything is set on a session that may be somebody else's in a moment.
        if !self.alone.load(Ordering::Relaxed) {
            let shared = client.shares_sessions_with(&mut connect(&self.target)?).map_err(wrong)?;
            if shared {
                return Err(self.refused(
                    "a pooler in transaction mode stands before the server, where no session lasts; connect to the server itself, or \
                     through a pool in session mode",
                ));
            }
            self.alone.store(true, Ordering::Relaxed);
        }
        client.simple_query(SETTINGS).map_err(wrong)?;
        Ok(Connection { client, has_incoming: false, used: false })
    }

    /// A connection that answered a moment ago, for work that cannot simply begin again.
    pub(super) fn take_valid(&self) -> Result<Connection, StoreError> {
        loop {
            let mut connection = self.take()?;
            if !connection.used || connection.client.is_valid(VALID_WITHIN).is_ok() {
                return Ok(connection);
            }
        }
    }

    /// Takes back a connection, on which nothing is under way.
    pub(super) fn give(&self, mut connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.client.is_closed() && idle.len() < IDLE {
            connection.used = true;
            idle.push(connection);
        }
    }

    /// Does `work`, which changes nothing or nothing more when it is done twice. A connection that was kept may have been
    /// lost meanwhile; then `work` begins again on a new one.
    pub(super) fn with<T>(
        &self,
        what: &str,
        work: impl Fn(&mut Connection) -> Result<T, postgres::Error>,
    ) -> Result<T, StoreError> {
        loop {
            let mut connection = self.take()?;
            match work(&mut connection) {
                Ok(done) => {
                    self.give(connection);
                    return Ok(done);
                }
                // The others were kept as long.
                Err(e) if connection.used && is_lost(&e) => self.forget(),
                // A connection in the middle of something is not kept.
                Err(e) => return Err(self.failed(what, &e)),
            }
        }
    }

    /// Checks that the server answers.
    pub(super) fn reach(&self) -> Result<(), StoreError> {
        self.with("whether it is there", |connection| connection.client.batch_execute(""))
    }

    /// Closes all idle connections.
    pub(super) fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What the server said to `what`.
    pub(super) fn failed(&self, what: &str, error: &postgres::Error) -> StoreError {
        let remedy = match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => format!(
                "; role \"{}\" needs CREATE on the database and owns what it makes: GRANT CREATE, TEMPORARY ON DATABASE \"{}\" TO \"{}\"",
                self.target.user(),
                self.target.database(),
                self.target.user()
            ),
            Some(&SqlState::DUPLICATE_SCHEMA) => {
                "; it was left by another data directory, or a later state of this one: drop it and its row in unspool.generations, or name \
                 another database".to_owned()
            }
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                "; readers hold the views for long: end their queries, then resume".to_owned()
            }
            _ => String::new(),
        };
        StoreError::Postgres {
            message: format!("{}: {what}: {}{remedy}", self.target, describe(error)),
            transient: is_transient(error),
        }
    }

    /// Something about the database is not as it must be.
    pub(super) fn refused(&self, what: impl std::fmt::Display) -> StoreError {
        StoreError::Postgres { message: format!("{}: {what}", self.target), transient: false }
    }
}
