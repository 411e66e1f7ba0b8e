//! The times of events: RFC 3339 text, or numbers in a unit. All are rounded down to milliseconds, before 1970 too; what that
//! loses is kept in the metadata.

use super::Reason;
use super::field::FieldValue;
use super::timestamp::timestamp;
use crate::moment::{MILLISECONDS, Moment, Zone};
use crate::shortened::shortened;
use crate::unit::{SECONDS_OF_1990, Unit, may_count_seconds, scaled};
use jiff::{SignedDuration, civil::Date};
use rmp::encode::{self, buffer::ByteBuf};

/// The entry of the metadata that has the time as it was written, where the timestamp has less of it.
const KEPT: &str = "time";

/// How a time is written, where that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TimeForm {
    /// A number that counts this since 1970.
    Number(Unit),
    /// RFC 3339 text, which is UTC where it has no offset.
    Utc,
}

impl TimeForm {
    /// The form that a map calls `name`.
    pub(super) fn named(name: &str) -> Option<TimeForm> {
        if name == "utc" { Some(TimeForm::Utc) } else { Unit::named(name).map(TimeForm::Number) }
    }
}

/// The time of an event.
pub(super) struct Time {
    /// Milliseconds since 1970, rounded down.
    pub(super) milliseconds: i64,
    /// The time as it is written, where rounding lost something; a number as RFC 3339 text, to the nanosecond.
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
            && let Some((seconds, nanoseconds)) = timestamp(bytes)
        {
            return Time::from_nanoseconds(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
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
            None => {
                "milliseconds since 1970 as an integer, or RFC 3339 text like \"2024-01-31T12:00:00.000Z\"".to_owned()
            }
            Some(TimeForm::Utc) => {
                "RFC 3339 text, with or without an offset, like \"2024-01-31T12:00:00.000\"".to_owned()
            }
            Some(TimeForm::Number(unit)) => format!("{} since 1970 as a number", unit.words()),
        };
        let refused = |found| Reason::Field { field: field.to_owned(), expected, found };
        match (form, value.integer::<i128>()) {
            (None, Some(number)) => match i64::try_from(number) {
                _ if may_count_seconds(number, SECONDS_OF_1990) => {
                    Err(Reason::Unsaid { field: shortened(field), found: value.found() })
                }
                Ok(milliseconds) if MILLISECONDS.contains(&milliseconds) => Ok(Time::exact(milliseconds)),
                _ => Err(out_of_range(field, value, Unit::Milliseconds, number)),
            },
            (None | Some(TimeForm::Utc), _) => Time::from_text(value, form).map_err(refused),
            (Some(TimeForm::Number(unit)), _) => {
                let places = unit.places() + NANOSECONDS;
                let Some(nanoseconds) = value.decimal().and_then(|text| scaled(&text, places)) else {
                    return Err(refused(value.found()));
                };
                let in_unit = nanoseconds / 10_i128.pow(places.unsigned_abs());
                Time::from_nanoseconds(nanoseconds).ok_or_else(|| out_of_range(field, value, unit, in_unit))
            }
        }
    }

    fn from_nanoseconds(nanoseconds: i128) -> Option<Time> {
        const MILLISECOND: i128 = 1_000_000;
        let milliseconds = i64::try_from(nanoseconds.div_euclid(MILLISECOND)).ok()?;
        if !MILLISECONDS.contains(&milliseconds) {
            return None;
        }
        if nanoseconds.rem_euclid(MILLISECOND) == 0 {
            return Some(Time::exact(milliseconds));
        }
        let since = SignedDuration::new(i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?, 0);
        let second = Date::constant(1970, 1, 1).at(0, 0, 0, 0).checked_add(since).ok()?;
        let fraction = format!("{:09}", nanoseconds.rem_euclid(1_000_000_000));
        Some(Time { milliseconds, kept: Some(format!("{second}.{}Z", fraction.trim_end_matches('0'))) })
    }
}

/// Decimal places from milliseconds to nanoseconds.
const NANOSECONDS: i32 = 6;

/// A number that is no time in its unit; in another one it may be.
fn out_of_range(field: &str, value: FieldValue<'_>, unit: Unit, number: i128) -> Reason {
    // Since the year 2000, so that the finest unit is not taken for all that is large.
    let in_2000 = 946_684_800_000_000_000_i128;
    let plausible = Unit::ALL.into_iter().filter(|other| other.places() < unit.places()).find(|other| {
        let nanoseconds = number.saturating_mul(10_i128.pow((other.places() + NANOSECONDS).unsigned_abs()));
        nanoseconds > in_2000 && Time::from_nanoseconds(nanoseconds).is_some()
    });
    Reason::TimeOutOfRange {
        field: field.to_owned(),
        found: value.found(),
        unit: unit.words(),
        other: plausible.map(Unit::name),
    }
}

/// The canonical map or nil `metadata` with the time that was `kept` in it; `None` where there is no room for it: the
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
        let key = unspool_vocabulary::split_document(&mut rest).ok()?;
        has_time |= rmp::decode::read_str_from_slice(key).is_ok_and(|(key, _)| key == KEPT);
        unspool_vocabulary::split_document(&mut rest).ok()?;
    }
    if has_time {
        return None;
    }
    let mut map = ByteBuf::with_capacity(metadata.len() + kept.len() + 16);
    let Ok(_) = encode::write_map_len(&mut map, len + 1);
    map.as_mut_vec().extend_from_slice(entries);
    let Ok(()) = encode::write_str(&mut map, KEPT);
    let Ok(()) = encode::write_str(&mut map, kept);
    unspool_vocabulary::canonical(map.as_slice()).ok()
}

/// The canonical map `metadata` without the time that was kept in it for an event of this `timestamp`; `None` where none was.
pub(crate) fn without_time(metadata: &[u8], timestamp: i64) -> Option<Vec<u8>> {
    let mut rest = metadata;
    let len = rmp::decode::read_map_len(&mut rest).ok()?;
    let mut map = ByteBuf::with_capacity(metadata.len());
    let Ok(_) = encode::write_map_len(&mut map, len.checked_sub(1)?);
    let mut found = false;
    for _ in 0..len {
        let key = unspool_vocabulary::split_document(&mut rest).ok()?;
        let value = unspool_vocabulary::split_document(&mut rest).ok()?;
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
