//! Commanded's EventStore: `lib/event_store/sql/init.ex`. Every append updates the row of `$all`, so that commits are in
//! the order of its versions.

use super::{in_schema, over};
use crate::{
    SourceError,
    postgres::{
        layout::{Layout, Ordering},
        session::Session,
        settings::Settings,
    },
};

/// The layout of such a store.
pub(super) fn commanded(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
