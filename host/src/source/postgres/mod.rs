//! Histories in PostgreSQL: the event stores that people already run, read as they are.
//!
//! A *preset* knows where a store keeps its events ([`presets`]); *generic* reads any table. Nothing is ever written, and
//! nothing is read that is not settled ([`ceiling`]).
//!
//! | file | what it does |
//! |---|---|
//! | `settings.rs` | how a history is named, on a command line or in `unspool.toml` |
//! | `presets.rs`, `layout.rs` | tables and columns of each store, as SQL |
//! | `ceiling.rs` | up to where the history is settled |
//! | `read.rs`, `rows.rs` | events out of COPY, on a thread of their own |

mod ceiling;
mod layout;
mod presets;
mod read;
mod rows;
mod settings;

use crate::{
    postgres::{describe, is_lost, is_transient},
    source::{Located, Reader, Source, SourceError},
    vocabulary::{Matcher, Position},
};
use ceiling::{End, Settled};
use layout::{Layout, Ordering, of_types};
use postgres::{Client, Row, error::SqlState, types::ToSql, types::Type};
use postgres_protocol::escape::escape_literal;
use settings::Settings;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A history in a PostgreSQL database.
pub struct PostgresSource {
    settings: Settings,
    layout: Layout,
    /// The columns as they are selected, and the types that the store has for them.
    selected: String,
    types: Vec<Type>,
    identity: String,
    session: Mutex<Session>,
    idle: Arc<read::Idle>,
}

/// The connection for everything but reading, and what it has found.
struct Session {
    client: Option<Client>,
    settled: Settled,
}

impl PostgresSource {
    /// The history that `text` names, as `--source` has it: what stands behind `postgres:`. `name` is the whole.
    ///
    /// # Errors
    /// When it names nothing that is known, the database cannot be reached (transient), or it does not hold what the
    /// preset expects.
    pub fn inline(name: &str, text: &str) -> Result<PostgresSource, SourceError> {
        PostgresSource::open(Settings::inline(name, text)?)
    }

    /// The history that a table of `unspool.toml` describes: `preset`, `connection`, and the preset's options.
    ///
    /// # Errors
    /// As [`PostgresSource::inline`].
    pub fn named(name: &str, table: &toml::Table) -> Result<PostgresSource, SourceError> {
        PostgresSource::open(Settings::named(name, table)?)
    }

    fn open(settings: Settings) -> Result<PostgresSource, SourceError> {
        let preset = presets::find(&settings)?;
        let mut client = connect(&settings)?;
        let layout = preset(&settings, &mut client)?;
        let probed = client.prepare(&layout.probe()).map_err(|e| failed(&settings, &e))?;
        let types: Vec<Type> = probed.columns().iter().map(|column| column.type_().clone()).collect();
        let selected = layout.selected(&types)?;
        refuse_unsafe(&settings, &layout, &mut client)?;
        // The same history may be reached by another address or role; a restored copy is one more history.
        let database: String = one(&settings, client.query("SELECT current_database()::text", &[]))?
            .first()
            .map_or_else(String::new, |row| row.get(0));
        let told = format!("{database}\n{}\n{selected}\n{:?}\n{:?}", layout.from, layout.only, layout.ordering);
        let identity = format!("postgres-{}", &blake3::hash(told.as_bytes()).to_hex()[..32]);
        let session = Mutex::new(Session { client: Some(client), settled: Settled::default() });
        Ok(PostgresSource { settings, layout, selected, types, identity, session, idle: Arc::default() })
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the connection; a lost one is made anew the next time.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Client, &mut Settled) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut session = self.session();
        let mut client = match session.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(&self.settings)?,
        };
        let done = work(&mut client, &mut session.settled);
        if done.as_ref().err().is_none_or(|e| !e.transient) {
            session.client = Some(client);
        }
        done
    }

    fn query(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, SourceError> {
        self.with(|client, _| one(&self.settings, client.query(query, values)))
    }

    /// The place in the first row, where there is one.
    fn place(&self, condition: &str, order: &str) -> Result<Option<Position>, SourceError> {
        let Layout { from, position, transaction, .. } = &self.layout;
        let major = transaction.as_ref().map_or("'0'".to_owned(), |transaction| format!("{transaction}::text"));
        // Names of their own, lest ORDER BY takes a transaction's text for the transaction.
        let place = format!("{major} AS unspool_major, {position}::int8 AS unspool_minor");
        let rows = self.query(&format!("SELECT {place} FROM {from} WHERE {condition} {order}"), &[])?;
        Ok(rows.first().map(|row| {
            let (major, minor): (String, i64) = (row.get(0), row.get(1));
            Position { major: major.parse().unwrap_or(0), minor: minor.try_into().unwrap_or(0) }
        }))
    }

    fn last(&self, condition: &str) -> Result<Option<Position>, SourceError> {
        self.place(condition, &format!("ORDER BY {} LIMIT 1", self.layout.place_descending()))
    }
}

