//! Stores of earlier layouts.

use super::{
    records::RebuildRecord,
    tables::{REBUILDS, decode, encode},
};
use redb::{ReadableTable, WriteTransaction};
use serde_json::{Map, Value, json};
use unspool_disk::DiskError;

/// Brings a store of layout `from` into the one that is written now; `false` where that layout is not known.
pub(crate) fn migrate(write: &WriteTransaction, from: u32) -> Result<bool, DiskError> {
    match from {
        1 => rewrite(write, |record| completed(nested(record)))?,
        2 => rewrite(write, completed)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Rewrites every record of a rebuild.
fn rewrite(
    write: &WriteTransaction,
    change: impl Fn(Map<String, Value>) -> Map<String, Value>,
) -> Result<(), DiskError> {
    let mut table = write.open_table(REBUILDS)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, record) = entry?;
        let (projection, generation) = key.value();
        let damaged = |e: &dyn std::fmt::Display| {
            DiskError::Damaged(format!("the record of {projection}/{generation} does not decode: {e}"))
        };
        let old: Map<String, Value> = rmp_serde::from_slice(record.value()).map_err(|e| damaged(&e))?;
        let new = rmp_serde::to_vec_named(&change(old)).map_err(|e| damaged(&e))?;
        let record: RebuildRecord = decode(projection, &new).map_err(|e| damaged(&e))?;
        records.push((projection.to_owned(), generation, encode(&record).map_err(|e| damaged(&e))?));
    }
    for (projection, generation, record) in records {
        table.insert((projection.as_str(), generation), record.as_slice())?;
    }
    Ok(())
}

/// In layout 2 a rebuild that had reached the end of its history and followed it stayed `running`. It is complete since, and
/// followed; where an operator had paused it, it is not followed.
fn completed(mut record: Map<String, Value>) -> Map<String, Value> {
    if record.remove("caughtUp") != Some(json!(true)) {
        return record;
    }
    let status = record["checkpoint"]["status"].clone();
    let was_to_go_on =
        status == json!("running") || (status == json!("paused") && record["interrupted"] == json!(true));
    let error = record["checkpoint"]["error"].take();
    let plugin = record["ranges"].as_array().and_then(|ranges| ranges.last()?.get("pluginDigest").cloned());
    let state = match status.as_str() {
        Some("failed") => Some("failed"),
        _ => was_to_go_on.then_some("following"),
    };
    if let Some((state, plugin)) = state.zip(plugin) {
        let since = record["checkpoint"]["checkpointedAt"].clone();
        let error = if state == "failed" { error } else { Value::Null };
        record.insert(
            "following".to_owned(),
            json!({ "state": state, "pluginDigest": plugin, "since": since, "once": false, "error": error }),
        );
    }
    record.insert("interrupted".to_owned(), json!(false));
    if status != json!("cancelled") {
        record["checkpoint"]["status"] = json!("completed");
    }
    record
}

/// Layout 1 had what a rebuild was asked for among everything else of its record.
fn nested(mut record: Map<String, Value>) -> Map<String, Value> {
    let mut take = |name: &str| record.remove(name).unwrap_or_default();
    // Where an operator asked for a chunk size, it was that of a call.
    let asked = take("chunksPerCall") == json!(1);
    let promotes = take("promote") == json!(true);
    let mut options = json!({ "noPromote": !promotes });
    for name in ["priority", "rateLimit", "onError", "allowParked", "allowEmpty", "acceptMissing", "follow"] {
        let value = take(name);
        // Absent in older records.
        if !value.is_null() {
            options[name] = value;
        }
    }
    let mut spec = json!({});
    for name in ["source", "sourceIdentity", "after", "to", "purpose", "label", "segments"] {
        spec[name] = take(name);
    }
    options["chunkSize"] = record.get("chunkSize").filter(|_| asked).cloned().unwrap_or_default();
    spec["options"] = options;
    record.insert("spec".to_owned(), spec);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout_2(status: &str, caught_up: bool, interrupted: bool) -> Map<String, Value> {
        let error = if status == "failed" { json!({ "message": "so" }) } else { Value::Null };
        let record = json!({
            "caughtUp": caught_up,
            "interrupted": interrupted,
            "ranges": [{ "pluginDigest": "first" }, { "pluginDigest": "last" }],
            "checkpoint": { "status": status, "error": error, "checkpointedAt": 7 },
        });
        record.as_object().cloned().unwrap_or_default()
    }

    /// What followed its history is complete and followed since, unless an operator had paused it or given it up.
    #[test]
    fn what_followed_is_complete_and_followed() {
        for (status, interrupted, expected, state) in [
            ("running", false, "completed", Some("following")),
            ("paused", true, "completed", Some("following")),
            ("paused", false, "completed", None),
            ("failed", false, "completed", Some("failed")),
            ("cancelled", false, "cancelled", None),
        ] {
            let new = completed(layout_2(status, true, interrupted));
            let is = (&new["checkpoint"]["status"], new.get("following").map(|following| &following["state"]));
            assert_eq!(is, (&json!(expected), state.map(|state| json!(state)).as_ref()), "{status}");
            assert_eq!(new["checkpoint"]["error"], Value::Null, "{status}");
            if let Some(following) = new.get("following") {
                assert_eq!((&following["pluginDigest"], &following["since"]), (&json!("last"), &json!(7)), "{status}");
                assert_eq!(following["error"].is_object(), status == "failed", "{status}");
            }
        }
        let mut before = layout_2("running", false, false);
        let after = completed(before.clone());
        before.remove("caughtUp");
        assert_eq!(after, before, "what had not caught up goes on as it did");
    }
}
