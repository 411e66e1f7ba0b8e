//! What is its owner's alone: a data directory, what is in it, and who talks over its socket.
//!
//! A directory that others may write to, or that is theirs, is not used: they could put rows, plugins or a socket of their own
//! there. A folder above that others may write is no danger: what they put in the directory's place is theirs, and refused.

use rustix::process::geteuid;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Rights of others to write.
const OTHERS_WRITE: u32 = 0o022;

/// Rights of others to whatever.
const OTHERS: u32 = 0o077;

/// Something that is not its owner's alone: which, whose, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPrivate(String);

impl From<NotPrivate> for io::Error {
    fn from(refused: NotPrivate) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, refused)
    }
}

/// Whether a process of this user may ask a host of ours, or answer us.
pub fn is_trusted(user: u32) -> bool {
    user == geteuid().as_raw() || user == 0
}

/// Makes a directory for its owner alone, with those above it, where it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How a file of the data directory is opened: not through a symbolic link, and where it is made, for its owner alone.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// Opens a file of ours to read and write, or makes it; whatever others may do to it, they may no longer.
///
/// # Errors
/// When it cannot be opened or made, or is a symbolic link.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    let file = options().read(true).write(true).create(true).truncate(false).open(path)?;
    let metadata = file.metadata()?;
    if metadata.mode() & OTHERS != 0 && metadata.uid() == geteuid().as_raw() {
        file.set_permissions(Permissions::from_mode(metadata.mode() & 0o700))?;
    }
    Ok(file)
}

/// Refuses a directory that others own or may write to. It may be reached over a symbolic link, which must be ours too. One
/// that does not exist is nobody's.
///
/// # Errors
/// Says whose it is, or what others may do, and how to change that.
pub fn refuse_foreign_dir(path: &Path) -> Result<(), NotPrivate> {
    let Ok(link) = fs::symlink_metadata(path) else { return Ok(()) };
    refuse_foreign(path, &link)?;
    let Ok(dir) = fs::metadata(path) else { return Ok(()) };
    refuse_foreign(path, &dir)?;
    refuse_writable(path, &dir, OTHERS_WRITE)
}

/// Refuses an entry of the data directory `dir` that is a symbolic link, or that others own or may write to. One that does
/// not exist is nobody's.
///
/// # Errors
/// As [`refuse_foreign_dir`].
pub fn refuse_foreign_entry(dir: &Path, name: &str) -> Result<(), NotPrivate> {
    let path = dir.join(name);
    let Ok(entry) = fs::symlink_metadata(&path) else { return Ok(()) };
    if entry.is_symlink() {
        return Err(NotPrivate(format!(
            "{} is a symbolic link, which is not followed: put what it points to in its place; the data directory as a whole \
             may be reached over a link",
            path.display()
        )));
    }
    refuse_foreign(&path, &entry)?;
    // What a group may do to a file behind a door that it cannot open is not done; the file is its owner's alone once it is
    // opened.
    let reachable = fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o010 != 0);
    refuse_writable(&path, &entry, if reachable { OTHERS_WRITE } else { 0o002 })
}

/// A text that nobody guesses: 32 random bytes, in hexadecimal.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_text() -> io::Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(blake3::Hash::from_bytes(random).to_hex().to_string())
}

/// The secret in a file, without the white space around it. It must be its owner's alone, who is the one that asks, or root.
///
/// # Errors
/// When it cannot be read, or others may read it: says how to change that.
pub fn secret_in(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if metadata.mode() & OTHERS != 0 || !is_trusted(metadata.uid()) {
        let (mode, path) = (metadata.mode() & 0o777, path.display());
        return Err(NotPrivate(format!("others may read it (mode {mode:o}): chmod 600 {path}")).into());
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn refuse_foreign(path: &Path, metadata: &fs::Metadata) -> Result<(), NotPrivate> {
    if is_trusted(metadata.uid()) {
        return Ok(());
    }
    let (path, me) = (path.display(), geteuid().as_raw());
    Err(NotPrivate(format!(
        "{path} belongs to user {}, and this process runs as user {me}: run it as that user, or, if you trust what is there, \
         chown {me} {path}",
        metadata.uid()
    )))
}

fn refuse_writable(path: &Path, metadata: &fs::Metadata, rights: u32) -> Result<(), NotPrivate> {
    if metadata.mode() & rights == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(NotPrivate(format!(
        "others may write to {path} (mode {:o}, owner {}): if you trust what is there, chmod go-w {path}",
        metadata.mode() & 0o7777,
        metadata.uid()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        refuse_foreign_dir(&dir).unwrap();
        make_dir(&dir).unwrap();
        for (rights, refused) in [(0o700, false), (0o755, false), (0o770, true), (0o777, true), (0o1777, true)] {
            mode(&dir, rights);
            assert_eq!(refuse_foreign_dir(&dir).is_err(), refused, "{rights:o}");
        }
        let message = refuse_foreign_dir(&dir).unwrap_err().to_string();
        assert!(message.contains("mode 1777") && message.contains("chmod go-w"), "{message}");
    }

    #[test]
    fn files_are_their_owners_alone_and_no_links() {
        let dir = tempfile::tempdir().unwrap();
        mode(dir.path(), 0o700);
        let file = dir.path().join("store.redb");
        let rights = || fs::metadata(&file).unwrap().mode() & 0o777;
        drop(open_or_make(&file).unwrap());
        assert_eq!(rights(), 0o600);
        // Of an older version, under an umask that lets a group write: nobody could reach it.
        mode(&file, 0o664);
        refuse_foreign_entry(dir.path(), "store.redb").unwrap();
        drop(open_or_make(&file).unwrap());
        assert_eq!(rights(), 0o600);
        mode(&file, 0o664);
        mode(dir.path(), 0o755);
        assert!(refuse_foreign_entry(dir.path(), "store.redb").is_err());
        mode(&file, 0o666);
        mode(dir.path(), 0o700);
        assert!(refuse_foreign_entry(dir.path(), "store.redb").is_err());
        refuse_foreign_entry(dir.path(), "log.redb").unwrap();
        symlink(&file, dir.path().join("log.redb")).unwrap();
        let message = refuse_foreign_entry(dir.path(), "log.redb").unwrap_err().to_string();
        assert!(message.contains("log.redb is a symbolic link"), "{message}");
        assert!(open_or_make(&dir.path().join("log.redb")).is_err());
    }
}
