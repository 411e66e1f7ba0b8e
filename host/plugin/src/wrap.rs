//! From a core module of any compiler to a component: the module gets the world, and answers to what it asks of WASI.
//!
//! Go, C and others compile to core modules for WASI preview 1. [`ADAPTER`] answers its calls inside the component: the host
//! knows nothing of WASI, and the component imports our world alone.

use super::core_module::{CoreModule, Problem};
use super::error::PluginError;
use super::wit::{WIT, WORLD};
use super::world;
use unspool_vocabulary::limits;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// WASI preview 1 without a system; its source is beside it.
const ADAPTER: &[u8] = include_bytes!("wrap/preview1.wasm");

/// The name by which core modules import WASI preview 1.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Why a file did not become a component.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The bytes are no WebAssembly.
    #[error("not a WebAssembly file")]
    NotWasm,
    /// It needs no wrapping.
    #[error("already a component; `unspool plugin check` says whether it is a plugin")]
    Component,
    /// Larger than a plugin may be.
    #[error("{} bytes; a plugin may have {}", .0, limits::PLUGIN_BYTES)]
    TooLarge(usize),
    /// WebAssembly, but broken.
    #[error("not a valid core module: {0}")]
    Malformed(String),
    /// A module that cannot be a plugin.
    #[error(transparent)]
    Module(#[from] Problem),
    /// What it was built from is no plugin.
    #[error(transparent)]
    NoPlugin(#[from] PluginError),
}

/// Makes a component of a core module.
///
/// # Errors
/// When the bytes are no core module, or one that cannot be a plugin: it says why, and what to do about it.
pub fn wrap(module: &[u8]) -> Result<Vec<u8>, WrapError> {
    match (module.get(..4), module.get(4..8)) {
        _ if module.len() > limits::PLUGIN_BYTES => return Err(WrapError::TooLarge(module.len())),
        (Some(b"\0asm"), Some([1, 0, 0, 0])) => {}
        (Some(b"\0asm"), Some([_, _, 1, 0])) => return Err(WrapError::Component),
        _ => return Err(WrapError::NotWasm),
    }
    let adapter = CoreModule::parse(ADAPTER).map_err(WrapError::Malformed)?;
    let parsed = CoreModule::parse(module).map_err(WrapError::Malformed)?;
    parsed.check(PREVIEW1, &adapter)?;
    let component = encode(module, &parsed).map_err(WrapError::Malformed)?;
    world::check(&component)?;
    Ok(component)
}

/// The world of the adapter alone, beside ours.
const ADAPTER_WIT: &str = "package unspool:adapter; world adapter { import unspool:projection/logger@1.0.0; }";

fn encode(module: &[u8], parsed: &CoreModule<'_>) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let ours = resolve.push_source("projection.wit", WIT).map_err(words)?;
    let adapters = resolve.push_source("adapter.wit", ADAPTER_WIT).map_err(words)?;
    let with_world = |module: &[u8], package, world| {
        let world = resolve.select_world(&[package], Some(world)).map_err(words)?;
        let mut module = module.to_vec();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(words)?;
        Ok::<_, String>(module)
    };
    // What wit-bindgen has made carries its world; everything else speaks ours by the names of its functions.
    let module = if parsed.has_world { module.to_vec() } else { with_world(module, ours, WORLD)? };
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(words)?;
    if parsed.imports.iter().any(|import| import.module == PREVIEW1) {
        encoder = encoder.adapter(PREVIEW1, &with_world(ADAPTER, adapters, "adapter")?).map_err(words)?;
    }
    encoder.encode().map_err(words)
}

/// An error of the component tools with all its causes, in a line.
fn words(error: impl std::fmt::Display) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
