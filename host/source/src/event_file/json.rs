//! JSON: objects one after another. Between them stands whatever people put there: a newline or nothing, blank lines, record
//! separators, or the brackets and commas of an array around them. An object may take several lines.

use super::Reason;
use super::brackets::{Brackets, RECORD_SEPARATOR};
use super::compression::Input;
use super::field::FieldValue;
use super::forms;
use super::given::Given;
use super::read_fields::of_json;
use super::reading::Reading;
use super::skeleton::{Seen, Skeleton};
use crate::shortened::shortened;
use serde_json::value::RawValue;
use std::io::Write;
use unspool_vocabulary::limits;
use unspool_vocabulary::{DocumentError, from_json, half_surrogate};

/// Read at a time, unless a line ends before.
const PIECE_BYTES: usize = 1 << 20;

/// The byte order mark of UTF-8. Where files were put together it stands in the middle.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The events of a file.
pub(super) struct JsonEvents {
    input: Input,
    buffer: Vec<u8>,
    /// What of the buffer has been read.
    at: usize,
    /// Whether there is nothing after the buffer.
    at_end: bool,
    /// Whether the buffer has the rest of one line, and nothing after it.
    one_line: bool,
    /// The line in which the rest of the buffer begins, counted from 1, and at which byte of it, counted from 0.
    line: u64,
    column: usize,
    array: Option<OpenArray>,
    /// The line that the last event, or the last error, is in.
    place: u64,
    /// The last event, as it stands in the buffer; empty where it is not known where it ends.
    last: std::ops::Range<usize>,
}

/// An array around events.
struct OpenArray {
    line: u64,
    expects: InArray,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InArray {
    EventOrEnd,
    Event,
    CommaOrEnd,
    /// After something that was set aside, in which there may have been a comma.
    Anything,
}

/// Where something ends that is set aside.
enum End {
    /// Before this byte, counted from its first one.
    At(usize),
    /// Where its line does.
    Line,
    /// Where its brackets say so, or its line ends; it is too large to look for that first.
    Within(Brackets),
}

/// Whether a byte stands between lines, or between texts of a sequence.
fn ends_line(byte: &u8) -> bool {
    matches!(*byte, b'\n' | RECORD_SEPARATOR)
}

impl JsonEvents {
    pub(super) fn new(input: Input) -> Self {
        JsonEvents {
            input,
            buffer: Vec::new(),
            at: 0,
            at_end: false,
            one_line: false,
            line: 1,
            column: 0,
            array: None,
            place: 1,
            last: 0..0,
        }
    }

    /// The line of the event, or of the error, that was met last, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.place
    }

    /// The event that was met last, as it is written.
    pub(super) fn raw(&self) -> &[u8] {
        &self.buffer[self.last.clone()]
    }

    /// The next event; `None` at the end.
    pub(super) fn next_event(&mut self, reading: &mut Reading) -> Result<Option<Given>, Reason> {
        loop {
            self.last = self.at..self.at;
            let byte = self.next_byte();
            self.place = self.line;
            let Some(byte) = byte? else {
                return match &self.array {
                    Some(array) => {
                        self.place = array.line;
                        Err(Reason::OpenArray)
                    }
                    None => Ok(None),
                };
            };
            self.last = self.at..self.at;
            let expects = self.array.as_ref().map(|array| array.expects);
            match (byte, expects) {
                (b'[', None) => {
                    self.array = Some(OpenArray { line: self.line, expects: InArray::EventOrEnd });
                    self.step();
                }
                (b']', Some(InArray::EventOrEnd | InArray::CommaOrEnd | InArray::Anything)) => {
                    self.array = None;
                    self.step();
                }
                (b',', Some(InArray::CommaOrEnd | InArray::Anything)) => {
                    self.expect(InArray::Event);
                    self.step();
                }
                (b'{', None | Some(InArray::EventOrEnd | InArray::Event | InArray::Anything)) => {
                    let event = self.event(reading)?;
                    self.expect(InArray::CommaOrEnd);
                    return Ok(Some(event));
                }
                (_, expects) => return Err(self.other(byte, expects)),
            }
        }
    }

    /// Writes what the last error is about to `out`, and goes on after it.
    pub(super) fn set_aside(&mut self, out: &mut dyn Write) -> Result<(), Reason> {
        let mut end = if self.last.is_empty() { self.extent()? } else { End::At(self.last.len()) };
        loop {
            let rest = &self.buffer[self.at..];
            let line = rest.iter().position(ends_line);
            let ended = match &mut end {
                End::At(end) => Some(*end),
                End::Line => line,
                End::Within(brackets) => match brackets.look(&rest[..line.unwrap_or(rest.len())]) {
                    Seen::End(end) => Some(end),
                    Seen::Open | Seen::Wrong(_) => line,
                },
            };
            let len = ended.unwrap_or(rest.len());
            out.write_all(&rest[..len]).map_err(Reason::unwritable)?;
            self.pass(self.at + len);
            if ended.is_some() || self.at_end {
                break;
            }
            self.fill()?;
        }
        out.write_all(b"\n").map_err(Reason::unwritable)?;
        self.last = self.at..self.at;
        self.expect(InArray::Anything);
        Ok(())
    }

