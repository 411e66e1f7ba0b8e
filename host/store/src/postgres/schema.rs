//! Schemas and tables: created for a generation, and dropped with it.

use super::{
    indexes::create_table,
    names::{generation_schema, generation_table, quoted, table, view_schema},
    pool::Pool,
};
use crate::{
    catalog::{External, RebuildRecord, tables::decode},
    error::StoreError,
    external::Claimed,
};
use postgres::Transaction;
use unspool_vocabulary::crash;

/// Creates what all projections share, where it does not exist yet.
const CONTROL: &str = "
    CREATE SCHEMA IF NOT EXISTS unspool;
    CREATE TABLE IF NOT EXISTS unspool.projections (
        projection text PRIMARY KEY,
        owner text NOT NULL,
        live bigint
    );
    CREATE TABLE IF NOT EXISTS unspool.generations (
        projection text NOT NULL,
        generation bigint NOT NULL,
        id text NOT NULL,
        attempt bigint NOT NULL,
        commits bigint NOT NULL,
        status text NOT NULL,
        position text NOT NULL,
        events bigint NOT NULL,
        committed_at timestamptz NOT NULL DEFAULT now(),
        newest bytea NOT NULL,
        PRIMARY KEY (projection, generation)
    );
    COMMENT ON SCHEMA unspool IS 'Unspool: which generation of each read model is live, and how far each has come';";

/// What helps where another data directory has a projection of this name in a database.
pub(super) fn make_room(projection: &str) -> String {
    format!(
        "name another database or, if that directory is gone, make room: DELETE FROM unspool.projections WHERE projection = \
         '{projection}'"
    )
}

impl Pool {
    /// Checks that `projection` of `owner` can live in this database, and creates what all projections share. Changes nothing
    /// that is live.
    ///
    /// # Errors
    /// When the server cannot be reached, the role lacks a privilege, or something of the same name is somebody else's.
    pub(super) fn prepare(&self, projection: &str, tables: &[String], external: &External) -> Result<(), StoreError> {
        let facts = self.with("its settings", |connection| {
            connection.client.query_one(
                "SELECT current_setting('server_encoding'), pg_is_in_recovery(), \
                 has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMPORARY'), \
                 to_regclass('unspool.generations') IS NOT NULL",
                &[],
            )
        })?;
        let encoding: String = facts.get(0);
        let (standby, creates, temporary, made): (bool, bool, bool, bool) =
            (facts.get(1), facts.get(2), facts.get(3), facts.get(4));
        if encoding != "UTF8" {
            return Err(
                self.refused(format!("its encoding is {encoding}; a database with the encoding UTF8 holds any text"))
            );
        }
        if standby {
            return Err(self.refused("it is a standby, which takes no writes; name the primary"));
        }
        for (privilege, held) in [("CREATE", creates), ("TEMPORARY", temporary)] {
            if !held {
                let (user, database) = (self.target().user(), self.target().database());
                return Err(self.refused(format!(
                    "role \"{user}\" lacks a privilege: GRANT {privilege} ON DATABASE \"{database}\" TO \"{user}\""
                )));
            }
        }
        if !made {
            self.with("its control tables", |connection| {
                let mut transaction = connection.client.transaction()?;
                // Two that create them at once would get in each other's way.
                transaction.batch_execute("SELECT pg_advisory_xact_lock(hashtext('unspool'))")?;
                transaction.batch_execute(CONTROL)?;
                transaction.commit()
            })?;
        }
        self.take_projection(projection, &external.owner)?;
        self.refuse_taken_names(projection, tables)?;
        self.try_indexes(projection, tables, external)
    }

    /// A projection of one database belongs to one data directory.
    pub(super) fn take_projection(&self, projection: &str, owner: &str) -> Result<(), StoreError> {
        let row = self.with("its projections", |connection| {
            connection.client.execute(
                "INSERT INTO unspool.projections (projection, owner) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&projection, &owner],
            )?;
            connection.client.query_one("SELECT owner FROM unspool.projections WHERE projection = $1", &[&projection])
        })?;
        if row.get::<_, &str>(0) == owner {
            return Ok(());
        }
        Err(self.refused(format!("{projection} belongs to another data directory there; {}", make_room(projection))))
    }

    /// Makes the read model of one data directory another's: `old` and `new` are the names by which they are told apart.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the read model is yet another's.
    pub(super) fn hand_over(&self, projection: &str, old: &str, new: &str) -> Result<(), StoreError> {
        let changed = self.with("its projections", |connection| {
            connection.client.execute(
                "UPDATE unspool.projections SET owner = $3 WHERE projection = $1 AND owner IN ($2, $3)",
                &[&projection, &old, &new],
            )
        })?;
        if changed == 0 { self.take_projection(projection, new) } else { Ok(()) }
    }

