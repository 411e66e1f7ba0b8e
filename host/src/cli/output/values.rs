//! How values read: counts, sizes, rates, durations, times, digests.
//!
//! A count is exact up to a million, and rounded from there on; sizes are in powers of a thousand; times are in UTC, which is
//! what event files and `--to` say, too. With `--wide` everything is exact.

use crate::vocabulary::now_ms;
use serde_json::Value;

/// Characters of a digest that tell it from the others at hand.
const DIGEST: usize = 12;

/// What stands for a value that is absent.
pub const ABSENT: &str = "-";

/// How values are to be read.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    /// Nothing is rounded or shortened.
    pub wide: bool,
    /// The time from which ages are counted, in milliseconds since 1970.
    pub now: i64,
}

/// What a field holds, by its name: JSON has numbers and texts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Milliseconds since 1970 at which something happened.
    Time,
    /// Milliseconds since 1970 that an event has.
    EventTime,
    /// Milliseconds.
    Duration,
    Bytes,
    Rate,
    Percent,
    Digest,
    /// A name that is a number: a generation, a position.
    Number,
    /// A document of others: shown as it is.
    Data,
    Count,
}

fn kind(name: &str) -> Kind {
    match name {
        "data" | "metadata" | "raw" | "value" | "expected" | "found" | "key" => Kind::Data,
        "generation" | "version" | "position" | "after" | "through" | "to" | "target" => Kind::Number,
        "since" | "staleSince" | "at" => Kind::Time,
        "ms" => Kind::Duration,
        "percentComplete" => Kind::Percent,
        _ if name.ends_with("Generation") || name.ends_with("Version") || name.ends_with("Position") => Kind::Number,
        _ if name.ends_with("PerSecond") => Kind::Rate,
        _ if name == "timestamp" || name.ends_with("Timestamp") => Kind::EventTime,
        _ if name.ends_with("At") => Kind::Time,
        _ if name.ends_with("Ms") => Kind::Duration,
        _ if name == "bytes" || name.ends_with("Bytes") => Kind::Bytes,
        _ if name.to_ascii_lowercase().ends_with("digest") || name == "sha256" || name.ends_with("Identity") => {
            Kind::Digest
        }
        _ => Kind::Count,
    }
}

