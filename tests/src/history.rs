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

/// The folder with real logs and expected results that `UNSPOOL_SHARED_DATA` names: tests that use it are skipped
/// without it.
pub fn shared() -> Option<PathBuf> {
    std::env::var_os("UNSPOOL_SHARED_DATA").map(PathBuf::from)
}
