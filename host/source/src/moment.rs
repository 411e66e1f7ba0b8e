//! Points in time as RFC 3339 writes them.

use super::shortened::shortened;
use jiff::civil::Date;

/// The milliseconds from the beginning of the year 0 to the end of the year 9999, which RFC 3339 knows.
pub(super) const MILLISECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// A point in time.
pub(super) struct Moment {
    /// Milliseconds since 1970, rounded down.
    pub(super) milliseconds: i64,
    /// Whether rounding lost nothing.
    pub(super) exact: bool,
}

/// How text says in which zone it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// By its offset.
    Written,
    /// Where it has no offset it is UTC.
    Utc,
}

impl Moment {
    /// The time that `text` says in RFC 3339: years 0000 to 9999, offsets up to 23:59, any number of decimals, a leap second
    /// where one can be. Otherwise what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Moment, String> {
        Moment::parse_in(text, Zone::Written)
    }

    /// The same, of text that may lack its offset where `zone` says so.
    pub(super) fn parse_in(text: &str, zone: Zone) -> Result<Moment, String> {
        let refused = |why: &str| format!("the text \"{}\"{why}", shortened(text));
        let parts = Parts::of(text.as_bytes(), zone).ok_or_else(|| refused(""))?;
        let date = Date::new(parts.year, parts.month, parts.day).map_err(|_| refused(" (there is no such day)"))?;
        if parts.hour > 23 || parts.minute > 59 || parts.second > 60 {
            return Err(refused(" (there is no such time of day)"));
        }
        if parts.offset_hours > 23 || parts.offset_minutes > 59 {
            return Err(refused(" (there is no such offset: they go up to 23:59)"));
        }
        let days = date.duration_since(Date::constant(1970, 1, 1)).as_secs();
        let offset = (parts.offset_hours * 60 + parts.offset_minutes) * 60 * parts.offset_sign;
        // Unix time has no leap seconds: one is the second before.
        let leap = parts.second == 60;
        let of_day = (parts.hour * 60 + parts.minute) * 60 + parts.second.min(59);
        let seconds = days + of_day - offset;
        if leap && seconds.rem_euclid(86_400) != 86_399 {
            return Err(refused(" (a leap second is the last one of a day in UTC)"));
        }
        let milliseconds = seconds * 1000 + parts.milliseconds;
        if !MILLISECONDS.contains(&milliseconds) {
            return Err(refused(" (it is outside of the years 0 to 9999)"));
        }
        Ok(Moment { milliseconds, exact: parts.exact && !leap })
    }
}

/// The parts of `YYYY-MM-DDThh:mm:ss[.f](Z|+hh:mm|-hh:mm)`, not looked at yet.
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i64,
    minute: i64,
    second: i64,
    milliseconds: i64,
    /// Whether the fraction has nothing but whole milliseconds.
    exact: bool,
    offset_sign: i64,
    offset_hours: i64,
    offset_minutes: i64,
}

impl Parts {
    fn of(text: &[u8], zone: Zone) -> Option<Parts> {
        let (second, rest) = text.split_at_checked(19)?;
        if !like(second, b"0000-00-00T00:00:00") && !like(second, b"0000-00-00 00:00:00") {
            return None;
        }
        let number = |at: usize, len: usize| digits(&second[at..at + len]);
        let (fraction, offset) = match rest.strip_prefix(b".") {
            Some(rest) => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                rest.split_at_checked(digits.max(1))?
            }
            None => (&b"0"[..], rest),
        };
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (offset_sign, offset_hours, offset_minutes) = match offset {
            b"Z" | b"z" => (1, 0, 0),
            b"" if zone == Zone::Utc => (1, 0, 0),
            _ if like(offset, b"+00:00") => (1, digits(&offset[1..3]), digits(&offset[4..6])),
            _ if like(offset, b"-00:00") => (-1, digits(&offset[1..3]), digits(&offset[4..6])),
            _ => return None,
        };
        let (whole, finer) = fraction.split_at(fraction.len().min(3));
        Some(Parts {
            // Four and two digits fit.
            year: number(0, 4) as i16,
            month: number(5, 2) as i8,
            day: number(8, 2) as i8,
            hour: number(11, 2),
            minute: number(14, 2),
            second: number(17, 2),
            milliseconds: digits(whole) * [1, 100, 10, 1][whole.len()],
            exact: finer.iter().all(|digit| *digit == b'0'),
            offset_sign,
            offset_hours,
            offset_minutes,
        })
    }
}

fn like(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte.eq_ignore_ascii_case(shape),
        })
}

/// The number that a few digits write.
fn digits(text: &[u8]) -> i64 {
    text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
}
