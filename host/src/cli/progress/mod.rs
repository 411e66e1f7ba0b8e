//! Progress on a terminal as bars, elsewhere as plain lines on standard error.

mod bar;
mod screen;

pub(super) use screen::above_the_bars;

use super::output::{Values, duration, say_aside};
use crate::{
    control::Row,
    vocabulary::{Progress, Status, Work, visible},
};
use bar::{Part, per_mille};
use screen::Slot;
use std::{
    collections::HashMap,
    io::{self, Write},
    time::{Duration, Instant},
};
use unicode_width::UnicodeWidthStr;

/// How often a plain line is printed for what takes long.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How often it is looked how far something is, and shown.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Progress is rounded.
fn values() -> Values {
    Values::new(false)
}

/// The bars of the rebuilds that are watched. They are gone when this is dropped: what remains is the answer.
pub(super) struct Rebuilds {
    quiet: bool,
    terminal: bool,
    bars: HashMap<String, Slot>,
    /// What the longest of their names takes up.
    align: usize,
    printed: HashMap<String, Instant>,
}

impl Rebuilds {
    pub(super) fn new(quiet: bool) -> Rebuilds {
        Rebuilds { quiet, terminal: screen::can_draw(), bars: HashMap::new(), align: 0, printed: HashMap::new() }
    }

    /// Shows how far a rebuild is.
    pub(super) fn show(&mut self, progress: &Progress) {
        if self.quiet {
            return;
        }
        let name = &progress.projection_name;
        if self.terminal {
            let slot = self.bars.entry(name.clone()).or_insert_with(Slot::new);
            self.align = self.align.max(visible(name).width());
            let per_mille = progress.percent_complete.map(|percent| (percent * 10.0) as u64);
            let part = Part { name, align: self.align, per_mille, notes: &notes(progress) };
            return slot.show(bar::line(&part, screen::size().0));
        }
        let due = self.printed.get(name).is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if due && progress.status == Status::Running {
            self.printed.insert(name.clone(), Instant::now());
            let percent = progress.percent_complete.map(|percent| format!("{percent:.1} %, ")).unwrap_or_default();
            say_aside(&format!("{name}: {percent}{}", notes(progress)[0]));
        }
    }
}

/// What is said of a rebuild, from all of it to the least.
fn notes(progress: &Progress) -> Vec<String> {
    let values = values();
    let counted = values.events(progress.events_processed, progress.total_events);
    let rate = values.rate(progress.events_per_second, "events");
    if let Some(waiting) = &progress.waiting {
        let waits = format!("waits for {}, {} tries", duration(waiting.ms), waiting.tries);
        return vec![format!("{counted}, {waits}: {}", waiting.error), format!("{waits}: {}", waiting.error), waits];
    }
    let rest = match (progress.status, progress.estimated_remaining_ms) {
        (Status::Running, Some(left)) => format!("{} left", duration(left)),
        (Status::Running, None) => return vec![format!("{counted}, {rate}"), rate],
        (status, _) => status.to_string(),
    };
    vec![format!("{counted}, {rate}, {rest}"), format!("{rate}, {rest}"), rest]
}

/// The bar of one piece of long work, step after step; gone when dropped.
pub(super) struct Steps {
    quiet: bool,
    slot: Option<Slot>,
    step: Option<Step>,
    printed: Instant,
}

/// The step that is shown, and where it stood when it was seen first.
struct Step {
    what: String,
    since: Instant,
    from: u64,
}

impl Steps {
    pub(super) fn new(quiet: bool) -> Steps {
        Steps { quiet, slot: None, step: None, printed: Instant::now() }
    }

    /// Shows a row that says how far something is; `false` where it is another row.
    pub(super) fn row(&mut self, row: &Row) -> bool {
        let Row::Progress(work) = row else { return false };
        self.show(work, None);
        true
    }

    /// Shows how far an import of `file` is.
    pub(super) fn import(&mut self, file: &str, row: &Row) {
        let Row::Import(import) = row else { return };
        let work = Work {
            what: format!("importing {file}"),
            unit: "bytes".to_owned(),
            done: import.bytes_read,
            total: import.bytes_total,
        };
        self.show(&work, Some(values().many(import.events, "events")));
    }

