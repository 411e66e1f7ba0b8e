//! Tables that fit: columns are as wide as their contents, and the least important ones give way.

use super::colour::Colour;
use crate::vocabulary::visible;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The gap between two columns.
const GAP: usize = 2;

/// The end of a text that was cut.
const CUT: char = '…';

/// One cell of a table. Nothing in it acts on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// A text, which may be one of others.
    pub fn new(text: &str) -> Cell {
        Cell { text: visible(text).into_owned(), colour: None }
    }

    /// A status, in its colour.
    pub fn status(status: &str) -> Cell {
        Cell { colour: Colour::of_status(status), ..Cell::new(status) }
    }

    /// The heading of a column.
    pub fn heading(title: &str) -> Cell {
        Cell { colour: Some(Colour::Bold), ..Cell::new(title) }
    }

    /// Its text, in its colour where that is wanted.
    pub fn painted(&self, coloured: bool) -> String {
        self.paint(&self.text, coloured)
    }

    fn paint(&self, text: &str, coloured: bool) -> String {
        self.colour.filter(|_| coloured).map_or_else(|| text.to_owned(), |colour| colour.paint(text))
    }

    fn width(&self) -> usize {
        self.text.width()
    }
}

/// How a column gives way.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Numbers are aligned on the right.
    pub right: bool,
    /// The lower, the earlier it gives way.
    pub importance: u8,
    /// It is not cut to less than this, but left out.
    pub least: usize,
}

/// The columns' widths for `rows`, within `width` where that is given; `None` for columns that are left out.
pub fn fit(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<Option<usize>> {
    let widest = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(Cell::width).max().unwrap_or(0);
    let natural: Vec<usize> = (0..columns.len()).map(widest).collect();
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(width) = width else { return widths };
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|&index| columns[index].importance);
    let Some((&most_important, others)) = order.split_last() else { return widths };
    for &index in others {
        let excess = total(&widths).saturating_sub(width);
        let least = natural[index].min(columns[index].least);
        widths[index] = Some(natural[index].saturating_sub(excess).max(least));
    }
    for &index in others {
        if total(&widths) > width {
            widths[index] = None;
        }
    }
    if total(&widths) > width {
        widths[most_important] = Some(width);
    }
    // What others have left is given back.
    for &index in order.iter().rev() {
        let spare = width.saturating_sub(total(&widths));
        widths[index] = widths[index].map(|width| natural[index].min(width + spare));
    }
    widths
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// One row as a line.
pub fn line(columns: &[Column], widths: &[Option<usize>], row: &[Cell], coloured: bool) -> String {
    let mut line = String::new();
    let mut owed = 0;
    let mut is_first = true;
    for ((column, width), cell) in columns.iter().zip(widths).zip(row) {
        let Some(width) = *width else { continue };
        let text = cut(&cell.text, width);
        let free = width.saturating_sub(text.width());
        owed += if is_first { 0 } else { GAP } + if column.right { free } else { 0 };
        is_first = false;
        if !text.is_empty() {
            // No blanks are left at the end of a line.
            line.extend(std::iter::repeat_n(' ', std::mem::take(&mut owed)));
            line += &cell.paint(&text, coloured);
        }
        owed += if column.right { 0 } else { free };
    }
    line
}

/// `text` in at most `width` columns of a terminal.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push(CUT);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { right: false, importance: 9, least: 8 },
        Column { right: true, importance: 5, least: 6 },
        Column { right: false, importance: 1, least: 10 },
    ];

    fn rows(texts: &[[&str; 3]]) -> Vec<Vec<Cell>> {
        texts.iter().map(|row| row.iter().map(|text| Cell::new(text)).collect()).collect()
    }

    fn lines(rows: &[Vec<Cell>], width: Option<usize>) -> Vec<String> {
        let widths = fit(&COLUMNS, rows, width);
        rows.iter().map(|row| line(&COLUMNS, &widths, row, false)).collect()
    }

    #[test]
    fn a_table_fits_every_terminal() {
        let long = "x".repeat(300);
        let tables = [
            rows(&[["order-summary", "27,500", "short"], ["在庫レベルの投影", "1.2 M", &long]]),
            rows(&[[&long, &long, &long], ["a", "", ""]]),
            rows(&[["a", "1", "b"]]),
            rows(&[["", "", ""]]),
            rows(&[]),
        ];
        for table in &tables {
            for width in [1, 2, 10, 20, 40, 80, 120, 200] {
                for line in lines(table, Some(width)) {
                    assert!(line.width() <= width, "{width}: {line:?}");
                    assert_eq!(line.trim_end(), line);
                }
            }
        }
        assert_eq!(lines(&tables[2], Some(80)), ["a  1  b"]);
        assert_eq!(lines(&tables[3], Some(80)), [""]);
    }

    #[test]
    fn the_least_important_column_gives_way_first() {
        let table = rows(&[["order-summary", "27,500", "a reason that is long enough to be cut"]]);
        assert_eq!(lines(&table, Some(200)), ["order-summary  27,500  a reason that is long enough to be cut"]);
        assert_eq!(lines(&table, Some(40)), ["order-summary  27,500  a reason that is…"]);
        assert_eq!(lines(&table, Some(30)), ["order-summary  27,500"], "it would be too little of it");
        assert_eq!(lines(&table, Some(13)), ["order-summary"]);
        assert_eq!(lines(&table, Some(8)), ["order-s…"]);
        assert_eq!(lines(&table, None), lines(&table, Some(200)), "nothing is cut where it goes to a pipe");
    }

    #[test]
    fn wide_characters_count_twice_and_hidden_ones_are_shown() {
        let table = rows(&[["東京", "1", "x"], ["ab", "22", "y"], ["a\u{1b}[2J", "3", "z"]]);
        assert_eq!(lines(&table, None), ["東京         1  x", "ab          22  y", r"a\u{1b}[2J   3  z"]);
        assert_eq!(cut("東京都", 5), "東京…");
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(cut("東京都", 0), "");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let row = [Cell::status("failed"), Cell::new("1"), Cell::new("")];
        let widths = [Some(9), Some(3), Some(0)];
        assert_eq!(line(&COLUMNS, &widths, &row, false), "failed       1");
        assert_eq!(line(&COLUMNS, &widths, &row, true), "\u{1b}[31mfailed\u{1b}[0m       1");
    }
}
