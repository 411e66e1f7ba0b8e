//! Plugins in languages other than Rust, built by their own compilers where this machine has them.

use crate::plugins::target_dir;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder `path` of the repository.
pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Whether this machine has all of `programs`. Where it lacks one, it is said which, and the test that asks has nothing to do.
pub fn has(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).collect();
    if !missing.is_empty() {
        println!("not run: this machine has no {missing:?}");
    }
    missing.is_empty()
}

/// The core module of the Go plugin in `dir`, built as its documentation says.
pub fn go(dir: &Path, name: &str) -> PathBuf {
    build(name, |module| {
        let mut go = Command::new("go");
        go.current_dir(dir).env("GOOS", "wasip1").env("GOARCH", "wasm").env("GOFLAGS", "").env("GOTOOLCHAIN", "local");
        go.args(["build", "-trimpath", "-buildmode=c-shared", "-o"]).arg(module).arg(".");
        go
    })
}

/// The core module of the C plugin in the file `source`, built as its documentation says.
pub fn c(source: &Path, name: &str) -> PathBuf {
    build(name, |module| {
        let mut clang = Command::new("clang-19");
        let sdk = folder("plugin-sdk/c");
        clang.args(["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wall", "-Wextra", "-Werror"]);
        clang.args(["-Wl,--stack-first", "-Wl,-z,stack-size=262144", "-I"]).arg(&sdk).arg("-o").arg(module);
        clang.arg(sdk.join("unspool.c")).arg(source);
        clang
    })
}

fn build(name: &str, compiler: impl FnOnce(&Path) -> Command) -> PathBuf {
    let module = target_dir().join(format!("{name}.{}.core.wasm", std::process::id()));
    std::fs::create_dir_all(target_dir()).expect("a directory");
    let output = compiler(&module).output().expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    module
}

/// Makes a component of the core module, in the file `component` beside it, as `unspool plugin wrap` does.
pub fn wrapped(binary: &str, module: &Path) -> PathBuf {
    let component = module.with_extension("").with_extension("wasm");
    let args: [&OsStr; 5] =
        ["plugin".as_ref(), "wrap".as_ref(), module.as_os_str(), "-o".as_ref(), component.as_os_str()];
    let output = Command::new(binary).args(args).output().expect("the command line runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    component
}
