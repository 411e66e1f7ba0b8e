//! `plugin build` and `plugin check`: what an author does, without a data directory.

use super::output::Output;
use crate::{
    control::ControlError,
    plugin::{self, Engine, EngineOptions},
};
use serde_json::json;
use std::{fs, path::Path};

/// Compiles a plugin's crate to a component, and checks it.
pub(super) fn build(dir: &Path, file: Option<&Path>, features: &[String], output: &Output) -> Result<u8, ControlError> {
    let options = plugin::BuildOptions { features: features.to_vec(), ..plugin::BuildOptions::default() };
    let built = plugin::build(dir, &options).map_err(|e| ControlError::refused(e.to_string()))?;
    let file = file.map_or_else(|| Path::new(&format!("{}.wasm", built.name)).to_owned(), Path::to_owned);
    fs::write(&file, &built.component).map_err(|e| ControlError::refused(format!("{}: {e}", file.display())))?;
    output.answer(&json!({ "name": built.name, "file": file.display().to_string(), "bytes": built.component.len() }));
    Ok(0)
}

/// Checks a component, and shows what it says of itself.
pub(super) fn check(file: &Path, output: &Output) -> Result<u8, ControlError> {
    let refused = |e: String| ControlError::refused(format!("{}: {e}", file.display()));
    let bytes = plugin::read(file).map_err(|e| refused(e.to_string()))?;
    let options =
        EngineOptions { cache_dir: None, compiler: Some(plugin::THIS_PROGRAM.into()), ..EngineOptions::new("") };
    let engine = Engine::new(options).map_err(|e| ControlError::failed(e.to_string()))?;
    let plugin = engine.load(&bytes).map_err(|e| refused(e.to_string()))?;
    let description = plugin.description();
    output.answer(&json!({
        "projectionName": description.name,
        "version": description.version,
        "eventTypes": description.event_types,
        "tables": description.tables.iter().map(|table| &table.name).collect::<Vec<_>>(),
        "complexity": description.complexity,
        "chunkSize": description.chunk_size.unwrap_or_else(|| description.complexity.chunk_size()),
        "partitioning": description.partitioning,
        "digest": plugin.digest(),
    }));
    Ok(0)
}
