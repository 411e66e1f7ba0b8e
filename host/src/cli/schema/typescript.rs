//! Types of TypeScript. Values are those that a handler is given: an integer that a number does not hold is a `bigint`, and binary a
//! `Uint8Array`.

use super::names::Names;
use crate::{control::EventShape, vocabulary::Shape};
use std::{collections::BTreeMap, fmt::Write};

/// Declarations for `kinds`, which are events of `from`.
pub(super) fn types(from: &str, kinds: &[EventShape]) -> String {
    let events: u64 = kinds.iter().map(|kind| kind.count).sum();
    let mut text = format!("// What the events of {} look like, learned from {events} of them.\n", from.escape_debug());
    let (mut names, mut by_type) = (Names::default(), BTreeMap::<&str, Vec<String>>::new());
    for kind in kinds {
        let name = names.new_type(&match kind.schema_version {
            1 => kind.r#type.clone(),
            version => format!("{}V{version}", kind.r#type),
        });
        let shape = &kind.payload;
        let _ = match shape.fields.is_empty() || shape.objects < shape.count {
            true => writeln!(text, "\nexport type {name} = {};", of(shape, 0)),
            false => writeln!(text, "\nexport interface {name} {}", object(shape, 0)),
        };
        by_type.entry(&kind.r#type).or_default().push(name);
    }
    text += "\n/** What is in the events of each type. */\nexport interface Events {\n";
    for (kind, names) in by_type {
        let _ = writeln!(text, "  {}: {};", key(kind), names.join(" | "));
    }
    text + "}\n"
}

/// The type of values like these, which stands in a line that is indented `level` times.
fn of(shape: &Shape, level: usize) -> String {
    let mut kinds = Vec::new();
    let mut also = |there: u64, kind: String| {
        if there > 0 && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    also(shape.booleans, "boolean".to_owned());
    also(shape.integers + shape.floats, "number".to_owned());
    also(u64::from(shape.beyond_double), "bigint".to_owned());
    also(shape.texts, "string".to_owned());
    also(shape.binaries, "Uint8Array".to_owned());
    let items =
        |items: &Option<Box<Shape>>| items.as_ref().map_or_else(|| "unknown".to_owned(), |items| of(items, level));
    if shape.arrays > 0 {
        also(1, format!("Array<{}>", items(&shape.items)));
    }
    if shape.objects > 0 {
        also(
            1,
            match (&shape.values, shape.fields.is_empty()) {
                (Some(_), _) | (None, true) => format!("Record<string, {}>", items(&shape.values)),
                (None, false) => object(shape, level),
            },
        );
    }
    also(shape.nulls, "null".to_owned());
    if kinds.is_empty() { "unknown".to_owned() } else { kinds.join(" | ") }
}

fn object(shape: &Shape, level: usize) -> String {
    let (inner, outer) = ("  ".repeat(level + 1), "  ".repeat(level));
    let fields = shape.fields.iter().map(|field| {
        let optional = if field.shape.count < shape.objects { "?" } else { "" };
        format!("{inner}{}{optional}: {};\n", key(&field.name), of(&field.shape, level + 1))
    });
    format!("{{\n{}{outer}}}", fields.collect::<String>())
}

/// A name as a key: quoted where it is no identifier.
fn key(name: &str) -> String {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    match first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
        true => name.to_owned(),
        false => serde_json::Value::from(name).to_string(),
    }
}
