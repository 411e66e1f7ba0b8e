//! Histories in PostgreSQL: the event stores that people already run, read as they are.
//!
//! A *preset* knows where a store keeps its events ([`presets`]); *generic* reads any table. Nothing is ever written, and
//! nothing is read that is not stable ([`ceiling`]).
//!
//! | file | what it does |
//! |---|---|
//! | `settings.rs` | how a history is named, on a command line or in `unspool.toml` |
//! | `session.rs` | a connection that only reads, and leaves nothing behind where a pooler shares it |
//! | `identity.rs` | what tells a history from another, wherever it is read from |
//! | `presets/`, `layout.rs` | tables and columns of each store, as SQL |
//! | `columns.rs`, `kind.rs`, `checks.rs`, `unique.rs` | what the server says about them: types, whether the end can be told at all, whether a position is one event's alone |
//! | `ceiling.rs` | the stable position of the history |
//! | `read.rs`, `rows.rs`, `times.rs` | events out of COPY, on a thread of their own |

mod ceiling;
mod checks;
mod columns;
mod databases;
mod identity;
mod kind;
mod layout;
mod presets;
mod read;
mod rows;
mod session;
mod settings;
mod times;
mod unique;

use crate::{Located, Lookup, Reader, Recognised, Source, SourceError};
use ceiling::{End, StablePosition};
pub(crate) use databases::Databases;
use identity::Identity;
use kind::Kind;
use layout::{Layout, of_types};
use postgres::{error::SqlState, types::Type};
use postgres_protocol::escape::escape_literal;
use session::{Row, Session};
use settings::Settings;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use unspool_postgres::{describe, is_lost, is_transient};
use unspool_vocabulary::{Mark, Matcher, Position};

/// A history in a PostgreSQL database.
pub struct PostgresSource {
    settings: Settings,
    layout: Layout,
    /// The columns as they are selected, and the types that the store has for them.
    selected: String,
    kinds: Vec<Kind>,
    identity: Identity,
    state: Mutex<State>,
    idle: Arc<read::Idle>,
    /// The unique index that keeps a position from being used twice, as a statement that makes it; where there is none.
    index_missing: Option<String>,
    /// Whether notifications reach a listener; unknown before the first wait.
    notifies: OnceLock<bool>,
}

/// The connection for everything but reading, and what it has found.
struct State {
    session: Option<Session>,
    stable: StablePosition,
}

impl PostgresSource {
    /// The history that `text` names, as `--source` has it: what follows `postgres:`. `name` is the whole.
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
        let mut session = Session::open(&settings)?;
        let mut layout = preset(&settings, &mut session)?;
        presets::reading(&settings, &mut layout)?;
        columns::find_end(&settings, &mut layout, &mut session)?;
        let kinds = columns::kinds(&settings, &layout, &mut session)?;
        let is_text = kinds.get(4).is_some_and(Kind::is_text);
        // The type is compared as text, by an index on it where that is possible: an enum refuses words that it has not.
        layout.compared_kind = if is_text { layout.kind.clone() } else { format!("({})::text", layout.kind) };
        let selected = layout.selected(&settings, &kinds)?;
        checks::refuse_unsafe(&settings, &layout, &mut session)?;
        let index_missing = unique::refuse_doubled(&settings, &layout, &mut session)?;
        let identity = Identity::of(&settings, &layout, &mut session)?;
        let state = Mutex::new(State { session: Some(session), stable: StablePosition::default() });
        let (idle, notifies) = (Arc::default(), OnceLock::new());
        Ok(PostgresSource { settings, layout, selected, kinds, identity, state, idle, index_missing, notifies })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the connection; a lost one is replaced the next time.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Session, &mut StablePosition) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let mut state = self.state();
        let mut session = match state.session.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => self.identity.reach(&self.settings, &self.layout)?,
        };
        let done = work(&mut session, &mut state.stable);
        if done.as_ref().err().is_none_or(|e| !e.transient) {
            state.session = Some(session);
        }
        done
    }

    /// Whether what is reached under its name now is still what was opened.
    ///
    /// # Errors
    /// [`SourceError`], transient where another try may succeed.
    pub fn is_current(&self) -> Result<bool, SourceError> {
        // A new connection: the one that is open may lead to a server that the name does not lead to any more.
        let mut session = Session::open(&self.settings)?;
        Ok(Identity::of(&self.settings, &self.layout, &mut session)? == self.identity)
    }

    fn query(&self, query: &str) -> Result<Vec<Row>, SourceError> {
        self.with(|session, _| session.query(query).map_err(|e| failed(&self.settings, &e)))
    }

    /// The position in the first row, where there is one.
    fn place(&self, condition: &str, order: &str) -> Result<Option<Position>, SourceError> {
        let Layout { from, position, transaction, .. } = &self.layout;
        let major = transaction.as_ref().map_or("'0'".to_owned(), |transaction| format!("{transaction}::text"));
        // Names of their own, lest ORDER BY takes a transaction's text for the transaction.
        let place = format!("{major} AS unspool_major, {position}::text AS unspool_minor");
        let rows =
            self.query(&format!("SELECT {place} FROM {from} WHERE {condition} AND {position} IS NOT NULL {order}"))?;
        rows.first().map(|row| self.layout.position_in(&self.settings, row)).transpose()
    }

    fn last(&self, condition: &str) -> Result<Option<Position>, SourceError> {
        self.place(condition, &format!("ORDER BY {} LIMIT 1", self.layout.place_descending()))
    }
}

