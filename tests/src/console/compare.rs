//! Whether what is shown is what was printed, but for what no two runs have in common.

/// Stands for anything within a line, and alone in a line for any lines.
const ANYTHING: &str = "...";

/// Digits of a digest or an id that are shown at least.
const HEX: usize = 8;

/// Keys of digests that depend on the compiler of a plugin, or on chance.
const DIGESTS: [&str; 8] = [
    "pluginDigest",
    "fromDigest",
    "toDigest",
    "sourceIdentity",
    "plugin digest",
    "from digest",
    "to digest",
    "source identity",
];

/// Ends of the keys of times, durations, sizes, and of how often and how much was committed.
const MEASURED: [&str; 8] = ["At", "Ms", "PerSecond", "bytes", "Bytes", "commits", "rowsCommitted", "rows committed"];

/// Units of what is measured.
const UNITS: [&str; 12] = ["events/s", "ms", "s", "min", "h", "d", "B", "kB", "MB", "GB", "MB/s", "kB/s"];

/// What of two runs is not compared.
#[derive(Debug, Clone, Copy)]
pub struct Varying {
    /// Every number, and every id.
    pub numbers: bool,
    /// Every digest, because they are those of plugins.
    pub digests: bool,
}

/// What was printed, as it is compared and shown: without progress, which is drawn as a bar on a terminal.
pub fn printed(output: &str) -> Vec<String> {
    output.lines().filter(|line| !is_progress(line)).map(|line| line.trim_end().to_owned()).collect()
}

/// Whether a line is what a pipe gets in place of a bar: `NAME: ..., 13.7 %, ...`.
fn is_progress(line: &str) -> bool {
    let share = |part: &str| part.strip_suffix(" %").is_some_and(|share| share.parse::<f64>().is_ok());
    line.split_once(": ").is_some_and(|(_, parts)| parts.split(", ").any(share))
}

/// Whether `shown` is `printed`.
pub fn fits(shown: &[String], printed: &[String], varying: Varying) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == ANYTHING => {
            (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..], varying))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, more)| line_fits(first, line, varying) && fits(rest, more, varying)),
    }
}

/// `printed` as it is to be shown from now on: lines that fit stay as they are shown, and lines that are left out between the first
/// and the last stay left out.
pub fn updated(shown: &[String], printed: &[String], varying: Varying) -> Vec<String> {
    let is_gap = |line: &String| line.trim() == ANYTHING;
    if let (Some(first), Some(last)) = (shown.iter().position(is_gap), shown.iter().rposition(is_gap)) {
        let (before, behind) = (&shown[..first], &shown[last + 1..]);
        if before.len() + behind.len() <= printed.len() {
            let rest = updated(behind, &printed[printed.len() - behind.len()..], varying);
            let gap = [shown[first].clone()];
            return [updated(before, &printed[..before.len()], varying), gap.into(), rest].concat();
        }
    }
    let line = |(number, line): (usize, &String)| {
        let same = shown.get(number).filter(|shown| line_fits(shown, line, varying));
        same.unwrap_or(line).clone()
    };
    printed.iter().enumerate().map(line).collect()
}

fn line_fits(shown: &str, printed: &str, varying: Varying) -> bool {
    let (shown, printed) = (masked(shown, varying), masked(printed, varying));
    let mut parts = shown.split(ANYTHING);
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A line without what varies, and with columns two spaces apart: how wide they are depends on what varies.
fn masked(line: &str, varying: Varying) -> String {
    let mut masked = String::new();
    let mut rest = line.trim_end();
    while let Some(c) = rest.chars().next() {
        let (word, behind) = word(rest, c);
        rest = behind;
        if c == ' ' {
            masked.push_str(&word[..word.len().min(2)]);
        } else if is_hex(word) && (varying.digests || DIGESTS.iter().any(|key| of(&masked, key))) {
            masked.push_str("HEX");
            // Shortened or whole.
            rest = rest.strip_prefix(ANYTHING).unwrap_or(rest);
        } else if c.is_ascii_digit() && is_number(word) && (varying.numbers || is_measured(&masked, rest)) {
            // `1 min 20 s` is one duration, and may be `8.8 s` the next time.
            let one = masked.strip_suffix("# ").map(str::len);
            masked.truncate(one.unwrap_or(masked.len()));
            masked.push('#');
            rest = unit(rest).map_or(rest, |unit| &rest[unit.len() + 1..]);
        } else if is_hex(word) && varying.numbers && word.contains(|c: char| c.is_ascii_digit()) {
            masked.push('#');
            // Shortened or whole.
            rest = rest.strip_prefix(ANYTHING).unwrap_or(rest);
        } else {
            masked.push_str(word);
        }
    }
    masked
}

/// What is taken at once: spaces, letters and digits (a number with its commas and its point), or any other character.
fn word(text: &str, first: char) -> (&str, &str) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = first.len_utf8();
    if first == ' ' {
        end = text.len() - text.trim_start_matches(' ').len();
    } else if first.is_ascii_alphanumeric() {
        let number = |at: usize| is_number(&text[..at]) && digit(at - 1) && digit(at + 1);
        let belongs = |at: usize| match bytes.get(at) {
            Some(b'.' | b',' | b':') => number(at),
            // Of a date, not of an id.
            Some(b'-') => (at == 4 || at == 7) && number(at),
            Some(byte) => byte.is_ascii_alphanumeric(),
            None => false,
        };
        while belongs(end) {
            end += 1;
        }
    }
    text.split_at(end)
}

