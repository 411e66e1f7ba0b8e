//! What is known of each store: its tables and columns, as its own library makes them, and the order of its positions.

mod axon;
mod commanded;
mod emmett;
mod eventsourcing;
mod eventuous;
mod generic;
mod marten;
mod message_db;
mod rails_event_store;

use super::{
    failed,
    layout::{Layout, Nested, Ordering, identifier},
    session::Session,
    settings::Settings,
};
use crate::SourceError;
use postgres_protocol::escape::escape_literal;
use unspool_vocabulary::Numbers;

/// Makes the layout for a database, which it may look at.
pub(super) type Preset = fn(&Settings, &mut Session) -> Result<Layout, SourceError>;

/// The presets, by name.
const PRESETS: [(&str, Preset); 9] = [
    ("generic", generic::generic),
    ("message-db", message_db::message_db),
    ("marten", marten::marten),
    ("emmett", emmett::emmett),
    ("eventsourcing", eventsourcing::eventsourcing),
    ("commanded", commanded::commanded),
    ("rails-event-store", rails_event_store::rails_event_store),
    ("eventuous", eventuous::eventuous),
    ("axon", axon::axon),
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

/// The event type where the store has the name of a class: whole, or with `types=short` what follows the last `.`, `:` or `$`
/// of it.
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
