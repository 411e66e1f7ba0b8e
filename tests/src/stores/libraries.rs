//! Stores that their own libraries fill. They come from npm and PyPI, which need a network: tests that use them are ignored
//! unless they are asked for.

use crate::needs::installed;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Appends the events of `lines` (NDJSON) to the empty database at `url` through Emmett, one by one: their ids, streams,
/// types, data and metadata; the store sets the time.
pub fn emmett(url: &str, lines: &[u8]) {
    let dir = copy("emmett", &["package.json", "fill.mjs"]);
    run(
        Command::new(installed("npm", "npm")).args([
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]),
        dir.path(),
        &[],
    );
    run(Command::new(installed("node", "nodejs")).args(["fill.mjs", url]), dir.path(), lines);
}

/// Appends the events of `lines` (NDJSON) to the empty database at `url` through eventsourcing, as those of an
/// application named `Orders`: their streams as UUIDs ([`super::uuid`]), types, data and times.
pub fn eventsourcing(url: &str, lines: &[u8]) {
    let dir = copy("eventsourcing", &["requirements.txt", "fill.py"]);
    run(Command::new(installed("python3", "python3-venv")).args(["-m", "venv", "python"]), dir.path(), &[]);
    let python = dir.path().join("python/bin/python");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r", "requirements.txt"]), dir.path(), &[]);
    let with_uuids: String = crate::history::events(lines)
        .into_iter()
        .map(|mut event| {
            event["stream"] = super::uuid(event["stream"].as_str().expect("a stream")).into();
            format!("{event}\n")
        })
        .collect();
    run(Command::new(&python).args(["fill.py", url]), dir.path(), with_uuids.as_bytes());
}

/// A temporary folder with these files of `tests/stores/PRESET`.
fn copy(preset: &str, files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("stores").join(preset);
    for file in files {
        std::fs::copy(from.join(file), dir.path().join(file)).expect("a copy");
    }
    dir
}

/// Runs a command that must succeed.
fn run(command: &mut Command, dir: &Path, input: &[u8]) {
    let mut child = command
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?} does not run: {e}"));
    // One that fails reads no further.
    drop(child.stdin.take().expect("standard input is piped").write_all(input));
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{command:?} fails");
}
