//! Whether a position is one event's alone, and stays so: checked when a source is opened.

use super::{
    failed,
    layout::Layout,
    session::{Row, Session},
    settings::Settings,
};
use crate::SourceError;
use postgres_protocol::escape::escape_literal;

/// Refuses positions that two rows have, where no unique index rules them out. Gives the statement that makes such an index,
/// where the table could have one and has none. What a query or a view shows is found out as it is read; where transactions
/// come first in a position, a number that is given out again comes after all others all the same.
pub(super) fn refuse_doubled(
    settings: &Settings,
    layout: &Layout,
    session: &mut Session,
) -> Result<Option<String>, SourceError> {
    let Layout { table, end, number, .. } = layout;
    // Where rows are chosen for their order, it is the store's own key that makes it.
    if layout.is_query || layout.transaction.is_some() || layout.ordered.is_some() || end != table {
        return Ok(None);
    }
    let found = session.query(&keys(table, number)).map_err(|e| failed(settings, &e))?;
    let Some(found) = found.first().filter(|row| row.holds(0) && !row.holds(2)) else { return Ok(None) };
    let doubled = format!(
        "SELECT {number}::text AS unspool_number, count(*) FROM {table} WHERE {number} IS NOT NULL GROUP BY {number} \
         HAVING count(*) > 1 ORDER BY {number} LIMIT 1"
    );
    if let Some(row) = session.query(&doubled).map_err(|e| failed(settings, &e))?.first() {
        let (position, rows) = (row.text(0).unwrap_or("?"), row.number::<u64>(1));
        return Err(SourceError::permanent(format!(
            "{}: {table}: {rows} rows have the position {position}, and positions must be unique: number the events anew, or \
             name another column, or a query that shows one row for each position",
            settings.name
        )));
    }
    Ok((!found.holds(3)).then(|| index(table, number, found)))
}

/// Of `table`: whether it is one that may have a unique index over all its rows; whether it is partitioned; whether a unique
/// index has `number` alone; or with the keys of partitions, without which it cannot be; these keys. A partition that is read
/// by its own name has its parents' keys.
fn keys(table: &str, number: &str) -> String {
    let (table, name) = (escape_literal(table), format!("(parse_ident({}))[1]", escape_literal(number)));
    format!(
        "WITH read AS (SELECT oid, relkind FROM pg_class WHERE oid = {table}::regclass), parts AS (SELECT DISTINCT key.attname \
         FROM read CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(read.oid) \
         UNION SELECT relid FROM pg_partition_ancestors(read.oid)) AS tree JOIN pg_partitioned_table AS parted \
         ON parted.partrelid = tree.relid JOIN pg_attribute AS key ON key.attrelid = parted.partrelid \
         AND key.attnum = ANY (parted.partattrs) WHERE key.attname <> {name}), \
         keys AS (SELECT array_agg(part.attname::text) AS columns FROM read JOIN pg_index AS key ON key.indrelid = read.oid \
         AND key.indisunique AND key.indisvalid AND key.indexprs IS NULL AND (key.indpred IS NULL \
         OR pg_get_expr(key.indpred, key.indrelid) = '(' || quote_ident({name}) || ' IS NOT NULL)') \
         JOIN pg_attribute AS part ON part.attrelid = key.indrelid \
         AND part.attnum = ANY ((key.indkey::int2[])[0:key.indnkeyatts - 1]) GROUP BY key.indexrelid) \
         SELECT relkind IN ('r', 'p') AND NOT (relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = read.oid)), \
         relkind = 'p', EXISTS (SELECT FROM keys WHERE columns = ARRAY[{name}]), \
         EXISTS (SELECT FROM keys WHERE {name} = ANY (columns) \
         AND columns <@ (ARRAY[{name}] || (SELECT array_agg(attname::text) FROM parts))), \
         (SELECT string_agg(', ' || quote_ident(attname), '' ORDER BY attname) FROM parts) FROM read"
    )
}

fn index(table: &str, number: &str, found: &Row) -> String {
    let concurrently = if found.holds(1) { "" } else { " CONCURRENTLY" };
    format!("CREATE UNIQUE INDEX{concurrently} ON {table} ({number}{})", found.text(4).unwrap_or_default())
}
