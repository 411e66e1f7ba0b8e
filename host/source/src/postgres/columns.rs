//! What the store says about the columns that are read: their types, and where they come from.

use super::{
    failed,
    kind::Kind,
    layout::Layout,
    session::{Origin, Row, Session},
    settings::Settings,
};
use crate::SourceError;
use postgres::types::Type;
use postgres_protocol::escape::escape_literal;

/// The types of the columns that `layout` reads.
pub(super) fn kinds(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<Vec<Kind>, SourceError> {
    let columns = layout.expressions();
    let list = |one: &dyn Fn(usize) -> String| (0..columns.len()).map(one).collect::<Vec<_>>().join(", ");
    let query = format!(
        "WITH RECURSIVE found(number, kind) AS (SELECT listed.number, listed.kind FROM (SELECT {} FROM (SELECT 1) AS one \
         LEFT JOIN (SELECT {} FROM {} LIMIT 0) AS columns ON true) AS kinds CROSS JOIN LATERAL (VALUES {}) AS \
         listed(number, kind) UNION ALL SELECT found.number, pg_type.typbasetype FROM found JOIN pg_type \
         ON pg_type.oid = found.kind AND pg_type.typtype = 'd') SELECT found.kind, format_type(found.kind, NULL) FROM found \
         JOIN pg_type ON pg_type.oid = found.kind AND pg_type.typtype <> 'd' ORDER BY found.number",
        list(&|number| format!("pg_typeof(unspool_{number})::oid AS kind_{number}")),
        list(&|number| format!("{} AS unspool_{number}", columns[number])),
        layout.from,
        list(&|number| format!("({number}, kind_{number})")),
    );
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
    let kind = |row: &Row| Kind {
        base: Type::from_oid(row.number(0)).unwrap_or(Type::UNKNOWN),
        name: row.text(1).unwrap_or_default().to_owned(),
    };
    Ok(rows.iter().map(kind).collect())
}

/// Finds the numbers of the table that an operator's query shows as positions, by whatever name. Where it shows others, the
/// end of the history is looked for in the query, lest one of the two ends before the other; and also where transactions come
/// first, since both columns of a position must be of the same rows.
pub(super) fn find_end(settings: &Settings, layout: &mut Layout, session: &mut Session) -> Result<(), SourceError> {
    if !layout.is_query {
        return Ok(());
    }
    if layout.transaction.is_some() {
        (layout.end, layout.number) = (layout.from.clone(), layout.position.clone());
        return Ok(());
    }
    let wrong = |e: postgres::Error| failed(settings, &e);
    let origins =
        session.origins(&format!("SELECT {} FROM {} LIMIT 0", layout.position, layout.from)).map_err(wrong)?;
    let column = match origins.first() {
        Some(Some(Origin { table, column })) => session
            .query(&format!(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = {table} AND attnum = {column} \
                 AND attrelid = {}::regclass",
                escape_literal(&layout.table)
            ))
            .map_err(wrong)?,
        _ => Vec::new(),
    };
    match column.first().and_then(|row| row.text(0)) {
        Some(column) => layout.number = column.to_owned(),
        None => {
            (layout.end, layout.number, layout.counted) = (layout.from.clone(), layout.position.clone(), false);
        }
    }
    Ok(())
}
