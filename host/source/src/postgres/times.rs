//! The times of events, out of whatever columns have: milliseconds since 1970, rounded down.

use crate::moment::{MILLISECONDS, Moment, Zone};
use crate::unit::{Unit, may_count_seconds, scaled};

/// Why a value is no time.
type Reason = String;

/// Microseconds from 1970 to 2000, from which PostgreSQL counts.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// As far back as PostgreSQL goes, in milliseconds: 4714 before our era.
const EARLIEST: i64 = -210_866_803_200_000;

/// A `timestamp` or `timestamptz` as the server sends it.
pub(super) fn of_timestamp(raw: &[u8]) -> Result<i64, Reason> {
    match raw.try_into().map(i64::from_be_bytes) {
        Err(_) => Err("its time is damaged".to_owned()),
        Ok(i64::MAX | i64::MIN) => Err("its time is infinite".to_owned()),
        Ok(micros) => in_range(i128::from(micros.saturating_add(EPOCH_2000).div_euclid(1000)), "its time", ""),
    }
}

/// A time as RFC 3339 text.
pub(super) fn of_text(text: &str) -> Result<i64, Reason> {
    Moment::parse(text).map(|moment| moment.milliseconds).map_err(|what| format!("its time is {what}"))
}

/// What to do about a text in `column` that [`of_text`] does not take.
pub(super) fn remedy(text: &str, column: &str) -> String {
    if scaled(text.trim(), 0).is_some() {
        return COUNTS.to_owned();
    }
    match Moment::parse_in(text.trim(), Zone::Utc) {
        Ok(_) => format!(
            "; it says no zone: where that is UTC, have a query in unspool.toml say so: SELECT {column}::timestamp AS {column}"
        ),
        Err(_) => "; have a query in unspool.toml turn it into a timestamptz, or add time=none to leave the times out"
            .to_owned(),
    }
}

/// What to do about a number whose unit is not given.
const COUNTS: &str = "; say what it counts, as in time=COLUMN:s, or :ms, :us, :ns";

/// A number that counts `unit` since 1970; milliseconds where that is not given, and it looks like them.
pub(super) fn of_number(text: &str, unit: Option<Unit>) -> Result<i64, Reason> {
    let time = format!("its time {text}");
    let remedy = if unit.is_none() { COUNTS } else { "" };
    let places = unit.unwrap_or(Unit::Milliseconds).places();
    let milliseconds = scaled(text.trim(), places).ok_or_else(|| format!("{time} is no number"))?;
    if unit.is_none() && may_count_seconds(milliseconds, 0) {
        return Err(format!("{time} may count seconds{remedy}"));
    }
    in_range(milliseconds, &time, remedy)
}

fn in_range(milliseconds: i128, time: &str, remedy: &str) -> Result<i64, Reason> {
    let known = i64::try_from(milliseconds).ok();
    let known = known.filter(|milliseconds| (EARLIEST..=*MILLISECONDS.end()).contains(milliseconds));
    known.ok_or_else(|| format!("{time} is beyond the year 9999{remedy}"))
}

/// The time in a field of a payload: RFC 3339 text, or as Python's eventsourcing writes a datetime,
/// `{"_type_": "datetime_iso", "_data_": TEXT}`.
pub(super) fn within(payload: &str, field: &str) -> Result<i64, Reason> {
    let payload: serde_json::Value =
        serde_json::from_str(payload).map_err(|e| format!("its payload is not JSON: {e}"))?;
    let remedy = "time=none leaves the times out";
    match payload.get(field) {
        None | Some(serde_json::Value::Null) => Err(format!("its payload has no {field}; {remedy}")),
        Some(found) => {
            let text = found.get("_data_").unwrap_or(found).as_str();
            let text =
                text.ok_or_else(|| format!("the {field} of its payload is {found}, no text with a time; {remedy}"))?;
            of_text(text).map_err(|reason| format!("{reason}; {remedy}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_times_in_their_unit() {
        let unit = |unit| Some(unit);
        for (text, unit, milliseconds) in [
            ("1714557600123", None, 1_714_557_600_123),
            ("1714557600", unit(Unit::Seconds), 1_714_557_600_000),
            ("1714557600.1239", unit(Unit::Seconds), 1_714_557_600_123),
            ("1.7145576001239e+09", unit(Unit::Seconds), 1_714_557_600_123),
            ("-0.0001", unit(Unit::Seconds), -1),
            ("5", unit(Unit::Milliseconds), 5),
            ("1714557600123999", unit(Unit::Microseconds), 1_714_557_600_123),
            ("1714557600123999999", unit(Unit::Nanoseconds), 1_714_557_600_123),
            ("-1", unit(Unit::Nanoseconds), -1),
        ] {
            assert_eq!(of_number(text, unit), Ok(milliseconds), "{text}");
        }
        for (text, unit, reason) in [
            ("1714557600", None, "may count seconds; say what it counts, as in time=COLUMN:s"),
            ("0", None, "may count seconds"),
            ("1714557600123456789", None, "is beyond the year 9999; say what it counts"),
            ("1714557600123", unit(Unit::Seconds), "is beyond the year 9999"),
            ("NaN", unit(Unit::Seconds), "is no number"),
            ("Infinity", unit(Unit::Seconds), "is no number"),
            ("", unit(Unit::Seconds), "is no number"),
        ] {
            let refused = of_number(text, unit).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn a_time_in_a_payload_is_text_one_way_or_the_other() {
        let within = |payload: &str| within(payload, "timestamp");
        assert_eq!(within(r#"{"timestamp":"2024-05-01T10:00:00.123456Z"}"#), Ok(1_714_557_600_123));
        let typed = r#"{"timestamp":{"_type_":"datetime_iso","_data_":"2024-05-01T10:00:00+00:00"}}"#;
        assert_eq!(within(typed), Ok(1_714_557_600_000));
        for other in
            [r#"{}"#, r#"{"timestamp":null}"#, r#"{"timestamp":1714557600.5}"#, r#"{"timestamp":"yesterday"}"#, "[]"]
        {
            let refused = within(other).unwrap_err();
            assert!(refused.contains("time=none"), "{other}: {refused}");
        }
    }
}
