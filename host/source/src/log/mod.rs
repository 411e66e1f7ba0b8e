//! The embedded event log: blocks of events in a redb file of its own, so that an import never waits for a rebuild's
//! commits nor the other way round.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `meta` | name | `format` (4 bytes little-endian), `identity` (16 random bytes) |
//! | `kinds` | event type | its number |
//! | `index` | position of a block's first event | what is known of the block without reading it, MessagePack |
//! | `sections` | the same, and the number of an event type | the block's events of that type (see `block.rs`) |
//! | `ids` | BLAKE3 of an event's id, 128 bits | its position, and BLAKE3 of its content, 128 bits (see `content.rs`) |
//!
//! The log only grows. An import is one transaction: readers see all of a file or nothing.

mod block;
mod check;
mod content;
mod import;
mod read;
mod shared_scan;
#[cfg(test)]
mod tests;

pub use import::{ImportProgress, ImportSummary};

use super::{Located, Lookup, Reader, Recognised, Source, SourceError};
use block::{Section, Summary};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, path::Path, sync::Arc};
use unspool_disk::{self as disk, Checked, DiskError, Layout};
use unspool_vocabulary::{Event, Mark, Matcher, Position, limits};

/// The layout above. A log of another one is refused.
const LAYOUT: Layout = Layout { format: 1, create: create_tables, migrate: |_, _| Ok(false) };

const KINDS: TableDefinition<'_, &str, u32> = TableDefinition::new("kinds");
const INDEX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("index");
const SECTIONS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("sections");
const IDS: TableDefinition<'_, u128, (u64, u128)> = TableDefinition::new("ids");

/// A handle to a log. Clones share the file.
#[derive(Clone)]
pub struct EventLog {
    db: Arc<Checked>,
    /// What readers share.
    scan: Arc<shared_scan::SharedScan>,
    name: Arc<str>,
    identity: Arc<str>,
    /// Whether it is the index of a file, whose content is its identity.
    is_index: bool,
}

/// What a log holds.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStats {
    /// Events.
    pub events: u64,
    /// The position of the first event; absent where there is none.
    pub first_position: Option<u64>,
    /// The position of the last event; absent where there is none.
    pub last_position: Option<u64>,
    /// The earliest timestamp, in milliseconds since 1970; absent where there is no event.
    pub first_timestamp: Option<i64>,
    /// The latest timestamp, in milliseconds since 1970; absent where there is no event.
    pub last_timestamp: Option<i64>,
    /// Bytes of the events, uncompressed.
    pub bytes: u64,
    /// How many events of each type.
    pub event_types: BTreeMap<String, u64>,
}

impl EventLog {
    /// Opens the log at `path`, or creates an empty one. `name` is what messages call it.
    ///
    /// # Errors
    /// When the file is in use, foreign, damaged, of a newer format, or cannot be written.
    pub fn open(path: &Path, name: &str) -> Result<EventLog, DiskError> {
        EventLog::open_as(path, name, false, None)
    }

    /// Opens the log at `path`; where nothing is there, one is created only where none is `kept` there.
    ///
    /// # Errors
    /// As [`EventLog::open`]; [`DiskError::Gone`] where one is kept and missing or empty.
    pub fn open_kept(path: &Path, name: &str, kept: bool) -> Result<EventLog, DiskError> {
        EventLog::open_as(path, name, kept, None)
    }

    /// Opens the log at `path` to read it: nothing is written to the file.
    ///
    /// # Errors
    /// As [`EventLog::open_kept`]; and where there is no file.
    pub fn open_to_read(path: &Path, name: &str, kept: bool) -> Result<EventLog, DiskError> {
        EventLog::index_to_read(path, name, kept, None)
    }

    /// As [`EventLog::open_to_read`]; `known`: see [`EventLog::open_as`].
    pub(super) fn index_to_read(
        path: &Path,
        name: &str,
        kept: bool,
        known: Option<&str>,
    ) -> Result<EventLog, DiskError> {
        EventLog::over(disk::open_to_read(path, &LAYOUT, limits::LOG_CACHE_BYTES, kept)?, path, name, known)
    }

    /// Opens a log, or creates one that is not `kept`; `known` is its identity, where that is known from elsewhere.
    pub(super) fn open_as(path: &Path, name: &str, kept: bool, known: Option<&str>) -> Result<EventLog, DiskError> {
        let db = disk::open(path, &LAYOUT, limits::LOG_CACHE_BYTES, kept)?;
        EventLog::over(db, path, name, known)
    }

