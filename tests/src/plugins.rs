//! The example plugins as components, built once for a test run.

use crate::console::Page;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
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

/// The component of the TypeScript example `name`.
pub fn script(name: &str) -> PathBuf {
    let file = format!("{name}-ts.wasm");
    let known = built().get(&file).cloned();
    known.unwrap_or_else(|| {
        write(file, &source(&format!("../plugin-sdk/typescript/examples/{name}.ts")), &BuildOptions::default())
    })
}

/// The components that have been built, by their files' names.
static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);

/// Nothing else is built in this process until what this returns is dropped. Two builds of one package with other features, in
/// one target directory, get each other's component.
pub fn building() -> MutexGuard<'static, ()> {
    static BUILDING: Mutex<()> = Mutex::new(());
    // What could not be built for one test says why to each of the others.
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn built() -> MutexGuard<'static, HashMap<String, PathBuf>> {
    BUILT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The component of the plugin `name`, built with `features`. Test processes that want the same one at the same time
/// wait for each other at cargo's lock, and write the same bytes.
pub fn plugin_with(name: &str, features: &[&str]) -> PathBuf {
    let file = [&[name], features].concat().join("-") + ".wasm";
    let known = || built().get(&file).cloned();
    if let Some(path) = known() {
        return path;
    }
    let _alone = building();
    if let Some(path) = known() {
        return path;
    }
    let options = BuildOptions {
        target_dir: Some(target_dir()),
        quiet: true,
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
    };
    write(file, &source(name), &options)
}

fn write(file: String, source: &Path, options: &BuildOptions) -> PathBuf {
    let component = build(source, options).unwrap_or_else(|e| panic!("{e}")).component;
    let path = target_dir().join(&file);
    let draft = target_dir().join(format!("{file}.{}", std::process::id()));
    std::fs::create_dir_all(target_dir()).expect("a target directory");
    std::fs::write(&draft, component).expect("a component");
    std::fs::rename(draft, &path).expect("a component");
    built().insert(file, path.clone());
    path
}

/// Writes a package of the plugin that the README shows, `payments`, into `dir`.
pub fn payments_package(dir: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (readme, sdk) = (Page::read(&root.join("README.md")), Page::read(&root.join("plugin-sdk/README.md")));
    let block = |page: &Page, info: &str| {
        let block = page.blocks.iter().find(|block| block.info == info);
        page.text(block.unwrap_or_else(|| panic!("{} has no block {info}", page.path.display())))
    };
    let sdk_folder = root.join("plugin-sdk").canonicalize().expect("the SDK");
    let manifest = block(&sdk, "toml").replace("../unspool/plugin-sdk", &sdk_folder.display().to_string());
    let package = "[package]\nname = \"payments\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n";
    std::fs::create_dir_all(dir.join("src")).expect("a package");
    std::fs::write(dir.join("Cargo.toml"), format!("{package}{manifest}")).expect("a manifest");
    std::fs::write(dir.join("src/lib.rs"), block(&readme, "rust")).expect("a plugin");
    // The versions that the workspace has, which are there without a network.
    std::fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).expect("a lock file");
}

/// The component of the plugin that the README shows.
pub fn payments() -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let _alone = building();
        let dir = target_dir().join("payments");
        payments_package(&dir);
        let options = BuildOptions { target_dir: Some(target_dir()), quiet: true, ..BuildOptions::default() };
        let component = build(&dir, &options).unwrap_or_else(|e| panic!("{e}")).component;
        let path = target_dir().join(format!("payments.{}.wasm", std::process::id()));
        std::fs::write(&path, component).expect("a component");
        path
    });
    BUILT.clone()
}

/// Where plugins are built, beside the target directory of this build: cargo holds a lock on that while it runs tests.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("this program");
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("tests run in a target directory").join("plugins")
}
