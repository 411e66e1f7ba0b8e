//! What is known of each store: its tables and columns, as its own library makes them, and the order of its positions.

use super::{
    failed,
    layout::{Layout, Nested, Ordering, identifier},
    session::Session,
    settings::Settings,
};
use crate::{
    source::{SourceError, unit::Unit},
    vocabulary::Numbers,
};
use postgres_protocol::escape::escape_literal;

/// Makes the layout for a database, which it may look at.
pub(super) type Preset = fn(&Settings, &mut Session) -> Result<Layout, SourceError>;

/// The presets, by name.
const PRESETS: [(&str, Preset); 9] = [
    ("generic", generic),
    ("message-db", message_db),
    ("marten", marten),
    ("emmett", emmett),
    ("eventsourcing", eventsourcing),
    ("commanded", commanded),
    ("rails-event-store", rails_event_store),
    ("eventuous", eventuous),
    ("axon", axon),
];

/// What makes the layout that `settings` names.
pub(super) fn find(settings: &Settings) -> Result<Preset, SourceError> {
    match PRESETS.iter().find(|(name, _)| *name == settings.preset) {
        Some((_, make)) => Ok(*make),
        None => Err(SourceError::permanent(format!(
            "{}: there is no preset {}; there are: {}",
            settings.name,
            settings.preset,
            PRESETS.map(|(name, _)| name).join(", ")
        ))),
    }
}

/// The options that every preset has, for values that are not taken as they are.
pub(super) fn reading(settings: &Settings, layout: &mut Layout) -> Result<(), SourceError> {
    let refuse = |key: &str, value: &str, known: &str| {
        Err(SourceError::permanent(format!("{}: {key}={value} is not known; it is {known}", settings.name)))
    };
    match settings.option("shift").map(|text| (text, text.parse())) {
        None => {}
        Some((_, Ok(shift @ 1..=SHIFT))) if layout.transaction.is_none() => layout.shift = shift,
        Some((text, _)) => {
            return refuse("shift", text, "a whole number from 1 on, for stores whose positions are one number");
        }
    }
    if let Some(text) = settings.option("numbers") {
        layout.numbers = text.parse().map_err(|e| SourceError::permanent(format!("{}: {e}", settings.name)))?;
    }
    match settings.option("nested") {
        None => {}
        Some("read") => layout.nested = Nested::Read,
        Some("keep") => layout.nested = Nested::Keep,
        Some(other) => return refuse("nested", other, "read or keep"),
    }
    match settings.option("time") {
        Some("none") => (layout.time, layout.time_in_data) = (None, None),
        Some(other) if settings.preset != "generic" => {
            return refuse("time", other, "none: the preset knows where the times are");
        }
        None if settings.preset == "generic" => tracing::warn!(
            "{}: no time=COLUMN is named: all events have the time 0, 1970-01-01 (time=none says that it is meant)",
            settings.name
        ),
        _ => {}
    }
    Ok(())
}

/// The most that positions may be shifted by: no sum of both is beyond a `bigint` before an event is.
const SHIFT: i64 = 1 << 62;

/// A layout over one table whose columns are named as the fields.
fn over(table: String, ordering: Ordering, position: &str) -> Layout {
    Layout {
        from: table.clone(),
        end: table.clone(),
        table,
        number: position.rsplit('.').next().unwrap_or(position).to_owned(),
        ordering,
        counted: true,
        is_query: false,
        position: position.to_owned(),
        shift: 0,
        transaction: None,
        id: "id".to_owned(),
        stream: "stream".to_owned(),
        kind: "type".to_owned(),
        compared_kind: String::new(),
        data: "data".to_owned(),
        metadata: Some("metadata".to_owned()),
        time: None,
        unit: None,
        time_in_data: None,
        schema_version: None,
        ordered: None,
        only: None,
        left_out: Vec::new(),
        channel: None,
        nested: Nested::Refuse,
        numbers: Numbers::Exact,
    }
}