impl Source for PostgresSource {
    fn identity(&self) -> &str {
        self.identity.text()
    }

    fn recognises(&self, identity: &str) -> Recognised {
        self.identity.recognises(identity)
    }

    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError> {
        self.with(|session, _| read::at(&self.settings, &self.layout, &self.selected, &self.kinds, position, session))
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        let (settings, layout) = (&self.settings, &self.layout);
        self.with(|session, stable| stable.wait(&mut End { settings, layout, session }))
    }

    fn stable(&self) -> Result<Position, SourceError> {
        let (settings, layout) = (&self.settings, &self.layout);
        self.with(|session, stable| stable.look(&mut End { settings, layout, session }))
    }

    fn refuse_following(&self) -> Result<(), SourceError> {
        match &self.index_missing {
            None => Ok(()),
            Some(index) => Err(SourceError::permanent(format!(
                "{}: no unique index covers the positions of {}: one that is given out again, as by a sequence that was set \
                 back, would stand below what a follower has read, and never be seen; {index}",
                self.settings.name, self.layout.table
            ))),
        }
    }

    fn count(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Option<u64>, SourceError> {
        let within = self.layout.within(after, through) + &of_types(&self.layout, matcher);
        let rows = self.query(&format!("SELECT count(*) FROM {} WHERE {within}", self.layout.from))?;
        Ok(Some(rows.first().map_or(0, |row| row.number(0))))
    }

    fn left_out(&self, after: Position, through: Position) -> Result<Option<BTreeMap<String, u64>>, SourceError> {
        // They stand in no range: all that there are.
        let unnumbered = self.query(&self.layout.count_unnumbered())?;
        let mut counts = vec![("unnumbered", unnumbered.first().map_or(0, |row| row.number(0)))];
        if !self.layout.left_out.is_empty() {
            let rows = self.query(&self.layout.count_left_out(after, through))?;
            let count = |column: usize| rows.first().map_or(0, |row| row.number(column));
            counts.extend(self.layout.left_out.iter().enumerate().map(|(column, (why, _))| (*why, count(column))));
        }
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        Ok(Some(counts.map(|(why, count)| (why.to_owned(), count)).collect()))
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(read::PostgresReader::start(read::Scan {
            settings: self.settings.clone(),
            layout: self.layout.clone(),
            selected: self.selected.clone(),
            kinds: self.kinds.clone(),
            matcher: matcher.clone(),
            after,
            through,
            identity: self.identity.clone(),
            idle: self.idle.clone(),
        })?))
    }

