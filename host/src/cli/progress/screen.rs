//! Lines at the foot of a terminal that are drawn again and again.
//!
//! The cursor is always at the beginning of the line below them, and never hidden: however the process ends, the shell goes on
//! from there.

use crate::cli::output::is_dumb;
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

/// The bars of this process, on standard error.
static SCREEN: LazyLock<Mutex<Screen<io::Stderr>>> = LazyLock::new(|| Mutex::new(Screen::new(io::stderr())));

fn screen() -> MutexGuard<'static, Screen<io::Stderr>> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether standard error is a terminal on which lines can be drawn again.
pub(super) fn can_draw() -> bool {
    io::stderr().is_terminal() && !is_dumb()
}

/// Columns and rows of the terminal.
pub(super) fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// Does `write`, which writes lines to the terminal, with no bar in its way.
pub(in crate::cli) fn above_the_bars<T>(write: impl FnOnce() -> T) -> T {
    let mut screen = screen();
    screen.erase();
    let written = write();
    screen.draw(size().1);
    written
}

/// A line at the foot of the terminal; gone when dropped.
pub(super) struct Slot(usize);

impl Slot {
    /// A line below those that there are.
    pub(super) fn new() -> Slot {
        let mut screen = screen();
        screen.made += 1;
        Slot(screen.made)
    }

    /// Shows `line`, in which nothing acts on a terminal, and which fits.
    pub(super) fn show(&self, line: String) {
        let mut screen = screen();
        screen.lines.insert(self.0, line);
        screen.draw(size().1);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut screen = screen();
        screen.lines.remove(&self.0);
        screen.draw(size().1);
    }
}

struct Screen<W> {
    out: W,
    /// How many lines have ever been made.
    made: usize,
    lines: BTreeMap<usize, String>,
    /// How many of them are on the terminal.
    drawn: usize,
}

impl<W: Write> Screen<W> {
    fn new(out: W) -> Screen<W> {
        Screen { out, made: 0, lines: BTreeMap::new(), drawn: 0 }
    }

    /// Draws the lines in place of those that are there, as many as `rows` can hold.
    fn draw(&mut self, rows: usize) {
        let mut text = self.erasure();
        for line in self.lines.values().take(rows.saturating_sub(1)) {
            text += line;
            text.push('\n');
            self.drawn += 1;
        }
        self.write(&text);
    }

    fn erase(&mut self) {
        let text = self.erasure();
        self.write(&text);
    }

    /// What takes the lines off the terminal.
    fn erasure(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A\r\x1b[J"),
        }
    }

    /// In one piece, so that nothing flickers. The terminal may go, which ends nothing: what it does not take is not shown.
    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            drop(self.out.write_all(text.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(screen: &mut Screen<Vec<u8>>) -> String {
        String::from_utf8(std::mem::take(&mut screen.out)).unwrap()
    }

    #[test]
    fn lines_are_drawn_in_place_of_themselves_and_leave_the_cursor_below() {
        let mut screen = Screen::new(Vec::new());
        screen.draw(24);
        assert_eq!(taken(&mut screen), "", "nothing is written where nothing is shown");
        screen.lines.insert(1, "one".into());
        screen.draw(24);
        assert_eq!(taken(&mut screen), "one\n");
        screen.lines.insert(2, "two".into());
        screen.draw(24);
        assert_eq!(taken(&mut screen), "\u{1b}[1A\r\u{1b}[Jone\ntwo\n");
        screen.erase();
        screen.erase();
        assert_eq!(taken(&mut screen), "\u{1b}[2A\r\u{1b}[J", "once");
    }

    #[test]
    fn no_more_lines_are_drawn_than_can_be_erased() {
        let mut screen = Screen::new(Vec::new());
        screen.lines.extend((0..100).map(|at| (at, at.to_string())));
        for rows in [0, 1, 4] {
            screen.draw(rows);
            let shown = taken(&mut screen);
            assert_eq!(shown.matches('\n').count(), rows.saturating_sub(1), "{shown:?}");
        }
    }
}
