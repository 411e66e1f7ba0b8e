//! What a database says about a projection, to be compared with what the store says.

use super::{
    names::{generation_schema, table, view_schema},
    pool::Pool,
};
use crate::{
    error::StoreError,
    external::{GenerationThere, Standing},
};
use postgres::IsolationLevel;

/// See [`ExternalRows::astray`](crate::external::ExternalRows::astray).
pub(super) fn astray(
    standing: &Standing,
    projection: &str,
    number: u64,
    tables: &[String],
) -> Option<(String, Option<String>)> {
    let right = generation_schema(projection, number);
    tables.iter().find_map(|name| {
        let name = table(name);
        let shown: Vec<_> = standing.shown.iter().filter(|(view, _)| *view == name).map(|(_, schema)| schema).collect();
        let astray = shown.iter().find(|schema| ***schema != right).map(|schema| Some((*schema).clone()));
        let astray = if shown.is_empty() { Some(None) } else { astray };
        astray.map(|shown| (format!("{}.{name}", view_schema(projection)), shown))
    })
}

impl Pool {
    /// What the database says about `projection`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub(super) fn standing(&self, projection: &str) -> Result<Standing, StoreError> {
        self.with("its control tables", |connection| {
            let client = &mut connection.client;
            let there = client.query_one("SELECT to_regclass('unspool.generations') IS NOT NULL", &[])?;
            if !there.get::<_, bool>(0) {
                return Ok(Standing::default());
            }
            // One state of all of it.
            let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
            let mut transaction = transaction.start()?;
            let rows = transaction.query(
                "SELECT p.owner, p.live, g.generation, g.id, g.commits FROM unspool.projections AS p \
                 LEFT JOIN unspool.generations AS g USING (projection) WHERE projection = $1 ORDER BY g.generation",
                &[&projection],
            )?;
            let mut standing = Standing::default();
            for row in rows {
                standing.owner = row.get(0);
                standing.live = row.get::<_, Option<i64>>(1).map(|live| live as u64);
                if let Some(number) = row.get::<_, Option<i64>>(2) {
                    let (number, id, commits) = (number as u64, row.get(3), row.get::<_, i64>(4) as u64);
                    standing.generations.push(GenerationThere { number, id, commits });
                }
            }
            let views = transaction.query(
                "SELECT DISTINCT v.relname::text, s.nspname::text FROM pg_class AS v \
                 JOIN pg_rewrite AS r ON r.ev_class = v.oid \
                 JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass \
                 JOIN pg_class AS t ON t.oid = d.refobjid AND t.oid <> v.oid JOIN pg_namespace AS s ON s.oid = t.relnamespace \
                 WHERE v.relkind = 'v' AND v.relnamespace = to_regnamespace(quote_ident($1))",
                &[&view_schema(projection)],
            )?;
            standing.shown = views.iter().map(|row| (row.get(0), row.get(1))).collect();
            transaction.commit()?;
            Ok(standing)
        })
    }
}
