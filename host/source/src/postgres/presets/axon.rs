//! Axon: `AbstractEventEntry` of version 4, whose column names follow Hibernate's naming; `version=5` for
//! `AggregateEventEntry`.

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
pub(super) fn axon(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