/// A number, a date or a time of day.
fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || b".,-:".contains(&byte))
}

fn is_hex(word: &str) -> bool {
    word.len() >= HEX && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The unit behind a number.
fn unit(behind: &str) -> Option<&str> {
    let behind = behind.strip_prefix(' ')?;
    let end = behind.find(|c: char| !c.is_ascii_alphabetic() && c != '/').unwrap_or(behind.len());
    Some(&behind[..end]).filter(|unit| UNITS.contains(unit))
}

/// Whether a number between these is a time, a duration, a rate or a size.
fn is_measured(before: &str, behind: &str) -> bool {
    let is_date = behind.strip_prefix(' ').is_some_and(|behind| {
        behind.starts_with("UTC") || (behind.starts_with(|c: char| c.is_ascii_digit()) && behind.contains(" UTC"))
    });
    unit(behind).is_some() || is_date || MEASURED.iter().any(|key| of(before, key))
}

/// Whether what follows `before` is the value of a key that ends with `key`.
fn of(before: &str, key: &str) -> bool {
    before.trim_end_matches([' ', ':', '=', '"']).ends_with(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Varying = Varying { numbers: false, digests: false };

    fn is(shown: &str, printed: &str, varying: Varying) -> bool {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        fits(&lines(shown), &lines(printed), varying)
    }

    #[test]
    fn lines_are_compared_but_for_what_is_left_out() {
        assert!(is("a\nb", "a\nb", EXACT) && is("a   1", "a  1", EXACT));
        for (shown, printed) in
            [("a", "a\nb"), ("a\nb", "a"), ("", "a"), ("a 1", "a 2"), ("a...c", "abd"), ("a...", "ba"), ("a1", "a2")]
        {
            assert!(!is(shown, printed, EXACT), "{shown} {printed}");
        }
        for (shown, printed) in [("a...c", "abc"), ("...", ""), ("...\nc", "a\nb\nc"), ("a\n...\nc\n...", "a\nb\nc")] {
            assert!(is(shown, printed, EXACT), "{shown} {printed}");
        }
    }

    #[test]
    fn what_varies_is_not_compared() {
        for (shown, printed) in [
            ("x: done, 17 events/s", "x: done, 533,333.5 events/s"),
            ("startedAt  1795554120857", "startedAt  1"),
            ("started  2026-03-01 14:05 UTC (3 h ago)", "started  2026-03-02 14:06 UTC (12 s ago)"),
            ("left 8.8 s, then", "left 1 min 5 s, then"),
            ("pluginDigest    2b2d859e...", "pluginDigest    aaaa859e0011"),
        ] {
            assert!(is(shown, printed, EXACT), "{shown} {printed}");
        }
        assert!(!is("x: done, 17 events", "x: done, 18 events", EXACT));
        let (row, other) = ("digest  492252d4...", "digest  592252d4aabb");
        assert!(is(row, "digest  492252d4aabb", EXACT) && !is(row, other, EXACT));
        assert!(is(row, other, Varying { digests: true, ..EXACT }));
        assert!(is("at 27500, 13.75 %", "at 1, 2 %", Varying { numbers: true, ..EXACT }));
        let ids = ("id 68fb44e30a7f3cb0-0000000000006b6c", "id b29793cec4724e45-0000000000000014");
        assert!(is(ids.0, ids.1, Varying { numbers: true, ..EXACT }) && !is(ids.0, ids.1, EXACT));
        assert!(!is("at 27500, 13.75 %", "by 1, 2 %", Varying { numbers: true, ..EXACT }));
    }

    #[test]
    fn an_update_keeps_what_fits_and_what_is_left_out() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let update = |shown, printed| updated(&lines(shown), &lines(printed), EXACT).join("\n");
        assert_eq!(update("a...\nb 1", "abc\nb 2\nc"), "a...\nb 2\nc");
        assert_eq!(update("a\n...\nz 1", "a\nb\nc\nz 2"), "a\n...\nz 2");
        assert_eq!(update("", "a"), "a");
    }

    #[test]
    fn progress_is_not_output() {
        let output = "x: 3 of 4 events, 75.0 %, 3 events/s\nx: 75.0 %, 3 of 4 events\nx: completed, 4 of 4 events  \n";
        assert_eq!(printed(output), ["x: completed, 4 of 4 events"]);
    }
}
