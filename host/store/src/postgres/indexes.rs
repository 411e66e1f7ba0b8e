//! Indexes that operators declare for a projection's tables: created on each generation, before it is promoted.
//!
//! A statement names its table without a schema; it is carried out with the generation's schema as the only one in which
//! names are looked for.

use super::{
    names::{generation_schema, quoted, table},
    pool::Pool,
};
use crate::{
    catalog::{External, RebuildRecord},
    error::StoreError,
};
use postgres::Transaction;

impl Pool {
    /// Tries the indexes of `external` on empty tables, of which nothing is left: what cannot be created at the end of a
    /// rebuild is known before it begins.
    ///
    /// # Errors
    /// When one is not the statement of an index, or the server refuses it.
    pub(super) fn try_indexes(
        &self,
        projection: &str,
        tables: &[String],
        external: &External,
    ) -> Result<(), StoreError> {
        if external.indexes.is_empty() {
            return Ok(());
        }
        for index in &external.indexes {
            check(index).map_err(|problem| self.refused(format!("the index \"{index}\" {problem}")))?;
        }
        // A number that no generation gets.
        let schema = quoted(&generation_schema(projection, 0));
        for index in &external.indexes {
            self.with(&format!("the index \"{index}\""), |connection| {
                let mut transaction = connection.client.transaction()?;
                transaction.batch_execute(&format!("CREATE SCHEMA {schema}"))?;
                for name in tables {
                    transaction.batch_execute(&create_table(&format!("{schema}.{}", quoted(&table(name)))))?;
                }
                run(&mut transaction, &schema, index)?;
                transaction.rollback()
            })?;
        }
        Ok(())
    }
}

/// Creates the indexes of a generation that do not exist yet.
pub(super) fn make(
    transaction: &mut Transaction<'_>,
    record: &RebuildRecord,
    external: &External,
) -> Result<(), postgres::Error> {
    if external.indexes.is_empty() {
        return Ok(());
    }
    let schema = generation_schema(&record.checkpoint.projection_name, record.generation);
    // Each generation has its primary keys, and then those of the list, all at once.
    let row = transaction.query_one(
        "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indrelid JOIN pg_namespace ON relnamespace = pg_namespace.oid \
         WHERE nspname = $1 AND NOT indisprimary",
        &[&schema],
    )?;
    if row.get::<_, i64>(0) > 0 {
        return Ok(());
    }
    let schema = quoted(&schema);
    external.indexes.iter().try_for_each(|index| run(transaction, &schema, index))
}

fn run(transaction: &mut Transaction<'_>, schema: &str, index: &str) -> Result<(), postgres::Error> {
    transaction.batch_execute(&format!("SET LOCAL search_path = {schema}"))?;
    transaction.batch_execute(index)?;
    transaction.batch_execute("SET LOCAL search_path = DEFAULT")
}

/// The statement that creates a table of rows.
pub(super) fn create_table(table: &str) -> String {
    format!("CREATE TABLE {table} (key text COLLATE \"C\" PRIMARY KEY, document jsonb NOT NULL)")
}

/// Refuses what is not one statement that creates an index in a transaction.
fn check(index: &str) -> Result<(), &'static str> {
    let words: Vec<String> = index.split_whitespace().take(4).map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let after = match words.as_slice() {
        ["create", "index", after, ..] | ["create", "unique", "index", after, ..] => *after,
        _ => return Err("is not a CREATE INDEX statement"),
    };
    if after == "concurrently" {
        return Err("is made before anyone reads the table: leave out CONCURRENTLY");
    }
    if index.contains(';') {
        return Err("is more than one statement: write each as its own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_indexes_are_made() {
        for index in ["CREATE INDEX ON orders (key)", "create  unique index by_x on orders ((document->>'x'))"] {
            assert_eq!(check(index), Ok(()));
        }
        for other in [
            "DROP TABLE x",
            "create index concurrently i on orders (key)",
            "create index i on orders (key); drop table x",
            "",
        ] {
            assert!(check(other).is_err(), "{other}");
        }
    }
}
