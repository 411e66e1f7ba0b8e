//! What tests need of the machine. Where it is missing, they fail with one line that says what it is and how to get it.

use std::{ffi::OsString, path::PathBuf};

/// Where `program` is: in `PATH`, or in `/usr/sbin`, where some systems keep servers. It comes with the Debian package
/// `package`.
///
/// # Panics
/// When it is not installed.
#[track_caller]
pub fn installed(program: &str, package: &str) -> PathBuf {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(program)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{}", missing(program, package)))
}

/// What is said where `program` is missing.
pub(crate) fn missing(program: &str, package: &str) -> String {
    format!("this test needs {program}: install it first (Debian: apt-get install {package})")
}
