//! A session that only reads, of which nothing lasts: a pooler may give every transaction to another session of the server,
//! and that session to other programs afterwards. So everything is done in transactions, which bring their settings along;
//! no statement outlives its own; and nothing depends on what is set for the role or the database.

use super::{failed, settings::Settings};
use crate::SourceError;
use postgres::{
    SimpleQueryMessage, SimpleQueryRow, binary_copy::BinaryCopyOutIter, fallible_iterator::FallibleIterator,
    types::Type,
};
use postgres_protocol::escape::escape_identifier;
use std::time::Duration;
use unspool_postgres::{Cancel, Connection};

/// How a transaction begins. With `row_security` off the server refuses to show a part of a table as if it were the whole.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY NOT DEFERRABLE; SET LOCAL statement_timeout = 0; \
                     SET LOCAL row_security = off; SET LOCAL lock_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; \
                     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1";

/// The first version that ends long transactions.
const ENDS_TRANSACTIONS: u32 = 170_000;

/// A connection for reading.
pub(super) struct Session {
    connection: Connection,
    begin: String,
}

/// A row, with its values as text.
pub(super) struct Row(SimpleQueryRow);

impl Row {
    /// The value in a column; `None` where it is null, or no text.
    pub(super) fn text(&self, column: usize) -> Option<&str> {
        self.0.try_get(column).ok().flatten()
    }

    /// The integer in a column; 0 where there is none.
    pub(super) fn number<T: std::str::FromStr + Default>(&self, column: usize) -> T {
        self.text(column).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether a column says `true`.
    pub(super) fn holds(&self, column: usize) -> bool {
        self.text(column) == Some("t")
    }
}

/// Where the values of a result come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) table: u32,
    pub(super) column: i16,
}

impl Session {
    /// Opens a connection.
    pub(super) fn open(settings: &Settings) -> Result<Session, SourceError> {
        let connection = unspool_postgres::connect(&settings.target).map_err(|e| SourceError {
            transient: e.transient,
            ..SourceError::permanent(format!("{}: {}", settings.name, e.message))
        })?;
        let mut session = Session { connection, begin: BEGIN.to_owned() };
        let about = "SELECT current_setting('server_version_num'), current_setting('server_encoding')";
        let about = session.query(about).map_err(|e| failed(settings, &e))?;
        if about.first().is_some_and(|row| row.number::<u32>(0) >= ENDS_TRANSACTIONS) {
            session.begin.push_str("; SET LOCAL transaction_timeout = 0");
        }
        // Any bytes: the server would end a whole query at those that are not UTF-8; here the event is named.
        if about.first().is_some_and(|row| row.text(1) == Some("SQL_ASCII")) {
            session.begin.push_str("; SET LOCAL client_encoding = 'SQL_ASCII'");
        }
        Ok(session)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    pub(super) fn cancel(&self) -> Cancel {
        self.connection.cancel()
    }

    /// Whether this session and `other` get to the same sessions of the server.
    pub(super) fn shares_with(&mut self, other: &mut Session) -> Result<bool, postgres::Error> {
        self.connection.shares_sessions_with(&mut other.connection)
    }

    /// Returns at the next notification of `channel`, or after `timeout`. Only for a session that is shared with nobody.
    pub(super) fn wait(&mut self, channel: &str, timeout: Duration) -> Result<(), postgres::Error> {
        self.connection.batch_execute(&format!("LISTEN {}", escape_identifier(channel)))?;
        let mut notifications = self.connection.notifications();
        notifications.timeout_iter(timeout).next().map(drop)
    }

    /// The rows that one statement gives, in a transaction of its own.
    pub(super) fn query(&mut self, statement: &str) -> Result<Vec<Row>, postgres::Error> {
        let done = self.connection.simple_query(&format!("{}; {statement}; COMMIT", self.begin));
        let messages = self.ended(done)?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(Row(row)),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Where the columns of a query come from, as the server describes them.
    pub(super) fn origins(&mut self, query: &str) -> Result<Vec<Option<Origin>>, postgres::Error> {
        let described = self.connection.batch_execute(&self.begin).and_then(|()| self.connection.prepare(query));
        let origins = described.map(|statement| {
            let origin =
                |column: &postgres::Column| Some(Origin { table: column.table_oid()?, column: column.column_id()? });
            statement.columns().iter().map(origin).collect()
        });
        let done = origins.and_then(|origins| self.connection.batch_execute("COMMIT").map(|()| origins));
        self.ended(done)
    }

    /// Hands the rows of a query to `work`, as the server sends them. Where `work` fails, or gives up before their end with
    /// `None`, the session is of no more use.
    pub(super) fn copy<T>(
        &mut self,
        query: &str,
        columns: usize,
        settings: &Settings,
        work: impl FnOnce(&mut BinaryCopyOutIter<'_>) -> Result<Option<T>, SourceError>,
    ) -> Result<Option<T>, SourceError> {
        let wrong = |e: postgres::Error| failed(settings, &e);
        self.connection.batch_execute(&self.begin).map_err(wrong)?;
        let reader = self.connection.copy_out(&format!("COPY ({query}) TO STDOUT (FORMAT binary)")).map_err(wrong)?;
        let done = work(&mut BinaryCopyOutIter::new(reader, &vec![Type::BYTEA; columns]))?;
        if done.is_some() {
            self.connection.batch_execute("COMMIT").map_err(wrong)?;
        }
        Ok(done)
    }

    /// A transaction that failed is over.
    fn ended<T>(&mut self, done: Result<T, postgres::Error>) -> Result<T, postgres::Error> {
        if done.is_err() && !self.connection.is_closed() {
            drop(self.connection.batch_execute("ROLLBACK"));
        }
        done
    }
}
