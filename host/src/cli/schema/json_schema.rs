//! A JSON Schema, <https://json-schema.org/draft/2020-12>, of payloads as JSON shows them.

use super::names::Names;
use crate::{control::EventShape, vocabulary::Shape};
use serde_json::{Map, Value, json};

/// The schema of an event of `from` that is like one of `kinds`: its type, version and payload.
pub(super) fn document(from: &str, kinds: &[EventShape]) -> String {
    let mut names = Names::default();
    let (mut definitions, mut choices) = (Map::new(), Vec::new());
    for kind in kinds {
        let name = names.new_type(&match kind.schema_version {
            1 => kind.r#type.clone(),
            version => format!("{}V{version}", kind.r#type),
        });
        choices.push(json!({
            "properties": {
                "type": { "const": kind.r#type },
                "schemaVersion": { "const": kind.schema_version },
                "data": { "$ref": format!("#/$defs/{name}") },
            },
            "required": ["type", "data"],
        }));
        definitions.insert(name, of(&kind.payload));
    }
    let events: u64 = kinds.iter().map(|kind| kind.count).sum();
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": format!("What the events of {from} look like, learned from {events} of them."),
        "type": "object",
        "oneOf": choices,
        "$defs": definitions,
    });
    format!("{document:#}\n")
}

fn of(shape: &Shape) -> Value {
    let kinds = [
        (shape.booleans, json!({ "type": "boolean" })),
        (shape.integers * u64::from(shape.floats == 0), json!({ "type": "integer" })),
        (shape.floats, json!({ "type": "number" })),
        (shape.texts, json!({ "type": "string" })),
        (shape.binaries, json!({ "type": "string", "contentEncoding": "base64" })),
        (shape.arrays, array(shape)),
        (shape.objects, object(shape)),
        (shape.nulls, json!({ "type": "null" })),
    ];
    let mut kinds: Vec<Value> = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, kind)| kind).collect();
    if kinds.len() == 1 { kinds.remove(0) } else { json!({ "anyOf": kinds }) }
}

fn array(shape: &Shape) -> Value {
    let mut array = json!({ "type": "array" });
    if let Some(items) = &shape.items {
        array["items"] = of(items);
    }
    array
}

fn object(shape: &Shape) -> Value {
    let mut object = json!({ "type": "object" });
    if let Some(values) = &shape.values {
        object["additionalProperties"] = of(values);
    }
    if !shape.fields.is_empty() {
        object["properties"] = shape.fields.iter().map(|field| (field.name.clone(), of(&field.shape))).collect();
        let always = shape.fields.iter().filter(|field| field.shape.count == shape.objects);
        object["required"] = always.map(|field| field.name.as_str()).collect();
    }
    object
}
