//! Requests for many rows: `scan` and `export`.

use super::{
    ControlError, Exported, Host, ModelRow, Response, Row, Sink, TableHead,
    fresh::refuse_stale,
    models::{index_of, shown},
    response::Answer,
    watch::NUMBERS,
};
use crate::{
    export::Survey,
    store::{Generation, RowSnapshot},
    vocabulary::{Position, Scan, Work},
};
use bytes::Bytes;
use serde_json::Value;
use std::time::Instant;

impl Host {
    pub(super) fn model_scan(
        &self,
        (name, table): (&str, &str),
        (prefix, after, limit): (&str, Option<String>, Option<u64>),
        (generation, wanted): (Option<&str>, Option<Position>),
        sink: &mut Sink<'_>,
    ) -> Answer {
        let (generation, index) = self.table(name, table, generation)?;
        // One snapshot for the whole scan: readers see one state, even when another generation is promoted meanwhile.
        let (position, rows) = self.store().rows_at(&generation)?;
        refuse_stale(name, generation.number, position, wanted)?;
        let table = Table { generation: &generation, rows: &rows, index };
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        table.each(prefix, after, limit, &mut |key, value| Ok(sink(Row::Model(ModelRow { key, value }))))?;
        Ok(Response::Nothing)
    }

    /// Gives the head of each table, then its rows. Columns are found in all rows of the table before the first is given,
    /// with the progress reported meanwhile; without `columns` there are none. The answer counts the rows.
    pub(super) fn model_export(
        &self,
        name: &str,
        table: Option<&str>,
        generation: Option<&str>,
        columns: bool,
        sink: &mut Sink<'_>,
    ) -> Answer {
        let generation = self.generation(name, generation)?;
        let tables = match table {
            Some(table) => vec![index_of(&generation, table)?],
            None => (0..generation.tables.len()).collect(),
        };
        // One snapshot for all tables and both passes. What is in the store afterwards was in it then: a generation that
        // was dropped in between would look empty.
        let rows = self.store().rows(&generation)?;
        let record = self.store().rebuild(name, generation.number)?;
        let all = record.row_digest.filter(|_| tables.len() == generation.tables.len()).map(|recorded| recorded.rows);
        let mut count: u64 = 0;
        let work =
            Work { what: format!("finding the columns of {name}"), unit: "rows".to_owned(), done: 0, total: all };
        let mut work = Told { work, at: None };
        for index in tables {
            let table = Table { generation: &generation, rows: &rows, index };
            let columns = match columns {
                true => match table.survey(&mut work, sink)? {
                    Some(survey) => survey.columns(),
                    None => return Ok(Response::Nothing),
                },
                false => Vec::new(),
            };
            let head = TableHead { table: table.name().to_owned(), generation: generation.number, columns, all };
            let goes_on = sink(Row::Table(head))
                && table.each("", None, usize::MAX, &mut |key, value| {
                    count += 1;
                    Ok(sink(Row::Model(ModelRow { key, value })))
                })?;
            if !goes_on {
                return Ok(Response::Nothing);
            }
        }
        let exported = Exported { projection_name: name.to_owned(), generation: generation.number, rows: count };
        Ok(Response::Exported(exported))
    }
}

/// Gives up to `limit` rows of a table whose key starts with `prefix` and is behind `after` to `visit`, until that answers `false`; then so does this.
pub(super) fn each_row(
    rows: &RowSnapshot,
    table: usize,
    prefix: &str,
    mut after: Option<String>,
    limit: usize,
    visit: &mut dyn FnMut(String, Bytes) -> Result<bool, ControlError>,
) -> Result<bool, ControlError> {
    let mut left = limit;
    while left > 0 {
        let page = rows.scan(table, Scan { prefix, limit: left, ..Scan::page(after.as_deref()) })?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        left -= page.len();
        for (key, document) in page {
            if !visit(key, document)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// One table of a generation, as one snapshot sees it.
struct Table<'a> {
    generation: &'a Generation,
    rows: &'a RowSnapshot,
    index: usize,
}

impl Table<'_> {
    fn name(&self) -> &str {
        &self.generation.tables[self.index]
    }

    /// Gives up to `limit` rows whose key starts with `prefix` to `visit`, until that answers `false`; then so does this.
    fn each(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
        visit: &mut dyn FnMut(String, Value) -> Result<bool, ControlError>,
    ) -> Result<bool, ControlError> {
        each_row(self.rows, self.index, prefix, after, limit, &mut |key, document| {
            let document = shown(&self.generation.projection, self.name(), &key, &document)?;
            visit(key, document)
        })
    }

    /// What there is in all rows; `None` where nobody listens any more. Reports to `sink` how far that `work` is.
    fn survey(&self, work: &mut Told, sink: &mut Sink<'_>) -> Result<Option<Survey>, ControlError> {
        let mut survey = Survey::default();
        let all = self.each("", None, usize::MAX, &mut |_, document| {
            let name = || format!("{}/{}", self.generation.projection, self.name());
            survey.add(&document).map_err(|e| ControlError::not_possible(format!("{}: {e}", name())))?;
            Ok(work.advance(sink))
        })?;
        Ok(all.then_some(survey))
    }
}

/// Work whose progress is reported among the rows: how far it is, and when that was reported last.
struct Told {
    work: Work,
    at: Option<Instant>,
}

impl Told {
    /// One more is done; `false` where nobody listens any more.
    fn advance(&mut self, sink: &mut Sink<'_>) -> bool {
        self.work.done += 1;
        if self.at.is_some_and(|at| at.elapsed() < NUMBERS) {
            return true;
        }
        self.at = Some(Instant::now());
        sink(Row::Progress(self.work.clone()))
    }
}
