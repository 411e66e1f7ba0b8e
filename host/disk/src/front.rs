//! The first page of a file: what it says about the whole, and redb's header (see `pages.rs` for the layout).

use redb::StorageBackend;
use std::{io, ops::Range};
use twox_hash::XxHash3_64;

/// The version of the layout. The one before it was a redb file as it is, without checksums.
pub(super) const VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"unspool\n";

/// What a redb file begins with.
pub(super) const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// Bytes of a redb file's header.
pub(super) const HEADER: usize = 320;

/// The byte of the header, and the bit in it, by which redb says that the file was not closed.
const UNCLEAN: (usize, u8) = (9, 2);

pub(super) const FRONT: usize = 64 + HEADER;

/// What a look at a file says about how it is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing is in it.
    Empty,
    /// A redb file without checksums.
    Plain,
    /// As it was synced.
    Synced,
    /// To be tested as a whole by redb.
    Unsynced,
}

/// The front of a file.
pub(super) struct Front {
    pub(super) version: u32,
    pub(super) fits: bool,
    pub(super) synced: bool,
    pub(super) boot: [u8; 16],
    pub(super) synced_header: u64,
    pub(super) header: Vec<u8>,
}

impl Front {
    /// `None` where the file does not begin with a front.
    pub(super) fn read(bytes: &[u8]) -> Option<Front> {
        if bytes.len() < FRONT || !bytes.starts_with(MAGIC) {
            return None;
        }
        let number = |at: Range<usize>| bytes[at].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some(Front {
            version: number(8..12) as u32,
            fits: number(32..40) == front_sum(bytes),
            synced: bytes[12] == 1,
            boot: bytes[16..32].try_into().unwrap_or_default(),
            synced_header: number(40..48),
            header: bytes[64..FRONT].to_vec(),
        })
    }

    /// Whether the maker of `file`, which has `len` bytes, was killed before redb wrote its magic number.
    pub(super) fn is_unborn(&self, file: &dyn StorageBackend, len: u64) -> io::Result<bool> {
        let unborn = self.header[..REDB_MAGIC.len()].iter().all(|byte| *byte == 0);
        Ok(unborn && (self.fits || is_unborn(file, len, FRONT)?))
    }
}

/// Whether redb closed the file that has this header.
pub(super) fn is_clean(header: &[u8]) -> bool {
    header[UNCLEAN.0] & UNCLEAN.1 == 0
}

fn front_sum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(&[&bytes[..32], &bytes[40..FRONT]].concat())
}

/// The bytes of a front.
pub(super) fn encode(synced: bool, boot: [u8; 16], synced_header: u64, header: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; FRONT];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12] = u8::from(synced);
    bytes[16..32].copy_from_slice(&boot);
    bytes[40..48].copy_from_slice(&synced_header.to_le_bytes());
    bytes[64..].copy_from_slice(header);
    let sum = front_sum(&bytes);
    bytes[32..40].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The running system.
pub(super) fn boot() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u8> = text.bytes().filter_map(|digit| char::from(digit).to_digit(16).map(|d| d as u8)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok()
}

/// More than a file has before anything is stored in it.
const UNBORN_BYTES: u64 = 16 << 20;

/// Whether `file` is one whose maker was killed before redb wrote its magic number: nothing but zeros after the `header`
/// bytes that are written first, so that there is nothing in it to lose.
fn is_unborn(file: &dyn StorageBackend, len: u64, header: usize) -> io::Result<bool> {
    if !(header as u64..=UNBORN_BYTES).contains(&len) {
        return Ok(false);
    }
    let mut rest = vec![0; len as usize - header];
    file.read(header as u64, &mut rest)?;
    Ok(rest.iter().all(|byte| *byte == 0))
}

/// The same of a file without a front that begins with `bytes`.
pub(super) fn is_unborn_plain(file: &dyn StorageBackend, len: u64, bytes: &[u8]) -> io::Result<bool> {
    let magic = bytes.iter().take(REDB_MAGIC.len()).all(|byte| *byte == 0);
    Ok(magic && is_unborn(file, len, HEADER)?)
}

pub(super) fn read_front(file: &dyn StorageBackend, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (len as usize).min(FRONT)];
    file.read(0, &mut bytes)?;
    Ok(bytes)
}

/// Looks at `file`, which need not be locked: what it says is tested again under the lock.
pub(super) fn look(file: &dyn StorageBackend, boot: Option<[u8; 16]>) -> io::Result<Look> {
    let len = file.len()?;
    if len == 0 {
        return Ok(Look::Empty);
    }
    let bytes = read_front(file, len)?;
    Ok(match Front::read(&bytes) {
        None if bytes.starts_with(REDB_MAGIC) => Look::Plain,
        None if is_unborn_plain(file, len, &bytes)? => Look::Empty,
        Some(front) if front.is_unborn(file, len)? => Look::Empty,
        Some(front) if front.fits && front.synced && (is_clean(&front.header) || boot == Some(front.boot)) => {
            Look::Synced
        }
        // One of another version, too: it is refused under the lock.
        _ => Look::Unsynced,
    })
}
