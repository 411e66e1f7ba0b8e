//! Any table, or any query in `unspool.toml`, whose columns are named by options.

use super::over;
use crate::{
    SourceError,
    postgres::{
        layout::{Layout, Ordering, identifier},
        session::Session,
        settings::Settings,
    },
    unit::Unit,
};

/// The layout of such a store.
pub(super) fn generic(settings: &Settings, _: &mut Session) -> Result<Layout, SourceError> {
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
