//! A file that is read and not written: what is written to it stays in memory, and is forgotten with it.
//!
//! redb writes to every file that it opens: that it is open, and, after a kill, what it repairs. Whoever only reads has that
//! over the file instead of in it.

use super::geometry::PAGE;
use redb::StorageBackend;
use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// See the module. Locked as long as it lives: others may read the file as well, and nobody writes to it.
#[derive(Debug)]
pub(super) struct ReadOnly {
    file: File,
    written: RwLock<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file still counts; what is after that is zeros, or in `blocks`.
    of_file: u64,
    blocks: HashMap<u64, Box<[u8; PAGE]>>,
}

impl ReadOnly {
    /// # Errors
    /// [`TryLockError::WouldBlock`] where somebody has the file open to write.
    pub(super) fn new(file: File) -> Result<ReadOnly, TryLockError> {
        file.try_lock_shared()?;
        let len = file.metadata().map_err(TryLockError::Error)?.len();
        Ok(ReadOnly { file, written: RwLock::new(Written { len, of_file: len, blocks: HashMap::new() }) })
    }

    fn written(&self) -> RwLockReadGuard<'_, Written> {
        self.written.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Written> {
        self.written.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file has at `offset`; zeros after what counts of it.
    fn read_file(&self, written: &Written, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = written.of_file.saturating_sub(offset).min(out.len() as u64) as usize;
        self.file.read_exact_at(&mut out[..there], offset)?;
        out[there..].fill(0);
        Ok(())
    }
}

/// The parts of `offset..offset + len` by block: its number, where the part begins in it, and how long it is.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, end) = (offset, offset + len as u64);
    std::iter::from_fn(move || {
        let (block, within) = (at / PAGE as u64, (at % PAGE as u64) as usize);
        let part = ((end - at) as usize).min(PAGE - within);
        at += part as u64;
        (part > 0).then_some((block, within, part))
    })
}

impl StorageBackend for ReadOnly {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset + out.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(&written, offset, out)?;
        let mut rest = out;
        for (block, within, len) in parts(offset, rest.len()).collect::<Vec<_>>() {
            let part = rest.split_off_mut(..len).unwrap_or_default();
            if let Some(bytes) = written.blocks.get(&block) {
                part.copy_from_slice(&bytes[within..within + len]);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.writing();
        let mut rest = data;
        for (block, within, len) in parts(offset, data.len()) {
            let part = rest.split_off(..len).unwrap_or_default();
            if !written.blocks.contains_key(&block) {
                let mut bytes = Box::new([0; PAGE]);
                self.read_file(&written, block * PAGE as u64, &mut bytes[..])?;
                written.blocks.insert(block, bytes);
            }
            if let Some(bytes) = written.blocks.get_mut(&block) {
                bytes[within..within + len].copy_from_slice(part);
            }
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.writing();
        written.of_file = written.of_file.min(len);
        written.blocks.retain(|block, _| block * (PAGE as u64) < len);
        if let Some(bytes) = written.blocks.get_mut(&(len / PAGE as u64)) {
            bytes[(len % PAGE as u64) as usize..].fill(0);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_is() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let before: Vec<u8> = (0..3 * PAGE + 100).map(|n| (n % 251) as u8).collect();
        file.write_all(&before).unwrap();
        let over = ReadOnly::new(File::open(file.path()).unwrap()).unwrap();
        let mut expected = before.clone();
        let mut write = |offset: usize, bytes: &[u8]| {
            over.write(offset as u64, bytes).unwrap();
            expected.resize(expected.len().max(offset + bytes.len()), 0);
            expected[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        write(10, b"front");
        write(PAGE - 3, &[7; PAGE + 6]);
        write(4 * PAGE + 5, b"behind its end");
        let all = || {
            let mut bytes = vec![0; over.len().unwrap() as usize];
            over.read(0, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(all(), expected);
        for len in [2 * PAGE + 7, 5 * PAGE] {
            over.set_len(len as u64).unwrap();
            expected.resize(len, 0);
            assert_eq!(all(), expected, "{len}");
        }
        assert!(over.read(5 * PAGE as u64 - 1, &mut [0; 2]).is_err(), "nothing is after its end");
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }

    #[test]
    fn others_read_it_too_and_nobody_writes_to_it_meanwhile() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || ReadOnly::new(File::open(file.path()).unwrap());
        let (one, other) = (open().unwrap(), open().unwrap());
        assert!(matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)));
        drop((one, other));
        file.as_file().try_lock().unwrap();
        assert!(matches!(open(), Err(TryLockError::WouldBlock)));
    }
}