/// Any table, or any query in `unspool.toml`, whose columns are named by options.
fn generic(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&[
        "table",
        "query",
        "ordering",
        "position",
        "transaction",
        "id",
        "stream",
        "type",
        "data",
        "metadata",
        "time",
        "schema_version",
        "channel",
    ])?;
    let refuse = |what: &str| Err(SourceError::permanent(format!("{}: {what}", settings.name)));
    let Some(table) = settings.option("table") else {
        return refuse("generic needs table=NAME: the table that writers insert into");
    };
    let ordering = match (settings.option("ordering"), settings.option("transaction")) {
        (None | Some("gaps"), None) => Ordering::Gaps,
        (Some("serialised"), None) => Ordering::Serialised,
        (None | Some("transaction"), Some(_)) => Ordering::Transaction,
        (Some("transaction"), None) => {
            return refuse(
                "ordering=transaction needs transaction=COLUMN, an xid8 that the writer's transaction fills",
            );
        }
        (Some("gaps" | "serialised"), Some(_)) => return refuse("transaction=COLUMN needs ordering=transaction"),
        (Some(other), _) => {
            return refuse(&format!("ordering={other} is not known; it is serialised, transaction or gaps"));
        }
    };
    let column = |key: &str| identifier(settings.option(key).unwrap_or(key));
    let optional = |key: &str| settings.option(key).map(identifier);
    let table = identifier(table);
    let query = settings.option("query").map(|query| query.trim_end().trim_end_matches(';'));
    let from = query.map_or_else(|| table.clone(), |query| format!("({query}\n) AS events"));
    let (time, unit) = match settings.option("time") {
        None | Some("none") => (None, None),
        Some(text) => {
            let with_unit = text.rsplit_once(':').and_then(|(column, unit)| Some((column, Some(Unit::named(unit)?))));
            let (column, unit) = with_unit.unwrap_or((text, None));
            (Some(identifier(column)), unit)
        }
    };
    let layout = Layout {
        from,
        is_query: query.is_some(),
        position: column("position"),
        number: column("position"),
        transaction: optional("transaction"),
        id: column("id"),
        stream: column("stream"),
        kind: column("type"),
        data: column("data"),
        metadata: optional("metadata"),
        time,
        unit,
        schema_version: optional("schema_version"),
        channel: settings.option("channel").map(str::to_owned),
        ..over(table, ordering, "")
    };
    Ok(layout)
}

/// message-db: `database/tables/messages.sql`. Writers take turns within one category only.
fn message_db(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("message_store");
    let layout = Layout {
        stream: "stream_name".to_owned(),
        time: Some("time".to_owned()),
        ..over(in_schema(schema, "messages"), Ordering::Gaps, "global_position")
    };
    Ok(layout)
}