impl Source for PostgresSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        let (settings, layout) = (&self.settings, &self.layout);
        self.with(|client, settled| settled.wait(&mut End { settings, layout, client }))
    }

    fn settled(&self) -> Result<Position, SourceError> {
        let (settings, layout) = (&self.settings, &self.layout);
        self.with(|client, settled| settled.look(&mut End { settings, layout, client }))
    }

    fn count(&self, matcher: &Matcher, after: Position, through: Position) -> Result<u64, SourceError> {
        let within = self.layout.within(after, through) + &of_types(&self.layout, matcher);
        let rows = self.query(&format!("SELECT count(*) FROM {} WHERE {within}", self.layout.from), &[])?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).try_into().unwrap_or(0)))
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(read::PostgresReader::start(read::Scan {
            settings: self.settings.clone(),
            layout: self.layout.clone(),
            selected: self.selected.clone(),
            types: self.types.clone(),
            matcher: matcher.clone(),
            after,
            through,
            idle: self.idle.clone(),
        })?))
    }

    fn until(&self, timestamp: i64) -> Result<Position, SourceError> {
        let ceiling = self.ceiling()?;
        let within = self.layout.within(Position::START, ceiling);
        let Some(time) = &self.layout.time else {
            return Err(SourceError::permanent(format!(
                "{} has no column with the time of an event; name the end by an event's id or position",
                self.settings.name
            )));
        };
        let later = match self.types.get(7) {
            Some(&Type::INT8) => format!("{time} > {timestamp}"),
            Some(&Type::TIMESTAMP) => {
                format!("{time} >= (to_timestamp({}::float8 / 1000) AT TIME ZONE 'UTC')", timestamp.saturating_add(1))
            }
            _ => format!("{time}::timestamptz >= to_timestamp({}::float8 / 1000)", timestamp.saturating_add(1)),
        };
        let first =
            self.place(&format!("{within} AND {later}"), &format!("ORDER BY {} LIMIT 1", self.layout.place()))?;
        let Some(first) = first else { return Ok(ceiling) };
        let before = Position { minor: first.minor.saturating_sub(1), ..first };
        Ok(self.last(&self.layout.within(Position::START, before))?.unwrap_or(Position::START))
    }

    fn back(&self, matcher: &Matcher, through: Position, events: u64) -> Result<Position, SourceError> {
        let within = self.layout.within(Position::START, through) + &of_types(&self.layout, matcher);
        let order = format!("ORDER BY {} OFFSET {events} LIMIT 1", self.layout.place_descending());
        Ok(self.place(&within, &order)?.unwrap_or(Position::START))
    }

    fn locate(&self, id: &str) -> Result<Option<Located>, SourceError> {
        let id = escape_literal(id);
        let only = self.layout.only.as_ref().map_or(String::new(), |only| format!(" AND {only}"));
        // A column that can hold no such id (a UUID, a number) has no event with it; and keeps the use of its index.
        let named = match self.types.get(2) {
            Some(&Type::UUID | &Type::INT4 | &Type::INT8) => {
                let kind = self.types.get(2).map_or("text", |kind| kind.name()).to_owned();
                match self.query(&format!("SELECT {id}::{kind}"), &[]) {
                    Ok(_) => format!("{} = {id}::{kind}{only}", self.layout.id),
                    Err(e) if e.transient => return Err(e),
                    Err(_) => return Ok(None),
                }
            }
            _ => format!("({})::text = {id}{only}", self.layout.id),
        };
        let Some(position) = self.place(&named, &format!("ORDER BY {} LIMIT 1", self.layout.place()))? else {
            return Ok(None);
        };
        let below = Position { minor: position.minor.saturating_sub(1), ..position };
        let before = self.last(&self.layout.within(Position::START, below))?.unwrap_or(Position::START);
        Ok(Some(Located { position, before }))
    }

    fn wait(&self, timeout: Duration) {
        let Some(channel) = &self.layout.channel else { return std::thread::sleep(timeout) };
        // Whatever comes wakes; a failure shows at the next look, and must not make the waiting busy.
        let waited = self.with(|client, _| {
            client
                .batch_execute(&format!("LISTEN {}", postgres_protocol::escape::escape_identifier(channel)))
                .map_err(|e| failed(&self.settings, &e))?;
            let mut notifications = client.notifications();
            let woken = postgres::fallible_iterator::FallibleIterator::next(&mut notifications.timeout_iter(timeout));
            woken.map(drop).map_err(|e| failed(&self.settings, &e))
        });
        if waited.is_err() {
            std::thread::sleep(timeout);
        }
    }
}

