//! `plugin build` and `plugin check`: what an author does, without a data directory.

use super::{output::Output, session::json};
use crate::{
    control::{BuiltPlugin, CheckedPlugin, ControlError},
    plugin::{self, Engine, EngineOptions},
};
use std::{fs, path::Path};

/// Makes a component of a plugin's package or script, and checks it.
pub(super) fn build(
    path: &Path,
    file: Option<&Path>,
    features: &[String],
    output: &Output,
) -> Result<u8, ControlError> {
    let options = plugin::BuildOptions { features: features.to_vec(), ..plugin::BuildOptions::default() };
    let built = plugin::build(path, &options).map_err(|e| ControlError::refused(e.to_string()))?;
    let file = file.map_or_else(|| Path::new(&format!("{}.wasm", built.name)).to_owned(), Path::to_owned);
    fs::write(&file, &built.component).map_err(|e| ControlError::refused(format!("{}: {e}", file.display())))?;
    let bytes = built.component.len() as u64;
    output.answer(&json(&BuiltPlugin { name: built.name, file: file.display().to_string(), bytes }));
    Ok(0)
}

/// Checks a component, and shows what it declares.
pub(super) fn check(file: &Path, output: &Output) -> Result<u8, ControlError> {
    let refused = |e: String| ControlError::refused(format!("{}: {e}", file.display()));
    let bytes = plugin::read(file).map_err(|e| refused(e.to_string()))?;
    let options =
        EngineOptions { cache_dir: None, compiler: Some(plugin::THIS_PROGRAM.into()), ..EngineOptions::new("") };
    let engine = Engine::new(options).map_err(|e| ControlError::failed(e.to_string()))?;
    let plugin = engine.load(&bytes).map_err(|e| refused(e.to_string()))?;
    let description = plugin.description();
    let chunk_size = description.chunk_size.unwrap_or_else(|| description.complexity.chunk_size());
    output.answer(&json(&CheckedPlugin {
        projection_name: description.name.clone(),
        version: description.version,
        event_types: description.event_types.clone(),
        tables: description.tables.iter().map(|table| table.name.clone()).collect(),
        complexity: description.complexity,
        chunk_size,
        partitioning: description.partitioning,
        digest: plugin.digest().to_owned(),
    }));
    Ok(0)
}
