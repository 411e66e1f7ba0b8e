//! Writes canonical MessagePack from values that come in any order and arrays and maps of unknown length.

use super::error::DocumentError;
use super::token::{Key, Tokens};
use rmp::encode::{self, buffer::ByteBuf};

/// Writes one value. Entries of maps are written as they come and brought into order when their map is closed.
#[derive(Default)]
pub(super) struct Writer {
    out: ByteBuf,
    /// The entries of the open maps, the innermost last.
    entries: Vec<Entry>,
    /// Where the entries of a map are put in order; kept for the next map.
    ordered: Vec<u8>,
}

/// An entry of an open map, as offsets in the output.
struct Entry {
    /// The first bytes of the encoded key: they decide most comparisons.
    prefix: u64,
    start: usize,
    key_end: usize,
    end: usize,
}

/// An array or map that has been opened and must be closed.
pub(super) struct Open {
    at: usize,
    entries: usize,
}

impl Writer {
    pub(super) fn new(capacity: usize) -> Self {
        Writer { out: ByteBuf::with_capacity(capacity), entries: Vec::new(), ordered: Vec::new() }
    }

    /// Forgets what was written, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.out.as_mut_vec().clear();
        self.entries.clear();
    }

    pub(super) fn written(&self) -> &[u8] {
        self.out.as_slice()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_vec()
    }

    pub(super) fn nil(&mut self) {
        let Ok(()) = encode::write_nil(&mut self.out);
    }

    pub(super) fn bool(&mut self, value: bool) {
        let Ok(()) = encode::write_bool(&mut self.out, value);
    }

    pub(super) fn unsigned(&mut self, value: u64) {
        let Ok(_) = encode::write_uint(&mut self.out, value);
    }

    pub(super) fn signed(&mut self, value: i64) {
        let Ok(_) = encode::write_sint(&mut self.out, value);
    }

    pub(super) fn float(&mut self, value: f64) {
        let Ok(()) = encode::write_f64(&mut self.out, value);
    }

    pub(super) fn text(&mut self, value: &str) {
        let Ok(()) = encode::write_str(&mut self.out, value);
    }

    pub(super) fn binary(&mut self, value: &[u8]) {
        let Ok(()) = encode::write_bin(&mut self.out, value);
    }

    /// Begins an array or map. Its header is one byte until it is known to need more.
    pub(super) fn open(&mut self) -> Open {
        let at = self.len();
        self.out.as_mut_vec().push(0);
        Open { at, entries: self.entries.len() }
    }

    /// Begins an entry of the innermost open map; its value is to follow.
    pub(super) fn key(&mut self, key: Key<'_>) {
        let start = self.len();
        match key {
            Key::Unsigned(value) => self.unsigned(value),
            Key::Negative(value) => self.signed(value),
            Key::Text(text) => self.text(text),
        }
        let encoded = &self.out.as_slice()[start..];
        let prefix = match encoded.first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => {
                let mut first = [0; 8];
                first[..encoded.len()].copy_from_slice(encoded);
                u64::from_be_bytes(first)
            }
        };
        self.entries.push(Entry { prefix, start, key_end: self.len(), end: 0 });
    }

    pub(super) fn close_array(&mut self, open: Open, len: usize) {
        self.header(open.at, len, [0x90, 0xdc, 0xdd]);
    }

    /// Closes a map: its entries are brought into order.
    pub(super) fn close_map(&mut self, open: Open) -> Result<(), DocumentError> {
        let entries = &mut self.entries[open.entries..];
        let out = self.out.as_mut_vec();
        let key = |entry: &Entry| &out[entry.start..entry.key_end];
        let ascending = |a: &Entry, b: &Entry| a.prefix < b.prefix || (a.prefix == b.prefix && key(a) < key(b));
        if !entries.is_sorted_by(ascending) {
            let mut end = out.len();
            for entry in entries.iter_mut().rev() {
                entry.end = end;
                end = entry.start;
            }
            entries.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| key(a).cmp(key(b))));
            if let Some(pair) = entries.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
                return Err(repeated(key(&pair[0])));
            }
            self.ordered.clear();
            for entry in entries.iter() {
                self.ordered.extend_from_slice(&out[entry.start..entry.end]);
            }
            out[open.at + 1..].copy_from_slice(&self.ordered);
        }
        let len = entries.len();
        self.entries.truncate(open.entries);
        self.header(open.at, len, [0x80, 0xde, 0xdf]);
        Ok(())
    }

    /// Puts a header where a byte was left for it. `markers` are for lengths in 4, 16 and 32 bits.
    fn header(&mut self, at: usize, len: usize, markers: [u8; 3]) {
        let out = self.out.as_mut_vec();
        if let (Ok(len), 0..16) = (u8::try_from(len), len) {
            out[at] = markers[0] | len;
        } else if let Ok(len) = u16::try_from(len) {
            let [high, low] = len.to_be_bytes();
            out.splice(at..=at, [markers[1], high, low]);
        } else {
            // No input is long enough to hold more values than 32 bits count.
            let [a, b, c, d] = (len as u32).to_be_bytes();
            out.splice(at..=at, [markers[2], a, b, c, d]);
        }
    }

    fn len(&self) -> usize {
        self.out.as_slice().len()
    }
}

fn repeated(key: &[u8]) -> DocumentError {
    match Tokens::new(key).next().and_then(|head| Key::new(head.token, 0)) {
        Ok(key) => key.repeated(),
        Err(problem) => problem,
    }
}
