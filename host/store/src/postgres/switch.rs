//! The live generation in PostgreSQL: views under stable names.

use super::{
    indexes,
    names::{generation_table, quoted, table, view_schema},
    pool::Pool,
};
use crate::{
    catalog::{External, RebuildRecord},
    error::StoreError,
};
use postgres::{Transaction, error::SqlState};

/// How long a switch waits for readers at a time, and how often. Meanwhile new readers queue behind it. Less than
/// PostgreSQL's `deadlock_timeout`, so that the switch gives way before a reader is made to.
const WAIT: &str = "500ms";
/// See [`WAIT`].
const TRIES: u32 = 20;

impl Pool {
    /// Promotes the generation of `record`, in one transaction.
    ///
    /// # Errors
    /// When something depends on a view that goes, or the server cannot be reached or refuses.
    pub(super) fn switch(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError> {
        self.take_projection(&record.checkpoint.projection_name, &external.owner)?;
        self.with(&format!("showing {} to readers", record.checkpoint_id()), |connection| {
            let mut transaction = connection.client.transaction()?;
            to(&mut transaction, record, external)?;
            transaction.commit()
        })
    }

    /// Drops the views of `projection`: its live generation is not in this database.
    ///
    /// # Errors
    /// As [`Pool::switch`].
    pub(super) fn retire(&self, projection: &str, external: &External) -> Result<(), StoreError> {
        self.take_projection(projection, &external.owner)?;
        self.with(&format!("taking the views of {projection} away"), |connection| {
            let mut transaction = connection.client.transaction()?;
            note_live(&mut transaction, projection, external, None)?;
            drop_views(&mut transaction, projection, &[])?;
            transaction.commit()
        })
    }
}

/// Points the views of a projection at the tables of one generation.
pub(super) fn to(
    transaction: &mut Transaction<'_>,
    record: &RebuildRecord,
    external: &External,
) -> Result<(), postgres::Error> {
    let (projection, generation) = (record.checkpoint.projection_name.as_str(), record.generation);
    indexes::make(transaction, record, external)?;
    // Plans for the new tables are made from what is in them.
    for name in &record.tables {
        transaction.batch_execute(&format!("ANALYZE {}", generation_table(projection, generation, name)))?;
    }
    note_live(transaction, projection, external, Some(generation))?;
    let mut tries = 1;
    loop {
        let mut attempt = transaction.transaction()?;
        match replace_views(&mut attempt, record, tries % 2 == 0) {
            Ok(()) => return attempt.commit(),
            Err(e) if e.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && tries < TRIES => attempt.rollback()?,
            Err(e) => return Err(e),
        }
        tries += 1;
    }
}

fn note_live(
    transaction: &mut Transaction<'_>,
    projection: &str,
    external: &External,
    live: Option<u64>,
) -> Result<(), postgres::Error> {
    transaction.execute(
        "UPDATE unspool.projections SET live = $3 WHERE projection = $1 AND owner = $2",
        &[&projection, &external.owner, &live.map(|live| live as i64)],
    )?;
    Ok(())
}

fn replace_views(
    transaction: &mut Transaction<'_>,
    record: &RebuildRecord,
    backwards: bool,
) -> Result<(), postgres::Error> {
    let (projection, generation) = (record.checkpoint.projection_name.as_str(), record.generation);
    let schema = quoted(&view_schema(projection));
    transaction.batch_execute(&format!("SET LOCAL lock_timeout = '{WAIT}'; CREATE SCHEMA IF NOT EXISTS {schema}"))?;
    // Readers of several views lock them in an order of theirs; against it the switch only ever gives way.
    let mut names: Vec<&String> = record.tables.iter().collect();
    names.sort_unstable();
    if backwards {
        names.reverse();
    }
    for name in &names {
        let (view, rows) = (quoted(&table(name)), generation_table(projection, generation, name));
        // Replaced, not recreated: privileges on it, and what is built on it, stay.
        transaction
            .batch_execute(&format!("CREATE OR REPLACE VIEW {schema}.{view} AS SELECT key, document FROM {rows}"))?;
    }
    let kept: Vec<String> = names.iter().map(|name| table(name)).collect();
    drop_views(transaction, projection, &kept)?;
    transaction.batch_execute("SET LOCAL lock_timeout = DEFAULT")
}

/// Drops the views of tables that the projection does not have any more. Only those that show tables of ours.
fn drop_views(transaction: &mut Transaction<'_>, projection: &str, kept: &[String]) -> Result<(), postgres::Error> {
    let schema = view_schema(projection);
    let ours = transaction.query(
        "SELECT DISTINCT view_name::text FROM information_schema.view_table_usage \
         WHERE view_schema = $1 AND table_schema LIKE 'unspool\\_%' AND NOT view_name = ANY($2)",
        &[&schema, &kept],
    )?;
    for row in ours {
        let view = quoted(row.get(0));
        transaction.batch_execute(&format!("DROP VIEW {}.{view}", quoted(&schema)))?;
    }
    Ok(())
}
