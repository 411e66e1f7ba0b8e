//! Names of types, made from what events call things.

use std::collections::HashSet;

/// Names that have been given.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A name of a type that nothing else has: `order.placed` and `order_placed` are `OrderPlaced` and `OrderPlaced2`.
    pub(super) fn new_type(&mut self, text: &str) -> String {
        let base = pascal(text);
        let numbered = (2..).map(|n| format!("{base}{n}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = name.unwrap_or(base);
        self.taken.insert(name.clone());
        name
    }
}

/// Its words, each with a capital: only letters and digits of ASCII, and no digit first.
fn pascal(text: &str) -> String {
    let mut name = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        name.push(word.as_bytes()[0].to_ascii_uppercase().into());
        name.push_str(&word[1..]);
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) { format!("Event{name}") } else { name }
}

/// Its words in lower case with lines between them, as Rust names fields.
pub(super) fn snake(text: &str) -> String {
    let mut name = String::new();
    let mut before = '_';
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() {
            if before != '_' {
                name.push('_');
                before = '_';
            }
            continue;
        }
        if c.is_ascii_uppercase() && before != '_' && !before.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        before = c;
    }
    let name = name.trim_end_matches('_').to_owned();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) { format!("field_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_language_and_differ() {
        let mut names = Names::default();
        let made = ["OrderPlaced", "order.placed", "order_placed-v2", "42", "ä"].map(|text| names.new_type(text));
        assert_eq!(made, ["OrderPlaced", "OrderPlaced2", "OrderPlacedV2", "Event42", "Event"]);
        let made = ["customerId", "SKU", "order-lines", "2nd", "a.b", "HTTPStatus"].map(snake);
        assert_eq!(made, ["customer_id", "sku", "order_lines", "field_2nd", "a_b", "httpstatus"]);
    }
}