/// A field's name in words: `eventsProcessed` is `events processed`. A unit that the value has is not said twice.
pub fn label(name: &str) -> String {
    let name = if name == "ms" { "time" } else { name.strip_suffix("Ms").unwrap_or(name) };
    let mut words = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

impl Values {
    /// Values as they read now.
    pub fn new(wide: bool) -> Values {
        Values { wide, now: now_ms() }
    }

    /// Whether the field `name` holds a document of others, which is shown as it is.
    pub fn is_data(name: &str) -> bool {
        kind(name) == Kind::Data
    }

    /// The value of the field `name`.
    pub fn field(&self, name: &str, value: &Value) -> String {
        match (kind(name), value) {
            (Kind::Data, Value::String(text)) => text.clone(),
            (Kind::Data, value) => value.to_string(),
            (_, Value::Null) => ABSENT.to_owned(),
            (_, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
            (Kind::Digest, Value::String(digest)) => self.digest(digest),
            (_, Value::String(text)) => text.clone(),
            (kind, Value::Number(number)) => self.number(kind, number),
            (_, Value::Array(items)) if items.is_empty() => ABSENT.to_owned(),
            (_, Value::Array(items)) => items.iter().map(|item| self.field(name, item)).collect::<Vec<_>>().join(", "),
            (_, Value::Object(fields)) if fields.is_empty() => ABSENT.to_owned(),
            (_, Value::Object(fields)) => {
                let parts = fields.iter().map(|(name, value)| format!("{} {}", label(name), self.field(name, value)));
                parts.collect::<Vec<_>>().join(", ")
            }
        }
    }

    fn number(&self, kind: Kind, number: &serde_json::Number) -> String {
        let (whole, float) = (number.as_u64(), number.as_f64().unwrap_or(0.0));
        match (kind, whole, number.as_i64()) {
            (Kind::Time, _, Some(ms)) => self.time(ms),
            (Kind::EventTime, _, Some(ms)) => moment(ms, true),
            (Kind::Duration, Some(ms), _) => self.duration(ms),
            (Kind::Bytes, Some(bytes), _) => self.bytes(bytes),
            (Kind::Rate, ..) => self.rate(float, "events"),
            (Kind::Percent, ..) => format!("{number} %"),
            (Kind::Count, Some(count), _) => self.count(count),
            _ => number.to_string(),
        }
    }

    /// How many: `200,000`, `1.2 M`.
    pub fn count(&self, count: u64) -> String {
        if self.wide || count < 1_000_000 {
            grouped(count)
        } else {
            scaled(count as f64 / 1e6, &["M", "G", "T", "P", "E"])
        }
    }

    /// A size: `2.4 MB`.
    pub fn bytes(&self, bytes: u64) -> String {
        match bytes {
            bytes if self.wide || bytes < 1000 => format!("{} B", grouped(bytes)),
            bytes => scaled(bytes as f64 / 1e3, &["kB", "MB", "GB", "TB", "PB", "EB"]),
        }
    }

    /// How many `units` in a second: `19,693 events/s`, `55 MB/s` of `bytes`.
    pub fn rate(&self, per_second: f64, units: &str) -> String {
        match units {
            "bytes" => format!("{}/s", self.bytes(per_second.round() as u64)),
            units if per_second > 0.0 && per_second < 10.0 => format!("{per_second:.1} {units}/s"),
            units => format!("{} {units}/s", self.count(per_second.round() as u64)),
        }
    }

    /// So many of `units`: `200,000 rows`, `2.4 MB` of `bytes`.
    pub fn many(&self, count: u64, units: &str) -> String {
        if units == "bytes" { self.bytes(count) } else { format!("{} {units}", self.count(count)) }
    }

    /// How many events have been handled, of how many where these are counted.
    pub fn events(&self, handled: u64, all: Option<u64>) -> String {
        match all {
            Some(all) => format!("{} of {} events", self.count(handled), self.count(all)),
            None => format!("{} events, not counted before", self.count(handled)),
        }
    }

    /// How long, in milliseconds.
    pub fn duration(&self, ms: u64) -> String {
        if self.wide { format!("{} ms", grouped(ms)) } else { duration(ms) }
    }

    /// When: `2026-03-01 14:05 UTC (3 h ago)`.
    pub fn time(&self, ms: i64) -> String {
        format!("{} ({})", moment(ms, self.wide), self.age(ms))
    }

    /// How long ago it was: `3 h ago`, or will be: `in 3 h`.
    pub fn age(&self, ms: i64) -> String {
        let apart = self.now.abs_diff(ms);
        let (seconds, unit) = match apart / 1000 {
            seconds @ 0..60 => (seconds, "s"),
            seconds @ 60..3600 => (seconds / 60, "min"),
            seconds @ 3600..86_400 => (seconds / 3600, "h"),
            seconds => (seconds / 86_400, "d"),
        };
        if ms > self.now && apart >= 1000 { format!("in {seconds} {unit}") } else { format!("{seconds} {unit} ago") }
    }

    /// A digest by its beginning. One with a prefix that names what it is of stays whole.
    pub fn digest(&self, digest: &str) -> String {
        let is_hex = digest.len() > DIGEST && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && !self.wide { digest[..DIGEST].to_owned() } else { digest.to_owned() }
    }
}

/// How long, in its two largest units.
pub fn duration(ms: u64) -> String {
    let seconds = ms.saturating_add(500) / 1000;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..59_950 => format!("{:.1} s", ms as f64 / 1000.0),
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A time in UTC, to the minute or to the millisecond.
fn moment(ms: i64, exact: bool) -> String {
    let form = if exact { "%Y-%m-%d %H:%M:%S%.3f UTC" } else { "%Y-%m-%d %H:%M UTC" };
    // What is no time of any calendar is a number.
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.strftime(form).to_string())
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three digits or two, and the unit that they are in: each of `units` is a thousand of the one before.
fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut units = units.iter().peekable();
    let mut unit = units.next().copied().unwrap_or_default();
    // 999.5 would be shown as 1000.
    while value >= 999.5
        && let Some(larger) = units.next()
    {
        (value, unit) = (value / 1000.0, larger);
    }
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_772_373_900_000;
    const SHORT: Values = Values { wide: false, now: NOW };
    const WIDE: Values = Values { wide: true, now: NOW };

    #[test]
    fn counts_are_exact_to_a_million_and_rounded_from_there() {
        for (count, short, wide) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_000, "1,000", "1,000"),
            (999_999, "999,999", "999,999"),
            (1_000_000, "1.0 M", "1,000,000"),
            (1_249_999, "1.2 M", "1,249,999"),
            (99_949_999, "99.9 M", "99,949,999"),
            (99_950_000, "100 M", "99,950,000"),
            (999_499_999, "999 M", "999,499,999"),
            (999_500_000, "1.0 G", "999,500,000"),
            (u64::MAX, "18.4 E", "18,446,744,073,709,551,615"),
        ] {
            assert_eq!((&*SHORT.count(count), &*WIDE.count(count)), (short, wide));
        }
    }

    #[test]
    fn sizes_rates_and_durations_have_their_units() {
        assert_eq!([0, 999, 1_000, 2_386_628].map(|n| SHORT.bytes(n)), ["0 B", "999 B", "1.0 kB", "2.4 MB"]);
        assert_eq!(WIDE.bytes(2_386_628), "2,386,628 B");
        assert_eq!(SHORT.rate(19_693.411, "events"), "19,693 events/s");
        assert_eq!(SHORT.rate(6.66, "events"), "6.7 events/s");
        assert_eq!(SHORT.rate(0.0, "events"), "0 events/s");
        assert_eq!(SHORT.rate(55e6, "bytes"), "55.0 MB/s");
        for (ms, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (8_759, "8.8 s"),
            (59_949, "59.9 s"),
            (59_999, "1 min 0 s"),
            (200_000, "3 min 20 s"),
            (3_599_999, "1 h 0 min"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(duration(ms), expected);
        }
    }

    #[test]
    fn times_are_in_utc_with_their_age() {
        assert_eq!(SHORT.time(NOW - 3 * 3_600_000), "2026-03-01 11:05 UTC (3 h ago)");
        assert_eq!(WIDE.time(NOW - 1), "2026-03-01 14:04:59.999 UTC (0 s ago)");
        assert_eq!(
            [0, 59_999, 60_000, 86_400_000].map(|ms| SHORT.age(NOW - ms)),
            ["0 s ago", "59 s ago", "1 min ago", "1 d ago"]
        );
        assert_eq!(SHORT.age(NOW + 61_000), "in 1 min");
        assert_eq!(moment(i64::MAX, false), i64::MAX.to_string());
    }

    #[test]
    fn fields_read_as_what_they_hold() {
        let digest = "b87d2dee0123456789abcdef0123456789abcdef0123456789abcdef01234567";
        for (name, value, short) in [
            ("eventsProcessed", json!(1_200_000), "1.2 M"),
            ("position", json!(1_200_000), "1200000"),
            ("liveGeneration", json!(1_200_000), "1200000"),
            ("pluginDigest", json!(digest), "b87d2dee0123"),
            ("lastEventId", json!(digest), digest),
            ("estimatedRemainingMs", json!(8_759), "8.8 s"),
            ("eventsPerSecond", json!(19_693.4), "19,693 events/s"),
            ("percentComplete", json!(13.75), "13.75 %"),
            ("timestamp", json!(NOW), "2026-03-01 14:05:00.000 UTC"),
            ("lastTimestamp", json!(NOW), "2026-03-01 14:05:00.000 UTC"),
            ("stalled", json!(false), "no"),
            ("leftOut", json!({}), "-"),
            ("rebuild", json!(null), "-"),
            ("tables", json!(["a", "b"]), "a, b"),
            ("addedTables", json!([]), "-"),
            ("data", json!({ "count": 1_200_000, "none": null }), r#"{"count":1200000,"none":null}"#),
            ("lag", json!({ "events": 2_000, "ms": 1_500 }), "events 2,000, time 1.5 s"),
        ] {
            assert_eq!(SHORT.field(name, &value), short, "{name}");
        }
        assert_eq!(WIDE.field("pluginDigest", &json!(digest)), digest);
        assert_eq!(label("estimatedRemainingMs"), "estimated remaining");
        assert_eq!(label("projectionName"), "projection name");
    }
}
