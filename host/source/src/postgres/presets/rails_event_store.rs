//! Rails Event Store: `create_event_store_events_template.erb`. An event's stream is the first one that it was put into.

use super::{in_schema, over};
use crate::{
    SourceError,
    postgres::{
        layout::{Layout, Nested, Ordering},
        session::Session,
        settings::Settings,
    },
};

/// The layout of such a store.
pub(super) fn rails_event_store(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