    /// Where that ends which the last error is about, and of which the parser could not tell. Nothing that is good may go with
    /// it, and nothing within it may be taken for an event.
    fn extent(&mut self) -> Result<End, Reason> {
        let in_array = self.array.is_some();
        match self.buffer.get(self.at) {
            Some(b'{') => {}
            Some(b'[' | b'"') if in_array => {}
            _ => return Ok(self.end_of_other()),
        }
        let (mut brackets, mut looked) = (Brackets::new(self.column), 0);
        loop {
            match brackets.look(&self.buffer[self.at + looked..]) {
                Seen::End(end) => return Ok(End::At(looked + end)),
                Seen::Wrong(_) => break,
                Seen::Open => looked = self.buffer.len() - self.at,
            }
            if looked > limits::EVENT_BYTES {
                return Ok(End::Within(Brackets::new(self.column)));
            }
            if self.at_end {
                break;
            }
            self.fill()?;
        }
        Ok(brackets.end_of_array().filter(|_| in_array).map_or(End::Line, End::At))
    }

    /// The same of what is neither an object nor, in an array, an array or text.
    fn end_of_other(&self) -> End {
        let rest = &self.buffer[self.at..];
        let line = rest.iter().position(ends_line).unwrap_or(rest.len());
        let line = &rest[..line];
        // A comma too many between two events.
        if line.starts_with(b",") && (self.array.is_some() || self.column > 0) {
            return End::At(1);
        }
        if self.array.is_some() {
            let end = line.iter().position(|byte| matches!(byte, b',' | b']' | b'{' | b'[' | b'"'));
            return end.filter(|end| matches!(line[*end], b',' | b']')).map_or(End::Line, End::At);
        }
        // A value that is no event, and after it another object. Anything else may be the rest of one.
        let text = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let is_value = matches!(values.next(), Some(Ok(_)));
        let end = values.byte_offset();
        if is_value && text[end..].trim_start().starts_with('{') { End::At(end) } else { End::Line }
    }

    fn expect(&mut self, expects: InArray) {
        if let Some(array) = &mut self.array {
            array.expects = expects;
        }
    }

