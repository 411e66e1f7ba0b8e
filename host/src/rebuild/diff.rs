//! How the rows of two generations differ: what promoting one of them would change.

use super::compare::{Row, each_pair, fields_that_differ, is_same};
use crate::{
    store::{Generation, Store, StoreError},
    vocabulary::work,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How two generations differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiffReport {
    /// The projection.
    pub projection_name: String,
    /// The one generation.
    pub left_generation: u64,
    /// The other.
    pub right_generation: u64,
    /// How many rows there are.
    pub counts: DiffCounts,
    /// Where the rows that were given end, and others follow: a table and a key, as `TABLE/KEY`; absent where these are all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// How many rows differ, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffCounts {
    /// Rows that only the right one has.
    pub added: u64,
    /// Rows that only the left one has.
    pub removed: u64,
    /// Rows that both have, with another document.
    pub changed: u64,
    /// Rows that are the same.
    pub same: u64,
}

impl DiffCounts {
    /// Whether any row differs.
    pub fn differ(self) -> bool {
        self.added + self.removed + self.changed > 0
    }
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowDiff {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// `added`, `removed` or `changed`, from the left to the right.
    pub change: String,
    /// The fields that differ, as paths from the document's root; `.` is the document itself.
    pub fields: Vec<FieldDiff>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldDiff {
    /// Its path.
    pub path: String,
    /// What the left generation has; absent where it has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::compare::given")]
    pub left: Option<Value>,
    /// What the right one has; absent where it has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "super::compare::given")]
    pub right: Option<Value>,
}

/// Which rows that differ are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiffRange<'a> {
    /// Those of this table.
    pub table: Option<&'a str>,
    /// Those behind this row: `TABLE/KEY`.
    pub after: Option<&'a str>,
    /// At most so many; the others are counted.
    pub limit: usize,
}

/// Compares `left` with `right`, and gives the rows that differ to `tell`, until that answers `false`. All rows behind the beginning of the
/// range are counted.
///
/// # Errors
/// When the store cannot be read.
pub fn diff(
    store: &Store,
    left: &Generation,
    right: &Generation,
    range: DiffRange<'_>,
    tell: &mut dyn FnMut(RowDiff) -> bool,
) -> Result<DiffReport, StoreError> {
    let mut report = DiffReport {
        projection_name: left.projection.clone(),
        left_generation: left.number,
        right_generation: right.number,
        counts: DiffCounts::default(),
        next: None,
    };
    let all = store.rebuild(&right.projection, right.number)?.row_digest.map(|recorded| recorded.rows);
    work::begin("comparing", "rows", all);
    let (left_rows, right_rows) = (store.rows(left)?, store.rows(right)?);
    let after = range.after.and_then(|after| after.split_once('/'));
    let (mut told, mut last) = (0, None::<String>);
    each_pair((left, &left_rows), (right, &right_rows), &mut |table, before, now| {
        work::advance(1);
        let key = before.or(now).map_or("", |(key, _)| key.as_str());
        if range.table.is_some_and(|wanted| wanted != table) || after.is_some_and(|after| (table, key) <= after) {
            return Ok(true);
        }
        let Some(change) = change(table, before, now)? else {
            report.counts.same += 1;
            return Ok(true);
        };
        match change {
            "added" => report.counts.added += 1,
            "removed" => report.counts.removed += 1,
            _ => report.counts.changed += 1,
        }
        if told == range.limit {
            report.next = last.take().or(report.next.take());
            return Ok(true);
        }
        told += 1;
        last = Some(format!("{table}/{key}"));
        let document = |row: Option<&Row>| row.map(|(_, document)| document.clone());
        let fields = fields_that_differ(document(before), document(now))
            .into_iter()
            .map(|field| FieldDiff { path: field.field, left: field.expected, right: field.found })
            .collect();
        Ok(tell(RowDiff { table: table.to_owned(), key: key.to_owned(), change: change.to_owned(), fields }))
    })?;
    Ok(report)
}

fn change(table: &str, before: Option<&Row>, now: Option<&Row>) -> Result<Option<&'static str>, StoreError> {
    Ok(match (before, now) {
        (None, _) => Some("added"),
        (_, None) => Some("removed"),
        (Some((key, one)), Some((_, other))) => (!is_same(table, key, one, other)?).then_some("changed"),
    })
}
