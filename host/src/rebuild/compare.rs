//! Compares two generations row by row.

use crate::{
    store::{Generation, RowSnapshot, Store, StoreError},
    vocabulary::{Scan, canonical, to_json, work},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Differing rows that are shown.
const SHOWN: usize = 10;

/// How the rows of one generation differ from those that history gives.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Rows that were compared: all there are in either.
    pub rows: u64,
    /// Rows that history gives and the generation lacks.
    pub missing: u64,
    /// Rows that the generation has and history does not give.
    pub extra: u64,
    /// Rows that both have, with another document.
    pub different: u64,
    /// The first of them.
    pub first: Vec<RowDifference>,
}

/// One row that differs.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowDifference {
    /// Its table.
    pub table: String,
    /// Its key.
    pub key: String,
    /// `missing`, `extra` or `different`.
    pub what: String,
    /// The fields that differ, as paths from the document's root; `.` is the document itself.
    pub fields: Vec<FieldDifference>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize, JsonSchema)]
pub struct FieldDifference {
    /// Its path.
    pub field: String,
    /// What history gives; absent where it gives no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub expected: Option<Value>,
    /// What the generation has; absent where it has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub found: Option<Value>,
}

/// A field that is there, whatever it holds: null too.
pub(super) fn given<'de, D: serde::Deserializer<'de>>(field: D) -> Result<Option<Value>, D::Error> {
    serde::Deserialize::deserialize(field).map(Some)
}

impl Comparison {
    /// Whether there is any difference.
    pub fn differs(&self) -> bool {
        self.missing + self.extra + self.different > 0
    }
}

/// Compares `found` with `expected`. Both are read as they are now, while others read and write.
pub(super) fn compare(store: &Store, expected: &Generation, found: &Generation) -> Result<Comparison, StoreError> {
    let found_rows = store.rows(found)?;
    compare_with(store, expected, found, &found_rows)
}

/// Compares the rows of `found`, as they were when `found_rows` was taken, with `expected`.
pub(super) fn compare_with(
    store: &Store,
    expected: &Generation,
    found: &Generation,
    found_rows: &RowSnapshot,
) -> Result<Comparison, StoreError> {
    let rows = store.rebuild(&found.projection, found.number)?.row_digest.map(|recorded| recorded.rows);
    work::begin("comparing", "rows", rows);
    let mut comparison = Comparison::default();
    let expected_rows = store.rows(expected)?;
    each_pair((expected, &expected_rows), (found, found_rows), &mut |table, expected, found| {
        comparison.row(table, expected, found).map(|()| true)
    })?;
    Ok(comparison)
}

/// Gives `visit` each row of two generations, with its table and as either has it, until that answers `false`.
pub(crate) fn each_pair(
    (one, one_rows): (&Generation, &RowSnapshot),
    (other, other_rows): (&Generation, &RowSnapshot),
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let tables: BTreeSet<&String> = one.tables.iter().chain(&other.tables).collect();
    for table in tables {
        let mut one = Rows::new(one_rows, one.tables.iter().position(|name| name == table));
        let mut other = Rows::new(other_rows, other.tables.iter().position(|name| name == table));
        let (mut this, mut that) = (one.next()?, other.next()?);
        while this.is_some() || that.is_some() {
            let order = match (&this, &that) {
                (Some((this, _)), Some((that, _))) => this.cmp(that),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, _) => std::cmp::Ordering::Greater,
            };
            if !visit(table, this.as_ref().filter(|_| order.is_le()), that.as_ref().filter(|_| order.is_ge()))? {
                return Ok(());
            }
            if order.is_le() {
                this = one.next()?;
            }
            if order.is_ge() {
                that = other.next()?;
            }
        }
    }
    Ok(())
}

/// Takes a table's name and a row as either of two generations has it; `false` when it wants no more.
type Visit<'a> = dyn FnMut(&str, Option<&Row>, Option<&Row>) -> Result<bool, StoreError> + 'a;

/// A row's key and its document.
pub(crate) type Row = (String, Bytes);

