//! What a database says of a projection, to be compared with what the store says.

use super::{super::StoreError, Pool};

/// What a database says of a projection.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Standing {
    /// Which data directory the projection belongs to; absent where the database has never heard of it.
    pub(in crate::store) owner: Option<String>,
    /// The generation that its views show.
    pub(in crate::store) live: Option<u64>,
    /// The generations whose rows are there.
    pub(in crate::store) generations: Vec<GenerationThere>,
}

/// A generation whose rows are in a database.
#[derive(Debug, Clone)]
pub(in crate::store) struct GenerationThere {
    pub(in crate::store) number: u64,
    /// See [`super::Home::id`].
    pub(in crate::store) id: String,
    /// Commits that it has taken.
    pub(in crate::store) commits: u64,
}

impl Standing {
    /// The generation with this number.
    pub(in crate::store) fn generation(&self, number: u64) -> Option<&GenerationThere> {
        self.generations.iter().find(|generation| generation.number == number)
    }
}

impl Pool {
    /// What the database says of `projection`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub(in crate::store) fn standing(&self, projection: &str) -> Result<Standing, StoreError> {
        self.with("its control tables", |connection| {
            let client = &mut connection.client;
            let there = client.query_one("SELECT to_regclass('unspool.generations') IS NOT NULL", &[])?;
            if !there.get::<_, bool>(0) {
                return Ok(Standing::default());
            }
            // One statement: one state.
            let rows = client.query(
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
            Ok(standing)
        })
    }
}