    /// Views are made under stable names at the end of a rebuild; what has such a name now, and is not ours, is in the way.
    fn refuse_taken_names(&self, projection: &str, tables: &[String]) -> Result<(), StoreError> {
        let schema = view_schema(projection);
        let names: Vec<String> = tables.iter().map(|name| table(name)).collect();
        let taken = self.with("its tables", |connection| {
            connection.client.query_opt(
                "SELECT relname::text FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid \
                 WHERE nspname = $1 AND relname = ANY($2) AND NOT (relkind = 'v' AND \
                 EXISTS (SELECT FROM unspool.projections WHERE projection = $3 AND live IS NOT NULL)) LIMIT 1",
                &[&schema, &names, &projection],
            )
        })?;
        match taken {
            None => Ok(()),
            Some(row) => Err(self.refused(format!(
                "{}.{} is there already and not a view of ours, but would be the name under which {projection} is read; rename it",
                quoted(&schema),
                quoted(row.get(0))
            ))),
        }
    }

    /// Lets only `attempt` commit to the generation of `record` from here on, once what is under way has ended. Creates its
    /// schema where that does not exist yet.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses, or the generation is gone or another's.
    pub(super) fn claim(
        &self,
        record: &RebuildRecord,
        external: &External,
        attempt: u64,
    ) -> Result<Claimed, StoreError> {
        let id = record.checkpoint_id();
        let (projection, generation) = (&record.checkpoint.projection_name, record.generation);
        self.take_projection(projection, &external.owner)?;
        let claimed = self.with(&id, |connection| {
            let mut transaction = connection.client.transaction()?;
            // One at a time: a claim whose connection was lost may still be creating the generation.
            let locked = "SELECT FROM unspool.projections WHERE projection = $1 FOR UPDATE";
            transaction.execute(locked, &[projection])?;
            let row = transaction.query_opt(
                "UPDATE unspool.generations SET attempt = $4 WHERE projection = $1 AND generation = $2 AND id = $3 \
                 RETURNING commits, newest",
                &[projection, &(generation as i64), &external.id, &(attempt as i64)],
            )?;
            let found = match row {
                Some(row) => Some((row.get::<_, i64>(0) as u64, row.get::<_, Vec<u8>>(1))),
                None if external.commits == 0 => {
                    create(&mut transaction, record, external, attempt)?;
                    Some((0, Vec::new()))
                }
                None => None,
            };
            transaction.commit()?;
            Ok(found)
        });
        crash::point("external.claimed");
        match claimed? {
            None => Err(self.refused(format!(
                "{id} is not there any more; unspool rebuild {projection} --restart builds a new generation"
            ))),
            Some((commits, newest)) if newest.is_empty() => Ok(Claimed { commits, newest: None }),
            Some((commits, newest)) => Ok(Claimed { commits, newest: Some(decode(&id, &newest)?) }),
        }
    }

    /// Drops the tables of a generation that is not live. What others have built on them is not dropped.
    ///
    /// # Errors
    /// When it is live, something depends on it, or the server cannot be reached.
    pub(super) fn drop_generation(&self, record: &RebuildRecord, external: &External) -> Result<(), StoreError> {
        let id = record.checkpoint_id();
        let (projection, generation) = (&record.checkpoint.projection_name, record.generation);
        let schema = quoted(&generation_schema(projection, generation));
        let tables: Vec<String> =
            record.tables.iter().map(|name| generation_table(projection, generation, name)).collect();
        self.take_projection(projection, &external.owner)?;
        let live = self.with(&format!("dropping {id}"), |connection| {
            let mut transaction = connection.client.transaction()?;
            let row = transaction.query_opt(
                "SELECT live FROM unspool.projections WHERE projection = $1 AND owner = $2 FOR UPDATE",
                &[projection, &external.owner],
            )?;
            if row.and_then(|row| row.get::<_, Option<i64>>(0)) == Some(generation as i64) {
                return Ok(true);
            }
            let ours = transaction.execute(
                "DELETE FROM unspool.generations WHERE projection = $1 AND generation = $2 AND id = $3",
                &[projection, &(generation as i64), &external.id],
            )?;
            if ours > 0 {
                transaction
                    .batch_execute(&format!("DROP TABLE IF EXISTS {}; DROP SCHEMA {schema}", tables.join(", ")))?;
            }
            transaction.commit()?;
            Ok(false)
        })?;
        if live {
            return Err(StoreError::Refused(format!("{id} is the live generation in {}", self.target())));
        }
        Ok(())
    }
}

fn create(
    transaction: &mut Transaction<'_>,
    record: &RebuildRecord,
    external: &External,
    attempt: u64,
) -> Result<(), postgres::Error> {
    let (projection, generation) = (&record.checkpoint.projection_name, record.generation);
    let mut statements = format!("CREATE SCHEMA {};", quoted(&generation_schema(projection, generation)));
    for name in &record.tables {
        let table = generation_table(projection, generation, name);
        statements += &format!("{};", create_table(&table));
    }
    transaction.batch_execute(&statements)?;
    transaction.execute(
        "INSERT INTO unspool.generations (projection, generation, id, attempt, commits, status, position, events, newest) \
         VALUES ($1, $2, $3, $4, 0, 'running', $5, 0, '')",
        &[
            projection,
            &(generation as i64),
            &external.id,
            &(attempt as i64),
            &record.checkpoint.position.to_string(),
        ],
    )?;
    Ok(())
}
