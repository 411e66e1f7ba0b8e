//! The names under which followers run in a host.

/// The name under which the follower of a generation runs in a host.
pub(in crate::rebuild) fn key(projection: &str, generation: u64) -> String {
    format!("{projection}/{generation}{FOLLOWED}")
}

/// The generation whose follower runs under this name; `None` where something else does.
pub(in crate::rebuild) fn of_key(key: &str) -> Option<(&str, u64)> {
    let (projection, generation) = key.strip_suffix(FOLLOWED)?.rsplit_once('/')?;
    Some((projection, generation.parse().ok()?))
}

const FOLLOWED: &str = ", followed";
