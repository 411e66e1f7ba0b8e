//! eventsourcing (Python): `eventsourcing/postgres.py`. Inserts lock the table, but not where its database functions are
//! used; those notify.

use super::{in_schema, over, type_name};
use crate::{
    SourceError,
    postgres::{
        layout::{Layout, Ordering},
        session::Session,
        settings::Settings,
    },
};

/// The layout of such a store.
pub(super) fn eventsourcing(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
