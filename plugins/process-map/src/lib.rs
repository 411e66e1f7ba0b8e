//! The process that a log tells of: which event types follow which, and how the streams begin and end.
//!
//! Works on any log. A case is a stream, and its events are in the order of their positions: timestamps tie and step back in
//! real logs.

use unspool_sdk::prelude::*;

#[cfg(test)]
mod tests;

projection! {
    /// The process map.
    pub struct ProcessMap;
    name: "process-map",
    version: 1,
    complexity: Standard,
    preload: wanted,
    tables: Tables {
        activities: Count,
        follows: Follows,
        starts: Count,
        ends: Count,
        cases: Case,
    },
    handlers: { "*" => on_event },
}

export!(ProcessMap);

/// How often something happened. `activities`: events of a type; `starts` and `ends`: cases that begin with it, and that end
/// with it so far.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Count {
    count: u64,
}

/// How often an event of type `to` came directly after one of type `from`. The key is `from -> to`.
#[derive(Debug, Serialize, Deserialize)]
struct Follows {
    from: Text,
    to: Text,
    count: u64,
}

/// A stream so far. Times are milliseconds since 1970-01-01T00:00:00Z, of the first and the last event by position.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    events: u64,
    last_type: Text,
    first_timestamp: i64,
    last_timestamp: i64,
}

fn wanted(event: &Event<'_>, tables: &mut Tables) {
    tables.activities.want(event.kind);
    tables.cases.want(event.stream);
}

fn on_event(event: &Event<'_>, tables: &mut Tables) -> Handled {
    tables.activities.entry(event.kind)?.count += 1;
    match tables.cases.get_mut(event.stream)? {
        None => {
            let case = Case {
                events: 1,
                last_type: event.kind.into(),
                first_timestamp: event.timestamp,
                last_timestamp: event.timestamp,
            };
            tables.cases.put(event.stream, case)?;
            tables.starts.entry(event.kind)?.count += 1;
        }
        Some(case) => {
            let before = std::mem::replace(&mut case.last_type, event.kind.into());
            case.events += 1;
            case.last_timestamp = event.timestamp;
            let step = || Follows { from: before.clone(), to: event.kind.into(), count: 0 };
            let key = format!("{before} -> {}", event.kind);
            tables.follows.get_or_insert_with(&key, step)?.count += 1;
            no_longer_ends(&mut tables.ends, before.as_str())?;
        }
    }
    tables.ends.entry(event.kind)?.count += 1;
    Ok(())
}

/// A case went on after an event of this type.
fn no_longer_ends(ends: &mut Table<Count>, kind: &str) -> Handled {
    let end = ends.entry(kind)?;
    end.count = end.count.saturating_sub(1);
    if end.count == 0 { ends.remove(kind) } else { Ok(()) }
}
