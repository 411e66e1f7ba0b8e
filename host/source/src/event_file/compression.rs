//! The bytes of a file, unpacked.

use super::Reason;
use flate2::bufread::GzDecoder;
use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zstd::stream::read::Decoder;

/// Read at a time: large enough that system calls do not count.
const BUFFER_BYTES: usize = 256 << 10;

/// How much of a file's beginning is looked at to tell what it is.
const HEAD_BYTES: usize = 16;

/// The content of a file.
pub(super) struct Input {
    reader: BufReader<Box<dyn Read + Send>>,
    head: Vec<u8>,
    compression: Option<Compression>,
}

#[derive(Debug, Clone, Copy)]
enum Compression {
    Gzip,
    Zstd,
}

impl Input {
    /// The content of what `stored` gives, unpacked where that is compressed; counts into `bytes_read` what it takes.
    pub(super) fn open(stored: Box<dyn Read + Send>, bytes_read: &Arc<AtomicU64>) -> Result<Input, Reason> {
        let stored = Counted { reader: stored, bytes_read: Arc::clone(bytes_read) };
        let packed = Input::new(Box::new(stored), None)?;
        let (content, compression): (Box<dyn Read + Send>, _) = match *packed.head {
            [0x1f, 0x8b, ..] => (Box::new(GzipMembers::new(packed.reader)), Compression::Gzip),
            // The second is a frame to be skipped, which may stand before the others.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = Decoder::with_buffer(packed.reader);
                (Box::new(decoder.map_err(|error| reason(&error, None))?), Compression::Zstd)
            }
            _ => return Ok(packed),
        };
        Input::new(content, Some(compression))
    }

    fn new(mut content: Box<dyn Read + Send>, compression: Option<Compression>) -> Result<Input, Reason> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let read = (&mut content).take(HEAD_BYTES as u64).read_to_end(&mut head);
        read.map_err(|error| reason(&error, compression))?;
        let content: Box<dyn Read + Send> = Box::new(Cursor::new(head.clone()).chain(content));
        Ok(Input { reader: BufReader::with_capacity(BUFFER_BYTES, content), head, compression })
    }

    /// The first bytes of the content; empty where there is none.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends the next line to `line`, with its newline, or as much of it as `limit` bytes hold. Says how much that is:
    /// nothing at the end.
    pub(super) fn read_line(&mut self, limit: usize, line: &mut Vec<u8>) -> Result<usize, Reason> {
        let read = (&mut self.reader).take(limit as u64).read_until(b'\n', line);
        read.map_err(|error| reason(&error, self.compression))
    }

    /// Appends the next `len` bytes to `out`, or what there is before the end. Says how much that is.
    pub(super) fn read(&mut self, len: usize, out: &mut Vec<u8>) -> Result<usize, Reason> {
        let read = (&mut self.reader).take(len as u64).read_to_end(out);
        read.map_err(|error| reason(&error, self.compression))
    }
}

fn reason(error: &io::Error, compression: Option<Compression>) -> Reason {
    let failed = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadFailed>());
    match (failed, compression) {
        (Some(ReadFailed(problem)), _) => Reason::Unreadable(problem.clone()),
        (None, None) => Reason::Unreadable(error.to_string()),
        (None, Some(compression)) if error.kind() == ErrorKind::UnexpectedEof => {
            Reason::Truncated(compression.to_string())
        }
        (None, Some(compression)) => {
            Reason::Corrupt { compression: compression.to_string(), problem: error.to_string() }
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// The content of a gzip file: all its members. Zeros after them are padding, as tapes, block devices and object stores leave
/// it.
struct GzipMembers {
    /// The member that is being unpacked; absent after the last one.
    member: Option<GzDecoder<Stored>>,
}

/// The bytes of a file as they are stored.
type Stored = BufReader<Box<dyn Read + Send>>;

impl GzipMembers {
    fn new(stored: Stored) -> GzipMembers {
        GzipMembers { member: Some(GzDecoder::new(stored)) }
    }

    /// Passes over padding; whether another member follows.
    fn follows(stored: &mut Stored) -> io::Result<bool> {
        loop {
            let bytes = stored.fill_buf()?;
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            match (bytes.len(), bytes.get(zeros)) {
                (0, _) => return Ok(false),
                (_, Some(0x1f)) => {
                    stored.consume(zeros);
                    return Ok(true);
                }
                (_, Some(_)) => {
                    let problem = "after the last member comes something that is neither gzip nor padding";
                    return Err(io::Error::new(ErrorKind::InvalidData, problem));
                }
                (read, None) => stored.consume(read),
            }
        }
    }
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut stored) = self.member.take().map(GzDecoder::into_inner) else { break };
            if GzipMembers::follows(&mut stored)? {
                self.member = Some(GzDecoder::new(stored));
            }
        }
        Ok(0)
    }
}

/// Counts what is read, and marks errors of reading, so that they are told from those of unpacking.
struct Counted {
    reader: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct ReadFailed(String);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::other(ReadFailed(error.to_string()))),
                Ok(read) => break read,
            }
        };
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
