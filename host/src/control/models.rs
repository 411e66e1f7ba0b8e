//! Requests about read models and parked events.

use super::{ControlError, Host, Sink, execute::value};
use crate::{
    limits,
    store::{Allow, Generation, ParkedEvent, Purpose, RebuildRecord, StoreError},
    vocabulary::{Position, Status, to_json},
};
use serde_json::{Value, json};

type Answer = Result<Value, ControlError>;

impl Host {
    pub(super) fn model_get(&self, name: &str, table: &str, key: &str, generation: Option<&str>) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        match self.store().rows(&generation)?.get(index, key)? {
            Some(document) => shown(name, table, key, &document),
            None => Err(ControlError::not_possible(format!("{name}/{table} has no row with the key {key}"))),
        }
    }

    pub(super) fn model_digest(&self, name: &str, generation: Option<&str>) -> Answer {
        let generation = self.generation(name, generation)?;
        let found = self.store().digest(&generation)?;
        Ok(
            json!({ "projectionName": name, "generation": generation.number, "digest": found.digest, "rows": found.rows }),
        )
    }

    pub(super) fn model_receipt(&self, name: &str, generation: Option<&str>) -> Answer {
        let generation = self.known_generation(name, generation)?;
        let mut record = self.store().rebuild(name, generation.number)?;
        // A host that ended right between the last commit and the digest left it to whoever asks.
        if record.status() == Status::Completed && record.sealed.is_none() {
            let digest = self.store().digest(&generation)?;
            record = self.store().seal(name, generation.number, digest)?;
        }
        let checkpoint = &record.checkpoint;
        Ok(json!({
            "projectionName": name,
            "generation": record.generation,
            "name": record.spec.label,
            "purpose": record.spec.purpose,
            "status": record.status(),
            "source": record.spec.source,
            "into": record.home.as_ref().map(|home| &home.into),
            "sourceIdentity": record.spec.source_identity,
            "stateVersion": record.state_version,
            "after": record.spec.after,
            "through": checkpoint.position,
            "events": {
                "matching": record.passed(),
                "handled": checkpoint.events_processed,
                "parked": record.parked,
                "discarded": record.discarded,
                // Nothing is known to be missing, and nothing not to be, where nobody has counted.
                "missing": record.total_events.map(|_| checkpoint.missing),
                "filtered": self.filtered(&record)?,
                "leftOut": self.supervisor()?.left_out_between(
                    &record.spec.source,
                    &record.spec.source_identity,
                    record.spec.after,
                    checkpoint.position,
                ),
            },
            "ranges": record.ranges,
            "chunkSize": record.chunk_size,
            "startedAt": record.started_at,
            "endedAt": record.ended_at,
            "retries": record.retries,
            "stages": record.stages,
            "digest": record.sealed.as_ref().map(|sealed| &sealed.digest),
            "rows": record.sealed.as_ref().map(|sealed| sealed.rows),
        }))
    }

    /// Events of the range that the projection does not handle; `null` where the source is not at hand any more.
    fn filtered(&self, record: &RebuildRecord) -> Answer {
        let all = self.supervisor()?.events_between(
            &record.spec.source,
            &record.spec.source_identity,
            record.spec.after,
            record.checkpoint.position,
        );
        Ok(all.map_or(Value::Null, |all| all.saturating_sub(record.passed()).into()))
    }

    pub(super) fn model_generations(&self, name: &str, sink: &mut Sink<'_>) -> Answer {
        // Settles what a host that was killed left behind, so that nothing is shown as running that is not.
        self.supervisor()?;
        let owner = self.store().projection(name)?;
        self.refuse_known_misfit(name, None)?;
        for record in self.store().rebuilds(name)? {
            let role = match Some(record.generation) {
                number if number == owner.live => "live",
                number if number == owner.previous => "previous",
                _ => match (record.spec.purpose, record.status()) {
                    (Purpose::AsOf, _) => "as-of",
                    (Purpose::Scratch, _) => "scratch",
                    (Purpose::Rebuild, Status::Completed) => "complete",
                    (Purpose::Rebuild, Status::Cancelled) => "given-up",
                    (Purpose::Rebuild, _) => "building",
                },
            };
            sink(described(&record, role));
        }
        Ok(Value::Null)
    }

    pub(super) fn model_promote(&self, name: &str, generation: Option<&str>, allow: Allow) -> Answer {
        let generation = match (generation, self.store().projection(name)?.latest) {
            (Some(generation), _) => self.find(name, Some(generation))?.number,
            (None, Some(latest)) => latest,
            (None, None) => return Err(never_built(name).into()),
        };
        self.store().refuse_misfit(name, Some(generation), None)?;
        let record = self.store().promote(name, generation, allow)?;
        Ok(json!({ "projectionName": name, "liveGeneration": record.live, "previousGeneration": record.previous }))
    }

    pub(super) fn model_rollback(&self, name: &str, allow_empty: bool) -> Answer {
        self.store().refuse_misfit(name, self.store().projection(name)?.previous, None)?;
        let record = self.store().rollback(name, allow_empty)?;
        Ok(json!({ "projectionName": name, "liveGeneration": record.live, "previousGeneration": record.previous }))
    }

    pub(super) fn model_as_of(&self, name: &str, to: &str, label: Option<String>, source: Option<&str>) -> Answer {
        Ok(described(&self.supervisor()?.as_of(name, to, label, source)?, "as-of"))
    }

    pub(super) fn model_drop(&self, name: &str, generation: &str) -> Answer {
        // Whatever has become of its rows; but not where the database has others than the store knows of.
        let generation = self.find(name, Some(generation))?;
        self.store().refuse_misfit(name, Some(generation.number), None)?;
        self.store().drop_generation(name, generation.number)?;
        Ok(json!({ "projectionName": name, "generation": generation.number, "status": "dropped" }))
    }

    /// The parked events of the latest rebuild, in the order of streams and positions.
    pub(super) fn dead_letters(&self, name: &str, stream: Option<&str>, sink: &mut Sink<'_>) -> Answer {
        let generation = self.latest(name)?;
        let mut after = stream.map(|stream| (stream.to_owned(), Position::START));
        loop {
            let from = after.as_ref().map(|(stream, position)| (stream.as_str(), *position));
            let page = self.store().parked(&generation, from, limits::RETRY_EVENTS, limits::SCAN_BYTES)?;
            let Some(last) = page.last() else { return Ok(Value::Null) };
            after = Some((last.stream.clone(), last.position));
            for event in page {
                if stream.is_some_and(|stream| stream != event.stream) || !sink(listed(&event)) {
                    return Ok(Value::Null);
                }
            }
        }
    }

    pub(super) fn dead_letter(&self, name: &str, id: &str) -> Answer {
        let generation = self.latest(name)?;
        let mut after: Option<(String, Position)> = None;
        loop {
            let from = after.as_ref().map(|(stream, position)| (stream.as_str(), *position));
            let page = self.store().parked(&generation, from, limits::RETRY_EVENTS, limits::SCAN_BYTES)?;
            let Some(last) = page.last() else {
                return Err(ControlError::not_possible(format!("no parked event of {name} has the id {id}")));
            };
            after = Some((last.stream.clone(), last.position));
            for parked in page {
                let Ok(event) = unspool_frame::Event::decode(&mut &parked.event[..]) else { continue };
                if event.id == id {
                    let part = |bytes: &[u8]| to_json(bytes).unwrap_or(Value::Null);
                    let mut shown = listed(&parked);
                    if parked.unreadable {
                        shown["raw"] = part(event.data);
                    } else {
                        shown["timestamp"] = event.timestamp.into();
                        shown["data"] = part(event.data);
                        shown["metadata"] = part(event.metadata);
                    }
                    shown["failure"] = value(&parked.failure)?;
                    return Ok(shown);
                }
            }
        }
    }

    fn latest(&self, name: &str) -> Result<Generation, ControlError> {
        match self.store().latest_rebuild(name)? {
            Some(record) => Ok(self.store().generation(name, record.generation)?),
            None => Err(never_built(name).into()),
        }
    }

    /// The generation with this number or name, the live one where none is given; its rows are where the store says.
    pub(super) fn generation(&self, name: &str, wanted: Option<&str>) -> Result<Generation, ControlError> {
        let generation = self.find(name, wanted)?;
        self.store().refuse_misfit(name, Some(generation.number), None)?;
        Ok(generation)
    }

    /// As [`Host::generation`], for who reads none of its rows: a database that is away is no reason to say nothing.
    fn known_generation(&self, name: &str, wanted: Option<&str>) -> Result<Generation, ControlError> {
        let generation = self.find(name, wanted)?;
        self.refuse_known_misfit(name, Some(generation.number))?;
        Ok(generation)
    }

    fn refuse_known_misfit(&self, name: &str, asked: Option<u64>) -> Result<(), ControlError> {
        match self.store().refuse_misfit(name, asked, None) {
            Err(e) if e.is_transient() => {
                tracing::warn!(projection = name, "not known whether its rows are where the store says: {e}");
                Ok(())
            }
            found => Ok(found?),
        }
    }

    fn find(&self, name: &str, wanted: Option<&str>) -> Result<Generation, ControlError> {
        let Some(wanted) = wanted else { return Ok(self.store().live(name)?) };
        let number = match wanted.parse() {
            Ok(number) => number,
            Err(_) => {
                let records = self.store().rebuilds(name)?;
                let named = records.iter().find(|record| record.spec.label.as_deref() == Some(wanted));
                named.map(|record| record.generation).ok_or_else(|| {
                    ControlError::not_possible(format!(
                        "{name} has no generation named {wanted}; see unspool model generations {name}"
                    ))
                })?
            }
        };
        Ok(self.store().generation(name, number)?)
    }

    pub(super) fn table(
        &self,
        name: &str,
        table: &str,
        number: Option<&str>,
    ) -> Result<(Generation, usize), ControlError> {
        let generation = self.generation(name, number)?;
        let index = index_of(&generation, table)?;
        Ok((generation, index))
    }
}

