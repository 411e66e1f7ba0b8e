//! Where a store keeps its events, as SQL: what the queries are made from.

use crate::{
    source::SourceError,
    vocabulary::{Matcher, Position},
};
use postgres::types::Type;
use postgres_protocol::escape::{escape_identifier, escape_literal};

/// How positions become safe to read behind: a sequence number is taken before its transaction commits, so that a reader
/// who has seen 10 may see 9 later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// Writers take turns: whoever commits later has a greater position.
    Serialised,
    /// The position begins with the transaction that wrote the event: everything below the oldest open transaction is
    /// settled.
    Transaction,
    /// Positions are taken in any order: nothing above a hole is settled that an open transaction may still fill.
    Gaps,
}

/// A store's columns as SQL expressions over `from`.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The table, join or query behind FROM.
    pub(super) from: String,
    /// The table whose rows writers insert; names the store in messages, and its sequence is looked at.
    pub(super) table: String,
    pub(super) ordering: Ordering,
    /// The position, or its second part.
    pub(super) position: String,
    /// The position's column in `table` itself.
    pub(super) number: String,
    /// The transaction that comes first in the position, an `xid8`; for [`Ordering::Transaction`].
    pub(super) transaction: Option<String>,
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) kind: String,
    pub(super) data: String,
    pub(super) metadata: Option<String>,
    pub(super) time: Option<String>,
    /// A path into the payload where the time stands as text, where no column has it.
    pub(super) time_in_data: Option<&'static [&'static str]>,
    pub(super) schema_version: Option<String>,
    /// Which rows are events that the store itself would give; positions of the others are no holes.
    pub(super) only: Option<String>,
    /// The channel on which the store tells of new events.
    pub(super) channel: Option<String>,
}

impl Layout {
    /// The columns that are read, in the order in which [`super::rows`] takes them.
    fn columns(&self) -> Vec<(&'static str, String)> {
        let or_null = |expression: &Option<String>| expression.clone().unwrap_or_else(|| "NULL::text".to_owned());
        vec![
            ("position", self.position.clone()),
            ("transaction", or_null(&self.transaction)),
            ("id", self.id.clone()),
            ("stream", self.stream.clone()),
            ("type", self.kind.clone()),
            ("data", self.data.clone()),
            ("metadata", or_null(&self.metadata)),
            ("time", or_null(&self.time)),
            ("schema version", or_null(&self.schema_version)),
        ]
    }

    /// A query whose columns have the types that the store gives them, and no row.
    pub(super) fn probe(&self) -> String {
        format!("SELECT {} FROM {} LIMIT 0", list(self.columns().into_iter().map(|(_, column)| column)), self.from)
    }

    /// The columns as they are read, where the store gives them `types`: names as text, documents as text or bytes.
    pub(super) fn selected(&self, types: &[Type]) -> Result<String, SourceError> {
        let mut selected = Vec::new();
        for ((name, column), kind) in self.columns().into_iter().zip(types) {
            let wrong = |wanted: &str| {
                SourceError::permanent(format!(
                    "{}: the column for the {name} ({column}) is of type {kind}; it must be {wanted}",
                    self.table
                ))
            };
            selected.push(match (name, kind) {
                ("position", &Type::INT2 | &Type::INT4 | &Type::INT8) => format!("({column})::int8"),
                ("position", _) => return Err(wrong("an integer: smallint, integer or bigint")),
                ("transaction", kind) if self.transaction.is_none() || kind.name() == "xid8" => column,
                ("transaction", _) => return Err(wrong("xid8, as pg_current_xact_id() gives it")),
                ("id" | "stream" | "type" | "schema version", _) => format!("({column})::text"),
                ("data" | "metadata", &Type::JSON | &Type::JSONB) => format!("({column})::text"),
                ("data" | "metadata", &Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::BYTEA) => column,
                // Large objects, as old Hibernate keeps them.
                ("data" | "metadata", &Type::OID) => format!("lo_get({column})"),
                ("data" | "metadata", _) => return Err(wrong("json, jsonb, text or bytea")),
                ("time", &Type::TIMESTAMP | &Type::TIMESTAMPTZ | &Type::INT8 | &Type::TEXT | &Type::VARCHAR) => column,
                ("time", _) => {
                    return Err(wrong(
                        "timestamp, timestamptz, text as RFC 3339, or bigint as milliseconds since 1970",
                    ));
                }
                _ => column,
            });
        }
        // Names of their own: ORDER BY would take a result for the column of the same name, and may find two.
        let named = selected.iter().enumerate().map(|(index, column)| format!("{column} AS unspool_{index}"));
        Ok(list(named))
    }

    /// The events of the layout with `after < position <= through`, as a condition.
    pub(super) fn within(&self, after: Position, through: Position) -> String {
        let mut within = match &self.transaction {
            None => format!("{0} > {1} AND {0} <= {2}", self.position, number(after), number(through)),
            Some(_) => {
                let place = format!("({})", self.place());
                format!("{place} > {} AND {place} <= {}", pair(after), pair(through))
            }
        };
        if let Some(only) = &self.only {
            within.push_str(&format!(" AND {only}"));
        }
        within
    }

    /// The place of an event, as columns that sort.
    pub(super) fn place(&self) -> String {
        list(self.transaction.iter().cloned().chain([self.position.clone()]))
    }

    /// The same, from the last to the first.
    pub(super) fn place_descending(&self) -> String {
        list(self.transaction.iter().cloned().chain([self.position.clone()]).map(|column| format!("{column} DESC")))
    }
}

/// A condition that holds for the types that match.
pub(super) fn of_types(layout: &Layout, matcher: &Matcher) -> String {
    match matcher {
        Matcher::All => String::new(),
        Matcher::Types(types) if types.is_empty() => " AND false".to_owned(),
        Matcher::Types(types) => {
            let mut types: Vec<_> = types.iter().map(|kind| escape_literal(kind)).collect();
            types.sort_unstable();
            format!(" AND {} IN ({})", layout.kind, types.join(", "))
        }
    }
}

/// A position that only counts. A pair is none of it: it stands behind every event.
fn number(position: Position) -> i64 {
    if position.major == 0 { i64::try_from(position.minor).unwrap_or(i64::MAX) } else { i64::MAX }
}

fn pair(position: Position) -> String {
    let minor = i64::try_from(position.minor).unwrap_or(i64::MAX);
    format!("('{}'::xid8, {minor})", position.major)
}

fn list(columns: impl Iterator<Item = String>) -> String {
    columns.collect::<Vec<_>>().join(", ")
}

/// `name` as an SQL identifier; one with a dot is a name in a schema.
pub(super) fn identifier(name: &str) -> String {
    name.split('.').map(escape_identifier).collect::<Vec<_>>().join(".")
}
