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
        1 => specs(write).map(|()| true),
        _ => Ok(false),
    }
}

/// Layout 1 had the options of a rebuild among everything else of its record.
fn specs(write: &WriteTransaction) -> Result<(), DiskError> {
    let mut table = write.open_table(REBUILDS)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, record) = entry?;
        let (projection, generation) = key.value();
        let damaged = |e: &dyn std::fmt::Display| {
            DiskError::Damaged(format!("the record of {projection}/{generation} does not decode: {e}"))
        };
        let old: Map<String, Value> = rmp_serde::from_slice(record.value()).map_err(|e| damaged(&e))?;
        let new = rmp_serde::to_vec_named(&nested(old)).map_err(|e| damaged(&e))?;
        let record: RebuildRecord = decode(projection, &new).map_err(|e| damaged(&e))?;
        records.push((projection.to_owned(), generation, encode(&record).map_err(|e| damaged(&e))?));
    }
    for (projection, generation, record) in records {
        table.insert((projection.as_str(), generation), record.as_slice())?;
    }
    Ok(())
}

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
