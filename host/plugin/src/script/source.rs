//! One file: what kind it is of, its code without types, and what it imports.

use super::sandbox::{Compiled, Sandbox, texts};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use unspool_vocabulary::limits;

/// The parser: what `plugin-sdk/typescript/rebuild.sh` makes.
const PARSER: &[u8] = include_bytes!("../../../../plugin-sdk/typescript/parser/parser.wasm");

/// Looks at files.
pub(super) struct Parser(Sandbox);

/// A file of a plugin.
pub(super) struct Source {
    /// JavaScript, with a last line that tells the runtime what the file holds.
    pub(super) code: String,
    /// What it imports.
    pub(super) imports: Vec<Import>,
}

/// An import, or an export of what another file has.
pub(super) struct Import {
    /// What it names.
    pub(super) of: String,
    /// `file:line:column`.
    pub(super) place: String,
    /// The names that it takes from there, each with its place.
    pub(super) names: Vec<(String, String)>,
}

impl Parser {
    /// Starts it.
    ///
    /// # Errors
    /// When the module does not work.
    pub(super) fn new() -> Result<Parser, String> {
        static COMPILED: OnceLock<Result<Compiled, String>> = OnceLock::new();
        let defect = |error: wasmtime::Error| format!("the parser of scripts does not work: {error:#}");
        let compiled = COMPILED.get_or_init(|| Compiled::new(PARSER).map_err(defect));
        Sandbox::new(compiled.as_ref().map_err(Clone::clone)?).map(Parser).map_err(defect)
    }

    /// Reads the file at `path`, which errors call `name`.
    ///
    /// # Errors
    /// Everything in it that is no JavaScript, at its place, a line each.
    pub(super) fn read(&mut self, path: &Path, name: &str) -> Result<Source, String> {
        let kind = match path.extension().and_then(|ending| ending.to_str()) {
            Some("cts" | "cjs") => {
                let modules = "`import` and `export` in place of `require` and `module.exports`";
                return Err(format!("{name}: a plugin's files are ES modules, `.ts` or `.js`: {modules}"));
            }
            Some("tsx" | "jsx") => {
                return Err(format!("{name}: there is nothing to render in a plugin: call it `.ts` or `.js`"));
            }
            Some("ts" | "mts") => "ts",
            Some("json") => "json",
            _ => "js",
        };
        let text = text(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))?;
        if kind == "json" { json(name, &text) } else { self.parse(name, kind, &text) }
    }

    fn parse(&mut self, name: &str, kind: &str, text: &str) -> Result<Source, String> {
        let answer = self.0.call("unspool-read", [name, kind, text]);
        let answer = answer.map_err(|ended| ended.words(&format!("{name}: reading the file")))?;
        let mut answer = texts(&answer).into_iter();
        match (answer.next().as_deref(), answer.next()) {
            (Some("ok"), Some(code)) => {
                let mut imports = Vec::new();
                while let (Some(of), Some(place), Some(names)) = (answer.next(), answer.next(), answer.next()) {
                    let names = (0..names.parse().unwrap_or(0)).map_while(|_| answer.next().zip(answer.next()));
                    let names = names.collect();
                    imports.push(Import { of, place, names });
                }
                Ok(Source { code, imports })
            }
            (_, problem) => Err(problem.unwrap_or_default()),
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > limits::PLUGIN_BYTES as u64 {
        return Err(io::Error::other(format!("more bytes than a plugin may have ({})", limits::PLUGIN_BYTES)));
    }
    fs::read_to_string(path)
}

/// A module whose default export is the value.
fn json(name: &str, text: &str) -> Result<Source, String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|problem| format!("{name}: {problem}"))?;
    Ok(Source { code: format!("export default (\n{text}\n);"), imports: Vec::new() })
}
