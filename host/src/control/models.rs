//! Requests about read models.

use super::{ControlError, Host, Sink, execute::value};
use crate::{
    limits,
    store::{Generation, RebuildRecord, StoreError},
    vocabulary::to_json,
};
use serde_json::{Value, json};

type Answer = Result<Value, ControlError>;

impl Host {
    pub(super) fn model_get(&self, name: &str, table: &str, key: &str, generation: Option<u64>) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        match self.store().rows(&generation)?.get(index, key)? {
            Some(document) => shown(name, table, key, &document),
            None => Err(ControlError::not_possible(format!("{name}/{table} has no row with the key {key}"))),
        }
    }

    pub(super) fn model_scan(
        &self,
        name: &str,
        table: &str,
        prefix: &str,
        limit: Option<u64>,
        generation: Option<u64>,
        sink: &mut Sink<'_>,
    ) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        // One snapshot for the whole scan: readers see one state, even when another generation is promoted meanwhile.
        let rows = self.store().rows(&generation)?;
        let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut after: Option<String> = None;
        while left > 0 {
            let page = rows.scan(index, prefix, after.as_deref(), left, limits::SCAN_BYTES)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            left -= page.len();
            for (key, document) in page {
                let document = shown(name, table, &key, &document)?;
                if !sink(json!({ "key": key, "value": document })) {
                    return Ok(Value::Null);
                }
            }
        }
        Ok(Value::Null)
    }

    pub(super) fn model_digest(&self, name: &str, generation: Option<u64>) -> Answer {
        let generation = self.generation(name, generation)?;
        let (digest, rows) = self.store().digest(&generation)?;
        Ok(json!({ "projectionName": name, "generation": generation.number, "digest": digest, "rows": rows }))
    }

    pub(super) fn model_generations(&self, name: &str, sink: &mut Sink<'_>) -> Answer {
        let owner = self.store().projection(name)?;
        for record in self.store().rebuilds(name)? {
            let role = match Some(record.generation) {
                number if number == owner.live => "live",
                number if number == owner.previous => "previous",
                _ => "building",
            };
            sink(described(&record, role)?);
        }
        Ok(Value::Null)
    }

    pub(super) fn model_promote(&self, name: &str, generation: Option<u64>) -> Answer {
        let generation = match generation.or(self.store().projection(name)?.latest) {
            Some(generation) => generation,
            None => return Err(self.never_built(name).into()),
        };
        let record = self.store().promote(name, generation)?;
        Ok(json!({ "projectionName": name, "liveGeneration": record.live, "previousGeneration": record.previous }))
    }

    pub(super) fn model_rollback(&self, name: &str) -> Answer {
        let record = self.store().rollback(name)?;
        Ok(json!({ "projectionName": name, "liveGeneration": record.live, "previousGeneration": record.previous }))
    }

    fn generation(&self, name: &str, number: Option<u64>) -> Result<Generation, ControlError> {
        Ok(match number {
            Some(number) => self.store().generation(name, number)?,
            None => self.store().live(name)?,
        })
    }

    fn table(&self, name: &str, table: &str, number: Option<u64>) -> Result<(Generation, usize), ControlError> {
        let generation = self.generation(name, number)?;
        match generation.tables.iter().position(|known| known == table) {
            Some(index) => Ok((generation, index)),
            None => Err(ControlError::not_possible(format!(
                "{name} has no table {table}; it has: {}",
                generation.tables.join(", ")
            ))),
        }
    }

    fn never_built(&self, name: &str) -> StoreError {
        StoreError::NotFound(format!("{name} has no read model yet: unspool rebuild {name} builds one"))
    }
}

fn shown(name: &str, table: &str, key: &str, document: &[u8]) -> Answer {
    to_json(document).map_err(|e| ControlError::failed(format!("{name}/{table} row {key}: {e}")))
}

fn described(record: &RebuildRecord, role: &str) -> Answer {
    Ok(json!({
        "generation": record.generation,
        "role": role,
        "status": record.status(),
        "stateVersion": record.state_version,
        "source": record.source,
        "after": record.after.to_json(),
        "position": record.checkpoint.position.to_json(),
        "eventsProcessed": record.checkpoint.events_processed,
        "chunkSize": record.chunk_size,
        "startedAt": record.started_at,
        "endedAt": record.ended_at,
        "ranges": value(record.ranges.iter().map(|range| json!({
            "pluginDigest": range.plugin_digest,
            "after": range.after.to_json(),
            "through": range.through.to_json(),
        })).collect::<Vec<_>>())?,
    }))
}
