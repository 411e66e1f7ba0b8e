//! Eventuous: `Scripts/1_Schema.sql`. Tombstones are left out.

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
pub(super) fn eventuous(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
