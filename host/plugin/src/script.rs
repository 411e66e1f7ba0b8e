//! From a file of TypeScript or JavaScript to a component, without any tool but this program.
//!
//! | file | what it does |
//! |---|---|
//! | `source` | one file: its types are blanked out, and what it imports is noted |
//! | `modules` | a file and all that it imports |
//! | `snapshot` | the modules are evaluated in the runtime, whose memory becomes the plugin |
//! | `sandbox` | how both are run: within bounds |
//!
//! Parser and runtime are those of `plugin-sdk/typescript`, compiled to WebAssembly: a host neither compiles a parser nor does
//! one that meets a hostile file hurt it. What the runtime imports is our world and nothing else, so that a script can do no
//! more than any other plugin. The same files give the same bytes.

mod modules;
mod sandbox;
mod snapshot;
mod source;

use super::build::{BuildError, BuiltPlugin, wrap};
use super::world;
use std::path::Path;

/// The endings of files that are scripts.
const ENDINGS: [&str; 8] = ["ts", "mts", "js", "mjs", "cts", "cjs", "tsx", "jsx"];

/// Whether `path` is called as a script is.
pub(super) fn is_script(path: &Path) -> bool {
    path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| ENDINGS.contains(&ending))
}

/// Builds the plugin that `file` exports by default.
///
/// # Errors
/// What is wrong with the file or one that it imports, at its line and column.
pub(super) fn build(file: &Path) -> Result<BuiltPlugin, BuildError> {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let modules = modules::gather(file).map_err(BuildError::Script)?;
    let module = snapshot::evaluate(&modules).map_err(BuildError::Script)?;
    let component = wrap(&module).map_err(|problem| BuildError::Wrap { path: file.to_owned(), problem })?;
    match world::check(&component) {
        Ok(()) => Ok(BuiltPlugin { name, component }),
        Err(cause) => Err(BuildError::NoPlugin { name, cause }),
    }
}
