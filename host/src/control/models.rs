//! Requests about read models and dead letters.

use super::{
    ControlError, DeadLetter, DeadLetterContent, DeadLetterInFull, Digest, DropStatus, Dropped, FoundRow,
    GenerationRole as Role, Host, ListedGeneration, Receipt, ReceiptEvents, Response, Row, Sink, Switched,
    fresh::refuse_stale, response::Answer,
};
use crate::{
    limits,
    rebuild::{DiffRange, Switch, diff},
    source::{Recognised, Source},
    store::{Allow, Generation, ParkedEvent, Purpose, RebuildRecord, StoreError},
    vocabulary::{Matcher, Position, Status, to_json},
};
use serde_json::Value;
use std::sync::Arc;

impl Host {
    /// `wanted`: the rows must have the history up to here.
    pub(super) fn model_get(
        &self,
        name: &str,
        table: &str,
        key: &str,
        generation: Option<&str>,
        wanted: Option<Position>,
    ) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        let (position, rows) = self.store().rows_at(&generation)?;
        refuse_stale(name, generation.number, position, wanted)?;
        match rows.get(index, key)? {
            Some(document) => Ok(Response::Found(Box::new(FoundRow {
                projection_name: name.to_owned(),
                table: table.to_owned(),
                key: key.to_owned(),
                value: shown(name, table, key, &document)?,
                generation: generation.number,
                position,
            }))),
            None => Err(ControlError::not_possible(format!("{name}/{table} has no row with the key {key}"))),
        }
    }

    pub(super) fn model_digest(&self, name: &str, generation: Option<&str>) -> Answer {
        let generation = self.generation(name, generation)?;
        let found = self.store().digest(&generation)?;
        let (digest, rows) = (found.digest, found.rows);
        Ok(Response::Digest(Digest { projection_name: name.to_owned(), generation: generation.number, digest, rows }))
    }

    pub(super) fn model_receipt(&self, name: &str, generation: Option<&str>) -> Answer {
        let generation = self.known_generation(name, generation)?;
        let mut record = self.overview(|rebuilds| rebuilds.rebuild(name, generation.number))?;
        // A host that ended right between the last commit and the digest left it to the next request.
        if record.status() == Status::Completed && record.row_digest.is_none() {
            record.row_digest = Some(self.store().digest(&generation)?);
        }
        let (checkpoint, history) = (&record.checkpoint, self.history_of(&record));
        let events = ReceiptEvents {
            matching: record.passed(),
            handled: checkpoint.events_processed,
            parked: record.parked,
            discarded: record.discarded,
            // Nothing is known to be missing, and nothing not to be, where nobody has counted.
            missing: record.total_events.map(|_| checkpoint.missing),
            filtered: history.as_ref().and_then(|source| filtered(source.as_ref(), &record)),
            left_out: history.and_then(|source| source.left_out(record.spec.after, checkpoint.position).ok()?),
        };
        let (digest, rows) = record.row_digest.map(|recorded| (recorded.digest, recorded.rows)).unzip();
        Ok(Response::Receipt(Box::new(Receipt {
            projection_name: name.to_owned(),
            generation: record.generation,
            name: record.spec.label,
            purpose: record.spec.purpose,
            status: checkpoint.status,
            source: record.spec.source,
            into: record.external.map(|external| external.into),
            source_identity: record.spec.source_identity,
            state_version: record.state_version,
            after: record.spec.after,
            through: checkpoint.position,
            events,
            ranges: record.ranges,
            chunk_size: record.chunk_size,
            started_at: record.started_at,
            ended_at: record.ended_at,
            retries: record.retries,
            stages: record.stages,
            digest,
            rows,
        })))
    }

    /// The source that `record` was built from; `None` where it is not at hand any more, or is another history.
    fn history_of(&self, record: &RebuildRecord) -> Option<Arc<dyn Source>> {
        let opened = self.sources().open(&record.spec.source).ok();
        opened.filter(|source| source.recognises(&record.spec.source_identity) == Recognised::Same)
    }

    pub(super) fn model_generations(&self, name: &str, sink: &mut Sink<'_>) -> Answer {
        let owner = self.store().projection(name)?;
        self.refuse_known_misfit(name, None)?;
        for record in self.overview(|rebuilds| rebuilds.rebuilds(name))? {
            let role = match Some(record.generation) {
                number if number == owner.live => Role::Live,
                number if number == owner.previous => Role::Previous,
                _ => match (record.spec.purpose, record.status()) {
                    (Purpose::AsOf, _) => Role::AsOf,
                    (Purpose::Scratch, _) => Role::Scratch,
                    (Purpose::Rebuild, Status::Completed) => Role::Complete,
                    (Purpose::Rebuild, Status::Cancelled) => Role::GivenUp,
                    (Purpose::Rebuild, _) => Role::Building,
                },
            };
            sink(Row::Generation(Box::new(ListedGeneration::new(&record, role))));
        }
        Ok(Response::Nothing)
    }

    pub(super) fn model_promote(&self, name: &str, generation: Option<&str>, allow: Allow) -> Answer {
        let generation = match (generation, self.store().projection(name)?.latest) {
            (Some(generation), _) => self.find(name, Some(generation))?.number,
            (None, Some(latest)) => latest,
            (None, None) => return Err(never_built(name).into()),
        };
        Ok(switched(name, self.supervisor()?.promote(name, generation, allow)?))
    }

    pub(super) fn model_rollback(&self, name: &str, now: bool, allow_empty: bool) -> Answer {
        Ok(switched(name, self.supervisor()?.rollback(name, now, allow_empty)?))
    }

    pub(super) fn model_as_of(&self, name: &str, to: &str, label: Option<String>, source: Option<&str>) -> Answer {
        let record = self.supervisor()?.as_of(name, to, label, source)?;
        Ok(Response::Generation(Box::new(ListedGeneration::new(&record, Role::AsOf))))
    }

    /// Gives every event that changed a row, the oldest first.
    pub(super) fn model_history(
        &self,
        name: &str,
        (table, key): (&str, &str),
        to: Option<&str>,
        generation: Option<&str>,
        sink: &mut Sink<'_>,
    ) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        let tell = &mut |change| sink(Row::Changed(Box::new(change)));
        self.supervisor()?.history(&generation, index, key, to, tell)?;
        Ok(Response::Nothing)
    }

    /// Gives the rows in which two generations differ, and how many there are.
    pub(super) fn model_diff(
        &self,
        name: &str,
        left: &str,
        right: Option<&str>,
        (table, after, limit): (Option<&str>, Option<&str>, Option<u64>),
        sink: &mut Sink<'_>,
    ) -> Answer {
        let (left, right) = (self.generation(name, Some(left))?, self.generation(name, right)?);
        if let Some(table) = table {
            index_of(&left, table).or_else(|_| index_of(&right, table))?;
        }
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).min(limits::DIFF_ROWS);
        let tell = &mut |row| sink(Row::Difference(Box::new(row)));
        Ok(Response::Diffed(diff(self.store(), &left, &right, DiffRange { table, after, limit }, tell)?))
    }

    pub(super) fn model_drop(&self, name: &str, generation: &str) -> Answer {
        // Whatever has become of its rows; but not where the database has others than the store knows of.
        let generation = self.find(name, Some(generation))?;
        self.store().refuse_misfit(name, Some(generation.number), None)?;
        self.store().drop_generation(name, generation.number)?;
        let (projection_name, generation) = (name.to_owned(), generation.number);
        Ok(Response::Dropped(Dropped { projection_name, generation, status: DropStatus::Dropped }))
    }

    /// The dead letters of the latest rebuild, in the order of streams and positions.
    pub(super) fn dead_letters(&self, name: &str, stream: Option<&str>, sink: &mut Sink<'_>) -> Answer {
        let generation = self.latest(name)?;
        let mut after = stream.map(|stream| (stream.to_owned(), Position::START));
        loop {
            let from = after.as_ref().map(|(stream, position)| (stream.as_str(), *position));
            let page = self.store().parked(&generation, from, limits::RETRY_EVENTS, limits::SCAN_BYTES)?;
            let Some(last) = page.last() else { return Ok(Response::Nothing) };
            after = Some((last.stream.clone(), last.position));
            for event in page {
                if stream.is_some_and(|stream| stream != event.stream)
                    || !sink(Row::DeadLetter(DeadLetter::new(&event)))
                {
                    return Ok(Response::Nothing);
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
                return Err(ControlError::not_possible(format!("no dead letter of {name} has the id {id}")));
            };
            after = Some((last.stream.clone(), last.position));
            for parked in page {
                let Ok(event) = unspool_frame::Event::decode(&mut &parked.event[..]) else { continue };
                if event.id == id {
                    return Ok(Response::DeadLetter(Box::new(in_full(&parked, &event))));
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

    /// As [`Host::generation`], for callers that read none of its rows: an unavailable database is no reason not to answer.
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
                let records = self.overview(|rebuilds| rebuilds.rebuilds(name))?;
                let named = records.iter().find(|record| record.spec.label.as_deref() == Some(wanted));
                named.map(|record| record.generation).ok_or_else(|| {
                    ControlError::not_possible(format!(
                        "{name} has no generation named {wanted}; see unspool model generations {name}"
                    ))
                })?
            }
        };
        self.overview(|rebuilds| rebuilds.rebuild(name, number))?;
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

pub(super) fn shown(name: &str, table: &str, key: &str, document: &[u8]) -> Result<Value, ControlError> {
    to_json(document).map_err(|e| ControlError::failed(format!("{name}/{table} row {key}: {e}")))
}

/// Events of the range that the projection does not handle.
fn filtered(source: &dyn Source, record: &RebuildRecord) -> Option<u64> {
    let all = source.count(&Matcher::All, record.spec.after, record.checkpoint.position).ok()??;
    Some(all.saturating_sub(record.passed()))
}

fn switched(name: &str, switch: Switch) -> Response {
    let (from, to) = switch.taken_back.unzip();
    Response::Switched(Switched {
        projection_name: name.to_owned(),
        live_generation: switch.projection.live,
        previous_generation: switch.projection.previous,
        taken_back_from: from,
        taken_back_to: to,
    })
}

fn in_full(parked: &ParkedEvent, event: &unspool_frame::Event<'_>) -> DeadLetterInFull {
    let part = |bytes: &[u8]| to_json(bytes).unwrap_or(Value::Null);
    let content = match parked.unreadable {
        true => DeadLetterContent::Unreadable { raw: part(event.data) },
        false => DeadLetterContent::Event {
            timestamp: event.timestamp,
            data: part(event.data),
            metadata: part(event.metadata),
        },
    };
    DeadLetterInFull { letter: DeadLetter::new(parked), content, failure: parked.failure.clone() }
}
