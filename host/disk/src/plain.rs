//! Files of the format before the one with checksums: a redb file as it is.

use super::{
    DiskError, damaged, format_of,
    front::{self, HEADER, Look, REDB_MAGIC},
    geometry::PAGE,
    pages::Pages,
};
use redb::{StorageBackend, backends::FileBackend};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};
use unspool_vocabulary::crash;

/// Pages that are copied at once.
const COPIED: usize = 512;

/// Rewrites the file at `path` with checksums, once redb has tested all that is in it. The new one replaces the old one when
/// it is complete.
pub(super) fn rewrite(path: &Path, format: u32, cache_bytes: usize) -> Result<(), DiskError> {
    let io_error = |source| DiskError::Io { path: path.to_owned(), source };
    test(path, format, cache_bytes)?;
    let old = File::options().read(true).write(true).open(path).map_err(io_error)?;
    // redb takes this lock too: nobody else has the file open, or opens it before the new one is there.
    old.try_lock().map_err(|_| DiskError::InUse(path.to_owned()))?;
    let (own, named) = (old.metadata().map_err(io_error)?, fs::metadata(path).map_err(io_error)?);
    let mut header = [0; HEADER];
    old.read_exact_at(&mut header, 0).map_err(io_error)?;
    let unchanged = header.starts_with(REDB_MAGIC) && front::is_clean(&header);
    if (own.dev(), own.ino()) != (named.dev(), named.ino()) || !unchanged {
        return Err(DiskError::InUse(path.to_owned()));
    }
    let mut draft = path.to_owned().into_os_string();
    draft.push(".draft");
    let copied = copy(&old, own.len(), &header, draft.as_ref());
    let replaced = copied.and_then(|()| {
        crash::point("file.rewritten");
        fs::rename(&draft, path)?;
        crash::point("file.replaced");
        File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
    });
    replaced.map_err(|source| {
        drop(fs::remove_file(&draft));
        io_error(source)
    })
}

/// Lets redb test every page, and repair what a crash has left.
fn test(path: &Path, format: u32, cache_bytes: usize) -> Result<(), DiskError> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    let opened = catch_unwind(AssertUnwindSafe(|| builder.open(path)));
    let opened = opened.map_err(|_| damaged(format!("{} is damaged: its pages make no sense", path.display())))?;
    let db = opened.map_err(|e| DiskError::opening(path, e))?;
    match format_of(&db, path)? {
        None => Ok(()),
        Some(found) if found <= format => Ok(()),
        Some(found) => Err(DiskError::Format { path: path.to_owned(), found, known: format }),
    }
}

fn copy(old: &File, len: u64, header: &[u8], draft: &Path) -> io::Result<()> {
    if draft.exists() {
        fs::remove_file(draft)?;
    }
    let new = File::options().read(true).write(true).create_new(true).mode(0o600).open(draft)?;
    let new = Pages::new(FileBackend::new(new).map_err(io::Error::other)?, draft, front::boot(), Look::Empty);
    new.len()?;
    new.set_len(len)?;
    let mut bytes = vec![0; COPIED * PAGE];
    let mut at = PAGE as u64;
    while at < len {
        let part = &mut bytes[..(len - at).min((COPIED * PAGE) as u64) as usize];
        old.read_exact_at(part, at)?;
        for (page, bytes) in part.chunks(PAGE).enumerate() {
            // What was never written takes no space.
            if bytes.iter().any(|byte| *byte != 0) {
                new.write(at + (page * PAGE) as u64, bytes)?;
            }
        }
        at += part.len() as u64;
    }
    new.write(0, header)?;
    new.sync_data()
}