/// Opens a connection that only reads, in UTC.
fn connect(settings: &Settings) -> Result<Client, SourceError> {
    let refuse = |e: crate::postgres::ConnectError| SourceError {
        transient: e.transient,
        ..SourceError::permanent(format!("{}: {}", settings.name, e.message))
    };
    let mut client = crate::postgres::connect(&settings.target).map_err(refuse)?;
    client
        .batch_execute("SET default_transaction_read_only = on; SET TimeZone = 'UTC'; SET statement_timeout = 0")
        .map_err(|e| failed(settings, &e))?;
    Ok(client)
}

fn one<T>(settings: &Settings, asked: Result<T, postgres::Error>) -> Result<T, SourceError> {
    asked.map_err(|e| failed(settings, &e))
}

/// What the server says, as a failure of the source.
fn failed(settings: &Settings, error: &postgres::Error) -> SourceError {
    let user = settings.target.user();
    let remedy = match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => format!(
            "; the role {user} needs to read: GRANT USAGE ON SCHEMA ... TO \"{user}\"; GRANT SELECT ON ... TO \"{user}\""
        ),
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => {
            format!("; see whether {} is the right database, schema and preset", settings.target.database())
        }
        Some(&SqlState::UNDEFINED_COLUMN) => {
            format!("; the preset {} expects it: name the store's columns with the preset generic", settings.preset)
        }
        _ => String::new(),
    };
    SourceError {
        transient: is_transient(error) || is_lost(error),
        ..SourceError::permanent(format!("{}: {}{remedy}", settings.name, describe(error)))
    }
}

/// Refuses what would make positions unsafe to read behind.
fn refuse_unsafe(settings: &Settings, layout: &Layout, client: &mut Client) -> Result<(), SourceError> {
    let Layout { table, number, .. } = layout;
    let below = one(settings, client.query(&format!("SELECT 1 FROM {table} WHERE {number} <= 0 LIMIT 1"), &[]))?;
    if !below.is_empty() && layout.transaction.is_none() {
        return Err(SourceError::permanent(format!("{}: {table} has positions of 0 or less", settings.name)));
    }
    if layout.ordering != Ordering::Gaps {
        return Ok(());
    }
    let table = escape_literal(table);
    let sequences = format!(
        "SELECT seqrelid::regclass::text, seqcache, seqincrement FROM pg_sequence WHERE (seqcache > 1 OR seqincrement <> 1) \
         AND seqrelid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype IN ('a', 'i') \
         AND refobjid = {table}::regclass UNION SELECT depend.refobjid FROM pg_depend AS depend JOIN pg_attrdef AS standard \
         ON standard.oid = depend.objid WHERE depend.classid = 'pg_attrdef'::regclass AND standard.adrelid = \
         {table}::regclass)"
    );
    match one(settings, client.query(&sequences, &[]))?.first() {
        None => Ok(()),
        Some(row) => {
            let (sequence, cache, increment): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            Err(SourceError::permanent(format!(
                "{}: the sequence {sequence} has CACHE {cache} and INCREMENT {increment}: sessions keep numbers back without \
                 an open transaction, and may use them at any time, so that no position is ever settled; \
                 ALTER SEQUENCE {sequence} CACHE 1 INCREMENT 1",
                settings.name
            )))
        }
    }
}
