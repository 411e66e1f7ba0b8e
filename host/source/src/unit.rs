//! Numbers that stand for times: what they count since 1970, and what they are taken for where that is not given.

/// What a number that stands for a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// The coarsest first.
    pub(super) const ALL: [Unit; 4] = [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds, Unit::Nanoseconds];

    /// The unit that options call `name`.
    pub(super) fn named(name: &str) -> Option<Unit> {
        Unit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// What options call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "us",
            Unit::Nanoseconds => "ns",
        }
    }

    /// What messages call it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Microseconds => "microseconds",
            Unit::Nanoseconds => "nanoseconds",
        }
    }

    /// Decimal places from it to milliseconds; those of finer units are negative.
    pub(super) fn places(self) -> i32 {
        match self {
            Unit::Seconds => 3,
            Unit::Milliseconds => 0,
            Unit::Microseconds => -3,
            Unit::Nanoseconds => -6,
        }
    }
}

/// The beginning of 1990, in seconds.
pub(super) const SECONDS_OF_1990: u128 = 631_152_000;

/// Whether a number that is taken for milliseconds because its unit is not given may count seconds: it is `least` at
/// least, and as milliseconds it would be a time before March 1973.
pub(super) fn may_count_seconds(number: i128, least: u128) -> bool {
    (least..100_000_000_000).contains(&number.unsigned_abs())
}

/// The decimal number `text`, times ten to the `places`, rounded down. `None` where it is no number, or far too large.
pub(super) fn scaled(text: &str, places: i32) -> Option<i128> {
    /// Digits of a number far beyond the year 9999 in nanoseconds, and well within 128 bits.
    const DIGITS: usize = 30;
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if (whole.is_empty() && fraction.is_empty())
        || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    // How many of the digits stand before the point, once it is moved.
    let exponent: i64 = exponent.parse().ok()?;
    let before = i64::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(i64::from(places))?;
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    if zeros == all.len() {
        return Some(0);
    }
    if before.saturating_sub(i64::try_from(zeros).ok()?) > DIGITS as i64 {
        return None;
    }
    let before = usize::try_from(before).unwrap_or(0);
    let kept = all.iter().copied().chain(std::iter::repeat(b'0')).take(before);
    let number = kept.fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    let finer = all.iter().skip(before).any(|digit| *digit != b'0');
    Some(if negative { -number - i128::from(finer) } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_scaled_and_rounded_down() {
        for (text, places, expected) in [
            ("1714557600.1239", 3, Some(1_714_557_600_123)),
            ("1.7145576001239e+09", 3, Some(1_714_557_600_123)),
            ("1714557600123999", -3, Some(1_714_557_600_123)),
            ("-0.0001", 3, Some(-1)),
            ("-1", -6, Some(-1)),
            ("-1000", -3, Some(-1)),
            ("-0.000", 9, Some(0)),
            ("5.", 0, Some(5)),
            (".5", 3, Some(500)),
            ("1e-40", 9, Some(0)),
            ("000000000000000000000000000000000000001", 0, Some(1)),
            ("1e40", 3, None),
            ("", 3, None),
            (".", 3, None),
            ("-", 3, None),
            ("--1", 3, None),
            ("1 000", 3, None),
            ("NaN", 3, None),
            ("1e", 3, None),
            ("1e99999999999999999999", 3, None),
        ] {
            assert_eq!(scaled(text, places), expected, "{text}");
        }
    }

    #[test]
    fn units_have_names() {
        for unit in Unit::ALL {
            assert_eq!(Unit::named(unit.name()), Some(unit));
        }
        assert_eq!(Unit::named("utc"), None);
    }
}
