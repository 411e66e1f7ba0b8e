//! What is noted of a change: whatever an operator would want to know of it, and not progress. Records are compared as they are written,
//! so that nothing that changes them can forget it.

use super::{RecordedChange, append_change};
use crate::{
    catalog::{
        alerts::completed,
        options::Purpose,
        records::{ProjectionRecord, RebuildRecord},
    },
    error::StoreError,
};
use redb::WriteTransaction;
use serde_json::{Value, json};
use unspool_vocabulary::Status;

/// What an operator would call the state of a record: what is noted when it changes.
#[derive(PartialEq)]
struct Facts {
    status: Value,
    following: Value,
    discarded: u64,
    has_parked: bool,
}

impl Facts {
    fn of(record: &RebuildRecord) -> Facts {
        Facts {
            status: json!(record.status()),
            following: record.following.as_ref().map_or(Value::Null, |following| json!(following.state)),
            discarded: record.discarded,
            has_parked: record.parked > 0,
        }
    }
}

/// Notes what is changed of a rebuild by writing `after` in place of `before`.
pub(crate) fn note_record(
    write: &WriteTransaction,
    before: Option<&RebuildRecord>,
    after: &RebuildRecord,
) -> Result<(), StoreError> {
    if after.spec.purpose == Purpose::Scratch {
        return Ok(());
    }
    let name = after.checkpoint.projection_name.as_str();
    let note = |what: &str, before: Value, after_: Value, message: Option<String>| {
        let change =
            RecordedChange { what: what.to_owned(), generation: Some(after.generation), before, after: after_ };
        append_change(write, name, change, message)
    };
    let now = Facts::of(after);
    // One that was built for a comparison is seen for the first time when it takes the place of another.
    let Some(before) = before.filter(|before| before.spec.purpose != Purpose::Scratch) else {
        let spec = &after.spec;
        let made = json!({ "purpose": spec.purpose, "source": spec.source, "status": now.status });
        return note("generation", Value::Null, made, None);
    };
    let was = Facts::of(before);
    if was.status != now.status {
        let why = after.checkpoint.error.as_ref().map(ToString::to_string);
        note("status", was.status, now.status, why)?;
        if after.status() == Status::Completed && after.spec.purpose == Purpose::Rebuild {
            completed(write, after)?;
        }
    }
    if was.following != now.following {
        let failure = after.following.as_ref().and_then(|following| following.error.as_ref());
        note("following", was.following, now.following, failure.map(ToString::to_string))?;
    }
    let settled = before.parked > after.parked || was.discarded != now.discarded;
    if settled || was.has_parked != now.has_parked {
        let counts = |record: &RebuildRecord| json!({ "parked": record.parked, "discarded": record.discarded });
        note("dead-letters", counts(before), counts(after), None)?;
    }
    Ok(())
}

/// Notes that rows of a generation that is complete were changed, other than by what follows its history.
pub(crate) fn note_amended(write: &WriteTransaction, record: &RebuildRecord, rows: usize) -> Result<(), StoreError> {
    if record.spec.purpose == Purpose::Scratch {
        return Ok(());
    }
    let (what, generation) = ("rows".to_owned(), Some(record.generation));
    let change = RecordedChange { what, generation, before: Value::Null, after: json!({ "changed": rows }) };
    append_change(write, &record.checkpoint.projection_name, change, None)
}

/// Notes that a generation is dropped.
pub(crate) fn note_dropped(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    if record.spec.purpose == Purpose::Scratch {
        return Ok(());
    }
    let change = RecordedChange {
        what: "generation".to_owned(),
        generation: Some(record.generation),
        before: json!({ "purpose": record.spec.purpose, "source": record.spec.source, "status": record.status() }),
        after: Value::Null,
    };
    append_change(write, &record.checkpoint.projection_name, change, None)
}

/// Notes what is changed of a projection by writing `after` in place of `before`.
pub(crate) fn note_owner(
    write: &WriteTransaction,
    before: Option<&ProjectionRecord>,
    after: &ProjectionRecord,
) -> Result<(), StoreError> {
    let name = after.description.name.as_str();
    let note = |what: &str, before: Value, after: Value| {
        append_change(write, name, RecordedChange { what: what.to_owned(), generation: None, before, after }, None)
    };
    let plugin = |record: &ProjectionRecord| match record.installs.last() {
        Some(install) => json!({ "digest": install.digest, "version": install.version, "how": install.how }),
        None => Value::Null,
    };
    let was = before.map_or(Value::Null, plugin);
    if before.map_or(0, |before| before.installs.len()) != after.installs.len() {
        note("plugin", was, plugin(after))?;
    }
    if before.and_then(|before| before.last_verify.as_ref()) != after.last_verify.as_ref() {
        note("verification", Value::Null, json!(after.last_verify))?;
    }
    let live = before.and_then(|before| before.live);
    if live != after.live {
        note("live", json!(live), json!(after.live))?;
    }
    Ok(())
}
