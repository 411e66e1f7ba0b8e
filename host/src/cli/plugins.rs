//! `plugin build`, `plugin wrap` and `plugin check`: what an author does, without a data directory.

use super::{output::Output, session::json};
use crate::{
    control::{BuiltPlugin, CheckedPlugin, ControlError},
    plugin::{self, Engine, EngineOptions, Plugin},
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

/// Makes a component of a core module, and checks it.
pub(super) fn wrap(file: &Path, component: Option<&Path>, output: &Output) -> Result<u8, ControlError> {
    let refused = |e: String| ControlError::refused(format!("{}: {e}", file.display()));
    let module = plugin::read(file).map_err(|e| refused(e.to_string()))?;
    let wrapped = plugin::wrap(&module).map_err(|e| refused(e.to_string()))?;
    let name = load(&wrapped, &refused)?.description().name.clone();
    let out = component.map_or_else(|| Path::new(&format!("{name}.wasm")).to_owned(), Path::to_owned);
    if fs::canonicalize(&out).is_ok_and(|out| fs::canonicalize(file).is_ok_and(|file| file == out)) {
        return Err(refused(
            "the component would take the place of the core module; name another file with -o".to_owned(),
        ));
    }
    fs::write(&out, &wrapped).map_err(|e| ControlError::refused(format!("{}: {e}", out.display())))?;
    let bytes = wrapped.len() as u64;
    output.answer(&json(&BuiltPlugin { name, file: out.display().to_string(), bytes }));
    Ok(0)
}

/// Compiles a component, and has it describe itself.
fn load(component: &[u8], refused: &dyn Fn(String) -> ControlError) -> Result<Plugin, ControlError> {
    let options =
        EngineOptions { cache_dir: None, compiler: Some(plugin::THIS_PROGRAM.into()), ..EngineOptions::new("") };
    let engine = Engine::new(options).map_err(|e| ControlError::failed(e.to_string()))?;
    engine.load(component).map_err(|e| refused(e.to_string()))
}

/// Checks a component, and shows what it declares.
pub(super) fn check(file: &Path, output: &Output) -> Result<u8, ControlError> {
    let refused = |e: String| ControlError::refused(format!("{}: {e}", file.display()));
    let bytes = plugin::read(file).map_err(|e| refused(e.to_string()))?;
    let plugin = load(&bytes, &refused)?;
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
        sha256: plugin::sha256(&bytes),
    }));
    Ok(0)
}
