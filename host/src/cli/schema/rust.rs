//! Types of Rust, as handlers of the SDK take them.

use super::names::{Names, snake};
use crate::{control::EventShape, vocabulary::Shape};
use std::fmt::Write;

/// Words that no field may be called.
const RESERVED: &[&str] = &[
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "abstract", "become",
    "box", "do", "final", "macro", "override", "priv", "try", "typeof", "unsized", "virtual", "yield",
];

/// Declarations for `kinds`, which are events of `from`.
pub(super) fn types(from: &str, kinds: &[EventShape]) -> String {
    let events: u64 = kinds.iter().map(|kind| kind.count).sum();
    let text = format!(
        "// What the events of {} look like, learned from {events} of them.\n\nuse serde::Deserialize;\n",
        from.escape_debug()
    );
    let mut writer = Writer { names: Names::default(), text };
    for kind in kinds {
        let name = writer.names.new_type(&match kind.schema_version {
            1 => kind.r#type.clone(),
            version => format!("{}V{version}", kind.r#type),
        });
        let about = format!("\n/// {}, version {}.\n", kind.r#type.escape_debug(), kind.schema_version);
        let shape = &kind.payload;
        match shape.fields.is_empty() || shape.objects < shape.count {
            true => {
                let of = writer.of(shape, &name);
                let _ = writeln!(writer.text, "{about}pub type {name} = {of};");
            }
            false => writer.object(shape, &name, &about),
        }
    }
    writer.text
}

struct Writer {
    names: Names,
    text: String,
}

impl Writer {
    /// The type of values like these; what it needs besides is declared, under names that begin with `name`.
    fn of(&mut self, shape: &Shape, name: &str) -> String {
        let mut kinds = Vec::new();
        if shape.booleans > 0 {
            kinds.push(("Boolean", "bool".to_owned()));
        }
        if shape.floats > 0 {
            kinds.push(("Number", "f64".to_owned()));
        } else if shape.integers > 0 {
            let integer = match (shape.beyond_signed, shape.negative) {
                (true, true) => "i128",
                (true, false) => "u64",
                (false, _) => "i64",
            };
            kinds.push(("Integer", integer.to_owned()));
        }
        if shape.texts > 0 {
            kinds.push(("Text", "String".to_owned()));
        }
        if shape.binaries > 0 {
            kinds.push(("Binary", "serde_bytes::ByteBuf".to_owned()));
        }
        if shape.arrays > 0 {
            let items = self.within(shape.items.as_deref(), &format!("{name} item"));
            kinds.push(("List", format!("Vec<{items}>")));
        }
        if shape.objects > 0 {
            let object = match (&shape.values, shape.fields.is_empty()) {
                (Some(_), _) | (None, true) => {
                    let values = self.within(shape.values.as_deref(), &format!("{name} value"));
                    format!("std::collections::BTreeMap<String, {values}>")
                }
                (None, false) => {
                    let own = self.names.new_type(name);
                    self.object(shape, &own, "\n");
                    own
                }
            };
            kinds.push(("Object", object));
        }
        let mut of = match kinds.len() {
            0 => "serde::de::IgnoredAny".to_owned(),
            1 => kinds.remove(0).1,
            _ => self.choice(&kinds, name),
        };
        if shape.nulls > 0 {
            of = format!("Option<{of}>");
        }
        of
    }

    fn within(&mut self, shape: Option<&Shape>, name: &str) -> String {
        shape.map_or_else(|| "serde::de::IgnoredAny".to_owned(), |shape| self.of(shape, name))
    }

    fn choice(&mut self, kinds: &[(&str, String)], name: &str) -> String {
        let own = self.names.new_type(&format!("{name} value"));
        let choices: String = kinds.iter().map(|(kind, of)| format!("    {kind}({of}),\n")).collect();
        let _ = writeln!(
            self.text,
            "\n#[derive(Debug, Clone, Deserialize)]\n#[serde(untagged)]\npub enum {own} {{\n{choices}}}"
        );
        own
    }

    fn object(&mut self, shape: &Shape, name: &str, about: &str) {
        let mut fields = String::new();
        let mut used = std::collections::HashSet::new();
        for field in &shape.fields {
            let mut of = self.of(&field.shape, &format!("{name} {}", field.name));
            if field.shape.count < shape.objects {
                if !of.starts_with("Option<") {
                    of = format!("Option<{of}>");
                }
                fields += "    #[serde(default)]\n";
            }
            let mut called = snake(&field.name);
            while RESERVED.contains(&called.as_str()) || !used.insert(called.clone()) {
                called.push('_');
            }
            if called != field.name {
                let _ = writeln!(fields, "    #[serde(rename = {:?})]", field.name);
            }
            let _ = writeln!(fields, "    pub {called}: {of},");
        }
        let _ = writeln!(self.text, "{about}#[derive(Debug, Clone, Deserialize)]\npub struct {name} {{\n{fields}}}");
    }
}
