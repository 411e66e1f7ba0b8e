//! What cannot be seen in rows is asked when a source is opened: whether its end can be told at all.

use super::{
    failed,
    layout::{Layout, Ordering},
    session::Session,
    settings::Settings,
};
use crate::source::SourceError;
use postgres_protocol::escape::escape_literal;

/// Refuses what would make positions unsafe to read behind.
pub(super) fn refuse_unsafe(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<(), SourceError> {
    refuse_positions(settings, layout, session)?;
    if layout.ordering == Ordering::Serialised {
        return Ok(());
    }
    let relations = relations(settings, layout, session)?;
    refuse_relations(settings, layout, session, &relations)?;
    if layout.ordering == Ordering::Gaps { refuse_sequences(settings, session, &relations) } else { Ok(()) }
}

/// Positions begin at 1: a checkpoint at 0 is one before every event.
fn refuse_positions(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<(), SourceError> {
    if layout.transaction.is_some() {
        return Ok(());
    }
    let Layout { end, number, shift, table, .. } = layout;
    let query = format!("SELECT {number}::int8 FROM {end} WHERE {number} <= {} ORDER BY {number} LIMIT 1", -shift);
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
    let Some(first) = rows.first().map(|row| row.number::<i64>(0)) else { return Ok(()) };
    Err(SourceError::permanent(format!(
        "{}: {table} has an event at position {first}, and positions here begin at 1: add shift={} to the source, which then \
         counts every position so much higher",
        settings.name,
        first.saturating_neg().saturating_add(1)
    )))
}

/// The tables below the source, as a list of their numbers.
fn relations(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<String, SourceError> {
    let wrong = |e: postgres::Error| failed(settings, &e);
    let mut seeds = vec![format!("{}::regclass", escape_literal(&layout.table))];
    if layout.is_query {
        // The server knows what the query reads.
        let plan =
            session.query(&format!("EXPLAIN (VERBOSE, FORMAT JSON) SELECT {} FROM {}", layout.position, layout.from));
        let plan: String = plan.map_err(wrong)?.iter().filter_map(|row| row.text(0)).collect();
        if let Ok(plan) = serde_json::from_str(&plan) {
            scanned(&plan, &mut seeds);
        }
    }
    // Tables below views, and those that inherit from each other: a sequence may be of any of them.
    let query = format!(
        "WITH RECURSIVE found(oid) AS (SELECT seed::oid FROM unnest(ARRAY[{}]) AS seed UNION \
         SELECT next.oid FROM found CROSS JOIN LATERAL (SELECT depend.refobjid FROM pg_rewrite AS rule JOIN pg_depend AS depend \
         ON depend.classid = 'pg_rewrite'::regclass AND depend.objid = rule.oid AND depend.refclassid = 'pg_class'::regclass \
         WHERE rule.ev_class = found.oid AND rule.ev_type = '1' UNION ALL SELECT inhrelid FROM pg_inherits \
         WHERE inhparent = found.oid UNION ALL SELECT inhparent FROM pg_inherits WHERE inhrelid = found.oid) AS next(oid)) \
         SELECT string_agg(oid::text, ', ') FROM found",
        seeds.join(", ")
    );
    let rows = session.query(&query).map_err(wrong)?;
    Ok(rows.first().and_then(|row| row.text(0)).unwrap_or("0").to_owned())
}

/// The tables that a plan scans.
fn scanned(plan: &serde_json::Value, found: &mut Vec<String>) {
    match plan {
        serde_json::Value::Array(parts) => parts.iter().for_each(|part| scanned(part, found)),
        serde_json::Value::Object(node) => {
            if let (Some(schema), Some(name)) = (node.get("Schema"), node.get("Relation Name"))
                && let (Some(schema), Some(name)) = (schema.as_str(), name.as_str())
            {
                let identifier = postgres_protocol::escape::escape_identifier;
                found.push(format!(
                    "{}::regclass",
                    escape_literal(&format!("{}.{}", identifier(schema), identifier(name)))
                ));
            }
            node.values().for_each(|part| scanned(part, found));
        }
        _ => {}
    }
}

/// Where transactions that are open cannot be seen, nothing is settled.
fn refuse_relations(
    settings: &Settings,
    layout: &Layout,
    session: &mut Session,
    relations: &str,
) -> Result<(), SourceError> {
    let query = format!(
        "SELECT class.oid::regclass::text, class.relkind, class.relpersistence, EXISTS (SELECT FROM pg_subscription_rel \
         WHERE srrelid = class.oid), pg_is_in_recovery() FROM pg_class AS class WHERE class.oid IN ({relations}) ORDER BY 1"
    );
    for row in session.query(&query).map_err(|e| failed(settings, &e))? {
        let table = row.text(0).unwrap_or_default();
        let refuse = |why: String| Err(SourceError::permanent(format!("{}: {why}", settings.name)));
        if layout.ordering == Ordering::Gaps && row.holds(4) {
            return Err(standby(settings));
        }
        match row.text(1) {
            Some("f") => {
                return refuse(format!(
                    "{table} is a foreign table: transactions that are open on its server cannot be seen from here, so that \
                     events that commit late would be lost; read from that server"
                ));
            }
            Some("m") => {
                return refuse(format!(
                    "{table} is a materialised view: what it shows was taken at some moment, and events that commit late \
                     appear in it below others; read the table that it is made from"
                ));
            }
            _ => {}
        }
        if row.holds(3) {
            return refuse(format!(
                "{table} is filled by logical replication: transactions that are open on its publisher cannot be seen from \
                 here, so that events that commit late would be lost; read from the publisher"
            ));
        }
        if row.text(2) == Some("u") {
            tracing::warn!("{}: {table} is UNLOGGED: a crash of the server empties it", settings.name);
        }
    }
    Ok(())
}

/// A standby shows the transactions that have ended on its primary, and not those that are open there and have a number
/// already. Stores that order by transaction, or whose writers take turns, need no more than the first.
pub(super) fn standby(settings: &Settings) -> SourceError {
    SourceError::permanent(format!(
        "{}: the server is a standby (pg_is_in_recovery), which does not show the transactions that are open on its primary, so \
         that events that commit late would be lost; read from the primary (of several hosts: \
         target_session_attrs=read-write)",
        settings.name
    ))
}

/// Sequences that give numbers to sessions. They stand in defaults, belong to columns, or are named by functions that
/// defaults and triggers call.
fn refuse_sequences(settings: &Settings, session: &mut Session, relations: &str) -> Result<(), SourceError> {
    let query = format!(
        "WITH standard AS (SELECT depend.refclassid, depend.refobjid FROM pg_depend AS depend JOIN pg_attrdef AS standard \
         ON standard.oid = depend.objid WHERE depend.classid = 'pg_attrdef'::regclass AND standard.adrelid IN ({relations})), \
         called AS (SELECT oid, prosrc FROM pg_proc WHERE oid IN (SELECT refobjid FROM standard \
         WHERE refclassid = 'pg_proc'::regclass UNION SELECT tgfoid FROM pg_trigger WHERE tgrelid IN ({relations}) \
         AND NOT tgisinternal AND tgtype::int & 6 = 6)) \
         SELECT seqrelid::regclass::text, seqcache, seqincrement FROM pg_sequence JOIN pg_class AS class ON class.oid = seqrelid \
         WHERE (seqcache > 1 OR seqincrement <> 1) AND (seqrelid IN (SELECT objid FROM pg_depend \
         WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') \
         AND refobjid IN ({relations}) UNION SELECT refobjid FROM standard WHERE refclassid = 'pg_class'::regclass UNION \
         SELECT depend.refobjid FROM pg_depend AS depend JOIN called ON depend.objid = called.oid \
         WHERE depend.classid = 'pg_proc'::regclass AND depend.refclassid = 'pg_class'::regclass) \
         OR EXISTS (SELECT FROM called WHERE prosrc ~ (E'\\\\m' || class.relname || E'\\\\M') AND class.relname ~ E'^\\\\w+$'))"
    );
    match session.query(&query).map_err(|e| failed(settings, &e))?.first() {
        None => Ok(()),
        Some(row) => {
            let (sequence, cache, increment) = (row.text(0).unwrap_or("?"), row.number::<i64>(1), row.number::<i64>(2));
            Err(SourceError::permanent(format!(
                "{}: the sequence {sequence} has CACHE {cache} and INCREMENT {increment}: sessions keep numbers back without \
                 an open transaction, and may use them at any time, so that no position is ever settled; \
                 ALTER SEQUENCE {sequence} CACHE 1 INCREMENT 1",
                settings.name
            )))
        }
    }
}
