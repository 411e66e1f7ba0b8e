//! From a Python file to a component: the author's componentize-py snapshots the interpreter with the file in it.

use super::build::{BuildError, BuiltPlugin};
use super::wit::WIT;
use super::world;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program of the package of that name, which has the interpreter as WebAssembly.
const COMPONENTIZE: &str = "componentize-py";

/// The module that authors import; the host has it, so that one needs no more than this program and componentize-py.
const SDK: &str = include_str!("../../../plugin-sdk/python/unspool.py");

/// What joins the author's module, named in place of `AUTHOR`, with the world.
const PLUGIN: &str = include_str!("../../../plugin-sdk/python/unspool_plugin.py");

/// Modules that stand beside the author's.
const TAKEN: [&str; 4] = ["unspool", "unspool_plugin", "unspool_kit", "wit_world"];

/// Why a Python file did not become a plugin.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// It is not there.
    #[error("cannot read {}: {cause}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Python could not import it by its name.
    #[error("{} cannot be imported: a module's name has letters, digits and _, and is not that of the SDK", .0.display())]
    Name(PathBuf),
    /// The author has no componentize-py.
    #[error(
        "a plugin in Python is built by componentize-py, which is not installed: pip install componentize-py==0.25.1"
    )]
    NoCompiler,
    /// It could not be run, or given what it needs.
    #[error("cannot run componentize-py: {0}")]
    Run(io::Error),
    /// It cannot make a component of the file.
    #[error("{0}")]
    Refused(String),
}

/// Builds the plugin in the Python file `file`. Modules beside it, and those of the author's virtual environment, may be
/// imported.
pub(super) fn build(file: &Path) -> Result<BuiltPlugin, BuildError> {
    let cause = |cause| PythonError::Read { path: file.to_owned(), cause };
    let file = std::fs::canonicalize(file).map_err(cause)?;
    let name = module_name(&file).ok_or_else(|| PythonError::Name(file.clone()))?;
    let made = tempfile::tempdir().map_err(PythonError::Run)?;
    for (part, content) in [
        ("projection.wit", WIT.to_owned()),
        ("unspool.py", SDK.to_owned()),
        ("unspool_plugin.py", PLUGIN.replace("AUTHOR", &name)),
    ] {
        std::fs::write(made.path().join(part), content).map_err(PythonError::Run)?;
    }
    let output = componentize(made.path(), file.parent().unwrap_or(Path::new("/")))?;
    if !output.status.success() {
        return Err(PythonError::Refused(reason(&String::from_utf8_lossy(&output.stderr), &file)).into());
    }
    let component = std::fs::read(made.path().join("plugin.wasm")).map_err(PythonError::Run)?;
    match world::check(&component) {
        Ok(()) => Ok(BuiltPlugin { name: name.replace('_', "-"), component }),
        Err(cause) => Err(BuildError::NoPlugin { name, cause }),
    }
}

fn module_name(file: &Path) -> Option<String> {
    let name = file.file_stem()?.to_str()?;
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let all = letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    (first && all && !TAKEN.contains(&name)).then(|| name.to_owned())
}

/// Runs componentize-py in the directory `made`. WASI is replaced by stubs; the seed is there for the order of sets to be the same in
/// each build.
fn componentize(made: &Path, author: &Path) -> Result<Output, PythonError> {
    let mut command = Command::new(COMPONENTIZE);
    command.args(["--quiet", "--wit-path", "projection.wit", "--world", "projection"]);
    command.args(["componentize", "unspool_plugin", "--stub-wasi", "--output", "plugin.wasm"]);
    command.args(["--python-path", "."]).arg("--python-path").arg(author);
    let output = command.current_dir(made).env("PYTHONHASHSEED", "0").stdin(Stdio::null()).output();
    output.map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => PythonError::NoCompiler,
        _ => PythonError::Run(cause),
    })
}

/// Why componentize-py did not succeed, in a line: what Python raised, and where in the author's files. Its own words, where it
/// raised nothing.
fn reason(said: &str, file: &Path) -> String {
    let trace = said.split_once("\n\n").map_or(said, |(trace, _)| trace);
    let raised =
        trace.lines().rfind(|line| !line.is_empty() && !line.starts_with(' ')).unwrap_or("componentize-py failed");
    let places = trace.lines().filter_map(|line| line.trim().strip_prefix("File \""));
    let mut place = places.filter_map(|place| {
        let (path, rest) = place.split_once("\", line ")?;
        let line = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        let module = Path::new(path).file_name()?.to_str()?;
        // Where the interpreter ran, the author's modules and ours were in folders by number.
        (path.starts_with("/0/") || path.starts_with("/1/")).then_some((module, line))
    });
    match place.rfind(|(module, _)| *module != "unspool.py" && *module != "unspool_plugin.py") {
        Some((module, line)) => format!("{module}:{line}: {raised}"),
        None => format!("{}: {raised}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_raised_is_said_with_its_place() {
        let said = "Traceback (most recent call last):\n  File \"/tmp/bin/componentize-py\", line 8, in <module>\n    \
                    sys.exit(script())\nAssertionError: Traceback (most recent call last):\n  File \"/0/unspool_plugin.py\", \
                    line 53, in <module>\n    _author = importlib.import_module(\"started\")\n  File \"/1/started.py\", line 3, \
                    in <module>\n    started = time.time()\n  File \"/0/unspool_plugin.py\", line 14, in refused\n    raise \
                    RuntimeError(...)\nRuntimeError: a projection has no clock: use event.timestamp\n\n\nCaused by:\n    \
                    RuntimeError: ...\n\nStack backtrace:\n   0: <anyhow::Error>::msg\n";
        let expected = "started.py:3: RuntimeError: a projection has no clock: use event.timestamp";
        assert_eq!(reason(said, Path::new("started.py")), expected);
        let syntax = "AssertionError: Traceback (most recent call last):\n  File \"/0/unspool_plugin.py\", line 53, in <module>\n  \
                      File \"/1/broken.py\", line 2\n    def (:\n        ^\nSyntaxError: invalid syntax\n\n\nCaused by:\n";
        assert_eq!(reason(syntax, Path::new("broken.py")), "broken.py:2: SyntaxError: invalid syntax");
        assert_eq!(reason("no such world\n", Path::new("a.py")), "a.py: no such world");
    }

    #[test]
    fn a_name_that_python_cannot_import_is_refused() {
        for name in ["two words.py", "pay-ments.py", "1st.py", "unspool.py"] {
            assert_eq!(module_name(Path::new(name)), None, "{name}");
        }
        assert_eq!(module_name(Path::new("/a/payments.py")).as_deref(), Some("payments"));
    }
}
