//! The world check: whether a component is a projection plugin, and if not, what of it is missing, unknown or different.
//!
//! It comes before compiling, so that the answer names interfaces and functions instead of a linker's first complaint.

use super::difference::Difference;
use super::error::PluginError;
use super::wit::{WIT, WORLD};
use std::collections::BTreeMap;
use std::fmt;
use unspool_vocabulary::limits;
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{InterfaceId, Resolve, WorldId, WorldItem, WorldKey};

/// Checks that `bytes` are a component of our world. Nothing is compiled or run.
///
/// # Errors
/// Says what the bytes are instead, or lists everything in which the component differs from the world.
pub fn check(bytes: &[u8]) -> Result<(), PluginError> {
    if bytes.len() > limits::PLUGIN_BYTES {
        return Err(PluginError::TooLarge(bytes.len()));
    }
    match (bytes.get(..4), bytes.get(4..8)) {
        (Some(b"\0asm"), Some([_, _, 1, 0])) => {}
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => return Err(PluginError::CoreModule),
        _ => return Err(PluginError::NotWasm),
    }
    let theirs = match wit_component::decode(bytes).map_err(|error| PluginError::Malformed(words(error)))? {
        DecodedWasm::Component(resolve, world) => World { resolve, world },
        DecodedWasm::WitPackage(..) => return Err(PluginError::WitPackage),
    };
    let ours = World::ours().map_err(PluginError::Engine)?;
    let mut differences = ours.differences(&theirs);
    if differences.is_empty()
        && let Err(error) = wit_component::targets(&ours.resolve, ours.world, bytes)
    {
        differences.push(Difference::Other(words(error)));
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(PluginError::World { world: ours.name(), differences })
}

/// An error of the component tools with all its causes.
fn words(error: impl fmt::Display) -> String {
    format!("{error:#}")
}

struct World {
    resolve: Resolve,
    world: WorldId,
}

impl World {
    fn ours() -> Result<World, String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_source("projection.wit", WIT).map_err(words)?;
        let world = resolve.select_world(&[package], Some(WORLD)).map_err(words)?;
        Ok(World { resolve, world })
    }

    fn name(&self) -> String {
        let world = &self.resolve.worlds[self.world];
        world.package.map_or_else(|| world.name.clone(), |package| self.resolve.id_of_name(package, &world.name))
    }

    /// What a component with the world `theirs` would miss in this one, and this one in it.
    fn differences(&self, theirs: &World) -> Vec<Difference> {
        let (our_imports, our_exports) = (self.items(false), self.items(true));
        let (their_imports, their_exports) = (theirs.items(false), theirs.items(true));
        let mut differences = Vec::new();
        for (name, our_item) in &our_exports {
            match their_exports.get(name) {
                Some(their_item) => self.compare(name, *our_item, theirs, *their_item, true, &mut differences),
                None => differences.push(match their_exports.keys().find(|found| same_but_version(found, name)) {
                    Some(found) => Difference::OtherVersion { found: found.clone(), ours: name.clone() },
                    None => Difference::MissingExport(name.clone()),
                }),
            }
        }
        let wasi: Vec<_> = their_imports.keys().filter(|name| name.starts_with("wasi:")).cloned().collect();
        if !wasi.is_empty() {
            differences.push(Difference::Wasi(wasi));
        }
        for (name, their_item) in their_imports.iter().filter(|(name, _)| !name.starts_with("wasi:")) {
            match our_imports.get(name) {
                Some(our_item) => self.compare(name, *our_item, theirs, *their_item, false, &mut differences),
                None => differences.push(match our_imports.keys().find(|ours| same_but_version(ours, name)) {
                    Some(ours) => Difference::OtherVersion { found: name.clone(), ours: ours.clone() },
                    None => Difference::UnknownImport(name.clone()),
                }),
            }
        }
        differences
    }

    /// The imports or exports by name; `None` stands for what is no interface.
    fn items(&self, exports: bool) -> BTreeMap<String, Option<InterfaceId>> {
        let world = &self.resolve.worlds[self.world];
        let items = if exports { &world.exports } else { &world.imports };
        items.iter().map(|(key, item)| (self.key(key), interface(item))).collect()
    }

    fn key(&self, key: &WorldKey) -> String {
        match key {
            WorldKey::Name(name) => name.clone(),
            WorldKey::Interface(id) => self.resolve.id_of(*id).unwrap_or_else(|| "an interface without a name".into()),
        }
    }

    /// Compares one interface of ours with the component's, item by item. An export must have all of ours; an import may
    /// use some of ours.
    fn compare(
        &self,
        name: &str,
        ours: Option<InterfaceId>,
        theirs: &World,
        found: Option<InterfaceId>,
        export: bool,
        differences: &mut Vec<Difference>,
    ) {
        let (Some(ours), Some(found)) = (ours, found) else {
            return differences.push(Difference::Other(format!("different: {name} is not an interface")));
        };
        let (ours, found) = match (definitions(&self.resolve, ours), definitions(&theirs.resolve, found)) {
            (Ok(ours), Ok(found)) => (ours, found),
            (Err(error), _) | (_, Err(error)) => return differences.push(Difference::Other(error)),
        };
        let (needed, given) = if export { (&ours, &found) } else { (&found, &ours) };
        for item in needed.keys() {
            if !given.contains_key(item) {
                differences.push(Difference::Lacks { interface: name.into(), item: item.clone(), export });
            }
        }
        for (item, found) in &found {
            if let Some(ours) = ours.get(item).filter(|ours| *ours != found) {
                differences.push(Difference::OtherShape {
                    interface: name.into(),
                    found: found.clone(),
                    ours: ours.clone(),
                });
            }
        }
    }
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

/// Whether two names of interfaces differ in nothing but what follows `@`.
fn same_but_version(one: &str, other: &str) -> bool {
    let base = |name: &str| name.split('@').next().map(str::to_owned);
    base(one) == base(other)
}

/// The types and functions of an interface, by name and as one line of WIT each.
fn definitions(resolve: &Resolve, interface: InterfaceId) -> Result<BTreeMap<String, String>, String> {
    let mut printer = WitPrinter::default();
    printer.emit_docs(false);
    printer.print_interface(resolve, interface).map_err(words)?;
    let text = printer.output.to_string();
    // The printer separates items by blank lines.
    let items = text.split("\n\n").map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(items.filter(|item| !item.is_empty()).map(|item| (item_name(&item), item)).collect())
}

/// `handle` of `handle: func(...)`, `record failure` of `record failure { ... }`.
fn item_name(item: &str) -> String {
    item.split([':', '{', '=', ';']).next().unwrap_or(item).trim().to_owned()
}