    /// A log without events, in memory.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn empty(name: &str) -> Result<EventLog, DiskError> {
        EventLog::open_on(redb::backends::InMemoryBackend::new(), name)
    }

    /// [`EventLog::open`] over `backend` instead of a file: over one that keeps its bytes elsewhere, or one that fails.
    ///
    /// # Errors
    /// As [`EventLog::open`].
    pub fn open_on(backend: impl disk::StorageBackend, name: &str) -> Result<EventLog, DiskError> {
        let path = Path::new(name);
        let db = disk::open_on(backend, path, &LAYOUT, limits::LOG_CACHE_BYTES)?;
        EventLog::over(db, path, name, None)
    }

    fn over(db: Checked, path: &Path, name: &str, known: Option<&str>) -> Result<EventLog, DiskError> {
        let identity = match db.begin_read()?.open_table(disk::META)?.get("identity")? {
            Some(bytes) => bytes.value().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            None => return Err(DiskError::Damaged(format!("{} is damaged: it has no identity", path.display()))),
        };
        let is_index = known.is_some();
        let identity = known.map_or(identity, str::to_owned);
        Ok(EventLog { db: Arc::new(db), scan: Arc::default(), name: name.into(), identity: identity.into(), is_index })
    }

    /// What the log holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn stats(&self) -> Result<LogStats, SourceError> {
        let read = self.begin()?;
        let names = self.kind_names(&read)?;
        let mut stats = LogStats::default();
        for entry in self.index(&read)?.range(0..).map_err(damage)? {
            let (first, summary) = entry.map_err(damage)?;
            let summary = self.summary(first.value(), summary.value())?;
            stats.first_position.get_or_insert(first.value());
            stats.last_position = Some(summary.last);
            let (earliest, latest) = summary.timestamps;
            stats.first_timestamp = Some(stats.first_timestamp.map_or(earliest, |known| known.min(earliest)));
            stats.last_timestamp = Some(stats.last_timestamp.map_or(latest, |known| known.max(latest)));
            stats.events += summary.count(|_| true);
            stats.bytes += summary.bytes;
            for (kind, count) in summary.kinds {
                let name = names.get(kind as usize).cloned().unwrap_or_else(|| format!("type {kind}"));
                *stats.event_types.entry(name).or_default() += u64::from(count);
            }
        }
        Ok(stats)
    }

    /// Reads every page and every event, and says what does not fit together, in words.
    ///
    /// # Errors
    /// When the log cannot be read, and nothing says why.
    pub fn check(&self) -> Result<Vec<String>, SourceError> {
        let mut problems = self.db.check_pages().map_err(damage)?;
        match check::check(self, &mut problems) {
            Err(e) if !problems.is_empty() => problems.push(format!("{}: not all of it was read: {e}", self.name)),
            checked => checked?,
        }
        Ok(problems)
    }

    /// The event with this id, and its position; `None` where there is none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn show(&self, id: &str) -> Result<Option<(u64, Event)>, SourceError> {
        let read = self.begin()?;
        let Some(position) = Self::position(&read, id)? else { return Ok(None) };
        let (first, summary) = self.block(&read, position)?;
        for (kind, _) in &summary.kinds {
            let section = self.section(&read, first, *kind)?;
            let Some((_, mut frame)) = section.events().find(|(found, _)| *found == position) else { continue };
            let event = unspool_frame::Event::decode(&mut frame).map_err(|e| self.damaged(e))?;
            let event = Event {
                id: event.id.to_owned(),
                stream: event.stream.to_owned(),
                kind: event.kind.to_owned(),
                timestamp: event.timestamp,
                schema_version: event.schema_version,
                data: event.data.to_vec(),
                metadata: event.metadata.to_vec(),
            };
            return Ok((event.id == id).then_some((position, event)));
        }
        Err(self.damaged(format!("there is no event at position {position}")))
    }

    fn position(read: &ReadTransaction, id: &str) -> Result<Option<u64>, SourceError> {
        let ids = read.open_table(IDS).map_err(damage)?;
        Ok(ids.get(id_hash(id)).map_err(damage)?.map(|found| found.value().0))
    }

    /// The block that holds `position`: its key and what is known of it.
    fn block(&self, read: &ReadTransaction, position: u64) -> Result<(u64, Summary), SourceError> {
        match self.index(read)?.range(..=position).map_err(damage)?.next_back() {
            Some(found) => {
                let (first, summary) = found.map_err(damage)?;
                Ok((first.value(), self.summary(first.value(), summary.value())?))
            }
            None => Err(self.damaged(format!("there is no block with position {position}"))),
        }
    }

    fn section(&self, read: &ReadTransaction, first: u64, kind: u32) -> Result<Section, SourceError> {
        let sections = read.open_table(SECTIONS).map_err(damage)?;
        let at =
            |e: SourceError| SourceError { message: format!("{} (events from position {first} on)", e.message), ..e };
        match sections.get((first, kind)).map_err(|e| at(damage(e)))? {
            Some(bytes) => Section::decode(bytes.value()).map_err(|e| self.damaged(e)),
            None => Err(self.damaged(format!("section {kind} of block {first} is missing"))),
        }
    }

    fn begin(&self) -> Result<ReadTransaction, SourceError> {
        self.db.begin_read().map_err(damage)
    }

    fn index(&self, read: &ReadTransaction) -> Result<redb::ReadOnlyTable<u64, &'static [u8]>, SourceError> {
        read.open_table(INDEX).map_err(damage)
    }

    fn summary(&self, first: u64, bytes: &[u8]) -> Result<Summary, SourceError> {
        rmp_serde::from_slice(bytes).map_err(|e| self.damaged(format!("the summary of block {first}: {e}")))
    }

    /// The event types in the order of their numbers.
    fn kind_names(&self, read: &ReadTransaction) -> Result<Vec<String>, SourceError> {
        let table = read.open_table(KINDS).map_err(damage)?;
        let mut names = Vec::new();
        for entry in table.iter().map_err(damage)? {
            let (name, number) = entry.map_err(damage)?;
            names.push((number.value(), name.value().to_owned()));
        }
        names.sort_unstable();
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    fn damaged(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::permanent(format!(
            "{} is damaged: {what}; nothing was repaired: restore a copy, or import again",
            self.name
        ))
    }
}

