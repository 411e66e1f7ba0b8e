//! The write frame: an array of writes.

use crate::wire::{self, FrameError, Result};

/// One row put or deleted: an array of three elements, in the order of these fields.
///
/// Where a frame writes the same row twice, the later write holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    /// A table that the plugin's description names.
    pub table: &'a str,
    /// The row's key.
    pub key: &'a str,
    /// The row's document as `bin` holding one MessagePack value; `nil` deletes the row.
    pub document: Option<&'a [u8]>,
}

const FIELDS: u32 = 3;

impl<'a> Write<'a> {
    /// Appends the write to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        head(out, self.table, self.key);
        let written = match self.document {
            Some(document) => rmp::encode::write_bin(out, document).is_ok(),
            None => rmp::encode::write_nil(out).is_ok(),
        };
        debug_assert!(written, "writing to a vector cannot fail");
    }

    fn decode(input: &mut &'a [u8]) -> Result<Self> {
        let fields = wire::array_len(input, "write")?;
        if fields < FIELDS as usize {
            return Err(wire::error("write", format!("has {fields} elements, not {FIELDS}")));
        }
        let write = Write {
            table: wire::string(input, "write's table")?,
            key: wire::string(input, "write's key")?,
            document: wire::optional_binary(input, "write's document")?,
        };
        wire::skip(input, fields - FIELDS as usize, "write")?;
        Ok(write)
    }
}

/// Appends a write but for its document.
fn head(out: &mut Vec<u8>, table: &str, key: &str) {
    let written = (|| {
        rmp::encode::write_array_len(out, FIELDS).ok()?;
        rmp::encode::write_str(out, table).ok()?;
        rmp::encode::write_str(out, key).ok()
    })();
    debug_assert!(written.is_some(), "writing to a vector cannot fail");
}

/// Appends the header of a frame of `writes` writes; the writes follow it.
pub fn write_header(out: &mut Vec<u8>, writes: u32) {
    let written = rmp::encode::write_array_len(out, writes);
    debug_assert!(written.is_ok(), "writing to a vector cannot fail");
}

/// A frame of writes in the making: the header says how many there are, which is known last.
#[derive(Debug)]
pub struct WriteFrame {
    frame: Vec<u8>,
    writes: u32,
}

impl WriteFrame {
    const HEADER: usize = 5;

    /// No writes yet, and room for `bytes` bytes of them.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut frame = Vec::with_capacity(Self::HEADER + bytes);
        frame.extend([0; Self::HEADER]);
        WriteFrame { frame, writes: 0 }
    }

    /// Adds a put whose document `encode` appends: no copy of a document that is not encoded yet.
    ///
    /// # Errors
    /// Those of `encode`; the write is then left out.
    pub fn put_with<E>(
        &mut self,
        table: &str,
        key: &str,
        encode: impl FnOnce(&mut Vec<u8>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        const BIN_32: u8 = 0xc6;
        let before = self.frame.len();
        head(&mut self.frame, table, key);
        self.frame.extend([BIN_32, 0, 0, 0, 0]);
        let start = self.frame.len();
        if let Err(error) = encode(&mut self.frame) {
            self.frame.truncate(before);
            return Err(error);
        }
        let len = (self.frame.len() - start) as u32;
        self.frame[start - 4..start].copy_from_slice(&len.to_be_bytes());
        self.writes += 1;
        Ok(())
    }

    /// Adds a write.
    pub fn add(&mut self, write: &Write<'_>) {
        write.encode(&mut self.frame);
        self.writes += 1;
    }

    /// The frame.
    pub fn finish(mut self) -> Vec<u8> {
        const ARRAY_32: u8 = 0xdd;
        self.frame[0] = ARRAY_32;
        self.frame[1..Self::HEADER].copy_from_slice(&self.writes.to_be_bytes());
        self.frame
    }
}

/// Reads the writes of a frame, in order, and refuses bytes after the last one.
#[derive(Debug, Clone)]
pub struct Writes<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Writes<'a> {
    /// Reads the header of `frame`. An empty frame holds no writes.
    ///
    /// # Errors
    /// When it is not an array.
    pub fn new(frame: &'a [u8]) -> Result<Self> {
        let mut rest = frame;
        let left = if rest.is_empty() { 0 } else { wire::array_len(&mut rest, "write frame")? };
        Ok(Writes { rest, left })
    }
}

impl<'a> Iterator for Writes<'a> {
    type Item = std::result::Result<Write<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = std::mem::take(&mut self.rest);
            return (!rest.is_empty())
                .then(|| Err(wire::error("write frame", format!("{} bytes after its last write", rest.len()))));
        }
        self.left -= 1;
        let write = Write::decode(&mut self.rest);
        if write.is_err() {
            self.left = 0;
            self.rest = &[];
        }
        Some(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Write<'_> = Write { table: "orders", key: "o1", document: Some(&[0x80]) };
    const DELETE: Write<'_> = Write { table: "orders", key: "o2", document: None };

    fn frame() -> Vec<u8> {
        let mut frame = Vec::new();
        write_header(&mut frame, 2);
        PUT.encode(&mut frame);
        DELETE.encode(&mut frame);
        frame
    }

    #[test]
    fn writes_come_back_as_they_went_in() {
        let frame = frame();
        let writes: Vec<_> = Writes::new(&frame).unwrap().map(Result::unwrap).collect();
        assert_eq!(writes, [PUT, DELETE]);
    }

    #[test]
    fn a_frame_in_the_making_holds_what_was_added_and_nothing_of_what_failed() {
        let mut frame = WriteFrame::with_capacity(0);
        let put = |document: &'static [u8]| {
            move |out: &mut Vec<u8>| -> std::result::Result<(), ()> {
                out.extend_from_slice(document);
                Ok(())
            }
        };
        frame.put_with("orders", "o1", put(&[0x80])).unwrap();
        frame
            .put_with("orders", "o3", |out| {
                out.push(1);
                Err(())
            })
            .unwrap_err();
        frame.add(&DELETE);
        let frame = frame.finish();
        let writes: Vec<_> = Writes::new(&frame).unwrap().map(Result::unwrap).collect();
        assert_eq!(writes, [PUT, DELETE]);
    }

    #[test]
    fn truncated_and_oversized_frames_are_refused() {
        let mut frame = frame();
        for len in 1..frame.len() {
            let cut = Writes::new(&frame[..len]).is_ok_and(|mut writes| writes.all(|write| write.is_ok()));
            assert!(!cut, "cut at {len}");
        }
        frame.push(0xc0);
        assert!(Writes::new(&frame).unwrap().last().unwrap().is_err());
    }

    #[test]
    fn an_array_that_claims_more_than_it_holds_ends_at_the_first_missing_write() {
        let frame = [0xdd, 0xff, 0xff, 0xff, 0xff];
        let mut writes = Writes::new(&frame).unwrap();
        assert!(writes.next().unwrap().is_err());
        assert!(writes.next().is_none());
    }
}
