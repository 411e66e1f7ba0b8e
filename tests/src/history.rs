//! Histories for the tests.

use serde_json::{Value, json};
use std::path::PathBuf;

/// A generated order history of `events` events, as NDJSON.
pub fn orders(events: u64, seed: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    unspool::cli::demo::orders::write(events, seed, &mut lines).expect("a vector takes everything");
    lines
}

/// Its events, one by one.
pub fn events(lines: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(lines).expect("NDJSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Events of the given types, each on a stream of its own, without positions.
pub fn of_types<'a>(types: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let line = |(index, kind): (usize, &str)| {
        let event = json!({
            "id": format!("e{index}"), "stream": format!("s{index}"), "type": kind, "timestamp": index, "data": {}, "metadata": null,
        });
        format!("{event}\n")
    };
    types.into_iter().enumerate().map(line).collect::<String>().into_bytes()
}

/// Events `e0`, `e1`, ... of the given streams and types, without positions. Their timestamps are those of one a second,
/// from 1970 on.
pub fn on_streams<'a>(events: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let line = |(index, (stream, kind)): (usize, (&str, &str))| {
        let event = json!({
            "id": format!("e{index}"), "stream": stream, "type": kind, "timestamp": index * 1000, "data": {}, "metadata": null,
        });
        format!("{event}\n")
    };
    events.into_iter().enumerate().map(line).collect::<String>().into_bytes()
}

/// `events` events of type `Fine` on 40 streams in turn; those at the numbers of `others` have another type.
pub fn mixed(events: usize, others: &[(usize, &'static str)]) -> Vec<u8> {
    let streams: Vec<_> = (0..40).map(|stream| format!("s{stream:02}")).collect();
    let kind = |number| others.iter().find(|(other, _)| *other == number).map_or("Fine", |(_, kind)| kind);
    on_streams((0..events).map(|number| (streams[number % 40].as_str(), kind(number))))
}

/// The folder with real logs and expected results that `UNSPOOL_SHARED_DATA` names: tests that use it are ignored unless they
/// are asked for.
pub fn shared() -> PathBuf {
    std::env::var_os("UNSPOOL_SHARED_DATA").expect("UNSPOOL_SHARED_DATA names a folder of real logs").into()
}
