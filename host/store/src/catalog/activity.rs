//! The record of activity: who did what, and what became of it. Entries are only ever appended.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `activity` | number, from 1 | an [`Entry`] as JSON, and its hash |
//! | `activity_extent` | `()` | [`Extent`], MessagePack |
//! | `activity_changes` | projection | the number of the newest entry that says what was changed of it |
//!
//! What is changed of a record is noted where records are written (see `tables` and `notes`), in the same transaction, on behalf of whom the thread
//! works (see [`act`]). What a request comes to without that, its refusal above all, is noted when it ends.
//!
//! The hash of an entry is BLAKE3 over the hash of the entry before, as 32 bytes, and the entry's JSON; the first one follows 32 zeros.
//! So whoever has seen a hash can tell whether anything before it was changed.

mod notes;
#[cfg(test)]
mod tests;

pub(crate) use notes::{note_amended, note_dropped, note_owner, note_record};

use super::{
    alerts::reconcile,
    tables::{decode, encode},
};
use crate::{Store, error::StoreError};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unspool_vocabulary::{
    act::{self, Act, Actor, Via},
    limits, now_ms,
};

/// An entry as it is stored: its JSON, and its hash.
type Stored = (&'static [u8], &'static [u8]);

/// See above.
pub(crate) const ACTIVITY: TableDefinition<'_, u64, Stored> = TableDefinition::new("activity");
/// See above.
pub(crate) const ACTIVITY_EXTENT: TableDefinition<'_, (), &[u8]> = TableDefinition::new("activity_extent");
/// See above.
pub(crate) const ACTIVITY_CHANGES: TableDefinition<'_, &str, u64> = TableDefinition::new("activity_changes");

/// What follows nothing follows this.
const NOTHING: [u8; 32] = [0; 32];

/// One thing that was done, or refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, counted from 1 without a gap.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who did it.
    pub actor: Actor,
    /// Through what.
    pub via: Via,
    /// The name of the request; `host` for what the host does by itself.
    pub request: String,
    /// Tells which entries belong to one request; empty for the host itself.
    pub request_id: String,
    /// What it was asked with; null for the host itself.
    pub arguments: Value,
    /// What it is about; absent where that is no projection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<String>,
    /// What was changed, in the same transaction; absent where this says how a request ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<RecordedChange>,
    /// What became of it.
    pub outcome: Outcome,
    /// What its answer was, where it was not carried out, or why something failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why it was asked for, in the words of whoever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A change of what is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedChange {
    /// `generation`, `status`, `following`, `live`, `plugin`, `dead-letters`, `rows` of a generation that is complete, or `verification`,
    /// which changes nothing but what is known.
    pub what: String,
    /// Of which generation; absent where it is one of the projection as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What was there before; null where nothing was.
    pub before: Value,
    /// What is there now; null where nothing is.
    pub after: Value,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not done, and nothing was changed for it.
    Refused,
    /// It could not be done; what was changed before that has entries of its own.
    Failed,
}

/// An entry with its hash, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashedEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
    /// Its hash.
    pub hash: String,
}

/// How much of the record is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Extent {
    /// The number of the newest entry.
    newest: u64,
    /// Bytes of all entries.
    bytes: u64,
    /// The hash of the newest entry that is not kept any more.
    before: Vec<u8>,
}

/// What was found of a record of activity whose hashes were computed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckedActivity {
    /// How many entries there are.
    pub entries: u64,
    /// The number of the oldest one that is kept; 0 where there is none.
    pub first: u64,
    /// The number of the newest one; 0 where there is none.
    pub last: u64,
    /// The hash of the newest one, in hexadecimal.
    pub hash: String,
    /// What is wrong with it; absent where nothing is.
    pub problem: Option<String>,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityFilter {
    /// Those about this projection.
    #[serde(default)]
    pub projection: Option<String>,
    /// Those of this actor.
    #[serde(default)]
    pub actor: Option<String>,
    /// Those of this time and later, in milliseconds since 1970.
    #[serde(default)]
    pub since: Option<i64>,
}

impl ActivityFilter {
    fn wants(&self, entry: &Entry) -> bool {
        let about = self.projection.as_ref().is_none_or(|name| entry.projection.as_ref() == Some(name));
        let by = self.actor.as_ref().is_none_or(|name| entry.actor.name == *name);
        about && by && self.since.is_none_or(|since| entry.at >= since)
    }
}

fn append_change(
    write: &WriteTransaction,
    projection: &str,
    change: RecordedChange,
    message: Option<String>,
) -> Result<(), StoreError> {
    let act = act::current().map_or_else(Act::of_host, |act| Act::clone(&act));
    act.note_changed();
    let seq = append(write, act, Some(projection), Some(change), Outcome::Done, message)?;
    write.open_table(ACTIVITY_CHANGES)?.insert(projection, seq)?;
    // Whatever an operator would want to know of may be something that they want to be told of.
    reconcile(write, projection)
}

