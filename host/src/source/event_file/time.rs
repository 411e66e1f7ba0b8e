//! The times of events: RFC 3339 text, or numbers in a unit. All are rounded down to milliseconds, before 1970 too; what that
//! loses is kept in the metadata.

use super::error::shortened;
use super::field::FieldValue;
use super::{Reason, message_pack};
use jiff::{SignedDuration, civil::Date};
use rmp::encode::{self, buffer::ByteBuf};

/// The entry of the metadata that has the time as it was written, where the timestamp has less of it.
const KEPT: &str = "time";

/// The milliseconds from the beginning of the year 0 to the end of the year 9999, which RFC 3339 knows.
const MILLISECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// A point in time.
pub(in crate::source) struct Moment {
    /// Milliseconds since 1970, rounded down.
    pub(in crate::source) milliseconds: i64,
    /// Whether rounding lost nothing.
    pub(in crate::source) exact: bool,
}

/// How text says in which zone it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// By its offset.
    Written,
    /// Where it has no offset it is UTC.
    Utc,
}

impl Moment {
    /// The time that `text` says in RFC 3339: years 0000 to 9999, offsets up to 23:59, any number of decimals, a leap second
    /// where one can be. Otherwise what is wrong with it.
    pub(in crate::source) fn parse(text: &str) -> Result<Moment, String> {
        Moment::parse_in(text, Zone::Written)
    }

    fn parse_in(text: &str, zone: Zone) -> Result<Moment, String> {
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

/// How a time is written, where that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TimeForm {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// RFC 3339 text, which is UTC where it has no offset.
    Utc,
}

impl TimeForm {
    /// The forms by the names that a map has for them.
    pub(super) const NAMES: [(&str, TimeForm); 5] = [
        ("s", TimeForm::Seconds),
        ("ms", TimeForm::Milliseconds),
        ("us", TimeForm::Microseconds),
        ("ns", TimeForm::Nanoseconds),
        ("utc", TimeForm::Utc),
    ];

    /// Decimal places from the unit to nanoseconds.
    fn places(self) -> i64 {
        match self {
            TimeForm::Seconds => 9,
            TimeForm::Milliseconds | TimeForm::Utc => 6,
            TimeForm::Microseconds => 3,
            TimeForm::Nanoseconds => 0,
        }
    }
}

/// The time of an event.
pub(super) struct Time {
    /// Milliseconds since 1970, rounded down.
    pub(super) milliseconds: i64,
    /// The time as it is written, where rounding lost something; a number as RFC 3339 text.
    pub(super) kept: Option<String>,
}

impl Time {
    /// A time in whole milliseconds.
    pub(super) fn exact(milliseconds: i64) -> Time {
        Time { milliseconds, kept: None }
    }

    /// The time that RFC 3339 text says, or an extension value of MessagePack; otherwise what was found.
    pub(super) fn from_text(value: FieldValue<'_>, form: Option<TimeForm>) -> Result<Time, String> {
        if let FieldValue::MessagePack(bytes) = value
            && let Some((seconds, nanoseconds)) = message_pack::timestamp(bytes)
        {
            return Time::from_nanoseconds(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds), false)
                .ok_or_else(|| "a time outside of the years 0 to 9999".to_owned());
        }
        let text = value.text().ok_or_else(|| value.found())?;
        let zone = if form == Some(TimeForm::Utc) { Zone::Utc } else { Zone::Written };
        let Moment { milliseconds, exact } = Moment::parse_in(&text, zone)?;
        Ok(Time { milliseconds, kept: (!exact).then(|| text.into_owned()) })
    }

    /// The time that `value` of the field `field` says: whole milliseconds or RFC 3339 text, or as `form` has it.
    pub(super) fn of(field: &str, value: FieldValue<'_>, form: Option<TimeForm>) -> Result<Time, Reason> {
        let expected = match form {
            None => "milliseconds since 1970 as an integer, or RFC 3339 text like \"2024-01-31T12:00:00.000Z\"",
            Some(TimeForm::Utc) => "RFC 3339 text, with or without an offset, like \"2024-01-31T12:00:00.000\"",
            Some(TimeForm::Seconds) => "seconds since 1970 as a number",
            Some(TimeForm::Milliseconds) => "milliseconds since 1970 as a number",
            Some(TimeForm::Microseconds) => "microseconds since 1970 as a number",
            Some(TimeForm::Nanoseconds) => "nanoseconds since 1970 as a number",
        };
        let refused = |found| Reason::Field { field: field.to_owned(), expected: expected.to_owned(), found };
        match form {
            None | Some(TimeForm::Utc) => match value.integer::<i128>() {
                Some(milliseconds) if form.is_none() => match i64::try_from(milliseconds) {
                    Ok(milliseconds) if MILLISECONDS.contains(&milliseconds) => Ok(Time::exact(milliseconds)),
                    _ => Err(out_of_range(field, value, TimeForm::Milliseconds, milliseconds)),
                },
                _ => Time::from_text(value, form).map_err(refused),
            },
            Some(unit) => {
                let Some((nanoseconds, finer)) = value.decimal().and_then(|text| scaled(&text, unit.places())) else {
                    return Err(refused(value.found()));
                };
                let time = Time::from_nanoseconds(nanoseconds, finer);
                let in_unit = nanoseconds / 10_i128.pow(unit.places() as u32);
                time.ok_or_else(|| out_of_range(field, value, unit, in_unit))
            }
        }
    }

