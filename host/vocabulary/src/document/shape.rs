//! What documents look like, learned by looking at many of them: which kinds of values there are, which fields, and which of these
//! are always there.

use super::{
    error::DocumentError,
    token::{Key, Token, Tokens},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Fields of one object that are told apart: with more of them, its keys are data.
const FIELDS: usize = 100;

/// Shapes within one shape, at any depth: what is deeper then is not looked into.
const SHAPES: usize = 10_000;

/// Different values that are kept as examples, and characters of a text that is one.
const EXAMPLES: usize = 3;
const EXAMPLE_CHARS: usize = 40;

/// The greatest integer up to which a double holds all: 2^53 - 1.
const DOUBLE: u64 = (1 << 53) - 1;

/// What the values at one place look like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Shape {
    /// How many values there were.
    pub count: u64,
    /// How many of them were nil, and of the other kinds.
    #[serde(skip_serializing_if = "is_none")]
    pub nulls: u64,
    /// Booleans.
    #[serde(skip_serializing_if = "is_none")]
    pub booleans: u64,
    /// Integers.
    #[serde(skip_serializing_if = "is_none")]
    pub integers: u64,
    /// Numbers that are no integers.
    #[serde(skip_serializing_if = "is_none")]
    pub floats: u64,
    /// Texts.
    #[serde(skip_serializing_if = "is_none")]
    pub texts: u64,
    /// Binary values.
    #[serde(skip_serializing_if = "is_none")]
    pub binaries: u64,
    /// Arrays.
    #[serde(skip_serializing_if = "is_none")]
    pub arrays: u64,
    /// Objects.
    #[serde(skip_serializing_if = "is_none")]
    pub objects: u64,
    /// Whether an integer is below zero.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub negative: bool,
    /// Whether an integer is one that a double does not hold exactly, for certain: beyond 2^53 - 1.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beyond_double: bool,
    /// Whether an integer is one that 64 bits with a sign do not hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beyond_signed: bool,
    /// Of objects: their fields, by name. One that is not in all of them is optional.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Of arrays: what is in them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Shape>>,
    /// Of objects whose keys are data, since there are more than 100 of them: what they lead to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Box<Shape>>,
    /// The first different values that are short: at most three.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
}

