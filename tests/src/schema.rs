//! Whether an answer is what the description of the interface says: as much of JSON Schema 2020-12 as that uses, and stricter in one
//! thing. A field that is not described is an error, unless the schema says that there may be others.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A description of an interface.
pub struct Described(pub Value);

/// The fields of an object that are described; `None` where there may be any.
type Fields = Option<BTreeSet<String>>;

/// What says nothing about a value.
const REMARKS: [&str; 6] = ["description", "title", "default", "format", "examples", "readOnly"];

impl Described {
    /// Checks `value` against `schema`.
    ///
    /// # Errors
    /// Where it differs, and how.
    pub fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let fields = self.matches(schema, value, at)?;
        let (Some(described), Value::Object(found)) = (fields, value) else { return Ok(()) };
        match found.keys().find(|name| !described.contains(*name)) {
            Some(name) => Err(format!("{at}: nothing describes {name}: {value}")),
            None => Ok(()),
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(path) => self.0.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} is not there")),
            None => schema,
        }
    }

    fn matches(&self, schema: &Value, value: &Value, at: &str) -> Result<Fields, String> {
        let Value::Object(rules) = schema else {
            return if schema == &Value::Bool(true) {
                Ok(None)
            } else {
                Err(format!("{at}: nothing may be there: {value}"))
            };
        };
        if !rules.keys().any(|rule| !REMARKS.contains(&rule.as_str())) {
            return Ok(None);
        }
        let mut fields = Some(BTreeSet::new());
        for (rule, by) in rules {
            let more = self.rule(rules, rule, by, value, at)?;
            fields = fields.zip(more).map(|(mut all, more)| {
                all.extend(more);
                all
            });
        }
        Ok(fields)
    }

    /// Checks one rule of a schema, and gives the fields that it describes.
    fn rule(
        &self,
        rules: &Map<String, Value>,
        rule: &str,
        by: &Value,
        value: &Value,
        at: &str,
    ) -> Result<Fields, String> {
        let wrong = |what: &str| Err(format!("{at}: {what} {by}: {value}"));
        let none = Ok(Some(BTreeSet::new()));
        let list = |by: &Value| by.as_array().cloned().unwrap_or_else(|| vec![by.clone()]);
        match (rule, value) {
            (remark, _) if REMARKS.contains(&remark) => none,
            ("$ref", _) => self.matches(self.resolved(&Value::Object(rules.clone())), value, at),
            ("type", _) if list(by).iter().any(|kind| is_of(kind.as_str().unwrap_or_default(), value)) => none,
            ("type", _) => wrong("no"),
            ("const", _) if by == value => none,
            ("const", _) => wrong("not"),
            ("enum", _) if list(by).contains(value) => none,
            ("enum", _) => wrong("none of"),
            ("minimum", Value::Number(number)) if number.as_f64() < by.as_f64() => wrong("less than"),
            ("maximum", Value::Number(number)) if number.as_f64() > by.as_f64() => wrong("more than"),
            ("minItems", Value::Array(found)) if (found.len() as u64) < by.as_u64().unwrap_or(0) => wrong("fewer than"),
            ("maxItems", Value::Array(found)) if (found.len() as u64) > by.as_u64().unwrap_or(0) => wrong("more than"),
            ("minimum" | "maximum" | "minItems" | "maxItems", _) => none,
            // The only one that there is: a pair of numbers.
            ("pattern", Value::String(text)) if by == "^[0-9]+:[0-9]+$" => {
                let parts: Vec<_> = text.split(':').collect();
                let is_pair = parts.len() == 2 && parts.iter().all(|part| part.parse::<u64>().is_ok());
                if is_pair { none } else { wrong("not like") }
            }
            ("pattern", value) if !value.is_string() => none,
            ("required", Value::Object(found)) => {
                match list(by).iter().find(|name| !found.contains_key(name.as_str().unwrap_or_default())) {
                    Some(name) => Err(format!("{at}: lacks {name}: {value}")),
                    None => none,
                }
            }
            ("properties", Value::Object(found)) => {
                let by = by.as_object().expect("properties are an object");
                for (name, schema) in by {
                    if let Some(value) = found.get(name) {
                        self.check(schema, value, &format!("{at}.{name}"))?;
                    }
                }
                Ok(Some(by.keys().cloned().collect()))
            }
            ("additionalProperties", Value::Object(found)) => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, value) in found {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        self.check(by, value, &format!("{at}.{name}"))?;
                    }
                }
                Ok(None)
            }
            ("items", Value::Array(found)) => {
                let before = rules.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (number, value) in found.iter().enumerate().skip(before) {
                    self.check(by, value, &format!("{at}[{number}]"))?;
                }
                none
            }
            ("prefixItems", Value::Array(found)) => {
                for (number, (schema, value)) in list(by).iter().zip(found).enumerate() {
                    self.check(schema, value, &format!("{at}[{number}]"))?;
                }
                none
            }
            ("required" | "properties" | "additionalProperties" | "items" | "prefixItems", _) => none,
            ("allOf", _) => {
                let mut all = Some(BTreeSet::new());
                for schema in list(by) {
                    let more = self.matches(&schema, value, at)?;
                    all = all.zip(more).map(|(all, more)| all.union(&more).cloned().collect());
                }
                Ok(all)
            }
            ("anyOf" | "oneOf", _) => {
                let tried: Vec<_> = list(by)
                    .iter()
                    .map(|schema| (self.check(schema, value, at), self.matches(schema, value, at)))
                    .collect();
                // One that describes every field goes before one that describes some, as where other fields stand beside it.
                let whole = tried.iter().find(|(checked, _)| checked.is_ok());
                let fits: Vec<_> =
                    whole.into_iter().chain(&tried).filter_map(|(_, matched)| matched.as_ref().ok()).collect();
                match fits.first() {
                    Some(fields) => Ok((*fields).clone()),
                    None => Err(format!(
                        "{at}: none of {:?}",
                        tried.iter().filter_map(|(_, tried)| tried.as_ref().err()).collect::<Vec<_>>()
                    )),
                }
            }
            (unknown, _) => panic!("{at}: the rule {unknown} is not known here: {by}"),
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("there is no type {unknown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_described_fits_and_nothing_else() {
        let described = Described(
            json!({ "named": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] } }),
        );
        let schema = json!({
            "allOf": [{ "$ref": "#/named" }],
            "properties": {
                "count": { "type": ["integer", "null"], "minimum": 0 },
                "kind": { "oneOf": [{ "const": "a" }, { "type": "object", "properties": { "b": {} }, "required": ["b"] }] },
                "list": { "type": "array", "items": { "enum": ["x", "y"] } },
            },
        });
        let check = |value: Value| described.check(&schema, &value, "it");
        for fits in [
            json!({ "name": "n" }),
            json!({ "name": "n", "count": null, "kind": "a", "list": [] }),
            json!({ "name": "n", "count": 0, "kind": { "b": 1 }, "list": ["x", "y"] }),
        ] {
            assert_eq!(check(fits), Ok(()));
        }
        for differs in [
            json!({}),
            json!({ "name": 1 }),
            json!({ "name": "n", "count": -1 }),
            json!({ "name": "n", "count": 1.5 }),
            json!({ "name": "n", "kind": "b" }),
            json!({ "name": "n", "kind": { "b": 1, "c": 2 } }),
            json!({ "name": "n", "list": ["z"] }),
            json!({ "name": "n", "more": 1 }),
        ] {
            assert!(check(differs.clone()).is_err(), "{differs}");
        }
    }
}
