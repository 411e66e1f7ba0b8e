//! Where a store keeps its events, as SQL: what the queries are made from.

use super::{kind::Kind, session::Row, settings::Settings};
use crate::{SourceError, unit::Unit};
use postgres::types::Type;
use postgres_protocol::escape::{escape_identifier, escape_literal};
use unspool_vocabulary::{Matcher, Numbers, Position};

/// How it becomes safe to read after a position: a sequence number is taken before its transaction commits, so that a reader
/// who has seen 10 may see 9 later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// Writers take turns: whoever commits later has a greater position.
    Serialised,
    /// The position begins with the transaction that wrote the event: everything below the oldest open transaction is
    /// stable.
    Transaction,
    /// Positions are taken in any order: nothing above a hole is stable that an open transaction may still fill.
    Gaps,
}

/// What becomes of a payload that is a text which holds a JSON object or array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nested {
    /// The payload is what the text holds.
    Read,
    /// The payload is the text.
    Keep,
    /// Not given.
    Refuse,
}

/// A store's columns as SQL expressions over `from`, and how their values are read.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The table, join or query behind FROM.
    pub(super) from: String,
    /// The table whose rows writers insert; names the store in messages, and is looked up in the catalogs.
    pub(super) table: String,
    /// What the end of the history is looked for in, and where its number stands there.
    pub(super) end: String,
    pub(super) number: String,
    pub(super) ordering: Ordering,
    /// Whether a number that follows another without a hole is the next one that was given out; not where a query makes
    /// the numbers.
    pub(super) counted: bool,
    /// Whether `from` is the operator's query.
    pub(super) is_query: bool,
    /// The position, or its second part.
    pub(super) position: String,
    /// What is added to the store's numbers: positions begin at 1.
    pub(super) shift: i64,
    /// The transaction that comes first in the position, an `xid8`; for [`Ordering::Transaction`].
    pub(super) transaction: Option<String>,
    pub(super) id: String,
    pub(super) stream: String,
    pub(super) kind: String,
    /// The type as it is compared, once the column's own type is known.
    pub(super) compared_kind: String,
    pub(super) data: String,
    pub(super) metadata: Option<String>,
    pub(super) time: Option<String>,
    /// What the time counts, where it is a number and the unit is given.
    pub(super) unit: Option<Unit>,
    /// The field of the payload where the time stands, where no column has it.
    pub(super) time_in_data: Option<&'static str>,
    pub(super) schema_version: Option<String>,
    /// Which rows of `from` stand in the order of `position` at all, where not all of them do.
    pub(super) ordered: Option<String>,
    /// Which rows are events that the store itself would give; positions of the others are no holes.
    pub(super) only: Option<String>,
    /// What `only` leaves out: a name, and a condition over `from`.
    pub(super) left_out: Vec<(&'static str, String)>,
    /// The channel on which the store announces new events.
    pub(super) channel: Option<String>,
    pub(super) nested: Nested,
    pub(super) numbers: Numbers,
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

    /// The columns as SQL, for what looks at their types.
    pub(super) fn expressions(&self) -> Vec<String> {
        self.columns().into_iter().map(|(_, column)| column).collect()
    }

    /// The columns as they are read, where the store gives them `kinds`: names as text, documents as text or bytes.
    pub(super) fn selected(&self, settings: &Settings, kinds: &[Kind]) -> Result<String, SourceError> {
        let mut selected = Vec::new();
        for ((name, column), kind) in self.columns().into_iter().zip(kinds) {
            let wrong = |wanted: &str| {
                SourceError::permanent(format!(
                    "{}: {}: the column for the {name} ({column}) is of type {kind}; it must be {wanted}",
                    settings.name, self.table
                ))
            };
            selected.push(match (name, &kind.base) {
                ("position", &(Type::INT2 | Type::INT4 | Type::INT8 | Type::NUMERIC)) => {
                    let whole = match kind.base {
                        Type::NUMERIC => format!("CASE WHEN trunc({column}) = {column} THEN ({column})::int8 END"),
                        _ => format!("({column})::int8"),
                    };
                    if self.shift == 0 { whole } else { format!("({whole}) + {}", self.shift) }
                }
                ("position", _) => return Err(wrong("an integer: smallint, integer, bigint or numeric")),
                ("transaction", _) if self.transaction.is_none() || kind.name == "xid8" => column,
                ("transaction", _) => return Err(wrong("xid8, as pg_current_xact_id() gives it")),
                ("id" | "stream" | "type" | "schema version", _) => format!("({column})::text"),
                ("data" | "metadata", &(Type::JSON | Type::JSONB)) => format!("({column})::text"),
                ("data" | "metadata", &(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::BYTEA)) => column,
                // Large objects, as old Hibernate keeps them.
                ("data" | "metadata", &Type::OID) => format!("lo_get({column})"),
                ("data" | "metadata", _) => return Err(wrong("json, jsonb, text or bytea")),
                ("time", &(Type::TIMESTAMP | Type::TIMESTAMPTZ)) => column,
                ("time", &Type::DATE) => format!("({column})::timestamp"),
                ("time", _) if self.time.is_none() || kind.is_text() => format!("({column})::text"),
                ("time", &(Type::INT2 | Type::INT4 | Type::INT8)) => format!("({column})::text"),
                ("time", &(Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8)) if self.unit.is_some() => {
                    format!("({column})::text")
                }
                ("time", &(Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8)) => {
                    return Err(wrong("named with what it counts: time=COLUMN:s, or :ms, :us, :ns"));
                }
                ("time", _) => {
                    return Err(wrong(
                        "timestamp, timestamptz, date, text as RFC 3339, or a number that counts from 1970",
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
        let only = self.only.as_ref().map_or(String::new(), |only| format!(" AND {only}"));
        self.range(after, through) + &only
    }

    /// All that stands there, also what is left out.
    fn range(&self, after: Position, through: Position) -> String {
        let within = match &self.transaction {
            // Nothing stands before the start: a position that is none comes along, and is named.
            None if after == Position::START => format!("{} <= {}", self.position, self.stored(through)),
            None => format!("{0} > {1} AND {0} <= {2}", self.position, self.stored(after), self.stored(through)),
            Some(_) => {
                let place = format!("({})", self.place());
                format!("{place} > {} AND {place} <= {} AND {} IS NOT NULL", pair(after), pair(through), self.position)
            }
        };
        let ordered = self.ordered.as_ref().map_or(String::new(), |ordered| format!(" AND {ordered}"));
        within + &ordered
    }

    /// A query that counts what is left out there: a column for each of `left_out`, each row counted once.
    pub(super) fn count_left_out(&self, after: Position, through: Position) -> String {
        let mut before = String::new();
        let counts = self.left_out.iter().map(|(_, condition)| {
            let count = format!("count(*) FILTER (WHERE {before}({condition}))");
            before.push_str(&format!("({condition}) IS NOT TRUE AND "));
            count
        });
        format!("SELECT {} FROM {} WHERE {}", list(counts), self.from, self.range(after, through))
    }

    /// A query that counts the events that have no position, and so stand nowhere.
    pub(super) fn count_unnumbered(&self) -> String {
        let conditions = self.ordered.iter().chain(&self.only).map(|condition| format!(" AND {condition}"));
        format!("SELECT count(*) FROM {} WHERE {} IS NULL{}", self.from, self.position, conditions.collect::<String>())
    }

    /// The position whose transaction and number, as texts, are the first two columns of `row`.
    pub(super) fn position_in(&self, settings: &Settings, row: &Row) -> Result<Position, SourceError> {
        let minor = self.number_in(settings, row, 1)?;
        Ok(Position { major: row.number(0), minor: minor.try_into().unwrap_or(0) })
    }

    /// The number in a column of `row`, as text, shifted. One that is not whole is never rounded: it would be another event's,
    /// or that of none.
    pub(super) fn number_in(&self, settings: &Settings, row: &Row, column: usize) -> Result<i64, SourceError> {
        let text = row.text(column).unwrap_or_default();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = whole.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'));
        whole.and_then(|number: i64| number.checked_add(self.shift)).ok_or_else(|| {
            SourceError::permanent(format!(
                "{}: {}: the position {text} is no whole number of 64 bits; a query in unspool.toml can number the events",
                settings.name, self.table
            ))
        })
    }

    /// A position as the store's own number. A pair has none: it is after every event.
    pub(super) fn stored(&self, position: Position) -> i64 {
        let number = if position.major == 0 { i64::try_from(position.minor).unwrap_or(i64::MAX) } else { i64::MAX };
        if number == i64::MAX { number } else { number.saturating_sub(self.shift) }
    }

    /// The row at exactly `position`, as a condition.
    pub(super) fn standing_at(&self, position: Position) -> String {
        let mut at = match &self.transaction {
            None => format!("{} = {}", self.position, self.stored(position)),
            Some(transaction) => {
                let minor = i64::try_from(position.minor).unwrap_or(i64::MAX);
                format!("{transaction} = '{}'::xid8 AND {} = {minor}", position.major, self.position)
            }
        };
        if let Some(ordered) = &self.ordered {
            at.push_str(&format!(" AND {ordered}"));
        }
        at
    }

    /// The position of an event, as columns that sort.
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
            format!(" AND {} IN ({})", layout.compared_kind, types.join(", "))
        }
    }
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
