//! Reading the rows of a generation.

use super::{
    names::generation_table,
    pool::{Connection, Pool},
};
use crate::{error::StoreError, external::Reached, rows::Generation};
use bytes::Bytes;
use postgres::{fallible_iterator::FallibleIterator, types::Type};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use unspool_vocabulary::{Page, ReadRows, Scan, from_json};

/// Rows that one statement of a scan asks for at most.
const PAGE_ROWS: usize = 4096;

/// The committed rows of a generation.
pub(super) struct Rows {
    pool: Arc<Pool>,
    /// The tables, as statements name them.
    tables: Vec<String>,
    projection: String,
    /// Rows as they were when this began; without it, as they are with each statement.
    snapshot: Option<Snapshot>,
    /// How large a row was lately.
    row_bytes: AtomicUsize,
}

/// A read-only transaction that sees one state.
struct Snapshot {
    pool: Arc<Pool>,
    connection: Mutex<Option<Connection>>,
}

impl Rows {
    /// The rows as they are with each statement.
    pub(super) fn current(pool: Arc<Pool>, generation: &Generation) -> Rows {
        let name = |table: &String| generation_table(&generation.projection, generation.number, table);
        Rows {
            pool,
            tables: generation.tables.iter().map(name).collect(),
            projection: generation.projection.clone(),
            snapshot: None,
            row_bytes: AtomicUsize::new(256),
        }
    }

    /// The rows as they are now.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) fn snapshot(pool: Arc<Pool>, generation: &Generation) -> Result<Rows, StoreError> {
        let mut connection = pool.take_valid()?;
        // The snapshot is taken by the first statement, and this is one.
        connection
            .client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1 FROM unspool.generations LIMIT 0")
            .map_err(|e| pool.failed("reading", &e))?;
        let snapshot = Some(Snapshot { pool: pool.clone(), connection: Mutex::new(Some(connection)) });
        Ok(Rows { snapshot, ..Rows::current(pool, generation) })
    }

    /// What is in these rows.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not know the generation.
    pub(super) fn reached(&self, generation: &Generation) -> Result<Reached, StoreError> {
        let statement = "SELECT position, commits FROM unspool.generations WHERE projection = $1 AND generation = $2";
        let number = generation.number as i64;
        let found = self.read(|connection| {
            connection.client.query_typed(statement, &[(&generation.projection, Type::TEXT), (&number, Type::INT8)])
        })?;
        let row = found.first().map(|row| (row.get::<_, Option<String>>(0), row.get::<_, i64>(1)));
        let reached = |(text, commits): (Option<String>, i64)| {
            Some(Reached { position: text?.parse().ok()?, commits: commits as u64 })
        };
        row.and_then(reached).ok_or_else(|| {
            self.pool.refused(format!("generation {number} of {} has no position there", generation.projection))
        })
    }

    fn read<T>(&self, work: impl Fn(&mut Connection) -> Result<T, postgres::Error>) -> Result<T, StoreError> {
        let what = || format!("reading {}", self.projection);
        let Some(snapshot) = &self.snapshot else { return self.pool.with(&what(), work) };
        match snapshot.lock().as_mut() {
            Some(connection) => work(connection).map_err(|e| self.pool.failed(&what(), &e)),
            None => Err(self.pool.refused("the snapshot is over")),
        }
    }

    fn document(&self, table: usize, key: &str, text: &str) -> Result<Bytes, StoreError> {
        let document = from_json(text)
            .map_err(|e| self.pool.refused(format!("{} row {}: {e}", self.tables[table], key.escape_debug())))?;
        Ok(Bytes::from(document))
    }
}

impl Snapshot {
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let connection = self.lock().take();
        if let Some(mut connection) = connection
            && connection.client.batch_execute("ROLLBACK").is_ok()
        {
            self.pool.give(connection);
        }
    }
}

impl ReadRows for Rows {
    type Error = StoreError;

    fn get_many(&self, table: usize, keys: &[&str]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let Some(name) = self.tables.get(table) else { return Ok(vec![None; keys.len()]) };
        // A key with this character is not there: it cannot be.
        let asked: Vec<&str> = keys.iter().copied().filter(|key| !key.contains('\0')).collect();
        let statement = format!(
            "SELECT n, document::text FROM unnest($1) WITH ORDINALITY AS asked (key, n) JOIN {name} USING (key)"
        );
        let found = self.read(|connection| connection.client.query_typed(&statement, &[(&asked, Type::TEXT_ARRAY)]))?;
        let mut documents = vec![None; asked.len()];
        for row in found {
            let index = (row.get::<_, i64>(0) - 1) as usize;
            if let Some(document) = documents.get_mut(index) {
                *document = Some(self.document(table, asked[index], row.get(1))?);
            }
        }
        let mut documents = documents.into_iter();
        Ok(keys.iter().map(|key| if key.contains('\0') { None } else { documents.next().flatten() }).collect())
    }

    fn scan(&self, table: usize, scan: Scan<'_>) -> Result<Page, StoreError> {
        let Scan { prefix, after, limit, max_bytes } = scan;
        let Some(name) = self.tables.get(table) else { return Ok(Vec::new()) };
        if prefix.contains('\0') || limit == 0 {
            return Ok(Vec::new());
        }
        // After a key with this character comes what comes after the text before it.
        let after = after.map(|after| after.split('\0').next().unwrap_or_default());
        let end = successor(prefix);
        let expected = max_bytes / self.row_bytes.load(Ordering::Relaxed).max(1);
        let rows = expected.clamp(1, PAGE_ROWS).min(limit);
        let statement = format!(
            "SELECT key, document::text FROM {name} WHERE key >= $1 AND ($2 IS NULL OR key > $2) AND ($3 IS NULL OR key < $3) \
             ORDER BY key LIMIT $4"
        );
        let page = self.read(|connection| {
            let parameters: [(&(dyn postgres::types::ToSql + Sync), Type); 4] =
                [(&prefix, Type::TEXT), (&after, Type::TEXT), (&end, Type::TEXT), (&(rows as i64), Type::INT8)];
            let mut page: Vec<(String, String)> = Vec::new();
            let mut bytes = 0;
            let mut found =
                connection.client.query_typed_raw(&statement, parameters.map(|(value, kind)| (value, kind)))?;
            while let Some(row) = found.next()? {
                let (key, text): (String, String) = (row.get(0), row.get(1));
                bytes += key.len() + text.len();
                if bytes > max_bytes && !page.is_empty() {
                    break;
                }
                page.push((key, text));
            }
            Ok(page)
        })?;
        let bytes: usize = page.iter().map(|(key, text)| key.len() + text.len()).sum();
        if !page.is_empty() {
            self.row_bytes.store((bytes / page.len()).max(1), Ordering::Relaxed);
        }
        page.into_iter()
            .map(|(key, text)| {
                let document = self.document(table, &key, &text)?;
                Ok((key, document))
            })
            .collect()
    }
}

/// The least text that is greater than every text with this prefix, in the order of bytes; `None` where there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut text: Vec<char> = prefix.chars().collect();
    while let Some(last) = text.pop() {
        let next = match last {
            // The next one in the order of UTF-8, which has no surrogates.
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(other as u32 + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(successor(""), None);
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(successor("\u{10ffff}"), None);
        assert_eq!(successor("\u{d7ff}").as_deref(), Some("\u{e000}"));
    }
}
