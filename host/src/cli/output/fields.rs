//! An answer for people: one line for each field, and what is within it below.

use super::{
    table::Cell,
    values::{Values, label},
};
use serde_json::{Map, Value};
use unicode_width::UnicodeWidthStr;

/// The indentation of what is within a field.
const INDENT: &str = "  ";

/// A line: the name of a field, with spaces up to its value, and the value.
pub type Line = (String, Cell);

/// The lines of an answer.
pub fn lines(fields: &Map<String, Value>, values: Values) -> Vec<Line> {
    let mut lines = Vec::new();
    add(fields, "", values, &mut lines);
    lines
}

fn add(all: &Map<String, Value>, indent: &str, values: Values, lines: &mut Vec<Line>) {
    let fields = || all.iter().filter(|(name, value)| values.wide || !is_said_elsewhere(all, name, value));
    let width = fields().map(|(name, _)| label(name).width()).max().unwrap_or(0);
    for (name, value) in fields() {
        let within = format!("{indent}{INDENT}");
        match value {
            // Its names are those of others.
            Value::Object(counts) if name == "eventTypes" && !counts.is_empty() => {
                lines.push((format!("{indent}{}", label(name)), Cell::new("")));
                let width = counts.keys().map(|kind| kind.width()).max().unwrap_or(0);
                let count =
                    |count: &Value| count.as_u64().map_or_else(|| count.to_string(), |count| values.count(count));
                lines.extend(
                    counts
                        .iter()
                        .map(|(kind, of_it)| (format!("{within}{}  ", padded(kind, width)), Cell::new(&count(of_it)))),
                );
            }
            Value::Object(inner) if !Values::is_data(name) && !inner.is_empty() => {
                lines.push((format!("{indent}{}", label(name)), Cell::new("")));
                add(inner, &within, values, lines);
            }
            Value::Array(items) if !Values::is_data(name) && items.iter().any(|item| item.is_object()) => {
                lines.push((format!("{indent}{}", label(name)), Cell::new("")));
                lines.extend(items.iter().map(|item| (within.clone(), Cell::new(&values.field(name, item)))));
            }
            value => lines.push((format!("{indent}{}  ", padded(&label(name), width)), cell(all, name, value, values))),
        }
    }
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{:1$}", "", width.saturating_sub(text.width()))
}

/// Whether it is said elsewhere: by the status that a rebuild was interrupted, by the error what has failed, and by a chart and a
/// metric how much memory calls take up.
fn is_said_elsewhere(fields: &Map<String, Value>, name: &str, value: &Value) -> bool {
    match name {
        "interrupted" => fields.contains_key("status"),
        "memoryBytes" | "memoryPeakBytes" => true,
        "failure" => value.is_object() && fields.contains_key("status"),
        _ => false,
    }
}

/// A field as people read it: what a host left paused when it ended is not what an operator has paused.
pub fn cell(fields: &Map<String, Value>, name: &str, value: &Value, values: Values) -> Cell {
    match (name, value) {
        ("status", Value::String(_)) if fields.get("interrupted") == Some(&Value::Bool(true)) => {
            Cell::status("interrupted")
        }
        ("status", Value::String(status)) => Cell::status(status),
        _ => Cell::new(&values.field(name, value)),
    }
}

/// What happened, in one line: what speaks for itself, and the other fields with their names.
pub fn one_line(fields: &Map<String, Value>, values: Values) -> Vec<Cell> {
    let part = |(name, value): (&String, &Value)| match name.as_str() {
        "projectionName" | "status" => cell(fields, name, value, values),
        _ => Cell::new(&format!("{} {}", label(name), values.field(name, value))),
    };
    fields.iter().filter(|(_, value)| !value.is_null()).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_stand_below_each_other_and_what_is_within_one_below_it() {
        let answer = json!({
            "projectionName": "faulty", "status": "paused", "interrupted": true, "eventsProcessed": 27_500,
            "stages": { "readMs": 1_200, "commits": 3 },
            "ranges": [{ "after": 0, "through": 2 }, { "after": 2, "through": 4 }],
            "problems": [], "data": { "b": 1 }, "eventTypes": { "OrderPaid": 1_200, "東京Ms": 2 },
        });
        let values = Values { wide: false, now: 0 };
        let lines = lines(answer.as_object().unwrap(), values);
        let shown: Vec<_> = lines.iter().map(|(name, cell)| format!("{name}{}", cell.painted(false))).collect();
        assert_eq!(
            shown,
            [
                "projection name   faulty",
                "status            interrupted",
                "events processed  27,500",
                "stages",
                "  read     1.2 s",
                "  commits  3",
                "ranges",
                "  after 0, through 2",
                "  after 2, through 4",
                "problems          -",
                r#"data              {"b":1}"#,
                "event types",
                "  OrderPaid  1,200",
                "  東京Ms     2",
            ]
        );
    }
}