/// A field of objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub shape: Shape,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Shape {
    /// Takes a document into account.
    ///
    /// # Errors
    /// When it is none.
    pub fn learn(&mut self, document: &[u8]) -> Result<(), DocumentError> {
        let mut room = SHAPES.saturating_sub(self.size());
        self.value(&mut Tokens::new(document), &mut room)
    }

    /// How many shapes are in it.
    fn size(&self) -> usize {
        let within = self.fields.iter().map(|field| field.shape.size()).sum::<usize>();
        1 + within + [&self.items, &self.values].into_iter().flatten().map(|shape| shape.size()).sum::<usize>()
    }

    fn value(&mut self, tokens: &mut Tokens<'_>, room: &mut usize) -> Result<(), DocumentError> {
        self.count += 1;
        match tokens.next()?.token {
            Token::Nil => self.nulls += 1,
            Token::Bool(_) => self.booleans += 1,
            Token::Unsigned(value) => {
                self.integers += 1;
                self.beyond_double |= value > DOUBLE;
                self.beyond_signed |= i64::try_from(value).is_err();
                self.example(json!(value));
            }
            Token::Negative(value) => {
                self.integers += 1;
                self.negative = true;
                self.beyond_double |= value.unsigned_abs() > DOUBLE;
                self.example(json!(value));
            }
            Token::Float(value) => {
                self.floats += 1;
                self.example(json!(value));
            }
            Token::Text(text) => {
                self.texts += 1;
                if text.len() <= EXAMPLE_CHARS {
                    self.example(json!(text));
                }
            }
            Token::Binary(_) => self.binaries += 1,
            Token::Array(length) => {
                self.arrays += 1;
                for _ in 0..length {
                    self.items.get_or_insert_default().value(tokens, room)?;
                }
            }
            Token::Map(length) => {
                self.objects += 1;
                for _ in 0..length {
                    let at = tokens.at();
                    let key = Key::new(tokens.next()?.token, at)?;
                    self.field(key, room).value(tokens, room)?;
                }
            }
        }
        Ok(())
    }

    /// What is under a key.
    fn field(&mut self, key: Key<'_>, room: &mut usize) -> &mut Shape {
        let name = key.json();
        let place = self.fields.binary_search_by(|field| field.name.as_str().cmp(&name));
        if place.is_err() && self.values.is_none() && (self.fields.len() >= FIELDS || *room == 0) {
            let mut values = Shape::default();
            self.fields.drain(..).for_each(|field| values.take_in(field.shape));
            self.values = Some(Box::new(values));
        }
        match (&mut self.values, place) {
            (Some(values), _) => values,
            (None, Ok(at)) => &mut self.fields[at].shape,
            (None, Err(at)) => {
                *room -= 1;
                self.fields.insert(at, Field { name, shape: Shape::default() });
                &mut self.fields[at].shape
            }
        }
    }

    /// Takes into account what another shape has learned.
    fn take_in(&mut self, other: Shape) {
        self.count += other.count;
        self.nulls += other.nulls;
        self.booleans += other.booleans;
        self.integers += other.integers;
        self.floats += other.floats;
        self.texts += other.texts;
        self.binaries += other.binaries;
        self.arrays += other.arrays;
        self.objects += other.objects;
        self.negative |= other.negative;
        self.beyond_double |= other.beyond_double;
        self.beyond_signed |= other.beyond_signed;
        other.examples.into_iter().for_each(|example| self.example(example));
        for (own, its) in [(&mut self.items, other.items), (&mut self.values, other.values)] {
            its.into_iter().for_each(|shape| own.get_or_insert_default().take_in(*shape));
        }
        for field in other.fields {
            match self.fields.binary_search_by(|own| own.name.cmp(&field.name)) {
                Ok(at) => self.fields[at].shape.take_in(field.shape),
                Err(at) => self.fields.insert(at, field),
            }
        }
    }

    fn example(&mut self, value: Value) {
        if self.examples.len() < EXAMPLES && !self.examples.contains(&value) {
            self.examples.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(documents: &[Value]) -> Shape {
        let mut shape = Shape::default();
        for document in documents {
            shape.learn(&crate::from_json(&document.to_string()).unwrap()).unwrap();
        }
        shape
    }

    fn field<'a>(shape: &'a Shape, name: &str) -> &'a Shape {
        &shape.fields.iter().find(|field| field.name == name).unwrap_or_else(|| panic!("{name} of {shape:#?}")).shape
    }

    #[test]
    fn fields_are_told_by_kind_and_by_how_often_they_are_there() {
        let shape = learned(&[
            json!({ "id": "a", "cents": 7, "lines": [{ "sku": "x" }, { "sku": "y", "n": -1 }], "note": null }),
            json!({ "id": "b", "cents": 18_446_744_073_709_551_615_u64, "lines": [], "rate": 1.5 }),
            json!({ "id": "a", "cents": -3, "lines": [] }),
        ]);
        assert_eq!((shape.count, shape.objects), (3, 3));
        assert_eq!(shape.fields.iter().map(|field| field.name.as_str()).collect::<String>(), "centsidlinesnoterate");
        let cents = field(&shape, "cents");
        assert_eq!((cents.integers, cents.negative, cents.beyond_double, cents.beyond_signed), (3, true, true, true));
        assert_eq!(field(&shape, "id").examples, [json!("a"), json!("b")]);
        assert_eq!((field(&shape, "note").nulls, field(&shape, "note").count), (1, 1));
        assert_eq!(field(&shape, "rate").floats, 1);
        let lines = field(&shape, "lines").items.as_deref().unwrap();
        assert_eq!((lines.count, field(lines, "sku").texts, field(lines, "n").count), (2, 2, 1));
        assert_eq!(serde_json::from_value::<Shape>(serde_json::to_value(&shape).unwrap()).unwrap(), shape);
    }

    #[test]
    fn keys_that_are_data_are_no_fields() {
        let documents: Vec<_> = (0..150).map(|n| json!({ "stock": { (format!("sku-{n}")): n } })).collect();
        let shape = learned(&documents);
        let stock = field(&shape, "stock");
        assert!(stock.fields.is_empty());
        let values = stock.values.as_deref().unwrap();
        assert_eq!((values.integers, values.beyond_double, values.examples.len()), (150, false, EXAMPLES));
    }

    /// Objects within objects, each with keys of its own: what is kept has a bound.
    #[test]
    fn there_is_a_bound_on_what_is_kept() {
        let mut shape = Shape::default();
        for n in 0..2_000_u32 {
            let path = |level: u32| format!("{level}-{}", (n / 40_u32.pow(level)) % 40);
            let document = json!({ (path(0)): { (path(1)): { (path(2)): { (path(0)): n } } } });
            shape.learn(&crate::from_json(&document.to_string()).unwrap()).unwrap();
        }
        assert!(shape.size() <= SHAPES * 2, "{}", shape.size());
        assert_eq!(shape.count, 2_000);
    }
}