    fn until(&self, timestamp: i64) -> Result<Option<Position>, SourceError> {
        let Some(time) = &self.layout.time else { return Ok(None) };
        let ceiling = self.ceiling()?;
        let within = self.layout.within(Position::START, ceiling);
        let behind = timestamp.saturating_add(1);
        let base = self.kinds.get(7).map(|kind| &kind.base);
        let later = match (base, self.layout.unit) {
            (Some(&(Type::TIMESTAMP | Type::DATE)), _) => {
                format!("{time} >= (to_timestamp({behind}::float8 / 1000) AT TIME ZONE 'UTC')")
            }
            (Some(&(Type::INT2 | Type::INT4 | Type::INT8)), None) => format!("{time} >= {behind}"),
            // By way of text, which has all digits of a float.
            (_, Some(unit)) => format!("({time})::text::numeric * 1e{} >= {behind}", unit.places()),
            _ => format!("({time})::timestamptz >= to_timestamp({behind}::float8 / 1000)"),
        };
        let first =
            self.place(&format!("{within} AND {later}"), &format!("ORDER BY {} LIMIT 1", self.layout.place()))?;
        let Some(first) = first else { return Ok(Some(ceiling)) };
        let before = Position { minor: first.minor.saturating_sub(1), ..first };
        Ok(Some(self.last(&self.layout.within(Position::START, before))?.unwrap_or(Position::START)))
    }

    fn back(&self, matcher: &Matcher, through: Position, events: u64) -> Result<Option<Position>, SourceError> {
        let within = self.layout.within(Position::START, through) + &of_types(&self.layout, matcher);
        let order = format!("ORDER BY {} OFFSET {events} LIMIT 1", self.layout.place_descending());
        Ok(Some(self.place(&within, &order)?.unwrap_or(Position::START)))
    }

    fn locate(&self, id: &str) -> Result<Lookup, SourceError> {
        let id = escape_literal(id);
        let only: String =
            self.layout.ordered.iter().chain(&self.layout.only).map(|only| format!(" AND {only}")).collect();
        // A column that can hold no such id (a UUID, a number) has no event with it; and keeps the use of its index.
        let named = match self.kinds.get(2) {
            Some(Kind { base: Type::UUID | Type::INT4 | Type::INT8, name }) => {
                match self.query(&format!("SELECT {id}::{name}")) {
                    Ok(_) => format!("{} = {id}::{name}{only}", self.layout.id),
                    Err(e) if e.transient => return Err(e),
                    Err(_) => return Ok(Lookup::NotThere),
                }
            }
            _ => format!("({})::text = {id}{only}", self.layout.id),
        };
        let Some(position) = self.place(&named, &format!("ORDER BY {} LIMIT 1", self.layout.place()))? else {
            return Ok(Lookup::NotThere);
        };
        let below = Position { minor: position.minor.saturating_sub(1), ..position };
        let before = self.last(&self.layout.within(Position::START, below))?.unwrap_or(Position::START);
        Ok(Lookup::Found(Located { position, before }))
    }

    fn wait(&self, timeout: Duration) {
        let Some(channel) = &self.layout.channel else { return std::thread::sleep(timeout) };
        if !*self.notifies.get_or_init(|| self.is_alone()) {
            return std::thread::sleep(timeout);
        }
        // Whatever comes wakes; a failure shows at the next look, and must not turn the wait into a busy loop.
        let waited = self.with(|session, _| session.wait(channel, timeout).map_err(|e| failed(&self.settings, &e)));
        if waited.is_err() {
            std::thread::sleep(timeout);
        }
    }
}

impl PostgresSource {
    /// Whether its session of the server is its own, so that it may listen there. Behind a pooler somebody else's would go on
    /// listening.
    fn is_alone(&self) -> bool {
        let alone = self.with(|session, _| {
            let mut other = Session::open(&self.settings)?;
            let shared = session.shares_with(&mut other);
            shared.map(|shared| !shared).map_err(|e| failed(&self.settings, &e))
        });
        alone.unwrap_or(false)
    }
}

/// What the server says, as a failure of the source.
fn failed(settings: &Settings, error: &postgres::Error) -> SourceError {
    let user = settings.target.user();
    let hidden = error.as_db_error().and_then(postgres::error::DbError::routine) == Some("check_enable_rls");
    let remedy = match error.code() {
        Some(_) if hidden => format!(
            "; the role {user} sees a part of it only, as if that were all: ALTER ROLE \"{user}\" BYPASSRLS, or read as the \
             owner of the table"
        ),
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
