//! Emmett: `emmett-postgresql/src/eventStore/schema/tables.ts`, read as `readMessagesBatch.ts` does.

use super::{in_schema, over};
use crate::{
    SourceError,
    postgres::{
        failed,
        layout::{Layout, Ordering},
        session::Session,
        settings::Settings,
    },
};
use postgres_protocol::escape::escape_literal;

/// The layout of such a store.
pub(super) fn emmett(settings: &Settings, session: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema", "partition"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let partition = settings.option("partition").unwrap_or("emt:default");
    let table = in_schema(schema, "emt_messages");
    refuse_missing_partition(settings, session, &table, partition)?;
    let left_out = vec![
        ("archived", "is_archived".to_owned()),
        ("noEvents", "message_kind <> 'E'".to_owned()),
        ("otherPartitions", format!("partition <> {}", escape_literal(partition))),
    ];
    let layout = Layout {
        transaction: Some("transaction_id".to_owned()),
        id: "message_id".to_owned(),
        stream: "stream_id".to_owned(),
        kind: "message_type".to_owned(),
        data: "message_data".to_owned(),
        metadata: Some("message_metadata".to_owned()),
        time: Some("created".to_owned()),
        schema_version: Some("message_schema_version".to_owned()),
        // As its own reader has it, so that the partition's table alone is read.
        only: Some(format!("partition = {} AND NOT is_archived AND message_kind = 'E'", escape_literal(partition))),
        left_out,
        ..over(table, Ordering::Transaction, "global_position")
    };
    Ok(layout)
}

/// A partition without an event may be there all the same, as a table of its own.
fn refuse_missing_partition(
    settings: &Settings,
    session: &mut Session,
    table: &str,
    partition: &str,
) -> Result<(), SourceError> {
    let mut query = |query: &str| session.query(query).map_err(|e| failed(settings, &e));
    let name = escape_literal(partition);
    let known = query(&format!(
        "SELECT 1 WHERE EXISTS (SELECT FROM {table} WHERE partition = {name}) OR EXISTS (SELECT FROM pg_inherits JOIN pg_class \
         ON pg_class.oid = inhrelid WHERE inhparent = {}::regclass AND strpos(pg_get_expr(relpartbound, pg_class.oid), \
         quote_literal({name})) > 0)",
        escape_literal(table)
    ))?;
    if !known.is_empty() {
        return Ok(());
    }
    let others = query(&format!("SELECT DISTINCT partition FROM {table} ORDER BY 1 LIMIT 20"))?;
    let others: Vec<&str> = others.iter().filter_map(|row| row.text(0)).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(SourceError::permanent(format!(
        "{}: there is no partition {partition}; there are: {}",
        settings.name,
        others.join(", ")
    )))
}