    /// The next byte that does not only separate; `None` at the end.
    fn next_byte(&mut self) -> Result<Option<u8>, Reason> {
        loop {
            match self.buffer.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n' | &RECORD_SEPARATOR) => self.step(),
                Some(0xef) if self.buffer[self.at..].starts_with(MARK) => self.pass(self.at + MARK.len()),
                // It may be a mark of which only a part has been read.
                Some(0xef) if self.buffer.len() - self.at < MARK.len() && !self.at_end => self.fill()?,
                Some(byte) => return Ok(Some(*byte)),
                None if self.at_end => return Ok(None),
                None => self.fill()?,
            }
        }
    }

    /// Takes the next byte of the buffer.
    fn step(&mut self) {
        if self.buffer.get(self.at) == Some(&b'\n') {
            (self.line, self.column) = (self.line + 1, 0);
        } else {
            self.column += 1;
        }
        self.at += 1;
    }

    /// Takes the buffer up to byte `end`.
    fn pass(&mut self, end: usize) {
        let passed = &self.buffer[self.at..end];
        match passed.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
                self.column = passed.len() - last - 1;
            }
            None => self.column += passed.len(),
        }
        self.at = end;
    }

    /// Appends the rest of the line, or as much of it as one piece has.
    fn fill(&mut self) -> Result<(), Reason> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.last = 0..0;
        self.one_line = self.buffer.is_empty();
        let read = self.input.read_line(PIECE_BYTES, &mut self.buffer)?;
        self.at_end = read == 0;
        Ok(())
    }

    /// The event that begins at the next byte.
    fn event(&mut self, reading: &mut Reading) -> Result<Given, Reason> {
        // Nearly always it is alone on a line, and the buffer has nothing else.
        let rest = &self.buffer[self.at..];
        if let [line @ .., b'\n'] = rest
            && self.one_line
            && self.array.is_none()
        {
            let text = match std::str::from_utf8(line) {
                Ok(text) => text.trim_ascii_end(),
                Err(error) => return Err(self.not_utf8(error.valid_up_to())),
            };
            if let Ok(fields) = of_json(text) {
                let end = self.at + text.len();
                self.last = self.at..end;
                let event = forms::event(fields, reading)?;
                (self.column, self.at) = (self.column + text.len(), end);
                return Ok(event);
            }
        }
        // Otherwise all of the buffer would be looked at for each of its events.
        self.one_line = false;
        let len = self.end()?;
        let end = self.at + len;
        self.last = self.at..end;
        let text = match std::str::from_utf8(&self.buffer[self.at..end]) {
            Ok(text) => text,
            Err(error) => return Err(self.not_utf8(error.valid_up_to())),
        };
        let fields = match of_json(text) {
            Ok(fields) => fields,
            Err(error) => {
                self.place += error.line().saturating_sub(1) as u64;
                return Err(problem(&error, text, self.column));
            }
        };
        let event = forms::event(fields, reading)?;
        self.pass(end);
        Ok(event)
    }

    /// How many bytes the object has that begins at the next one; reads on until it is whole.
    fn end(&mut self) -> Result<usize, Reason> {
        let (mut skeleton, mut looked) = (Skeleton::default(), 0);
        loop {
            match skeleton.look(&self.buffer[self.at + looked..]) {
                Seen::End(end) if looked + end > limits::EVENT_BYTES => {
                    self.last = self.at..self.at + looked + end;
                    return Err(Reason::TooLarge);
                }
                Seen::End(end) => return Ok(looked + end),
                Seen::Wrong(at) => return Err(self.wrong(looked + at)),
                Seen::Open => looked = self.buffer.len() - self.at,
            }
            if looked > limits::EVENT_BYTES {
                return Err(Reason::TooLarge);
            }
            self.fill()?;
            if self.at_end {
                return Err(Reason::CutOff);
            }
        }
    }

    /// Why the object that begins at the next byte cannot go on with byte `at`, counted from there.
    fn wrong(&mut self, at: usize) -> Reason {
        let object = &self.buffer[self.at..=self.at + at];
        let newlines = object[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
        let text = String::from_utf8_lossy(object);
        match object[at] {
            0 => {
                let column = match object[..at].iter().rposition(|byte| *byte == b'\n') {
                    Some(newline) => at - newline,
                    None => self.column + at + 1,
                };
                self.place += newlines;
                Reason::Nul { column }
            }
            // The line ends within a string, or another event begins.
            b'\n' | RECORD_SEPARATOR => Reason::CutOff,
            b'{' if object[..at].ends_with(b"\n") => Reason::CutOff,
            bracket => match of_json(&text) {
                Err(error) if error.is_eof() && matches!(bracket, b'{' | b'[') => {
                    Reason::Refused(DocumentError::TooDeep.to_string())
                }
                Ok(_) => Reason::CutOff,
                Err(error) => {
                    self.place += newlines;
                    problem(&error, &text, self.column)
                }
            },
        }
    }

    /// Why an event cannot begin with `byte`.
    fn other(&mut self, byte: u8, expects: Option<InArray>) -> Reason {
        let rest = &self.buffer[self.at..];
        let rest = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if byte == 0 {
            return Reason::Nul { column: self.column + 1 };
        }
        if byte == b'[' && expects.is_some() {
            return Reason::Array;
        }
        let valid = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) if error.valid_up_to() == 0 => return self.not_utf8(0),
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or_default(),
        };
        let value = serde_json::Deserializer::from_str(valid).into_iter::<&RawValue>().next();
        match (expects, value) {
            (Some(InArray::CommaOrEnd), _) => Reason::NotInArray { found: shortened(valid) },
            (_, Some(Ok(value))) => Reason::NotAnEvent { found: FieldValue::Json(value.get()).found() },
            (_, Some(Err(error))) => problem(&error, valid, self.column),
            (_, None) => Reason::CutOff,
        }
    }

    /// The byte `at`, counted from the next one, begins no character.
    fn not_utf8(&mut self, at: usize) -> Reason {
        let before = &self.buffer[self.at..self.at + at];
        self.place += before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let newline = before.iter().rposition(|byte| *byte == b'\n');
        Reason::NotUtf8 { column: newline.map_or(self.column + at + 1, |newline| at - newline) }
    }
}

/// What the parser says about an object that begins after `column` bytes of its line.
fn problem(error: &serde_json::Error, text: &str, column: usize) -> Reason {
    if half_surrogate(text).is_some()
        && let Err(problem) = from_json(text)
    {
        return Reason::Refused(problem.to_string());
    }
    if error.is_eof() {
        return Reason::CutOff;
    }
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = shortened(message.strip_suffix(&place).unwrap_or(&message));
    let before = if error.line() == 1 { column } else { 0 };
    Reason::NotJson { problem, column: before + error.column() }
}
