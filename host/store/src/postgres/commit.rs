//! Rows and checkpoint in one PostgreSQL transaction.

use super::{
    names::generation_table,
    pool::{Connection, Pool},
    switch,
};
use crate::{
    catalog::{External, RebuildRecord, tables::encode},
    changes::{RowChange, RowChanges},
    commit::Commit,
    error::StoreError,
};
use postgres::Transaction;
use std::io::Write;
use unspool_postgres::is_lost;
use unspool_vocabulary::{canonical, crash, to_jsonb};

/// Bytes of a row's key. PostgreSQL's index takes about 2,700 of them.
const KEY_BYTES: usize = 2600;

/// Where changed rows arrive; a row without a document is one that is deleted. Empty outside of a transaction.
const INCOMING: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS unspool_incoming \
     (t int2 NOT NULL, key text COLLATE \"C\" NOT NULL, document jsonb) ON COMMIT DELETE ROWS";

/// The changed rows of a commit.
struct Incoming {
    /// By table, in the order of their keys.
    changes: Vec<Vec<RowChange>>,
    /// As `COPY` takes them.
    copied: Vec<u8>,
}

/// Why a commit was not made.
enum Refusal {
    /// What the server says to it.
    Server(postgres::Error),
    /// Another attempt has the generation.
    Fenced,
}

impl From<postgres::Error> for Refusal {
    fn from(error: postgres::Error) -> Refusal {
        Refusal::Server(error)
    }
}

impl Pool {
    /// Makes the rows and the checkpoint of `commit` durable, and promotes the generation where `promote` says so.
    /// `record` is what the store has of the generation.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another attempt has taken over; [`StoreError::Postgres`] where the server refuses or
    /// cannot be reached: then it is not known whether it has the commit, and the generation must be claimed again.
    pub(super) fn commit(
        &self,
        record: &RebuildRecord,
        external: &External,
        commit: &Commit,
        promote: bool,
    ) -> Result<(), StoreError> {
        let rows = self.encoded(record, commit)?;
        let newest = encode(commit)?;
        crash::point("external.before");
        let mut connection = self.take_valid()?;
        let done = write(&mut connection, record, external, commit, rows.as_ref(), &newest, promote);
        match done {
            Ok(()) => {
                connection.has_incoming = true;
                self.give(connection);
                crash::point("external.committed");
                Ok(())
            }
            Err(Refusal::Fenced) => {
                let projection = commit.checkpoint.projection_name.clone();
                let there = self.standing(&projection)?;
                let found = there.generation(commit.generation).filter(|found| found.id == external.id);
                if found.is_none_or(|found| found.commits < external.commits) {
                    return Err(self.refused(format!(
                        "{} has taken {} commits there, and the store knows of {}: the database was restored from an older copy; \
                         unspool rebuild {projection} --restart builds a new generation",
                        record.checkpoint_id(),
                        found.map_or(0, |found| found.commits),
                        external.commits
                    )));
                }
                Err(StoreError::Fenced { projection, generation: commit.generation })
            }
            Err(Refusal::Server(e)) => {
                if is_lost(&e) {
                    self.forget();
                }
                Err(self.failed(&format!("the commit of {}", record.checkpoint_id()), &e))
            }
        }
    }

    /// The changed rows as `COPY` takes them; `None` where there are none.
    fn encoded(&self, record: &RebuildRecord, commit: &Commit) -> Result<Option<Incoming>, StoreError> {
        if commit.rows.is_empty() {
            return Ok(None);
        }
        let changes = RowChanges::sorted(std::slice::from_ref(&commit.rows));
        let mut out = Vec::from(*b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        for (index, (name, changes)) in record.tables.iter().zip(&changes).enumerate() {
            for change in changes {
                row(&mut out, index as i16, change).map_err(|problem| {
                    let key = String::from_utf8_lossy(&change.key).chars().take(100).collect::<String>();
                    self.refused(format!(
                        "{}/{name} row {}: {problem}",
                        commit.checkpoint.projection_name,
                        key.escape_debug()
                    ))
                })?;
            }
        }
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        Ok(Some(Incoming { changes, copied: out }))
    }
}

fn write(
    connection: &mut Connection,
    record: &RebuildRecord,
    external: &External,
    commit: &Commit,
    rows: Option<&Incoming>,
    newest: &[u8],
    promote: bool,
) -> Result<(), Refusal> {
    let has_incoming = connection.has_incoming;
    let mut transaction = connection.client.transaction()?;
    // The row stays locked until the end: whoever claims the generation waits for what is under way.
    let checkpoint = &commit.checkpoint;
    let held = transaction.execute(
        "UPDATE unspool.generations SET commits = commits + 1, status = $6, position = $7, events = $8, committed_at = now(), \
         newest = $9 WHERE projection = $1 AND generation = $2 AND id = $3 AND attempt = $4 AND commits = $5",
        &[
            &checkpoint.projection_name,
            &(commit.generation as i64),
            &external.id,
            &(commit.attempt as i64),
            &(external.commits as i64),
            &checkpoint.status.to_string(),
            &checkpoint.position.to_string(),
            &(checkpoint.events_processed as i64),
            &newest,
        ],
    )?;
    if held != 1 {
        return Err(Refusal::Fenced);
    }
    if !has_incoming {
        transaction.batch_execute(INCOMING)?;
    }
    if let Some(rows) = rows {
        write_rows(&mut transaction, record, commit, rows)?;
    }
    if promote {
        switch::to(&mut transaction, record, external)?;
    }
    crash::point("external.written");
    transaction.commit()?;
    Ok(())
}

/// Brings the rows over in one stream, and from there into their tables.
fn write_rows(
    transaction: &mut Transaction<'_>,
    record: &RebuildRecord,
    commit: &Commit,
    rows: &Incoming,
) -> Result<(), postgres::Error> {
    let mut incoming = transaction.copy_in("COPY unspool_incoming FROM STDIN (FORMAT binary)")?;
    // The writer only fills buffers; what the server says comes when it is finished.
    let copied = incoming.write_all(&rows.copied);
    incoming.finish()?;
    debug_assert!(copied.is_ok());
    for (index, (name, changes)) in record.tables.iter().zip(&rows.changes).enumerate() {
        let table = generation_table(&commit.checkpoint.projection_name, commit.generation, name);
        let deletes = changes.iter().any(|change| change.document.is_none());
        if changes.iter().any(|change| change.document.is_some()) {
            transaction.batch_execute(&format!(
                "INSERT INTO {table} SELECT key, document FROM unspool_incoming WHERE t = {index} AND document IS NOT NULL \
                 ON CONFLICT (key) DO UPDATE SET document = EXCLUDED.document"
            ))?;
        }
        if deletes {
            transaction.batch_execute(&format!(
                "DELETE FROM {table} USING unspool_incoming AS incoming \
                 WHERE t = {index} AND incoming.document IS NULL AND {table}.key = incoming.key"
            ))?;
        }
    }
    Ok(())
}

/// One row in the binary format of `COPY`: table, key, document.
fn row(out: &mut Vec<u8>, table: i16, change: &RowChange) -> Result<(), String> {
    let key = std::str::from_utf8(&change.key).map_err(|_| "its key is not UTF-8")?;
    check_key(key)?;
    out.extend_from_slice(&3_i16.to_be_bytes());
    field(out, |out| {
        out.extend_from_slice(&table.to_be_bytes());
        Ok(())
    })?;
    field(out, |out| {
        out.extend_from_slice(key.as_bytes());
        Ok(())
    })?;
    match &change.document {
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(document) => field(out, |out| {
            // The version of the binary form of jsonb.
            out.push(1);
            to_jsonb(document, out).map_err(|e| e.to_string())
        })?,
    }
    Ok(())
}

/// A field after its length.
fn field(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - start - 4).map_err(|_| "it is too long for PostgreSQL")?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Refuses a key that PostgreSQL cannot hold.
fn check_key(key: &str) -> Result<(), String> {
    if key.contains('\0') {
        return Err("its key has a NUL character in it, which PostgreSQL does not hold; leave it out".to_owned());
    }
    if key.len() > KEY_BYTES {
        return Err(format!("its key has {} bytes; a key of PostgreSQL's index may have {KEY_BYTES}", key.len()));
    }
    Ok(())
}

/// The document as it comes back from PostgreSQL: what a plugin reads does not depend on whether it has been committed yet.
///
/// # Errors
/// Says why PostgreSQL cannot hold the row.
pub(super) fn normalize(key: &str, document: Option<&[u8]>) -> Result<Option<Vec<u8>>, String> {
    check_key(key)?;
    let Some(document) = document else { return Ok(None) };
    to_jsonb(document, &mut Vec::new()).map_err(|e| e.to_string())?;
    canonical(document).map(Some).map_err(|e| e.to_string())
}
