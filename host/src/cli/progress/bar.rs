//! One line that says how far something is, in the width that there is.

use crate::{cli::output::cut, vocabulary::visible};
use unicode_width::UnicodeWidthStr;

/// The narrowest bar, and the widest.
const BAR: (usize, usize) = (5, 40);

/// The most that a name takes up.
const NAME: usize = 40;

/// How far something is.
pub(super) struct Part<'a> {
    /// What it is about.
    pub(super) name: &'a str,
    /// Columns that names take up, so that bars stand below each other.
    pub(super) align: usize,
    /// Of a thousand; absent where the end is not known.
    pub(super) per_mille: Option<u64>,
    /// What else is to be shown: the first is the fullest, and each later one is shorter and says less.
    pub(super) notes: &'a [String],
}

/// `done` of `total`, of a thousand: a thousand only for all.
pub(super) fn per_mille(done: u64, total: u64) -> u64 {
    if total == 0 { 0 } else { (u128::from(done.min(total)) * 1000 / u128::from(total)) as u64 }
}

/// The line, of at most `width` columns: the fullest note with which there is a bar, else the fullest that fits.
pub(super) fn line(part: &Part<'_>, width: usize) -> String {
    let name = cut(&visible(part.name), NAME.min(width / 2).max(1));
    let free = part.align.min(width / 2).saturating_sub(name.width());
    let percent = part.per_mille.map(|done| format!(" {:>3} %", done / 10)).unwrap_or_default();
    let fixed = name.width() + free + percent.len();
    let notes: Vec<String> = part.notes.iter().map(|note| format!(" {}", visible(note))).collect();
    let room = |note: &str| width.checked_sub(fixed + note.width());
    let bar_beside = |note: &str| Some(bar(part.per_mille?, room(note)?)).filter(|bar| !bar.is_empty());
    let with_bar = notes.iter().find_map(|note| Some((note.as_str(), bar_beside(note)?)));
    let without = || notes.iter().find(|note| room(note).is_some()).map(|note| (note.as_str(), String::new()));
    let (note, bar) = with_bar.or_else(without).unwrap_or_else(|| ("", bar_beside("").unwrap_or_default()));
    cut(&format!("{name}{:free$}{bar}{percent}{note}", ""), width)
}

/// A bar with a space before it, in `room` columns; nothing where it would be too short to tell anything.
fn bar(per_mille: u64, room: usize) -> String {
    let (narrowest, widest) = BAR;
    // The space, and the brackets.
    let width = room.saturating_sub(3).min(widest);
    if width < narrowest {
        return String::new();
    }
    let full = width * per_mille as usize / 1000;
    let filled = if full > 0 && full < width { "=".repeat(full - 1) + ">" } else { "=".repeat(full) };
    format!(" [{filled:width$}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Vec<String> {
        ["27,500 of 200,000 events, 19,693 events/s, 8.8 s left", "19,693 events/s, 8.8 s left", "8.8 s left"]
            .map(str::to_owned)
            .into()
    }

    #[test]
    fn a_bar_fits_every_terminal() {
        let long = "x".repeat(100);
        let error = [format!("waits for 3 s, 2 tries: {long} {long}\n\u{1b}[2J")];
        for name in ["order-summary", "在庫レベルの投影", &long, ""] {
            for notes in [&notes()[..], &error, &[]] {
                for per_mille in [None, Some(0), Some(1), Some(137), Some(999), Some(1000)] {
                    for width in [1, 5, 20, 39, 40, 80, 120, 200] {
                        let line = line(&Part { name, align: 0, per_mille, notes }, width);
                        assert!(line.width() <= width, "{width}: {line:?}");
                        assert!(!line.contains(['\n', '\u{1b}']), "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_says_as_much_as_there_is_room_for() {
        let notes = notes();
        let at = |per_mille, width| line(&Part { name: "order-summary", align: 0, per_mille, notes: &notes }, width);
        assert_eq!(at(Some(137), 40), "order-summary [       ]  13 % 8.8 s left");
        assert_eq!(
            at(Some(137), 80),
            "order-summary [===>                          ]  13 % 19,693 events/s, 8.8 s left"
        );
        assert_eq!(
            at(Some(137), 120),
            "order-summary [====>                                   ]  13 % 27,500 of 200,000 events, 19,693 events/s, 8.8 s left"
        );
        assert_eq!(at(Some(137), 120), at(Some(137), 200));
        assert_eq!(at(None, 40), "order-summary 8.8 s left");
        assert_eq!(at(Some(1000), 26), "order-summary 100 %");
        assert_eq!(at(Some(1000), 27), "order-summary [=====] 100 %");
    }

    #[test]
    fn bars_stand_below_each_other() {
        let at = |name| line(&Part { name, align: 6, per_mille: Some(500), notes: &[] }, 40).find('[');
        assert_eq!(at("a"), at("orders"));
    }

    #[test]
    fn a_thousandth_is_done_when_it_is() {
        assert_eq!(
            [(0, 0), (0, 3), (1, 3), (2_999, 3_000), (3, 3), (4, 3)].map(|(done, total)| per_mille(done, total)),
            [0, 0, 333, 999, 1000, 1000]
        );
        assert_eq!(per_mille(u64::MAX - 1, u64::MAX), 999);
    }
}
