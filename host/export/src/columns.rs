//! The columns of a table, as all its rows together decide.

use super::ExportError;
use ahash::{AHashMap, AHashSet};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use unspool_vocabulary::limits;

/// The column of the rows' keys, which is always there and always the first.
pub(super) const KEY: &str = "key";

/// The column of documents that are no objects.
const VALUE: &str = "value";

/// One column, beside that of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What it is called: the field's name, unless that would clash.
    pub name: String,
    /// The top-level field that it holds; `None` for the column that holds documents that are no objects.
    pub field: Option<String>,
    /// What its values are.
    pub kind: Kind,
}

/// What the values of a column are, nulls and missing ones aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Booleans, all of them.
    Boolean,
    /// Integers from -2^63 to 2^63 - 1, all of them.
    Int64,
    /// Floats, and integers among them only where a double holds each of these exactly.
    Double,
    /// Texts, all of them; also where nothing is there.
    Text,
    /// Anything else, as JSON text: arrays, objects, mixtures (a text then stands in quotes), and integers above 2^63 - 1.
    Json,
}

/// The documents of one table have more top-level fields than a table can have columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its documents have more than {} different fields, too many for columns; export it as ndjson",
    limits::EXPORT_COLUMNS
)]
pub struct TooManyColumns;

/// Looks at the documents of a table, one after the other, and says then which columns hold them.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of first appearance.
    fields: Vec<(String, Seen)>,
    places: AHashMap<String, usize>,
    /// Documents that are no objects.
    whole: Option<Seen>,
}

/// Which values have been seen in a column.
#[derive(Debug, Default)]
struct Seen {
    booleans: bool,
    integers: bool,
    /// Integers above 2^63 - 1.
    unsigned: bool,
    /// Integers that no double holds exactly.
    inexact: bool,
    floats: bool,
    texts: bool,
    nested: bool,
}

impl Survey {
    /// Takes one document into account.
    ///
    /// # Errors
    /// When there are more than [`limits::EXPORT_COLUMNS`] fields by now.
    pub fn add(&mut self, document: &Value) -> Result<(), TooManyColumns> {
        let Value::Object(fields) = document else {
            self.whole.get_or_insert_default().add(document);
            return Ok(());
        };
        for (name, value) in fields {
            let place = match self.places.get(name) {
                Some(&place) => place,
                None if self.fields.len() == limits::EXPORT_COLUMNS => return Err(TooManyColumns),
                None => {
                    self.places.insert(name.clone(), self.fields.len());
                    self.fields.push((name.clone(), Seen::default()));
                    self.fields.len() - 1
                }
            };
            self.fields[place].1.add(value);
        }
        Ok(())
    }

    /// The columns that hold every document that was added.
    pub fn columns(self) -> Vec<Column> {
        let taken: AHashSet<String> = self.places.into_keys().collect();
        let free = |name: &str| (1..).map(|n: u64| format!("{name}_{n}")).find(|name| !taken.contains(name));
        let mut columns = Vec::with_capacity(self.fields.len() + 1);
        if let Some(seen) = self.whole {
            let name = if taken.contains(VALUE) { free(VALUE) } else { None };
            columns.push(Column { name: name.unwrap_or_else(|| VALUE.to_owned()), field: None, kind: seen.kind() });
        }
        columns.extend(self.fields.into_iter().map(|(field, seen)| {
            let name = if field == KEY { free(KEY) } else { None };
            Column { name: name.unwrap_or_else(|| field.clone()), field: Some(field), kind: seen.kind() }
        }));
        columns
    }
}

impl Seen {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.booleans = true,
            Value::Number(number) if number.is_f64() => self.floats = true,
            Value::Number(number) => {
                self.integers = true;
                self.unsigned |= !number.is_i64();
                self.inexact |= double(number).is_none();
            }
            Value::String(_) => self.texts = true,
            Value::Array(_) | Value::Object(_) => self.nested = true,
        }
    }

    fn kind(&self) -> Kind {
        let numbers = self.integers || self.floats;
        match (self.booleans, numbers, self.texts, self.nested) {
            (false, false, _, false) => Kind::Text,
            (true, false, false, false) => Kind::Boolean,
            (false, true, false, false) if !self.floats && !self.unsigned => Kind::Int64,
            (false, true, false, false) if self.floats && !self.inexact => Kind::Double,
            _ => Kind::Json,
        }
    }
}

/// The number as a double, where that is exactly what it is.
pub(super) fn double(number: &Number) -> Option<f64> {
    let double = number.as_f64()?;
    (number.is_f64() || number.as_i128() == Some(double as i128)).then_some(double)
}

/// The values of a row, one for each column; nulls as missing.
pub(super) fn cells<'a>(
    columns: &[Column],
    key: &str,
    document: &'a Value,
) -> Result<Vec<Option<&'a Value>>, ExportError> {
    let of = |column: &Column| match (&column.field, document) {
        (Some(field), Value::Object(fields)) => fields.get(field),
        (None, Value::Object(_)) | (Some(_), _) => None,
        (None, whole) => Some(whole),
    };
    let cells: Vec<_> = columns.iter().map(of).collect();
    let expected = document.as_object().map_or(1, serde_json::Map::len);
    if cells.iter().flatten().count() != expected {
        return Err(ExportError::NotSurveyed { key: key.to_owned(), what: "field".to_owned() });
    }
    Ok(cells.into_iter().map(|cell| cell.filter(|value| !value.is_null())).collect())
}
