//! From source to a component: cargo compiles a Rust package, and wit-component wraps the module in process; scripts have makers of
//! their own.

use super::error::PluginError;
use super::python::{self, PythonError};
use super::world;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use wit_component::ComponentEncoder;

/// The target without a system interface: what is built for it imports our world and nothing else.
const TARGET: &str = "wasm32-unknown-unknown";

/// What a plugin is built with, whatever its package says: it runs for every event of the history, and a call stack names
/// files and lines.
const PROFILE: [&str; 4] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.debug=\"line-tables-only\"",
];

/// How to build a plugin.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Where cargo keeps what it compiles; by default where the package says.
    pub target_dir: Option<PathBuf>,
    /// Whether cargo is silent but for errors. By default it says on stderr what it does.
    pub quiet: bool,
    /// Cargo features to build it with.
    pub features: Vec<String>,
}

/// A plugin as it was built.
#[derive(Debug, Clone)]
pub struct BuiltPlugin {
    /// The package's name.
    pub name: String,
    /// The component, which fits the world.
    pub component: Vec<u8>,
}

/// Why a package or a script did not become a plugin.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What is compiled already is not built.
    #[error("{} is compiled already; `unspool plugin wrap` makes a component of a core module", .0.display())]
    Compiled(PathBuf),
    /// A file of Python did not become a plugin.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// There is no package to build.
    #[error("{} has no Cargo.toml; name the directory of a plugin's package, or a file of TypeScript or JavaScript", .0.display())]
    NoPackage(PathBuf),
    /// A program does not start.
    #[error("cannot run {program}: {cause}; install Rust from https://rustup.rs")]
    Run {
        /// The program.
        program: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// The compiler cannot build for WebAssembly, and rustup could not help.
    #[error("Rust's target {TARGET} is missing; add it with `rustup target add {TARGET}`")]
    NoTarget,
    /// Cargo failed. It has said why, on stderr.
    #[error("cargo could not build {} ({status})", .dir.display())]
    Cargo {
        /// The package.
        dir: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// The package has no library that can become a component.
    #[error("{} builds no cdylib; add `[lib] crate-type = [\"cdylib\", \"rlib\"]` to its Cargo.toml", .0.display())]
    NoLibrary(PathBuf),
    /// What cargo built cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Read {
        /// The module.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The module does not become a component.
    #[error("cannot make a component of {}: {problem}", .path.display())]
    Wrap {
        /// The module.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A script, or a file that it imports, is wrong: where, and how.
    #[error("{0}")]
    Script(String),
    /// Scripts are not built with cargo.
    #[error("features are cargo's: {} has none", .0.display())]
    Features(PathBuf),
    /// This host is built without the feature `typescript`.
    #[error("this host cannot build {}: it was compiled without the feature `typescript`", .0.display())]
    NoScripts(PathBuf),
    /// The component is not a plugin.
    #[error("{name} was built, but is no plugin: {cause}")]
    NoPlugin {
        /// The package.
        name: String,
        /// What is wrong with it.
        cause: PluginError,
    },
}

/// Builds the plugin of `path`: a file of TypeScript, JavaScript or Python, or the directory of a Rust package, which is compiled in
/// release mode; the compiler's target is added when rustup can.
///
/// # Errors
/// When the plugin does not compile, or what it compiles to is no plugin. Cargo's own words go to stderr.
pub fn build(path: &Path, options: &BuildOptions) -> Result<BuiltPlugin, BuildError> {
    #[cfg(feature = "typescript")]
    if super::script::is_script(path) {
        if !options.features.is_empty() {
            return Err(BuildError::Features(path.to_owned()));
        }
        return super::script::build(path);
    }
    #[cfg(not(feature = "typescript"))]
    if path.extension().is_some_and(|ending| ending == "ts" || ending == "js") {
        return Err(BuildError::NoScripts(path.to_owned()));
    }
    if path.extension().is_some_and(|ending| ending == "wasm") {
        return Err(BuildError::Compiled(path.to_owned()));
    }
    if path.extension().is_some_and(|ending| ending == "py") {
        return python::build(path);
    }
    package(path, options)
}

fn package(dir: &Path, options: &BuildOptions) -> Result<BuiltPlugin, BuildError> {
    if !dir.join("Cargo.toml").is_file() {
        return Err(BuildError::NoPackage(dir.to_owned()));
    }
    ensure_target(dir)?;
    let (name, path) = compile(dir, options)?;
    let module = std::fs::read(&path).map_err(|cause| BuildError::Read { path: path.clone(), cause })?;
    let component = wrap(&module).map_err(|problem| BuildError::Wrap { path, problem })?;
    match world::check(&component) {
        Ok(()) => Ok(BuiltPlugin { name, component }),
        Err(cause) => Err(BuildError::NoPlugin { name, cause }),
    }
}

/// Makes a component of a core module that carries its world, as the SDK has it do.
pub(super) fn wrap(module: &[u8]) -> Result<Vec<u8>, String> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

/// Ensures that the compiler used in `dir` has the target's standard library.
fn ensure_target(dir: &Path) -> Result<(), BuildError> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| BuildError::Run { program: "rustc", cause })?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", TARGET]).current_dir(dir).stdout(Stdio::null()).status();
    if added.is_ok_and(|status| status.success()) { Ok(()) } else { Err(BuildError::NoTarget) }
}

/// Runs cargo, and returns the name of the package and the module it made.
fn compile(dir: &Path, options: &BuildOptions) -> Result<(String, PathBuf), BuildError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--lib", "--target", TARGET, "--message-format=json-render-diagnostics"]);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    if options.quiet {
        cargo.arg("--quiet");
    }
    if !options.features.is_empty() {
        cargo.arg("--features").arg(options.features.join(","));
    }
    if let Some(target_dir) = &options.target_dir {
        cargo.arg("--target-dir").arg(target_dir);
    }
    let output = cargo
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| BuildError::Run { program: "cargo", cause })?;
    if !output.status.success() {
        return Err(BuildError::Cargo { dir: dir.to_owned(), status: output.status });
    }
    // Dependencies come before the package itself.
    let mut artifacts = output.stdout.split(|byte| *byte == b'\n').filter_map(artifact);
    artifacts.next_back().ok_or_else(|| BuildError::NoLibrary(dir.to_owned()))
}

/// The package and the module of a line of cargo's report, where the line is about a cdylib.
fn artifact(line: &[u8]) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        target: Target,
        filenames: Vec<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        crate_types: Vec<String>,
    }

    let message: Message = serde_json::from_slice(line).ok()?;
    if message.reason != "compiler-artifact" || !message.target.crate_types.iter().any(|kind| kind == "cdylib") {
        return None;
    }
    let module = message.filenames.into_iter().find(|path| path.extension().is_some_and(|e| e == "wasm"))?;
    Some((message.target.name.replace('_', "-"), module))
}