impl Comparison {
    fn row(&mut self, table: &str, expected: Option<&Row>, found: Option<&Row>) -> Result<(), StoreError> {
        self.rows += 1;
        work::advance(1);
        let what = match (expected, found) {
            (Some(_), None) => {
                self.missing += 1;
                "missing"
            }
            (None, Some(_)) => {
                self.extra += 1;
                "extra"
            }
            (Some((key, one)), Some((_, other))) => {
                if is_same(table, key, one, other)? {
                    return Ok(());
                }
                self.different += 1;
                "different"
            }
            (None, None) => return Ok(()),
        };
        if self.first.len() < SHOWN {
            let key = expected.or(found).map(|(key, _)| key.clone()).unwrap_or_default();
            let document = |row: Option<&Row>| row.map(|(_, document)| document.clone());
            let fields = fields_that_differ(document(expected), document(found));
            self.first.push(RowDifference { table: table.to_owned(), key, what: what.to_owned(), fields });
        }
        Ok(())
    }
}

/// Documents are equal when their canonical forms are: the order of a map's fields means nothing.
pub(crate) fn is_same(table: &str, key: &str, one: &[u8], other: &[u8]) -> Result<bool, StoreError> {
    Ok(one == other || meaning(table, key, one)? == meaning(table, key, other)?)
}

fn meaning(table: &str, key: &str, document: &[u8]) -> Result<Vec<u8>, StoreError> {
    let damaged = |e| crate::disk::DiskError::Damaged(format!("the store is damaged: {table} row {key}: {e}"));
    Ok(canonical(document).map_err(damaged)?)
}

/// The fields in which two documents differ; an absent one differs as a whole.
pub(super) fn fields_that_differ(expected: Option<Bytes>, found: Option<Bytes>) -> Vec<FieldDifference> {
    let shown = |document: Option<Bytes>| document.map(|document| to_json(&document).unwrap_or(Value::Null));
    let mut fields = Vec::new();
    differences(String::new(), shown(expected), shown(found), &mut fields);
    fields
}

/// Lists the fields that differ, as paths.
fn differences(path: String, expected: Option<Value>, found: Option<Value>, list: &mut Vec<FieldDifference>) {
    if expected == found {
        return;
    }
    match (expected, found) {
        (Some(Value::Object(mut expected)), Some(Value::Object(mut found))) => {
            let names: BTreeSet<String> = expected.keys().chain(found.keys()).cloned().collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                differences(path, expected.swap_remove(&name), found.swap_remove(&name), list);
            }
        }
        (expected, found) => {
            let field = if path.is_empty() { ".".to_owned() } else { path };
            list.push(FieldDifference { field, expected, found });
        }
    }
}

/// The rows of one table in key order, a page at a time.
struct Rows<'a> {
    snapshot: &'a RowSnapshot,
    table: Option<usize>,
    page: std::vec::IntoIter<Row>,
    after: Option<String>,
}

impl<'a> Rows<'a> {
    fn new(snapshot: &'a RowSnapshot, table: Option<usize>) -> Rows<'a> {
        Rows { snapshot, table, page: Vec::new().into_iter(), after: None }
    }

    fn next(&mut self) -> Result<Option<Row>, StoreError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        let Some(table) = self.table else { return Ok(None) };
        let page = self.snapshot.scan(table, Scan::page(self.after.as_deref()))?;
        match page.last() {
            Some((last, _)) => self.after = Some(last.clone()),
            None => self.table = None,
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_that_differ_are_named_by_their_paths() {
        let (mut list, one) = (Vec::new(), json!({ "a": 1, "b": { "c": 2, "d": 3 }, "e": [1, 2] }));
        let other = json!({ "a": 1, "b": { "c": 4 }, "e": [1], "f": null });
        differences(String::new(), Some(one), Some(other), &mut list);
        let shown: Vec<_> = list.iter().map(|d| (d.field.as_str(), d.expected.clone(), d.found.clone())).collect();
        let expected = [
            ("b.c", Some(json!(2)), Some(json!(4))),
            ("b.d", Some(json!(3)), None),
            ("e", Some(json!([1, 2])), Some(json!([1]))),
            ("f", None, Some(Value::Null)),
        ];
        assert_eq!(shown, expected);
    }
}
