//! The example plugins as components, built once for a test run.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
};
use unspool::plugin::{BuildOptions, build};

/// Where the plugins of the project are.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name)
}

/// The component of the plugin `name`.
pub fn plugin(name: &str) -> PathBuf {
    plugin_with(name, &[])
}

/// The component of the plugin `name`, built with `features`. Test processes that want the same one at the same time
/// wait for each other at cargo's lock, and write the same bytes.
pub fn plugin_with(name: &str, features: &[&str]) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let file = [&[name], features].concat().join("-") + ".wasm";
    // What could not be built for one test says why to each of the others.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(&file) {
        return path.clone();
    }
    let target = target_dir();
    let options = BuildOptions {
        target_dir: Some(target.clone()),
        quiet: true,
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
    };
    let component = build(&source(name), &options).unwrap_or_else(|e| panic!("{e}")).component;
    let path = target.join(&file);
    let draft = target.join(format!("{file}.{}", std::process::id()));
    std::fs::write(&draft, component).expect("a component");
    std::fs::rename(draft, &path).expect("a component");
    built.insert(file, path.clone());
    path
}

/// Where plugins are built: a target directory beside the one of this build: cargo holds a lock on that while it runs tests.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("this program");
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("tests run in a target directory").join("plugins")
}
