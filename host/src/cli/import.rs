//! `events import`: files by their paths, and what only this process can read.

use super::{
    args::{Cli, ImportArgs},
    hosting,
    output::{Output, say_aside},
    paths::{absolute, full, is_descriptor, refuse_inside, refuse_missing},
    progress,
    session::{Session, unknown_answer},
};
use crate::{
    control::{Access, ControlError, IMPORT_COPY, Import, Request, Response},
    source::log::ImportSummary,
};
use std::{
    fs,
    io::{self, Read},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
};
use tempfile::NamedTempFile;

/// What standard input is called.
const STANDARD_INPUT: &str = "standard input";

/// Imports files, one after the other.
pub(super) fn import(cli: &Cli, args: &ImportArgs, output: &Output) -> Result<u8, ControlError> {
    let ImportArgs { files, skip_bad_lines, reading } = args;
    files.iter().filter(|file| *file != "-").try_for_each(|file| refuse_missing(Path::new(file)))?;
    if let Some(aside) = skip_bad_lines {
        refuse_inside(&cli.data, aside)?;
    }
    if skip_bad_lines.is_some() && files.len() > 1 {
        return Err(ControlError::refused(
            "--skip-bad-lines goes with one file at a time: each has a file of its own for what is set aside",
        ));
    }
    let skip_bad_lines = skip_bad_lines.as_deref().map(absolute).transpose()?;
    let session = &Session::open(cli, Access::Begin)?;
    let hosting = hosting::serve_meanwhile(session)?;
    for file in files {
        let mut steps = progress::Steps::new(output.is_json());
        let mut given = Given::new(file, session, &cli.data)?;
        let import = Import {
            file: given.path.clone(),
            name: given.name.clone(),
            options: reading.options(),
            skip_bad_lines: skip_bad_lines.clone(),
        };
        let mut ask = |session: &Session, import: Import| {
            session.ask(Request::EventsImport(import), &mut |row| {
                steps.import(file, &row);
                true
            })
        };
        let done = match ask(session, import.clone()) {
            // What was read for the host that has ended cannot be read again: it is imported from the copy.
            Err(e) if e.again && given.is_copied() => {
                let session = Session::open(cli, Access::Begin)?;
                given.go_to(&session)?;
                ask(&session, Import { file: given.path.clone(), ..import })
                    .map_err(|e| ControlError { again: false, ..e })
            }
            done => done,
        };
        drop(steps);
        let done = done?;
        output.answer(&done.json());
        let Response::Imported(ImportSummary { skipped, .. }) = done else { return Err(unknown_answer()) };
        let skipped = skipped.unwrap_or(0);
        if let (1.., Some(aside)) = (skipped, &skip_bad_lines) {
            say_aside(&format!(
                "warning: {skipped} bad lines of {file} were not imported; they are in {aside}: correct them, and import that file"
            ));
        }
    }
    hosting::wait_for_others(session, hosting.as_ref());
    Ok(0)
}

/// A file in a form that the importing process can open.
struct Given {
    path: String,
    /// What messages call it, where that is not its path.
    name: Option<String>,
    /// What this process has read for a host, until it is imported.
    copy: Option<NamedTempFile>,
}

impl Given {
    fn is_copied(&self) -> bool {
        self.copy.is_some()
    }

    /// Makes the copy one that the process of `session` can open: this process itself by its descriptor.
    fn go_to(&mut self, session: &Session) -> Result<(), ControlError> {
        if let (Some(copy), false) = (&self.copy, session.is_remote()) {
            self.path = full(Path::new(&format!("/proc/self/fd/{}", copy.as_file().as_raw_fd())))?;
        }
        Ok(())
    }

    fn new(file: &str, session: &Session, data: &Path) -> Result<Given, ControlError> {
        let path = Path::new(file);
        match session {
            Session::Local(..) if file == "-" => Ok(Given { path: file.to_owned(), name: None, copy: None }),
            Session::Local(..) => Ok(Given { path: full(path)?, name: None, copy: None }),
            Session::Remote(..) if file == "-" => Given::copied(Box::new(io::stdin()), STANDARD_INPUT, data),
            Session::Remote(..) => Given::for_host(path, file, data),
            #[cfg(feature = "http")]
            Session::Elsewhere(_) if file == "-" => {
                Ok(Given { path: file.to_owned(), name: Some(STANDARD_INPUT.to_owned()), copy: None })
            }
            #[cfg(feature = "http")]
            Session::Elsewhere(_) => Ok(Given { path: full(path)?, name: None, copy: None }),
        }
    }

    /// A host opens paths by itself. What it cannot open by any path, such as a descriptor of this process, or only once, such
    /// as a pipe, is copied for it.
    fn for_host(path: &Path, file: &str, data: &Path) -> Result<Given, ControlError> {
        let Ok(about) = fs::metadata(path) else {
            return Ok(Given { path: full(path)?, name: None, copy: None });
        };
        let same = |other: &fs::Metadata| (other.dev(), other.ino()) == (about.dev(), about.ino());
        let real = fs::canonicalize(path).ok().filter(|real| fs::metadata(real).is_ok_and(|real| same(&real)));
        match real {
            Some(real) if about.is_dir() || about.is_file() => {
                let name = (!is_descriptor(path)).then(|| full(path)).transpose()?;
                Ok(Given { path: full(&real)?, name, copy: None })
            }
            _ => {
                let unreadable = |e: io::Error| ControlError::refused(format!("{file}: it cannot be read: {e}"));
                Given::copied(Box::new(fs::File::open(path).map_err(unreadable)?), file, data)
            }
        }
    }

    /// Copies what `reader` gives into the data directory, which the host sees as well. The copy goes when it is imported; the
    /// next host removes what a killed command leaves.
    fn copied(mut reader: Box<dyn Read>, name: &str, data: &Path) -> Result<Given, ControlError> {
        let failed = |e: io::Error| ControlError::failed(format!("{name} cannot be copied to {}: {e}", data.display()));
        let (prefix, suffix) = IMPORT_COPY;
        let mut copy = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(data).map_err(failed)?;
        // As long as it is locked, its command is at work on it.
        copy.as_file().lock().map_err(failed)?;
        io::copy(&mut reader, copy.as_file_mut()).map_err(failed)?;
        let path = full(copy.path())?;
        Ok(Given { path, name: Some(name.to_owned()), copy: Some(copy) })
    }
}
