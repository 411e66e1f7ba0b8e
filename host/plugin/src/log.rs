//! What a call said: its log lines up to a bound, its standard streams line by line, and its last words, which explain a trap.

use super::guard::clip;
use unspool_vocabulary::limits;

/// How the message of a crash begins in the languages whose own comes on several lines: Go and Rust. What follows it, up to an
/// empty line, belongs to it; elsewhere the last line says most.
const CRASHES: [&str; 3] = ["panic: ", "fatal error: ", "thread '"];

/// The log of one call.
#[derive(Debug, Default)]
pub(super) struct Log {
    lines: usize,
    panic: Option<String>,
    exit: Option<String>,
    output: Line,
    error: Line,
    /// The newest line of standard error, or the newest message of a crash.
    words: String,
    /// Whether [`Log::words`] is the message of a crash; whether that goes on.
    crashed: bool,
    crashing: bool,
}

/// What a call said that may explain how it ended.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    /// The announcement of a panic.
    pub(super) panic: Option<String>,
    /// The status with which it exited.
    pub(super) exit: Option<String>,
    /// The end of its standard error.
    pub(super) standard_error: Option<String>,
}

/// A line of a standard stream that has not ended yet, as far as it is shown.
#[derive(Debug, Default)]
struct Line(Vec<u8>);

impl Line {
    /// Takes bytes up to the next end of a line: what is left after it, and the line, where it has ended.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], Option<String>) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        // One byte more than is shown, so that it is cut with a sign of that.
        let room = (limits::MESSAGE_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&part[..part.len().min(room)]);
        match end {
            Some(end) => (&bytes[end + 1..], Some(self.end())),
            None => (&[], None),
        }
    }

    fn end(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.0).trim_end_matches('\r').to_owned();
        self.0.clear();
        line
    }
}

impl Log {
    pub(super) fn line(&mut self, projection: &str, level: &str, message: &str) {
        match level {
            "panic" => self.panic = Some(clip(message)),
            "exit" => self.exit = Some(clip(message)),
            "stdout" | "stderr" => self.stream(projection, level == "stderr", &bytes(message)),
            _ => self.show(projection, level, message),
        }
    }

    fn stream(&mut self, projection: &str, error: bool, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let stream = if error { &mut self.error } else { &mut self.output };
            let (rest, ended) = stream.take(bytes);
            bytes = rest;
            if let Some(line) = ended {
                self.streamed(projection, error, &line);
            }
        }
    }

    fn streamed(&mut self, projection: &str, error: bool, line: &str) {
        if error {
            self.remember(line);
        }
        if !line.is_empty() {
            self.show(projection, "info", line);
        }
    }

    fn remember(&mut self, line: &str) {
        if CRASHES.iter().any(|crash| line.starts_with(crash)) {
            (self.crashed, self.crashing) = (true, true);
            self.words = clip(line);
        } else if line.is_empty() {
            self.crashing = false;
        } else if self.crashing {
            self.words = clip(&format!("{}\n{line}", self.words));
        } else if !self.crashed {
            self.words = clip(line);
        }
    }

    fn show(&mut self, projection: &str, level: &str, message: &str) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > limits::LOG_LINES_PER_CHUNK {
            return;
        }
        let message = clip(message);
        match level {
            "error" => tracing::error!(target: "plugin", projection, "{message}"),
            "warn" => tracing::warn!(target: "plugin", projection, "{message}"),
            "debug" => tracing::debug!(target: "plugin", projection, "{message}"),
            "trace" => tracing::trace!(target: "plugin", projection, "{message}"),
            _ => tracing::info!(target: "plugin", projection, "{message}"),
        }
    }

    /// Shows what was said without an end of its line, says how many lines were dropped, if any were, and returns the last words.
    pub(super) fn finish(mut self, projection: &str) -> LastWords {
        for error in [false, true] {
            let stream = if error { &mut self.error } else { &mut self.output };
            let line = stream.end();
            if !line.is_empty() {
                self.streamed(projection, error, &line);
            }
        }
        let dropped = self.lines.saturating_sub(limits::LOG_LINES_PER_CHUNK);
        if dropped > 0 {
            tracing::warn!(target: "plugin", projection, dropped, "{dropped} lines of one chunk were not shown");
        }
        let standard_error = Some(self.words).filter(|words| !words.is_empty());
        LastWords { panic: self.panic, exit: self.exit, standard_error }
    }
}

/// The bytes that an adapter passed as characters of text: U+0080 to U+00FF stand for one byte each. Text of others is taken as
/// it is.
fn bytes(message: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = message.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    bytes.unwrap_or_else(|| message.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_words(pieces: &[(&str, &str)]) -> LastWords {
        let mut log = Log::default();
        pieces.iter().for_each(|(level, piece)| log.line("p", level, piece));
        log.finish("p")
    }

    #[test]
    fn lines_are_put_together_from_pieces_that_cut_characters() {
        let mut line = Line::default();
        assert_eq!(line.take(b"gr\xc3"), (&b""[..], None));
        assert_eq!(line.take(b"\xbc\xc3\x9fe\r\nmore"), (&b"more"[..], Some("grüße".to_owned())));
        assert_eq!(line.take(&[b'x'; 10_000]), (&b""[..], None));
        assert_eq!(line.0.len(), limits::MESSAGE_BYTES + 1);
        assert_eq!(bytes("gr\u{c3}\u{bc}n"), "grün".as_bytes());
    }

    #[test]
    fn the_last_line_or_the_message_of_a_crash_are_the_last_words() {
        let words = |text: &str| last_words(&[("stderr", text)]).standard_error.unwrap_or_default();
        assert_eq!(words("one\ntwo\n"), "two");
        assert_eq!(words("one\nunended"), "unended");
        assert_eq!(words("ready\npanic: no order\n\ngoroutine 1 [running]:\nmain.main()\n"), "panic: no order");
        assert_eq!(
            words("thread 'main' panicked at src/lib.rs:1:2:\nno order\n"),
            "thread 'main' panicked at src/lib.rs:1:2:\nno order"
        );
        assert_eq!(words(""), "");
        assert_eq!(last_words(&[("stdout", "fine\n"), ("exit", "3")]).exit.as_deref(), Some("3"));
    }
}
