//! Where PostgreSQL is installed, and as whom it runs.

use crate::needs::{installed, missing};
use std::{
    ffi::OsStr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

/// `nobody` on every Linux: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// The folder with PostgreSQL's server programs: that of `PATH`, of `pg_config`, or the newest of Debian's.
pub(super) fn folder() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| String::from_utf8(output.stdout).ok());
    let mut installed: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    installed.sort_by_key(|entry| entry.file_name().to_str().and_then(|version| version.parse::<u32>().ok()));
    std::env::split_paths(&path)
        .chain(configured.map(|folder| folder.trim_end().into()))
        .chain(installed.iter().rev().map(|entry| entry.path().join("bin")))
        .filter_map(|folder| folder.join("initdb").canonicalize().ok()?.parent().map(Path::to_owned))
        .find(|folder| folder.join("postgres").is_file())
        .unwrap_or_else(|| panic!("{}", missing("PostgreSQL's server", "postgresql")))
}

/// A command that runs `program` as an ordinary user: as whoever runs the tests, or as `nobody` when that is root.
pub(super) fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new(installed("setpriv", "util-linux"));
    command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]).arg(program);
    command
}

/// Gives `path` to the user of [`unprivileged`] commands.
pub(super) fn hand_over(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives its files away");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a command that must succeed.
#[track_caller]
pub(super) fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not run: {e}"));
    assert!(output.status.success(), "{command:?} fails: {}", String::from_utf8_lossy(&output.stderr));
}
