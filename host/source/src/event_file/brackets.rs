//! Where something ends that is no JSON, as far as its brackets tell.

use super::skeleton::{DEPTH, Seen};

/// What stands before each text of a JSON text sequence (RFC 7464).
pub(super) const RECORD_SEPARATOR: u8 = 0x1e;

/// Looks at brackets and strings alone. A closing bracket also closes what is open within its own; one that has none is passed
/// over. What begins no further to the right than this did, at the beginning of a line, is another event: this one was cut off.
pub(super) struct Brackets {
    /// In which column it began.
    column: usize,
    /// The open brackets, the innermost in the lowest bit: 1 for an object, 0 for an array.
    open: u128,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// How many blanks the line began with, as long as there was nothing else.
    indent: Option<usize>,
    /// How many bytes were looked at.
    looked: usize,
    /// In its first line, the last bracket that closes an array which is not open within it.
    foreign: Option<usize>,
    in_first_line: bool,
}

impl Brackets {
    /// Of what begins after `column` bytes of its line.
    pub(super) fn new(column: usize) -> Brackets {
        Brackets {
            column,
            open: 0,
            depth: 0,
            in_string: false,
            escaped: false,
            indent: None,
            looked: 0,
            foreign: None,
            in_first_line: true,
        }
    }

    /// Looks at the next bytes.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Seen {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                RECORD_SEPARATOR => return Seen::Wrong(at),
                b'\n' if self.in_string => return Seen::Wrong(at),
                _ if self.in_string => {
                    self.in_string = byte != b'"' || self.escaped;
                    self.escaped = byte == b'\\' && !self.escaped;
                }
                b'{' if self.indent.is_some_and(|indent| indent <= self.column) => return Seen::Wrong(at),
                b'{' | b'[' if self.depth == DEPTH => return Seen::Wrong(at),
                b'{' | b'[' => {
                    self.open = self.open << 1 | u128::from(byte == b'{');
                    self.depth += 1;
                }
                b'}' => self.close(self.open.trailing_zeros()),
                b']' if self.open.trailing_ones() as usize >= self.depth => {
                    self.foreign = Some(self.looked + at).filter(|_| self.in_first_line).or(self.foreign);
                }
                b']' => self.close(self.open.trailing_ones()),
                b'"' => (self.in_string, self.escaped) = (true, false),
                _ => {}
            }
            self.indent = match (byte, self.indent) {
                (b'\n', _) => Some(0),
                (b' ' | b'\t' | b'\r', Some(blanks)) => Some(blanks + 1),
                _ => None,
            };
            self.in_first_line &= byte != b'\n';
            if self.depth == 0 && !self.in_string {
                return Seen::End(at + 1);
            }
        }
        self.looked += bytes.len();
        Seen::Open
    }

    /// Closes the innermost bracket that has `within` open ones within it, if there is one.
    fn close(&mut self, within: u32) {
        let closed = within as usize + 1;
        if closed <= self.depth {
            self.open >>= closed;
            self.depth -= closed;
        }
    }

    /// Where the array ends that is around it, where it has no end of its own.
    pub(super) fn end_of_array(&self) -> Option<usize> {
        self.foreign
    }
}
