//! The layers of the host: each names only those below it; large libraries stay behind the walls of crates.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From the top down. What is below them are crates.
const LAYERS: [&[&str]; 6] = [&["cli"], &["http"], &["control"], &["rebuild"], &["pipeline"], &["traces"]];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src")
}

/// Every source file below `path`, but for tests.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_none_or(|name| name != "tests") {
            found.extend(files(&path));
        }
    }
    found
}

fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn files_of(layer: &str) -> Vec<PathBuf> {
    let (folder, file) = (host().join(layer), host().join(format!("{layer}.rs")));
    files(if folder.is_dir() { &folder } else { &file })
}

/// The modules of the host that `code` names, as `crate::module` or inside `use crate::{...}`.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let (list, depth_one) = match part.strip_prefix('{') {
            Some(list) => (list, true),
            None => (part, false),
        };
        let mut depth = 0;
        let mut word = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => names.push(std::mem::take(&mut word)),
                c if depth == 0 => word.push(c),
                _ => {}
            }
            if !depth_one && !c.is_alphanumeric() && c != '_' {
                break;
            }
        }
        names.push(word);
    }
    let first = |name: String| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    names.into_iter().map(first).filter(|name| !name.is_empty()).collect()
}

#[test]
fn layers_name_only_what_is_below_them() {
    let known: Vec<&str> = LAYERS.iter().flat_map(|row| row.iter().copied()).collect();
    let there = fs::read_dir(host()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    assert_eq!(there.count(), known.len(), "each folder of the host is a layer");
    for (row, layers) in LAYERS.iter().enumerate() {
        let below: Vec<&str> = LAYERS[row + 1..].iter().flat_map(|row| row.iter().copied()).collect();
        for layer in *layers {
            for file in files_of(layer) {
                for name in named(&code(&file)) {
                    let fine = name == *layer || below.contains(&name.as_str()) || !known.contains(&name.as_str());
                    assert!(fine, "{} names {name}, which is not below {layer}", file.display());
                }
            }
        }
    }
}

#[test]
fn rooms_of_the_store_do_not_know_each_other() {
    let rooms = [
        ("../store/src/catalog", &["embedded", "postgres", "databases", "coordinator"][..]),
        ("../store/src/embedded", &["postgres", "external", "databases", "coordinator"]),
        ("../store/src/postgres", &["embedded", "databases", "coordinator"]),
        // Where rows live, and how they get there, is the store's own business.
        ("pipeline", &["embedded", "journal", "home"]),
    ];
    for (room, others) in rooms {
        for file in files(&host().join(room)) {
            let code = code(&file);
            let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert_eq!(words.find(|word| others.contains(word)), None, "{}", file.display());
        }
    }
}

#[test]
fn the_names_in_a_use_are_found() {
    let code =
        "use crate::{\n    plugin::{Engine, Plugin},\n    source::Source,\n};\nlet x = crate::store::Store::open();";
    assert_eq!(named(code), ["plugin", "source", "store"]);
}

/// What the crates below the host may depend on, of each other and of the large libraries. Cargo keeps the rest: what is not
/// named here cannot be named there.
const CRATES: [(&str, &[&str]); 8] = [
    ("vocabulary", &[]),
    ("disk", &["unspool-vocabulary", "redb"]),
    ("postgres", &["postgres", "rustls"]),
    ("export", &["unspool-vocabulary", "parquet", "arrow-array"]),
    ("source", &["unspool-vocabulary", "unspool-disk", "unspool-postgres", "redb", "postgres"]),
    ("plugin", &["unspool-vocabulary", "wasmtime"]),
    ("store", &["unspool-vocabulary", "unspool-disk", "unspool-postgres", "redb", "postgres"]),
    (
        ".",
        &[
            "unspool-vocabulary",
            "unspool-disk",
            "unspool-postgres",
            "unspool-export",
            "unspool-source",
            "unspool-plugin",
            "unspool-store",
        ],
    ),
];

/// The libraries that stay behind a wall.
const WALLED: [&str; 6] = ["wasmtime", "redb", "parquet", "arrow-array", "postgres", "rustls"];

#[test]
fn crates_depend_on_what_is_below_them_and_large_libraries_stay_behind_their_walls() {
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(host().join("..").join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        let named = dependencies.lines().filter_map(|line| line.split([' ', '.', '=']).next());
        let walled = |name: &&str| (name.starts_with("unspool-") && *name != "unspool-frame") || WALLED.contains(name);
        let found: std::collections::BTreeSet<&str> = named.filter(walled).collect();
        assert_eq!(found, allowed.iter().copied().collect(), "host/{name}/Cargo.toml");
    }
    let crates = fs::read_dir(host().join(".."))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().join("Cargo.toml").is_file());
    assert_eq!(crates.count(), CRATES.len() - 1, "each crate below the host has a line here");
}
