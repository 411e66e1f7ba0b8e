//! message-db: `database/tables/messages.sql`. Writers take turns within one category only.

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
pub(super) fn message_db(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
    settings.refuse_others(&["schema"])?;
    let schema = settings.option("schema").unwrap_or("message_store");
    let layout = Layout {
        stream: "stream_name".to_owned(),
        time: Some("time".to_owned()),
        ..over(in_schema(schema, "messages"), Ordering::Gaps, "global_position")
    };
    Ok(layout)
}