fn create_tables(write: &WriteTransaction) -> Result<(), DiskError> {
    write.open_table(KINDS)?;
    write.open_table(INDEX)?;
    write.open_table(SECTIONS)?;
    write.open_table(IDS)?;
    let mut identity = [0; 16];
    getrandom::fill(&mut identity).map_err(|e| DiskError::Write(e.to_string()))?;
    write.open_table(disk::META)?.insert("identity", identity.as_slice())?;
    Ok(())
}

/// What redb says, as a failure of the source.
fn damage(error: impl Into<DiskError>) -> SourceError {
    let error = error.into();
    let disk = matches!(error, DiskError::Write(_) | DiskError::Io { .. });
    SourceError { disk, ..SourceError::permanent(error.to_string()) }
}

/// The key of `ids`. 128 bits of BLAKE3: two ids of one log never share it.
fn id_hash(id: &str) -> u128 {
    hash_128(id.as_bytes())
}

fn hash_128(bytes: &[u8]) -> u128 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().first_chunk().map_or(0, |half| u128::from_be_bytes(*half))
}

impl Source for EventLog {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn recognises(&self, identity: &str) -> Recognised {
        match identity == self.identity() {
            true => Recognised::Same,
            false if self.is_index => Recognised::Changed("its content has changed".to_owned()),
            false => Recognised::Other(format!("{} is another one", self.name)),
        }
    }

    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError> {
        read::at(self, position)
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        let read = self.begin()?;
        let index = self.index(&read)?;
        match index.last().map_err(damage)? {
            Some((first, summary)) => Ok(Position::number(self.summary(first.value(), summary.value())?.last)),
            None => Ok(Position::START),
        }
    }

    fn until(&self, timestamp: i64) -> Result<Option<Position>, SourceError> {
        read::until(self, timestamp).map(Some)
    }

    fn back(&self, matcher: &Matcher, through: Position, events: u64) -> Result<Option<Position>, SourceError> {
        read::back(self, matcher, through, events).map(Some)
    }

    fn count(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Option<u64>, SourceError> {
        read::count(self, matcher, after, through).map(Some)
    }

    fn left_out(&self, _after: Position, _through: Position) -> Result<Option<BTreeMap<String, u64>>, SourceError> {
        Ok(Some(BTreeMap::new()))
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(read::LogReader::new(self.clone(), matcher, after, through)?))
    }

    fn locate(&self, id: &str) -> Result<Lookup, SourceError> {
        let read = self.begin()?;
        let Some(position) = Self::position(&read, id)? else { return Ok(Lookup::NotThere) };
        let (first, summary) = self.block(&read, position)?;
        let mut before = None;
        for (kind, _) in &summary.kinds {
            let section = self.section(&read, first, *kind)?;
            before = before.max(section.entries.iter().map(|(_, at)| *at).filter(|at| *at < position).max());
        }
        let before = match before {
            Some(before) => before,
            None => match first.checked_sub(1).map(|earlier| self.block(&read, earlier)) {
                // The first block has none before it.
                _ if self.index(&read)?.range(..first).map_err(damage)?.next().is_none() => 0,
                Some(earlier) => earlier?.1.last,
                None => 0,
            },
        };
        Ok(Lookup::Found(Located { position: Position::number(position), before: Position::number(before) }))
    }
}
