//! Where a JSON object ends, however many lines it takes.

/// Levels of nesting that the parser of events bears; see `serde_json`.
pub(super) const DEPTH: usize = 127;

/// Looks at an object byte by byte, as it comes: brackets, strings, commas and colons, in their right order. What stands between
/// them is for the parser, once the object is whole; so an object that has no end is noticed where the next one begins.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    /// The open brackets, the innermost in the lowest bit: 1 for an object, 0 for an array.
    open: u128,
    depth: usize,
    expects: Expects,
    string: Option<Text>,
    /// Whether the last byte belongs to a number or literal, which the next one may go on with.
    in_scalar: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Expects {
    /// A value.
    #[default]
    Value,
    /// A value, or the end of an array without any.
    ValueOrEnd,
    /// A key.
    Key,
    /// A key, or the end of an object without any.
    KeyOrEnd,
    Colon,
    /// A comma, or the end of what is open.
    CommaOrEnd,
}

/// Within a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    /// After a backslash.
    Escape,
}

/// How far a skeleton has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The object needs more bytes.
    Open,
    /// It ends before this byte.
    End(usize),
    /// This byte cannot stand there.
    Wrong(usize),
}

impl Skeleton {
    /// Looks at the next bytes.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Seen {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(text) = self.string {
                self.string = match (text, byte) {
                    (_, 0..=0x1f) => return Seen::Wrong(at),
                    (Text::Escape, _) => Some(Text::Plain),
                    (Text::Plain, b'\\') => Some(Text::Escape),
                    (Text::Plain, b'"') => None,
                    (Text::Plain, _) => {
                        let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..=0x1f);
                        at += bytes[at..].iter().take_while(|byte| plain(byte)).count();
                        continue;
                    }
                };
            } else if !self.structural(byte) {
                return Seen::Wrong(at);
            } else if self.depth == 0 {
                return Seen::End(at + 1);
            }
            at += 1;
        }
        Seen::Open
    }

    /// Takes a byte outside of strings; `false` where it cannot stand here.
    fn structural(&mut self, byte: u8) -> bool {
        let goes_on = std::mem::take(&mut self.in_scalar);
        let value = matches!(self.expects, Expects::Value | Expects::ValueOrEnd);
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' | b'[' if value && self.depth < DEPTH => {
                self.open = self.open << 1 | u128::from(byte == b'{');
                self.depth += 1;
                self.expects = if byte == b'{' { Expects::KeyOrEnd } else { Expects::ValueOrEnd };
            }
            b'}' if self.in_object() && matches!(self.expects, Expects::KeyOrEnd | Expects::CommaOrEnd) => self.close(),
            b']' if self.in_array() && matches!(self.expects, Expects::ValueOrEnd | Expects::CommaOrEnd) => {
                self.close()
            }
            b',' if self.expects == Expects::CommaOrEnd => {
                self.expects = if self.in_object() { Expects::Key } else { Expects::Value };
            }
            b':' if self.expects == Expects::Colon => self.expects = Expects::Value,
            b'"' if matches!(self.expects, Expects::Key | Expects::KeyOrEnd) => {
                self.string = Some(Text::Plain);
                self.expects = Expects::Colon;
            }
            b'"' if value => {
                self.string = Some(Text::Plain);
                self.expects = Expects::CommaOrEnd;
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' if goes_on || value => {
                self.in_scalar = true;
                self.expects = Expects::CommaOrEnd;
            }
            _ => return false,
        }
        true
    }

    fn in_object(&self) -> bool {
        self.depth > 0 && self.open & 1 == 1
    }

    fn in_array(&self) -> bool {
        self.depth > 0 && self.open & 1 == 0
    }

    fn close(&mut self) {
        self.open >>= 1;
        self.depth -= 1;
        self.expects = Expects::CommaOrEnd;
    }
}
