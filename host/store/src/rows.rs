//! Rows of a generation, wherever they live.

use super::{
    catalog::{LogEnd, RebuildRecord, RowDigest},
    error::StoreError,
};
use std::sync::Arc;
use unspool_vocabulary::{Canonical, Position, ReadRows, work};

/// Bytes that a digest takes up at once.
const DIGEST_BYTES: usize = 128 << 10;

/// Names one generation of one projection, and its tables.
#[derive(Debug, Clone)]
pub struct Generation {
    /// The projection.
    pub projection: String,
    /// The generation's number.
    pub number: u64,
    /// Its tables, in the order of the description.
    pub tables: Vec<String>,
    /// The database in which its rows live; they are in the store where absent.
    pub into: Option<String>,
}

impl Generation {
    /// The generation that `record` is about.
    pub fn of(record: &RebuildRecord) -> Generation {
        Generation {
            projection: record.checkpoint.projection_name.clone(),
            number: record.generation,
            tables: record.tables.clone(),
            into: record.external.as_ref().map(|external| external.into.clone()),
        }
    }
}

/// What readers of a projection see at one moment.
pub struct LiveRows {
    /// The live generation.
    pub generation: Generation,
    /// Up to where the history is in it.
    pub position: Position,
    /// The last of the changes that are in the rows.
    pub changes: LogEnd,
    /// Its rows.
    pub rows: RowSnapshot,
}

/// The committed rows of one generation as they were when this was taken, wherever they live. Pages that it sees are not
/// reused while it lives: hold it for a chunk or a request, not for a rebuild.
pub type RowSnapshot = Arc<dyn ReadRows<Error = StoreError> + Send + Sync>;

/// The digest of the rows, which are those of `generation`: BLAKE3 over, for each table in order of its name, the name and every
/// row's key and canonical document in key order, each after its length (8 bytes, little-endian). Chunk sizes,
/// pauses, crashes and the plugin's way to write a map leave no trace in it.
///
/// # Errors
/// When the store cannot be read, or a document in it is damaged.
pub(super) fn digest(rows: &RowSnapshot, generation: &Generation) -> Result<RowDigest, StoreError> {
    let mut hasher = blake3::Hasher::new();
    let mut order: Vec<usize> = (0..generation.tables.len()).collect();
    order.sort_by_key(|&index| &generation.tables[index]);
    // Gathered, because the hash is several times faster on long input.
    let mut gathered = Vec::with_capacity(DIGEST_BYTES);
    let mut part = |bytes: &[u8]| {
        gathered.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        gathered.extend_from_slice(bytes);
        if gathered.len() >= DIGEST_BYTES {
            hasher.update(&gathered);
            gathered.clear();
        }
    };
    let (mut count, mut canonical) = (0, Canonical::default());
    for index in order {
        part(generation.tables[index].as_bytes());
        rows.each(index, &mut |key, document| {
            let canonical = canonical.of(document).map_err(|e| {
                StoreError::damaged(format!("{}/{} row {key}: {e}", generation.projection, generation.tables[index]))
            })?;
            part(key.as_bytes());
            part(canonical);
            count += 1;
            work::advance(1);
            Ok(())
        })?;
    }
    hasher.update(&gathered);
    Ok(RowDigest { digest: hasher.finalize().to_hex().to_string(), rows: count })
}
