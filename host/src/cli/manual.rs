//! What shells and `man` are given.

use super::{
    args::{self, Cli},
    output::Output,
};
use crate::control::ControlError;
use clap::CommandFactory;
use serde_json::json;
use std::{fs, io, path::Path};

/// Prints the script that makes `shell` complete commands and options.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8, ControlError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "unspool", &mut script);
    match io::Write::write_all(&mut io::stdout(), &script) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(ControlError::failed(format!("standard output: {e}"))),
        _ => Ok(0),
    }
}

/// Writes a page for each command into `dir`.
pub(super) fn pages(dir: &Path, output: &Output) -> Result<u8, ControlError> {
    let refused = |e: io::Error| ControlError::refused(format!("{}: {e}", dir.display()));
    fs::create_dir_all(dir).map_err(refused)?;
    clap_mangen::generate_to(args::manual(), dir).map_err(refused)?;
    let pages = fs::read_dir(dir).map_err(refused)?.flatten();
    let written = pages.filter(|page| page.file_name().to_string_lossy().starts_with("unspool")).count();
    output.answer(&json!({ "directory": dir, "pages": written }));
    Ok(0)
}