/// Appends an entry, and lets go of the oldest ones beyond what is kept. Returns its number.
fn append(
    write: &WriteTransaction,
    act: Act,
    projection: Option<&str>,
    change: Option<RecordedChange>,
    outcome: Outcome,
    message: Option<String>,
) -> Result<u64, StoreError> {
    let (mut entries, mut extents) = (write.open_table(ACTIVITY)?, write.open_table(ACTIVITY_EXTENT)?);
    let mut extent = extent_of(extents.get(())?.map(|stored| stored.value().to_vec()))?;
    let before = match entries.get(extent.newest)? {
        Some(newest) => newest.value().1.to_vec(),
        None => extent.before.clone(),
    };
    let entry = Entry {
        seq: extent.newest + 1,
        at: now_ms(),
        actor: act.actor,
        via: act.via,
        request: act.request,
        request_id: act.request_id,
        arguments: act.arguments,
        projection: projection.map(str::to_owned),
        change,
        outcome,
        message,
        reason: act.reason,
    };
    let json = serde_json::to_vec(&entry).map_err(|e| StoreError::damaged(format!("an entry does not encode: {e}")))?;
    extent.newest = entry.seq;
    extent.bytes += bytes_of(&json);
    entries.insert(entry.seq, (json.as_slice(), &hash_of(&before, &json)[..]))?;
    while extent.bytes > limits::ACTIVITY_BYTES {
        let Some((seq, bytes, hash)) = entries.first()?.map(|(key, value)| {
            let (json, hash) = value.value();
            (key.value(), bytes_of(json), hash.to_vec())
        }) else {
            break;
        };
        if seq == entry.seq {
            break;
        }
        entries.remove(seq)?;
        extent.bytes = extent.bytes.saturating_sub(bytes);
        extent.before = hash;
    }
    extents.insert((), encode(&extent)?.as_slice())?;
    Ok(entry.seq)
}

/// What an entry takes up, with its hash and its place in the table.
fn bytes_of(json: &[u8]) -> u64 {
    (json.len() + 32 + 32) as u64
}

fn hash_of(before: &[u8], json: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(json);
    *hasher.finalize().as_bytes()
}

fn hex(hash: &[u8]) -> String {
    hash.try_into().map_or_else(|_| String::new(), |hash| blake3::Hash::from_bytes(hash).to_hex().to_string())
}

fn extent_of(stored: Option<Vec<u8>>) -> Result<Extent, StoreError> {
    let start = Extent { before: NOTHING.to_vec(), ..Extent::default() };
    stored.map_or(Ok(start), |stored| decode("activity", &stored))
}

/// A record that nothing was ever appended to is empty.
fn absent<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read_entry((json, hash): (&[u8], &[u8])) -> Result<HashedEntry, StoreError> {
    let broken = |e: serde_json::Error| StoreError::damaged(format!("an entry of the record of activity: {e}"));
    let entry: Entry = serde_json::from_slice(json).map_err(broken)?;
    Ok(HashedEntry { entry, hash: hex(hash) })
}

impl Store {
    /// Notes how a request ended that changed no record: see [`Entry`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_activity(
        &self,
        act: Act,
        projection: Option<&str>,
        outcome: Outcome,
        message: Option<String>,
    ) -> Result<(), StoreError> {
        let write = self.db.begin_write()?;
        append(&write, act, projection, None, outcome, message)?;
        Ok(write.commit()?)
    }

    /// Entries with a number below `before` (`None`: all), the newest first, up to `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn activity_before(
        &self,
        filter: &ActivityFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<HashedEntry>, StoreError> {
        let Some(entries) = absent(self.db.begin_read()?.open_table(ACTIVITY))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries.range(..before.unwrap_or(u64::MAX))?.rev() {
            let entry = read_entry(entry?.1.value())?;
            if found.len() == limit {
                break;
            }
            if filter.wants(&entry.entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// Entries with a number above `after`, the oldest first, up to `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn activity_after(
        &self,
        filter: &ActivityFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<HashedEntry>, StoreError> {
        let Some(entries) = absent(self.db.begin_read()?.open_table(ACTIVITY))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries.range(after.saturating_add(1)..)? {
            if found.len() == limit {
                break;
            }
            let entry = read_entry(entry?.1.value())?;
            if filter.wants(&entry.entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// The number of the newest entry that says what was changed of `projection`; 0 where there is none. It goes up with every
    /// change that an operator would want to know of, and not with progress.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_change(&self, projection: &str) -> Result<u64, StoreError> {
        let Some(changes) = absent(self.db.begin_read()?.open_table(ACTIVITY_CHANGES))? else { return Ok(0) };
        Ok(changes.get(projection)?.map_or(0, |seq| seq.value()))
    }

    /// The number of the newest entry; 0 where there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn newest_activity(&self) -> Result<u64, StoreError> {
        Ok(extent_at(&self.db.begin_read()?)?.newest)
    }

    /// Computes the hashes of all entries again.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn check_activity(&self) -> Result<CheckedActivity, StoreError> {
        let read = self.db.begin_read()?;
        let extent = extent_at(&read)?;
        let mut before = extent.before.clone();
        let (mut count, mut first, mut last, mut problem) = (0, 0, 0, None);
        if let Some(entries) = absent(read.open_table(ACTIVITY))? {
            for entry in entries.iter()? {
                let (seq, entry) = entry?;
                let (seq, (json, hash)) = (seq.value(), entry.value());
                let said = serde_json::from_slice::<Entry>(json).map(|entry| entry.seq).ok();
                if first == 0 {
                    first = seq;
                }
                let fault = match said {
                    _ if last != 0 && seq != last + 1 => Some(format!("entry {} is missing", last + 1)),
                    said if said != Some(seq) => Some(format!("entry {seq} is not the one that was written")),
                    _ if hash != hash_of(&before, json) => Some(format!("the hash of entry {seq} does not fit")),
                    _ => None,
                };
                problem = problem.or(fault);
                (before, last, count) = (hash.to_vec(), seq, count + 1);
            }
        }
        if last != extent.newest {
            problem = problem.or_else(|| Some(format!("entry {} is missing", extent.newest)));
        }
        let hash = hex(&before);
        Ok(CheckedActivity { entries: count, first, last, hash, problem })
    }
}

fn extent_at(read: &ReadTransaction) -> Result<Extent, StoreError> {
    let Some(extents) = absent(read.open_table(ACTIVITY_EXTENT))? else { return extent_of(None) };
    let stored = extents.get(())?.map(|stored| stored.value().to_vec());
    extent_of(stored)
}
