//! What a host elsewhere says, for as long as it says something: one that hangs, or that nothing reaches any more, looks like one that works.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// How long a host may be silent: several times as long as it ever is.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// Lines that wait to be taken.
const LINES: usize = 64;

/// The lines of an answer.
pub(super) struct Heard(Receiver<io::Result<String>>);

impl Heard {
    /// Those that come from `answer`. A thread of its own waits for them, and is left alone where none come any more.
    pub(super) fn of(answer: impl Read + Send + 'static) -> Heard {
        let (tell, told) = mpsc::sync_channel(LINES);
        thread::spawn(move || {
            let mut lines = BufReader::new(answer);
            loop {
                let mut line = String::new();
                let read = lines.read_line(&mut line).map(|bytes| (bytes > 0).then_some(line));
                let Some(line) = read.transpose() else { return };
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Heard(told)
    }

    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where the host is silent; what went wrong with the connection.
    pub(super) fn line(&self) -> io::Result<Option<String>> {
        match self.0.recv_timeout(SILENCE) {
            Ok(line) => line.map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// All that is left of it.
    ///
    /// # Errors
    /// As [`Heard::line`].
    pub(super) fn rest(&self) -> io::Result<String> {
        let mut text = String::new();
        while let Some(line) = self.line()? {
            text += &line;
        }
        Ok(text)
    }
}

/// Which side of the sending of a file is waited for.
enum Turn {
    /// The file, which may be somebody's standard input.
    Ours,
    /// The host, which takes what was read of it, or answers.
    Theirs,
}

/// A file that is being sent.
pub(super) struct Sent {
    content: Box<dyn Read + Send>,
    turn: Sender<Turn>,
}

impl Read for Sent {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Who waited has gone; then nobody wants the answer either.
        drop(self.turn.send(Turn::Ours));
        let read = self.content.read(into);
        drop(self.turn.send(Turn::Theirs));
        read
    }
}

/// Has `send` send a file, and gives what it is answered; `None` where the host takes nothing, or does not answer. The file is waited for.
pub(super) fn sending<T: Send + 'static>(
    content: Box<dyn Read + Send>,
    send: impl FnOnce(Sent) -> T + Send + 'static,
) -> Option<T> {
    let (turn, turns) = mpsc::channel();
    let worker = thread::spawn(move || send(Sent { content, turn }));
    let mut now = Turn::Ours;
    loop {
        let next = match now {
            Turn::Ours => turns.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Turn::Theirs => turns.recv_timeout(SILENCE),
        };
        match next {
            Ok(turn) => now = turn,
            Err(RecvTimeoutError::Timeout) => return None,
            // It has what it is answered.
            Err(RecvTimeoutError::Disconnected) => return worker.join().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_waited_for_and_given_to_who_sends_it() {
        let sent = sending(Box::new(&b"a file"[..]), |mut sent| {
            let mut text = String::new();
            sent.read_to_string(&mut text).map(|_| text)
        });
        assert_eq!(sent.unwrap().unwrap(), "a file");
    }

    #[test]
    fn lines_are_heard_until_their_end() {
        let heard = Heard::of(&b"one\ntwo\nthree"[..]);
        assert_eq!(heard.line().unwrap().as_deref(), Some("one\n"));
        assert_eq!(heard.rest().unwrap(), "two\nthree");
        assert!(heard.line().unwrap().is_none());
    }
}