fn never_built(name: &str) -> StoreError {
    StoreError::NotFound(format!("{name} has no read model yet: unspool rebuild {name} builds one"))
}

/// Which of the generation's tables is called `table`.
pub(super) fn index_of(generation: &Generation, table: &str) -> Result<usize, ControlError> {
    generation.tables.iter().position(|known| known == table).ok_or_else(|| {
        let (name, tables) = (&generation.projection, generation.tables.join(", "));
        ControlError::not_possible(format!("{name} has no table {table}; it has: {tables}"))
    })
}

pub(super) fn shown(name: &str, table: &str, key: &str, document: &[u8]) -> Answer {
    to_json(document).map_err(|e| ControlError::failed(format!("{name}/{table} row {key}: {e}")))
}

/// A parked event in one line.
fn listed(parked: &ParkedEvent) -> Value {
    let event = unspool_frame::Event::decode(&mut &parked.event[..]).ok();
    json!({
        "id": event.map(|event| event.id),
        "stream": parked.stream,
        "type": event.map(|event| event.kind),
        "position": parked.position,
        "unreadable": parked.unreadable,
        "error": parked.failure.as_ref().map(|failure| failure.message.as_str()),
    })
}

fn described(record: &RebuildRecord, role: &str) -> Value {
    json!({
        "generation": record.generation,
        "name": record.spec.label,
        "role": role,
        "status": record.status(),
        "stateVersion": record.state_version,
        "source": record.spec.source,
        "into": record.home.as_ref().map(|home| &home.into),
        "after": record.spec.after,
        "position": record.checkpoint.position,
        "eventsProcessed": record.checkpoint.events_processed,
        "parked": record.parked,
        "chunkSize": record.chunk_size,
        "startedAt": record.started_at,
        "endedAt": record.ended_at,
        "ranges": record.ranges,
    })
}
