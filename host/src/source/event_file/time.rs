//! RFC 3339 times.

use super::error::shortened;
use jiff::Timestamp;

/// A point in time.
pub(in crate::source) struct Moment {
    /// Milliseconds since 1970, rounded down.
    pub(in crate::source) milliseconds: i64,
    /// Whether rounding lost nothing.
    pub(super) exact: bool,
}

impl Moment {
    /// The time that `text` says; otherwise what is wrong with it.
    pub(in crate::source) fn parse(text: &str) -> Result<Moment, String> {
        if !is_rfc_3339(text.as_bytes()) {
            return Err(format!("the text \"{}\"", shortened(text)));
        }
        let timestamp: Timestamp = text.parse().map_err(|e| format!("the text \"{}\" ({e})", shortened(text)))?;
        const NANOSECONDS: i128 = 1_000_000;
        let milliseconds = timestamp.as_nanosecond().div_euclid(NANOSECONDS);
        let whole = timestamp.as_nanosecond().rem_euclid(NANOSECONDS) == 0;
        // Unix time has no leap seconds: the parser takes one for the second before.
        let leap = &text[17..19] == "60";
        // A timestamp has nanoseconds in 96 bits, so that its milliseconds fit.
        let milliseconds = i64::try_from(milliseconds).map_err(|_| "a time out of range".to_owned())?;
        Ok(Moment { milliseconds, exact: whole && !leap })
    }
}

/// Whether the text has the shape `YYYY-MM-DDThh:mm:ss[.f](Z|+hh:mm|-hh:mm)`. The parser itself knows many more.
fn is_rfc_3339(text: &[u8]) -> bool {
    let like = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                _ => byte.eq_ignore_ascii_case(shape),
            })
    };
    let Some((second, zone)) = text.split_at_checked(19) else { return false };
    let zone = match zone.strip_prefix(b".") {
        Some(fraction) => match fraction.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(digits @ 1..) => &fraction[digits..],
            _ => return false,
        },
        None => zone,
    };
    (like(second, b"0000-00-00T00:00:00") || like(second, b"0000-00-00 00:00:00"))
        && (like(zone, b"Z") || like(zone, b"+00:00") || like(zone, b"-00:00"))
}