    /// `finer`: the time has more than the nanoseconds say.
    fn from_nanoseconds(nanoseconds: i128, finer: bool) -> Option<Time> {
        const MILLISECOND: i128 = 1_000_000;
        let milliseconds = i64::try_from(nanoseconds.div_euclid(MILLISECOND)).ok()?;
        if !MILLISECONDS.contains(&milliseconds) {
            return None;
        }
        if !finer && nanoseconds.rem_euclid(MILLISECOND) == 0 {
            return Some(Time::exact(milliseconds));
        }
        let since = SignedDuration::new(i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?, 0);
        let second = Date::constant(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok()?;
        let fraction = format!("{:09}", nanoseconds.rem_euclid(1_000_000_000));
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        Some(Time { milliseconds, kept: Some(format!("{second}.{fraction}Z")) })
    }
}

/// A number that is no time in its unit; in another one it may be.
fn out_of_range(field: &str, value: FieldValue<'_>, unit: TimeForm, number: i128) -> Reason {
    let finer = TimeForm::NAMES.iter().filter(|(_, form)| form.places() < unit.places());
    // Since the year 2000, so that the finest unit is not taken for all that is large.
    let in_2000 = 946_684_800_000_000_000_i128;
    let plausible = finer.copied().find(|(_, form)| {
        let nanoseconds = number.saturating_mul(10_i128.pow(form.places() as u32));
        nanoseconds > in_2000 && Time::from_nanoseconds(nanoseconds, false).is_some()
    });
    Reason::TimeOutOfRange {
        field: field.to_owned(),
        found: value.found(),
        unit: match unit {
            TimeForm::Seconds => "seconds",
            TimeForm::Milliseconds | TimeForm::Utc => "milliseconds",
            TimeForm::Microseconds => "microseconds",
            TimeForm::Nanoseconds => "nanoseconds",
        },
        other: plausible.map(|(name, _)| name),
    }
}

/// The decimal number `text`, times ten to the `places`, rounded down; and whether that lost something. `None` where it is no
/// number, or far too large.
fn scaled(text: &str, places: i64) -> Option<(i128, bool)> {
    /// Digits of a number far beyond the year 9999 in nanoseconds, and well within 128 bits.
    const DIGITS: usize = 30;
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the point, once it is moved.
    let exponent: i64 = exponent.parse().ok()?;
    let before = i64::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(places)?;
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|digit| **digit == b'0').count();
    if zeros == all.len() {
        return Some((0, false));
    }
    if before.saturating_sub(i64::try_from(zeros).ok()?) > DIGITS as i64 {
        return None;
    }
    let before = usize::try_from(before).unwrap_or(0);
    let kept = all.iter().copied().chain(std::iter::repeat(b'0')).take(before);
    let number = kept.fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    let finer = all.iter().skip(before).any(|digit| *digit != b'0');
    Some(match negative {
        true => (-number - i128::from(finer), finer),
        false => (number, finer),
    })
}

/// The canonical map or nil `metadata` with the time that was `kept` in it; `None` where there is no place for it: the
/// metadata are something else, or have a time of their own.
pub(super) fn with_time(metadata: &[u8], kept: &str) -> Option<Vec<u8>> {
    let mut entries = metadata;
    let len = match rmp::decode::read_map_len(&mut entries) {
        Ok(len) => len,
        Err(_) if metadata == [0xc0] => {
            entries = &[];
            0
        }
        Err(_) => return None,
    };
    let (mut rest, mut has_time) = (entries, false);
    for _ in 0..len {
        let key = crate::vocabulary::split_document(&mut rest).ok()?;
        has_time |= rmp::decode::read_str_from_slice(key).is_ok_and(|(key, _)| key == KEPT);
        crate::vocabulary::split_document(&mut rest).ok()?;
    }
    if has_time {
        return None;
    }
    let mut map = ByteBuf::with_capacity(metadata.len() + kept.len() + 16);
    let Ok(_) = encode::write_map_len(&mut map, len + 1);
    map.as_mut_vec().extend_from_slice(entries);
    let Ok(()) = encode::write_str(&mut map, KEPT);
    let Ok(()) = encode::write_str(&mut map, kept);
    crate::vocabulary::canonical(map.as_slice()).ok()
}

/// The canonical map `metadata` without the time that was kept in it for an event of this `timestamp`; `None` where none was.
pub(in crate::source) fn without_time(metadata: &[u8], timestamp: i64) -> Option<Vec<u8>> {
    let mut rest = metadata;
    let len = rmp::decode::read_map_len(&mut rest).ok()?;
    let mut map = ByteBuf::with_capacity(metadata.len());
    let Ok(_) = encode::write_map_len(&mut map, len.checked_sub(1)?);
    let mut found = false;
    for _ in 0..len {
        let key = crate::vocabulary::split_document(&mut rest).ok()?;
        let value = crate::vocabulary::split_document(&mut rest).ok()?;
        let text = |bytes| rmp::decode::read_str_from_slice(bytes).ok().map(|(text, _)| text);
        let kept = || text(value).and_then(|text| Moment::parse_in(text, Zone::Utc).ok());
        if text(key) == Some(KEPT) && kept().is_some_and(|kept| !kept.exact && kept.milliseconds == timestamp) {
            found = true;
        } else {
            map.as_mut_vec().extend_from_slice(key);
            map.as_mut_vec().extend_from_slice(value);
        }
    }
    found.then(|| map.into_vec())
}
