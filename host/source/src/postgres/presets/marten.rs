//! Marten: `Events/Schema/EventsTable.cs`. Archived and skipped events are left out, as its daemon does, and the tombstones
//! of appends that failed.

use super::{demand_none, has_column, in_schema, none_of, over};
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
pub(super) fn marten(settings: &Settings, session: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema", "tenant", "tenants"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let table = in_schema(schema, "mt_events");
    let mut has = |column: &str| has_column(settings, session, &table, column);
    let (headers, skipped, binary) = (has("headers")?, has("is_skipped")?, has("bdata")?);
    if binary {
        let message = "there are events in a binary serialisation (column bdata), which only the program that wrote them \
                       reads; have it write JSON, or replay from another store";
        demand_none(settings, session, &format!("SELECT 1 FROM {table} WHERE bdata IS NOT NULL LIMIT 1"), message)?;
    }
    let skipped = skipped.then_some(("skipped", "is_skipped".to_owned()));
    let mut left_out = vec![("archived", "is_archived".to_owned()), ("tombstones", "type = 'tombstone'".to_owned())];
    left_out.extend(skipped);
    let mut layout = Layout {
        stream: "stream_id".to_owned(),
        time: Some("timestamp".to_owned()),
        metadata: headers.then(|| "headers".to_owned()),
        ..over(table, Ordering::Gaps, "seq_id")
    };
    marten_tenants(settings, session, schema, &mut layout, &mut left_out)?;
    layout.only = Some(none_of(&left_out));
    layout.left_out = left_out;
    Ok(layout)
}

/// Conjoined tenants of Marten: a stream is the pair of tenant and id, where the keys say so. With a partition for each, every
/// tenant counts its events by a sequence of its own.
fn marten_tenants(
    settings: &Settings,
    session: &mut Session,
    schema: &str,
    layout: &mut Layout,
    left_out: &mut Vec<(&'static str, String)>,
) -> Result<(), SourceError> {
    let (table, streams) = (escape_literal(&layout.table), escape_literal(&in_schema(schema, "mt_streams")));
    let keys = format!(
        "SELECT count(*), count(*) FILTER (WHERE key.indisprimary AND key.indrelid = {table}::regclass) FROM pg_index AS key \
         JOIN pg_attribute AS part ON part.attrelid = key.indrelid AND part.attnum = ANY (key.indkey) \
         WHERE key.indrelid IN ({table}::regclass, to_regclass({streams})) AND key.indisunique AND part.attname = 'tenant_id'"
    );
    let found = session.query(&keys).map_err(|e| failed(settings, &e))?;
    let count = |column: usize| found.first().map_or(0, |row| row.number::<i64>(column));
    let (conjoined, partitioned) = (count(0) > 0, count(1) > 0);
    let refuse = |what: &str| Err(SourceError::permanent(format!("{}: {what}", settings.name)));
    match (settings.option("tenant"), settings.option("tenants")) {
        (Some(_), Some(_)) => refuse("tenant= and tenants= are two ways; give one"),
        (Some(tenant), None) => {
            let (tenant, name) = (escape_literal(tenant), tenant);
            let mut is = |condition: &str| {
                let query = format!("SELECT 1 FROM {} {condition} LIMIT 1", layout.table);
                session.query(&query).map(|rows| !rows.is_empty()).map_err(|e| failed(settings, &e))
            };
            if !is(&format!("WHERE tenant_id = {tenant}"))? && is("")? {
                return refuse(&format!("there is no event of a tenant {name}"));
            }
            if partitioned {
                let own = format!("(SELECT * FROM {} WHERE tenant_id = {tenant}) AS events", layout.table);
                (layout.from, layout.end) = (own.clone(), own);
            }
            left_out.push(("otherTenants", format!("tenant_id <> {tenant}")));
            Ok(())
        }
        (None, Some("prefix")) if partitioned => refuse(
            "events are partitioned by tenant (UseTenantPartitionedEvents), so that seq_id counts each tenant's events: \
             replay one of them, tenant=NAME",
        ),
        (None, Some("prefix")) => {
            // The first colon ends the tenant, whatever either is called.
            let tenant = "replace(replace(tenant_id, '%', '%25'), ':', '%3A')";
            layout.stream = format!("{tenant} || ':' || stream_id");
            Ok(())
        }
        (None, Some(other)) => refuse(&format!("tenants={other} is not known; it is prefix")),
        (None, None) if conjoined => refuse(
            "streams are kept by tenant and id, so that two tenants may have one id: say tenant=NAME for one tenant's events, or \
             tenants=prefix for those of all, whose streams are then called TENANT:ID",
        ),
        (None, None) => Ok(()),
    }
}
