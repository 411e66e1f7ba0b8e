//! Paths that a host is given: it may have another working directory, and has other descriptors.

use super::args::FileArgs;
use crate::{control::ControlError, source::event_file::FileOptions};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Symbolic links that are followed one after the other; the kernel follows 40.
const LINKS: usize = 40;

/// The full path of what a host is to open. A descriptor of this process is another one there: it is taken by the path of its
/// file, and refused where it has none.
pub(super) fn absolute(path: &Path) -> Result<String, ControlError> {
    if is_descriptor(path) {
        let real = fs::canonicalize(path).ok().filter(|real| real.is_file());
        return match real {
            Some(real) => full(&real),
            None => Err(ControlError::refused(format!(
                "{} is a pipe or another open descriptor of this command, which a host cannot read: name a file",
                path.display()
            ))),
        };
    }
    full(path)
}

/// The full path, whatever it leads to.
pub(super) fn full(path: &Path) -> Result<String, ControlError> {
    let absolute = std::path::absolute(path).map_err(|e| ControlError::refused(format!("{}: {e}", path.display())))?;
    absolute.into_os_string().into_string().map_err(|path| {
        ControlError::refused(format!("{}: the path is not UTF-8; use one that is", Path::new(&path).display()))
    })
}

/// Refuses to write into the data directory `data`: what is there is the product's own.
pub(super) fn refuse_inside(data: &Path, path: &Path) -> Result<(), ControlError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(data), fs::canonicalize(dir)) {
        (Ok(data), Ok(dir)) if dir.starts_with(&data) => Err(ControlError::refused(format!(
            "{} is in the data directory, where only unspool keeps files: name one elsewhere",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a file that is not there, before anything is begun for it.
pub(super) fn refuse_missing(path: &Path) -> Result<(), ControlError> {
    match fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(ControlError::refused(format!("{}: there is no such file", path.display())))
        }
        _ => Ok(()),
    }
}

/// Whether a path leads to a descriptor of this process: `/dev/fd/3`, `/dev/stdin`, `/proc/self/fd/3`, or a link to one.
pub(super) fn is_descriptor(path: &Path) -> bool {
    let descriptors = fs::canonicalize("/proc/self/fd").ok();
    let threads = fs::canonicalize("/proc/thread-self/fd").ok();
    let mut path = PathBuf::from(path);
    for _ in 0..LINKS {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => fs::canonicalize(parent),
            _ => fs::canonicalize("."),
        };
        let Ok(parent) = parent else { return false };
        if Some(&parent) == descriptors.as_ref() || Some(&parent) == threads.as_ref() {
            return true;
        }
        match fs::read_link(&path) {
            Ok(link) => path = parent.join(link),
            Err(_) => return false,
        }
    }
    false
}

/// A source by a name that holds elsewhere, too: a file by its full path, and by how it is read.
pub(super) fn source(source: Option<&str>, reading: &FileArgs) -> Result<Option<String>, ControlError> {
    let options = reading.options();
    let file = source.and_then(|source| source.strip_prefix("file:"));
    let Some(file) = file else {
        if !options.is_default() {
            return Err(ControlError::refused(
                "--map, --without-time and --numbers say how an event file is read: name it with --source file:PATH",
            ));
        }
        return Ok(source.map(str::to_owned));
    };
    let (path, named) = FileOptions::split(file).map_err(|e| ControlError::refused(format!("file:{file}: {e}")))?;
    let options = match (options.is_default(), named.is_default()) {
        (true, _) => named,
        (false, true) => options,
        (false, false) => {
            return Err(ControlError::refused(
                "how the file is read is given twice: after its path, and by --map, --without-time or --numbers",
            ));
        }
    };
    let path = absolute(Path::new(path))?;
    Ok(Some(if options.is_default() { format!("file:{path}") } else { format!("file:{path}?{options}") }))
}
