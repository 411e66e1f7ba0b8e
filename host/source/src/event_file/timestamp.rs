//! Timestamps of MessagePack: its extension type -1.

/// How many bytes a timestamp has that begins `bytes`: MessagePack's extension type -1, in one of its three forms.
pub(super) fn timestamp_len(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [0xd6, 0xff, ..] => Some(6),
        [0xd7, 0xff, ..] => Some(10),
        [0xc7, 12, 0xff, ..] => Some(15),
        _ => None,
    }
}

/// The seconds since 1970 and the nanoseconds of a timestamp.
pub(super) fn timestamp(bytes: &[u8]) -> Option<(i64, u32)> {
    match *bytes {
        [0xd6, 0xff, a, b, c, d] => Some((i64::from(u32::from_be_bytes([a, b, c, d])), 0)),
        [0xd7, 0xff, ref both @ ..] => {
            let both = u64::from_be_bytes(both.try_into().ok()?);
            Some((i64::try_from(both & ((1 << 34) - 1)).ok()?, u32::try_from(both >> 34).ok()?))
        }
        [0xc7, 12, 0xff, a, b, c, d, ref seconds @ ..] => {
            Some((i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes([a, b, c, d])))
        }
        _ => None,
    }
    .filter(|(_, nanoseconds)| *nanoseconds < 1_000_000_000)
}
