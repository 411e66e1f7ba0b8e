//! Progress on a terminal as bars, elsewhere as plain lines on standard error.

use super::output::say_aside;
use crate::vocabulary::{Progress, Status, visible};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    io::{self, IsTerminal, Write},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// How often a plain line is printed for a rebuild that runs.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// All bars of the process, so that log lines can be printed above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(|| {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::term_like(Box::new(Terminal)),
        false => ProgressDrawTarget::hidden(),
    };
    MultiProgress::with_draw_target(target)
});

/// The terminal behind standard error. It may go while bars are drawn, which ends nothing: whatever it does not take is
/// not shown.
#[derive(Debug)]
struct Terminal;

impl Terminal {
    fn show(text: &str) -> io::Result<()> {
        drop(io::stderr().write_all(text.as_bytes()));
        Ok(())
    }

    fn move_cursor(cells: usize, direction: char) -> io::Result<()> {
        if cells == 0 { Ok(()) } else { Terminal::show(&format!("\x1b[{cells}{direction}")) }
    }

    /// Columns and rows.
    fn size() -> (u16, u16) {
        rustix::termios::tcgetwinsize(io::stderr()).map_or((80, 24), |size| (size.ws_col.max(1), size.ws_row.max(1)))
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        Terminal::size().0
    }

    fn height(&self) -> u16 {
        Terminal::size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        Terminal::move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        Terminal::move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        Terminal::move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        Terminal::move_cursor(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        Terminal::show(&format!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Terminal::show(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Terminal::show("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The bars of the rebuilds that are watched.
pub(super) struct Rebuilds {
    quiet: bool,
    terminal: bool,
    bars: HashMap<String, ProgressBar>,
    printed: HashMap<String, Instant>,
    /// Those whose end has been printed.
    ended: HashSet<String>,
}

impl Rebuilds {
    pub(super) fn new(quiet: bool) -> Rebuilds {
        Rebuilds {
            quiet,
            terminal: io::stderr().is_terminal(),
            bars: HashMap::new(),
            printed: HashMap::new(),
            ended: HashSet::new(),
        }
    }

    /// Shows how far a rebuild is.
    pub(super) fn show(&mut self, progress: &Progress) {
        if self.quiet {
            return;
        }
        if self.terminal {
            return self.draw(progress);
        }
        let due = self.printed.get(&progress.projection_name).is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        let ends = progress.status != Status::Running && self.ended.insert(progress.projection_name.clone());
        if ends || (due && progress.status == Status::Running) {
            self.printed.insert(progress.projection_name.clone(), Instant::now());
            say_aside(&line(progress));
        }
    }

    fn draw(&mut self, progress: &Progress) {
        let bar = self.bars.entry(progress.projection_name.clone()).or_insert_with(|| {
            let bar = BARS.add(ProgressBar::no_length());
            bar.set_prefix(visible(&progress.projection_name).into_owned());
            bar
        });
        match progress.total_events {
            Some(total) => {
                bar.set_style(style("{prefix:<20} [{bar:30}] {percent:>3}% {pos}/{len} {msg}"));
                bar.set_length(total);
            }
            // How far it is nobody knows, only that it moves.
            None => bar.set_style(style("{prefix:<20} {pos} {msg}")),
        }
        bar.set_position(progress.events_processed);
        bar.set_message(visible(&rate_and_rest(progress)).into_owned());
        if progress.status != Status::Running {
            bar.abandon();
        }
    }
}

fn rate_and_rest(progress: &Progress) -> String {
    let rate = format!("{:.0} events/s", progress.events_per_second);
    if let Some(waiting) = &progress.waiting {
        return format!("waits for {} s, {} tries: {}", waiting.ms / 1000, waiting.tries, waiting.error);
    }
    if let (Some(lag), Status::Running) = (&progress.follow, progress.status)
        && lag.events == Some(0)
    {
        return format!("{rate}, follows");
    }
    match (progress.status, progress.estimated_remaining_ms) {
        (Status::Running, Some(left)) => format!("{rate}, {:.1} s left", left as f64 / 1000.0),
        (Status::Running, None) => rate,
        (status, _) => format!("{rate}, {status}"),
    }
}

fn line(progress: &Progress) -> String {
    let events = events(progress.events_processed, progress.total_events);
    let percent = progress.percent_complete.map_or_else(String::new, |percent| format!("{percent:.1} %, "));
    format!("{}: {events}, {percent}{}", progress.projection_name, rate_and_rest(progress))
}

/// How many events have been handled, of how many where these are counted.
pub(super) fn events(processed: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{processed} of {total} events"),
        None => format!("{processed} events, not counted before"),
    }
}

/// The bar of an import.
pub(super) struct Import(Option<ProgressBar>);

/// Shows how far `file` has been read; on a terminal only.
pub(super) fn import_bar(file: &str, quiet: bool) -> Import {
    if quiet || !io::stderr().is_terminal() {
        return Import(None);
    }
    let bar = BARS.add(ProgressBar::new(0));
    bar.set_style(style("{prefix} [{bar:30}] {percent:>3}% {msg}"));
    bar.set_prefix(visible(file).into_owned());
    Import(Some(bar))
}

impl Import {
    pub(super) fn show(&self, row: &Value) {
        if let Some(bar) = &self.0 {
            bar.set_length(row["bytesTotal"].as_u64().unwrap_or(0));
            bar.set_position(row["bytesRead"].as_u64().unwrap_or(0));
            bar.set_message(format!("{} events", row["events"]));
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Writes log lines above the bars; those that nobody reads any more are lost.
#[derive(Default)]
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| drop(io::stderr().write_all(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
