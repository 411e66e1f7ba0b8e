//! A file and all that it imports, resolved here once and for all: the runtime is told what each import means.

use super::source::{Import, Parser};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Component, Path, PathBuf};

/// The module that plugins import.
const SDK: &str = "unspool";

/// Files that one plugin may have.
const FILES: usize = 4096;

/// A source, with what each of its imports means.
pub(super) struct Module {
    /// The file, as seen from the folder of the first one.
    pub(super) name: String,
    /// JavaScript.
    pub(super) code: String,
    /// Imports, and the names of the modules that they mean.
    pub(super) imports: BTreeMap<String, String>,
    /// The names that it takes from modules: the module, the name, and the place.
    pub(super) names: Vec<(String, String, String)>,
}

/// The modules of the plugin whose entry is `file`; that is the first of them.
///
/// # Errors
/// What cannot be read, parsed or imported, at its place.
pub(super) fn gather(file: &Path) -> Result<Vec<Module>, String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let entry = file.file_name().map(PathBuf::from).unwrap_or_default();
    let mut parser = Parser::new()?;
    let mut modules = Vec::new();
    let mut found = vec![entry.clone()];
    let mut waiting = VecDeque::from([entry]);
    while let Some(path) = waiting.pop_front() {
        let name = path.display().to_string();
        let source = parser.read(&folder.join(&path), &name)?;
        let (mut imports, mut names) = (BTreeMap::new(), Vec::new());
        for import in source.imports {
            if import.of == SDK {
                names.extend(import.names.into_iter().map(|(name, place)| (SDK.to_owned(), name, place)));
                continue;
            }
            let path = resolve(folder, &path, &import).map_err(|problem| format!("{}: {problem}", import.place))?;
            let means = path.display().to_string();
            names.extend(import.names.into_iter().map(|(name, place)| (means.clone(), name, place)));
            imports.insert(import.of, means);
            if !found.contains(&path) {
                if found.len() == FILES {
                    return Err(format!("{}: more than {FILES} files are imported", import.place));
                }
                found.push(path.clone());
                waiting.push_back(path);
            }
        }
        modules.push(Module { name, code: source.code, imports, names });
    }
    Ok(modules)
}

/// The file that an import in `from` means. Both are seen from `folder`.
fn resolve(folder: &Path, from: &Path, import: &Import) -> Result<PathBuf, String> {
    let of = import.of.as_str();
    if !of.starts_with("./") && !of.starts_with("../") {
        return Err(no_file(of, from));
    }
    let path = plain(&from.parent().unwrap_or(Path::new("")).join(of));
    if folder.join(&path).is_file() {
        return Ok(path);
    }
    let meant = ["ts", "js", "mts", "mjs", "json"].iter().map(|ending| format!("{of}.{ending}"));
    let meant = meant.chain(of.strip_suffix(".js").map(|of| format!("{of}.ts")));
    let meant = meant.chain([format!("{of}/index.ts"), format!("{of}/index.js")]);
    let advice =
        meant.into_iter().find(|of| folder.join(plain(&from.parent().unwrap_or(Path::new("")).join(of))).is_file());
    Err(match advice {
        Some(meant) => format!("there is no file `{of}`: write `{meant}`"),
        None => format!("there is no file `{of}`"),
    })
}

/// Why an import that names no file means nothing here.
fn no_file(of: &str, from: &Path) -> String {
    /// What Node has built in, of what is much used.
    const NODE: [&str; 24] = [
        "assert",
        "async_hooks",
        "buffer",
        "child_process",
        "cluster",
        "crypto",
        "dns",
        "events",
        "fs",
        "http",
        "http2",
        "https",
        "module",
        "net",
        "os",
        "path",
        "perf_hooks",
        "process",
        "stream",
        "timers",
        "url",
        "util",
        "worker_threads",
        "zlib",
    ];
    let first = of.split('/').next().unwrap_or(of);
    if of.starts_with("node:") || NODE.contains(&first) {
        return format!(
            "`{of}` is a part of Node, which is not in a plugin: it sees events and rows, and nothing else"
        );
    }
    if of.starts_with("unspool/") {
        return format!("`{of}` is for tests: a plugin imports `unspool` alone");
    }
    if of.contains("://") || of.starts_with('/') || of.starts_with("data:") {
        return format!(
            "`{of}` is not beside this file: a plugin imports files by paths that begin with `./` or `../`"
        );
    }
    let bundle = from.with_extension("bundle.js");
    format!(
        "`{of}` is a package: bundle it with `npx esbuild {from} --bundle --format=esm --external:unspool --outfile={bundle}`, and \
         build {bundle}",
        from = from.display(),
        bundle = bundle.display(),
    )
}

/// The path without `.` and, where that is possible, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
