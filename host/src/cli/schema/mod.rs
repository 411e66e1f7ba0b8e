//! `events schema`: what events look like, for people, as types of a language, or as a JSON Schema.

mod json_schema;
mod names;
mod rust;
mod typescript;

use super::{
    args::SchemaLanguage,
    output::{Output, Values},
    progress::Steps,
    session::Session,
};
use crate::{
    control::{ControlError, EventShape, Request, Row},
    vocabulary::{Field, Shape},
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

/// Shows what the events of a source look like.
pub(super) fn show(
    session: &Session,
    request: Request,
    lang: Option<SchemaLanguage>,
    output: &Output,
) -> Result<u8, ControlError> {
    let from = match &request {
        Request::EventsSchema { source: Some(source), .. } => source.clone(),
        _ => "log".to_owned(),
    };
    let (mut steps, mut kinds) = (Steps::new(output.is_json()), Vec::new());
    let asked = session.ask(request, &mut |row| {
        if !steps.row(&row)
            && let Row::EventShape(shape) = row
        {
            kinds.push(*shape);
        }
        true
    });
    drop(steps);
    match lang {
        _ if kinds.is_empty() => {}
        Some(lang) => drop(written(lang, &from, &kinds).lines().all(|line| output.text(line))),
        None if output.is_json() => drop(kinds.iter().all(|kind| output.row(&json!(kind)))),
        None => kinds.iter().flat_map(|kind| lines(kind, output.values())).for_each(|line| output.say(&line)),
    }
    asked.map(|_| 0)
}

/// What events of `from` look like, in a language.
pub(super) fn written(lang: SchemaLanguage, from: &str, kinds: &[EventShape]) -> String {
    match lang {
        SchemaLanguage::Ts => typescript::types(from, kinds),
        SchemaLanguage::Rust => rust::types(from, kinds),
        SchemaLanguage::JsonSchema => json_schema::document(from, kinds),
    }
}

/// The same for people.
fn lines(kind: &EventShape, values: Values) -> Vec<String> {
    let events = if kind.count == 1 { "1 event".to_owned() } else { format!("{} events", values.count(kind.count)) };
    let mut lines = vec![format!("{}, version {}: {events}", kind.r#type, kind.schema_version)];
    if kind.payload.fields.is_empty() {
        lines.push(format!("  {}", described(&kind.payload)));
    }
    fields(&kind.payload, 1, values, &mut lines);
    lines
}

fn fields(shape: &Shape, level: usize, values: Values, lines: &mut Vec<String>) {
    let width = shape.fields.iter().map(|field| field.name.width()).max().unwrap_or(0);
    for Field { name, shape: field } in &shape.fields {
        let free = width - name.width();
        let often = match field.count < shape.objects {
            true => format!(", in {} of {}", values.count(field.count), values.count(shape.objects)),
            false => String::new(),
        };
        let examples: Vec<String> = field.examples.iter().map(Value::to_string).collect();
        let examples = if examples.is_empty() { String::new() } else { format!(": {}", examples.join(", ")) };
        lines.push(format!("{}{name}{:free$}  {}{often}{examples}", "  ".repeat(level), "", described(field)));
        let mut within = field;
        while let Some(items) = within.items.as_deref().or(within.values.as_deref()) {
            within = items;
        }
        fields(within, level + 1, values, lines);
    }
}

/// Of which kinds its values are, in words.
fn described(shape: &Shape) -> String {
    let mut kinds = Vec::new();
    let named = [
        (shape.booleans, "true or false"),
        (shape.integers, "integer"),
        (shape.floats, "number"),
        (shape.texts, "text"),
        (shape.binaries, "binary"),
    ];
    kinds.extend(named.into_iter().filter(|(count, _)| *count > 0).map(|(_, name)| name.to_owned()));
    if shape.arrays > 0 {
        kinds.push(
            shape.items.as_deref().map_or("empty list".to_owned(), |items| format!("list of {}", described(items))),
        );
    }
    if shape.objects > 0 {
        kinds.push(
            shape
                .values
                .as_deref()
                .map_or("object".to_owned(), |values| format!("object with keys of its own, to {}", described(values))),
        );
    }
    if shape.nulls > 0 {
        kinds.push("null".to_owned());
    }
    kinds.join(" or ")
}