    /// Shows how far it is, and `also`.
    pub(super) fn show(&mut self, work: &Work, also: Option<String>) {
        if self.quiet {
            return;
        }
        if self.step.as_ref().is_none_or(|step| step.what != work.what || step.from > work.done) {
            self.step = Some(Step { what: work.what.clone(), since: Instant::now(), from: work.done });
        }
        let Some(step) = &self.step else { return };
        let mut notes = step_notes(work, work.done - step.from, step.since.elapsed());
        if let (Some(also), Some(first)) = (also, notes.first_mut()) {
            *first = format!("{also}, {first}");
        }
        let per_mille = work.total.map(|total| per_mille(work.done, total));
        if screen::can_draw() {
            let part = Part { name: &work.what, align: 0, per_mille, notes: &notes };
            self.slot.get_or_insert_with(Slot::new).show(bar::line(&part, screen::size().0));
        } else if self.printed.elapsed() >= LINE_INTERVAL {
            self.printed = Instant::now();
            let percent = per_mille.map(|part| format!("{} %, ", part / 10)).unwrap_or_default();
            say_aside(&format!("{}: {percent}{}", work.what, notes[0]));
        }
    }

    /// Does `work` on another thread, and shows how far it is.
    pub(super) fn of<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        crate::vocabulary::work::watched(LOOK, work, &mut |work| self.show(&work, None))
    }
}

/// What is said of a step of which `gone` has been done in `time`, from all of it to the least.
fn step_notes(work: &Work, gone: u64, time: Duration) -> Vec<String> {
    let values = values();
    let elapsed = duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    if work.unit.is_empty() {
        return vec![elapsed];
    }
    let rate = gone as f64 / time.as_secs_f64().max(1e-3);
    let said = values.rate(rate, &work.unit);
    let Some(total) = work.total else {
        return vec![format!("{}, {said}, {elapsed}", values.many(work.done, &work.unit)), said];
    };
    let counted = match work.unit.as_str() {
        "bytes" => format!("{} of {}", values.bytes(work.done), values.bytes(total)),
        unit => format!("{} of {} {unit}", values.count(work.done), values.count(total)),
    };
    if gone == 0 {
        return vec![counted];
    }
    let left = format!("{} left", duration((total.saturating_sub(work.done) as f64 * 1000.0 / rate) as u64));
    vec![format!("{counted}, {said}, {left}"), format!("{said}, {left}"), left]
}

/// Writes log lines above the bars; those that nobody reads any more are lost.
#[derive(Default)]
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        above_the_bars(|| drop(io::stderr().write_all(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::StageReport;
    use serde_json::json;

    #[test]
    fn what_is_not_counted_has_no_end() {
        let progress = |total: Option<u64>, left: Option<u64>| {
            serde_json::from_value::<Progress>(json!({
                "projectionName": "orders", "status": "running", "checkpointId": "orders/1", "eventsProcessed": 2_000,
                "totalEvents": total, "estimatedRemainingMs": left, "startedAt": 0, "eventsPerSecond": 500.0, "position": 2_000,
                "retries": 0, "parked": 0, "allowParked": false, "stalled": false, "stages": StageReport::default(),
            }))
            .unwrap()
        };
        assert_eq!(notes(&progress(Some(4_000), Some(4_000)))[0], "2,000 of 4,000 events, 500 events/s, 4.0 s left");
        assert_eq!(notes(&progress(None, None))[0], "2,000 events, not counted before, 500 events/s");
    }

    #[test]
    fn a_step_says_how_much_how_fast_and_how_long() {
        let work = |unit: &str, done, total| Work { what: "checking".into(), unit: unit.into(), done, total };
        let said = |work: &Work, gone, seconds| step_notes(work, gone, Duration::from_secs(seconds))[0].clone();
        assert_eq!(said(&work("rows", 500, Some(2_000)), 400, 2), "500 of 2,000 rows, 200 rows/s, 7.5 s left");
        assert_eq!(said(&work("rows", 500, Some(2_000)), 0, 0), "500 of 2,000 rows");
        assert_eq!(said(&work("rows", 500, None), 500, 2), "500 rows, 250 rows/s, 2.0 s");
        assert_eq!(
            said(&work("bytes", 5_000_000, Some(10_000_000)), 5_000_000, 1),
            "5.0 MB of 10.0 MB, 5.0 MB/s, 1.0 s left"
        );
        assert_eq!(said(&work("", 0, None), 0, 61), "1 min 1 s");
        assert_eq!(said(&work("rows", 3_000, Some(2_000)), 3_000, 1), "3,000 of 2,000 rows, 3,000 rows/s, 0 ms left");
    }
}
