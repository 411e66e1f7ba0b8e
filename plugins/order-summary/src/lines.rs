//! The lines of an order: pieces by SKU.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use unspool_sdk::Text;

/// A map that is stored in the order of its keys. Orders have few lines: a sorted vector is smaller and faster than a tree.
#[derive(Debug, Clone, Default)]
pub struct Lines(Vec<(Text, i64)>);

impl Lines {
    /// The pieces of a SKU; a line without any is added where there is none.
    pub fn entry(&mut self, sku: &str) -> &mut i64 {
        let at = self.find(sku).unwrap_or_else(|at| {
            self.0.insert(at, (sku.into(), 0));
            at
        });
        &mut self.0[at].1
    }

    pub fn remove(&mut self, sku: &str) {
        if let Ok(at) = self.find(sku) {
            self.0.remove(at);
        }
    }

    fn find(&self, sku: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(found, _)| found.as_bytes().cmp(sku.as_bytes()))
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(sku, qty)| (sku, qty)))
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pieces by SKU")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut lines = Lines(Vec::with_capacity(map.size_hint().unwrap_or(0) + 1));
        while let Some(line) = map.next_entry()? {
            lines.0.push(line);
        }
        Ok(lines)
    }
}