/// Marten: `Events/Schema/EventsTable.cs`. Archived and skipped events are left out, as its daemon does, and the tombstones
/// of appends that failed.
fn marten(settings: &Settings, session: &mut Session) -> Result<Layout, SourceError> {
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

/// Emmett: `emmett-postgresql/src/eventStore/schema/tables.ts`, read as `readMessagesBatch.ts` does.
fn emmett(settings: &Settings, session: &mut Session) -> Result<Layout, SourceError> {
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

/// eventsourcing (Python): `eventsourcing/postgres.py`. Inserts lock the table, but not where its database functions are
/// used; those notify.
fn eventsourcing(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema", "table", "types"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let name = settings.option("table").unwrap_or("stored_events");
    let table = in_schema(schema, name);
    let layout = Layout {
        id: "originator_id::text || ':' || originator_version".to_owned(),
        stream: "originator_id".to_owned(),
        kind: type_name(settings, "topic")?,
        data: "state".to_owned(),
        metadata: None,
        time_in_data: Some("timestamp"),
        channel: Some(name.to_owned()),
        ..over(table, Ordering::Gaps, "notification_id")
    };
    Ok(layout)
}

/// Commanded's EventStore: `lib/event_store/sql/init.ex`. Every append updates the row of `$all`, so that commits are in
/// the order of its versions.
fn commanded(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let table = in_schema(schema, "stream_events");
    let layout = Layout {
        from: format!(
            "{table} AS place JOIN {} AS event USING (event_id) JOIN {} AS origin ON origin.stream_id = \
             place.original_stream_id",
            in_schema(schema, "events"),
            in_schema(schema, "streams")
        ),
        id: "event.event_id".to_owned(),
        stream: "origin.stream_uuid".to_owned(),
        kind: "event.event_type".to_owned(),
        data: "event.data".to_owned(),
        metadata: Some("event.metadata".to_owned()),
        time: Some("event.created_at".to_owned()),
        ordered: Some("place.stream_id = 0".to_owned()),
        channel: Some(format!("{schema}.events")),
        ..over(table, Ordering::Serialised, "place.stream_version")
    };
    Ok(layout)
}

/// Rails Event Store: `create_event_store_events_template.erb`. An event's stream is the first one that it was put into.
fn rails_event_store(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let table = in_schema(schema, "event_store_events");
    let layout = Layout {
        from: format!(
            "{table} AS event LEFT JOIN LATERAL (SELECT stream FROM {} AS place WHERE place.event_id = event.event_id \
             ORDER BY place.id LIMIT 1) AS first ON true",
            in_schema(schema, "event_store_events_in_streams")
        ),
        id: "event.event_id".to_owned(),
        stream: "coalesce(first.stream, 'all')".to_owned(),
        kind: "event.event_type".to_owned(),
        data: "event.data".to_owned(),
        metadata: Some("event.metadata".to_owned()),
        time: Some("coalesce(event.valid_at, event.created_at)".to_owned()),
        // Its JSON serialiser in front of a json column: a text that holds JSON, as its documentation warns.
        nested: Nested::Read,
        ..over(table, Ordering::Gaps, "event.id")
    };
    Ok(layout)
}

/// Eventuous: `Scripts/1_Schema.sql`. Tombstones are left out.
fn eventuous(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("eventuous");
    let table = in_schema(schema, "messages");
    let layout = Layout {
        from: format!("{table} AS event JOIN {} AS origin USING (stream_id)", in_schema(schema, "streams")),
        id: "event.message_id".to_owned(),
        stream: "origin.stream_name".to_owned(),
        kind: "event.message_type".to_owned(),
        data: "event.json_data".to_owned(),
        metadata: Some("event.json_metadata".to_owned()),
        time: Some("event.created".to_owned()),
        only: Some("event.message_type <> '$tombstone' AND origin.stream_name <> '__tombstones__'".to_owned()),
        left_out: vec![(
            "tombstones",
            "event.message_type = '$tombstone' OR origin.stream_name = '__tombstones__'".to_owned(),
        )],
        ..over(table, Ordering::Gaps, "event.global_position")
    };
    Ok(layout)
}

/// Axon: `AbstractEventEntry` of version 4, whose column names follow Hibernate's naming; `version=5` for
/// `AggregateEventEntry`.
fn axon(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema", "table", "version", "naming", "types"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let five = match settings.option("version") {
        None | Some("4") => false,
        Some("5") => true,
        Some(other) => {
            return Err(SourceError::permanent(format!(
                "{}: version={other} is not known; it is 4 or 5",
                settings.name
            )));
        }
    };
    // JDBC's own names are those of the fields, which are folded to lower case where they are not quoted.
    let jdbc = settings.option("naming") == Some("jdbc");
    let name = |hibernate: &str| if jdbc { hibernate.replace('_', "") } else { hibernate.to_owned() };
    let table = settings
        .option("table")
        .map_or_else(|| name(if five { "aggregate_event_entry" } else { "domain_event_entry" }), str::to_owned);
    let four = over(in_schema(schema, &table), Ordering::Gaps, &name("global_index"));
    let layout = if five {
        Layout {
            id: "identifier".to_owned(),
            stream: name("aggregate_identifier"),
            kind: type_name(settings, "type")?,
            data: "payload".to_owned(),
            time: Some("timestamp".to_owned()),
            schema_version: Some("version".to_owned()),
            ..four
        }
    } else {
        Layout {
            id: name("event_identifier"),
            stream: name("aggregate_identifier"),
            kind: type_name(settings, &name("payload_type"))?,
            data: "payload".to_owned(),
            metadata: Some(name("meta_data")),
            time: Some(name("time_stamp")),
            schema_version: Some(name("payload_revision")),
            ..four
        }
    };
    Ok(layout)
}

/// The event type where the store has the name of a class: whole, or with `types=short` what stands behind the last
/// `.`, `:` or `$` of it.
fn type_name(settings: &Settings, column: &str) -> Result<String, SourceError> {
    match settings.option("types") {
        None | Some("full") => Ok(column.to_owned()),
        Some("short") => Ok(format!("regexp_replace({column}, '^.*[.:$]', '')")),
        Some(other) => {
            Err(SourceError::permanent(format!("{}: types={other} is not known; it is full or short", settings.name)))
        }
    }
}

fn in_schema(schema: &str, table: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(table))
}

/// Rows of which none of the conditions holds.
fn none_of(left_out: &[(&'static str, String)]) -> String {
    left_out.iter().map(|(_, condition)| format!("({condition}) IS NOT TRUE")).collect::<Vec<_>>().join(" AND ")
}

fn has_column(settings: &Settings, session: &mut Session, table: &str, column: &str) -> Result<bool, SourceError> {
    let query = format!(
        "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass({}) AND attname = {} AND NOT attisdropped",
        escape_literal(table),
        escape_literal(column)
    );
    let found = session.query(&query).map_err(|e| failed(settings, &e))?;
    Ok(!found.is_empty())
}

/// Refuses the store with `message` where `query` finds something.
fn demand_none(settings: &Settings, session: &mut Session, query: &str, message: &str) -> Result<(), SourceError> {
    match session.query(query).map_err(|e| failed(settings, &e))?.is_empty() {
        true => Ok(()),
        false => Err(SourceError::permanent(format!("{}: {message}", settings.name))),
    }
}
