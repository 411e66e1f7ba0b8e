//! A file that is being read, and what of it has been.

use super::Reason;
use super::options::{FileOptions, WithoutTime};
use super::time::Time;

/// A file that is being read as its options say.
pub(super) struct Reading {
    pub(super) options: FileOptions,
    /// The time of the event before.
    pub(super) last: Option<i64>,
    /// Which fields that the map names have been found.
    pub(super) matched: [bool; 8],
    /// Whether any event has been read by the map.
    pub(super) any: bool,
}

impl Reading {
    pub(super) fn new(options: FileOptions) -> Reading {
        Reading { options, last: None, matched: [false; 8], any: false }
    }

    /// The time of an event whose field `field` has `found`; `why` an event needs one.
    pub(super) fn time(&self, field: &str, found: Option<Time>, why: &str) -> Result<Time, Reason> {
        match (found, &self.options.without_time, self.last) {
            (Some(time), ..) => Ok(time),
            (None, Some(WithoutTime::At { milliseconds, .. }), _) => Ok(Time::exact(*milliseconds)),
            (None, Some(WithoutTime::Last), Some(last)) => Ok(Time::exact(last)),
            (None, Some(WithoutTime::Last), None) => Err(Reason::Refused(format!(
                "the field \"{field}\" is missing, and no event before this one has a time; --without-time TIME gives one"
            ))),
            (None, None, _) => Err(Reason::Refused(format!(
                "the field \"{field}\" is missing; {why}; --without-time last (that of the event before) or --without-time TIME \
                 says which time such events get"
            ))),
        }
    }

    /// The reason against a file that has been read to its end: a field that the map names, and no event had.
    pub(super) fn unmatched(&self) -> Option<Reason> {
        let map = self.options.map.as_ref().filter(|_| self.any)?;
        map.unmatched(&self.matched).map(|field| Reason::Unmatched { field: field.to_owned() })
    }
}
