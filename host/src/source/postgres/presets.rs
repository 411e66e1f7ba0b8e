//! What is known of each store: its tables and columns, as its own library makes them, and the order of its positions.

use super::{
    failed,
    layout::{Layout, Ordering, identifier},
    settings::Settings,
};
use crate::source::SourceError;
use postgres::Client;
use postgres_protocol::escape::escape_literal;

/// Makes the layout for a database, which it may look at.
pub(super) type Preset = fn(&Settings, &mut Client) -> Result<Layout, SourceError>;

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

/// A layout over one table whose columns are named as the fields.
fn over(table: String, ordering: Ordering, position: &str) -> Layout {
    Layout {
        from: table.clone(),
        table,
        ordering,
        position: position.to_owned(),
        number: position.rsplit('.').next().unwrap_or(position).to_owned(),
        transaction: None,
        id: "id".to_owned(),
        stream: "stream".to_owned(),
        kind: "type".to_owned(),
        data: "data".to_owned(),
        metadata: Some("metadata".to_owned()),
        time: None,
        time_in_data: None,
        schema_version: None,
        only: None,
        channel: None,
    }
}

/// Any table, or any query in `unspool.toml`, whose columns are named by options.
fn generic(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
    let from = settings.option("query").map_or_else(|| table.clone(), |query| format!("({query}) AS events"));
    let layout = Layout {
        from,
        position: column("position"),
        number: column("position"),
        transaction: optional("transaction"),
        id: column("id"),
        stream: column("stream"),
        kind: column("type"),
        data: column("data"),
        metadata: optional("metadata"),
        time: optional("time"),
        schema_version: optional("schema_version"),
        channel: settings.option("channel").map(str::to_owned),
        ..over(table, ordering, "")
    };
    Ok(layout)
}

/// message-db: `database/tables/messages.sql`. Writers take turns within one category only.
fn message_db(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
fn marten(settings: &Settings, client: &mut Client) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let table = in_schema(schema, "mt_events");
    let mut has = |column: &str| has_column(settings, client, &table, column);
    let (headers, skipped, binary) = (has("headers")?, has("is_skipped")?, has("bdata")?);
    if binary {
        let message = "there are events in a binary serialisation (column bdata), which only the program that wrote them \
                       reads; have it write JSON, or replay from another store";
        demand_none(settings, client, &format!("SELECT 1 FROM {table} WHERE bdata IS NOT NULL LIMIT 1"), message)?;
    }
    let keyed_by_tenant = format!(
        "SELECT 1 FROM pg_index AS index JOIN pg_attribute AS part ON part.attrelid = index.indrelid \
         AND part.attnum = ANY (index.indkey) WHERE index.indrelid = {}::regclass AND index.indisprimary \
         AND part.attname = 'tenant_id'",
        escape_literal(&table)
    );
    let message = "events are partitioned by tenant (UseTenantPartitionedEvents), so that seq_id is not unique; read one \
                   tenant with the preset generic and a query in unspool.toml";
    demand_none(settings, client, &keyed_by_tenant, message)?;
    let layout = Layout {
        stream: "stream_id".to_owned(),
        time: Some("timestamp".to_owned()),
        metadata: headers.then(|| "headers".to_owned()),
        only: Some(format!(
            "type <> 'tombstone' AND NOT is_archived{}",
            if skipped { " AND NOT is_skipped" } else { "" }
        )),
        ..over(table, Ordering::Gaps, "seq_id")
    };
    Ok(layout)
}

/// Emmett: `emmett-postgresql/src/eventStore/schema/tables.ts`, read as `readMessagesBatch.ts` does.
fn emmett(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema", "partition"])?;
    let schema = settings.option("schema").unwrap_or("public");
    let partition = settings.option("partition").unwrap_or("emt:default");
    let layout = Layout {
        transaction: Some("transaction_id".to_owned()),
        id: "message_id".to_owned(),
        stream: "stream_id".to_owned(),
        kind: "message_type".to_owned(),
        data: "message_data".to_owned(),
        metadata: Some("message_metadata".to_owned()),
        time: Some("created".to_owned()),
        only: Some(format!("partition = {} AND NOT is_archived AND message_kind = 'E'", escape_literal(partition))),
        ..over(in_schema(schema, "emt_messages"), Ordering::Transaction, "global_position")
    };
    Ok(layout)
}

/// eventsourcing (Python): `eventsourcing/postgres.py`. Inserts lock the table, but not where its database functions are
/// used; those notify.
fn eventsourcing(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
        time_in_data: Some(&["timestamp", "_data_"]),
        channel: Some(name.to_owned()),
        ..over(table, Ordering::Gaps, "notification_id")
    };
    Ok(layout)
}

/// Commanded's EventStore: `lib/event_store/sql/init.ex`. Every append updates the row of `$all`, so that commits are in
/// the order of its versions.
fn commanded(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
        only: Some("place.stream_id = 0".to_owned()),
        channel: Some(format!("{schema}.events")),
        ..over(table, Ordering::Serialised, "place.stream_version")
    };
    Ok(layout)
}

/// Rails Event Store: `create_event_store_events_template.erb`. An event's stream is the first one that it was put into.
fn rails_event_store(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
        ..over(table, Ordering::Gaps, "event.id")
    };
    Ok(layout)
}

/// Eventuous: `Scripts/1_Schema.sql`. Tombstones are left out.
fn eventuous(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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
        ..over(table, Ordering::Gaps, "event.global_position")
    };
    Ok(layout)
}

/// Axon: `AbstractEventEntry` of version 4, whose column names follow Hibernate's naming; `version=5` for
/// `AggregateEventEntry`.
fn axon(settings: &Settings, _: &mut Client) -> Result<Layout, SourceError> {
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

fn has_column(settings: &Settings, client: &mut Client, table: &str, column: &str) -> Result<bool, SourceError> {
    let query = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped";
    let found = client.query_opt(query, &[&table, &column]).map_err(|e| failed(settings, &e))?;
    Ok(found.is_some())
}

/// Refuses the store with `message` where `query` finds something.
fn demand_none(settings: &Settings, client: &mut Client, query: &str, message: &str) -> Result<(), SourceError> {
    match client.query_opt(query, &[]).map_err(|e| failed(settings, &e))? {
        None => Ok(()),
        Some(_) => Err(SourceError::permanent(format!("{}: {message}", settings.name))),
    }
}
