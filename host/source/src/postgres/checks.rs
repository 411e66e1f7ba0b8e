//! What cannot be seen in rows is checked when a source is opened: whether its end can be told at all.

use super::{
    failed,
    layout::{Layout, Ordering},
    session::Session,
    settings::Settings,
};
use crate::SourceError;
use postgres_protocol::escape::escape_literal;

/// Refuses what would make it unsafe to read after a position.
pub(super) fn refuse_unsafe(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<(), SourceError> {
    match &layout.transaction {
        None => refuse_positions(settings, layout, session)?,
        Some(transaction) => refuse_transactions(settings, layout, transaction, session)?,
    }
    if layout.ordering == Ordering::Serialised {
        return Ok(());
    }
    let mut seeds = vec![format!("{}::regclass", escape_literal(&layout.table))];
    let own = below(settings, session, &seeds)?;
    let all = match layout.is_query {
        true => {
            read_by_query(settings, layout, session, &mut seeds)?;
            below(settings, session, &seeds)?
        }
        false => own.clone(),
    };
    refuse_relations(settings, layout, session, &all)?;
    if layout.ordering != Ordering::Gaps {
        return Ok(());
    }
    // Of a query whose positions are the table's own, no other table's numbers are read.
    let is_own = !layout.is_query || layout.end == layout.table;
    refuse_sequences(settings, layout, session, if is_own { &own } else { &all }, is_own)
}

/// A row without a transaction stands nowhere; and a transaction that this server has not come to yet is another cluster's,
/// after which everything that is written here would be out of order.
fn refuse_transactions(
    settings: &Settings,
    layout: &Layout,
    transaction: &str,
    session: &mut Session,
) -> Result<(), SourceError> {
    let Layout { from, end, table, is_query, .. } = layout;
    let (of, column) = (escape_literal(table), escape_literal(transaction));
    let is_complete = format!(
        "NOT {is_query} AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = {of}::regclass \
         AND attname = (parse_ident({column}))[1] AND attnotnull)"
    );
    let only = layout.only.as_ref().map_or(String::new(), |only| format!(" AND {only}"));
    let query = format!(
        "SELECT CASE WHEN {is_complete} THEN 0 ELSE (SELECT count(*) FROM {from} WHERE {transaction} IS NULL{only}) END, \
         (SELECT {transaction}::text FROM {end} WHERE {transaction} >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT 1), \
         pg_snapshot_xmax(pg_current_snapshot())::text"
    );
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let refuse = |why: String| Err(SourceError::permanent(format!("{}: {why}", settings.name)));
    if let Some(later) = row.text(1) {
        return refuse(format!(
            "{table} has the transaction {later}, and this server has come to {} only: it is a number of another cluster, as after \
             a dump was restored, and events that are written here would stand before it; while nobody writes, give the \
             events that are there a transaction that is over, which leaves them in the order of their numbers, before all new \
             ones: UPDATE {table} SET {transaction} = '1'",
            row.text(2).unwrap_or("?")
        ));
    }
    match row.number::<u64>(0) {
        0 => Ok(()),
        rows => refuse(format!(
            "{rows} rows of {table} have no transaction (column {transaction}), so that they stand nowhere in the order; give \
             them one that is over: UPDATE {table} SET {transaction} = '1' WHERE {transaction} IS NULL, which puts them before \
             all others in the order of their numbers, and let the column be NOT NULL"
        )),
    }
}

/// Positions begin at 1: a checkpoint at 0 is one before every event.
fn refuse_positions(settings: &Settings, layout: &Layout, session: &mut Session) -> Result<(), SourceError> {
    let Layout { end, number, shift, table, .. } = layout;
    let query = format!(
        "SELECT {number}::text AS unspool_number FROM {end} WHERE {number} <= {} ORDER BY {number} LIMIT 1",
        -shift
    );
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
    let Some(first) = rows.first() else { return Ok(()) };
    let first = layout.number_in(settings, first, 0)?.saturating_sub(*shift);
    Err(SourceError::permanent(format!(
        "{}: {table} has an event at position {first}, and positions here begin at 1: add shift={} to the source, which then \
         counts every position so much higher",
        settings.name,
        first.saturating_neg().saturating_add(1)
    )))
}

/// Adds the tables that the query reads, as the server knows them.
fn read_by_query(
    settings: &Settings,
    layout: &Layout,
    session: &mut Session,
    seeds: &mut Vec<String>,
) -> Result<(), SourceError> {
    let plan =
        session.query(&format!("EXPLAIN (VERBOSE, FORMAT JSON) SELECT {} FROM {}", layout.position, layout.from));
    let plan = plan.map_err(|e| failed(settings, &e))?;
    let plan: String = plan.iter().filter_map(|row| row.text(0)).collect();
    if let Ok(plan) = serde_json::from_str(&plan) {
        scanned(&plan, seeds);
    }
    Ok(())
}

/// `seeds` and the tables below them, as a list of their numbers.
fn below(settings: &Settings, session: &mut Session, seeds: &[String]) -> Result<String, SourceError> {
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
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
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

/// Where transactions that are open cannot be seen, nothing is stable.
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

/// Sequences that give numbers to sessions, or give them twice. They stand in defaults, belong to columns, or are named by
/// functions that defaults and triggers call, also through others. Of a table whose own column the position is (`is_own`), other
/// columns may have what they like.
fn refuse_sequences(
    settings: &Settings,
    layout: &Layout,
    session: &mut Session,
    relations: &str,
    is_own: bool,
) -> Result<(), SourceError> {
    // What a view calls a position may be a column of another name.
    let is_position = match is_own {
        true => format!(
            "((SELECT relkind NOT IN ('r', 'p') FROM pg_class WHERE oid = {}::regclass) OR column_of.attname = \
             (parse_ident({}))[1])",
            escape_literal(&layout.table),
            escape_literal(&layout.number)
        ),
        false => "true".to_owned(),
    };
    let query = format!(
        "WITH RECURSIVE standard AS (SELECT depend.refclassid, depend.refobjid FROM pg_depend AS depend JOIN pg_attrdef AS standard \
         ON standard.oid = depend.objid JOIN pg_attribute AS column_of ON column_of.attrelid = standard.adrelid \
         AND column_of.attnum = standard.adnum WHERE depend.classid = 'pg_attrdef'::regclass \
         AND standard.adrelid IN ({relations}) AND {is_position}), \
         called(oid) AS (SELECT oid FROM pg_proc WHERE oid IN (SELECT refobjid FROM standard \
         WHERE refclassid = 'pg_proc'::regclass UNION SELECT tgfoid FROM pg_trigger WHERE tgrelid IN ({relations}) \
         AND NOT tgisinternal AND tgtype::int & 6 = 6) UNION SELECT next.oid FROM called JOIN pg_proc AS caller \
         ON caller.oid = called.oid JOIN pg_proc AS next ON next.oid >= {FIRST_OF_USERS} AND ((next.proname ~ E'^\\\\w+$' \
         AND caller.prosrc ~ (E'\\\\m' || next.proname || E'\\\\M')) OR EXISTS (SELECT FROM pg_depend AS depend \
         WHERE depend.classid = 'pg_proc'::regclass AND depend.objid = caller.oid \
         AND depend.refclassid = 'pg_proc'::regclass AND depend.refobjid = next.oid))) \
         SELECT seqrelid::regclass::text, seqcache, seqincrement FROM pg_sequence JOIN pg_class AS class ON class.oid = seqrelid \
         WHERE (seqcache > 1 OR seqincrement <> 1 OR (seqcycle AND seqmax < {LAST_NUMBER})) \
         AND (seqrelid IN (SELECT depend.objid FROM pg_depend AS depend LEFT JOIN pg_attribute AS column_of \
         ON column_of.attrelid = depend.refobjid AND column_of.attnum = depend.refobjsubid \
         WHERE depend.classid = 'pg_class'::regclass AND depend.refclassid = 'pg_class'::regclass AND depend.deptype IN ('a', 'i') \
         AND depend.refobjid IN ({relations}) AND {is_position} \
         UNION SELECT refobjid FROM standard WHERE refclassid = 'pg_class'::regclass UNION \
         SELECT depend.refobjid FROM pg_depend AS depend JOIN called ON depend.objid = called.oid \
         WHERE depend.classid = 'pg_proc'::regclass AND depend.refclassid = 'pg_class'::regclass) \
         OR EXISTS (SELECT FROM called JOIN pg_proc USING (oid) WHERE prosrc ~ (E'\\\\m' || class.relname || E'\\\\M') \
         AND class.relname ~ E'^\\\\w+$'))",
        LAST_NUMBER = i64::MAX
    );
    let rows = session.query(&query).map_err(|e| failed(settings, &e))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (sequence, cache, increment) = (row.text(0).unwrap_or("?"), row.number::<i64>(1), row.number::<i64>(2));
    if cache == 1 && increment == 1 {
        return Err(SourceError::permanent(format!(
            "{}: the sequence {sequence} has CYCLE: after its greatest number it begins again, below what was read; \
             ALTER SEQUENCE {sequence} NO CYCLE",
            settings.name
        )));
    }
    Err(SourceError::permanent(format!(
        "{}: the sequence {sequence} has CACHE {cache} and INCREMENT {increment}: sessions keep numbers back without an open \
         transaction, and may use them at any time, so that no position is ever stable; \
         ALTER SEQUENCE {sequence} CACHE 1 INCREMENT 1",
        settings.name
    )))
}

/// The first oid that objects of users get.
const FIRST_OF_USERS: u32 = 16_384;
