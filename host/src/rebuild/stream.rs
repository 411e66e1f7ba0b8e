//! Rebuilding one stream: built by itself, beside the live generation, and its rows there replaced in one commit.

use super::{
    RebuildError, Refusal,
    prepared::same_shape,
    same_history::{Accept, refuse_other_history},
    shadow::Shadow,
    supervisor::Supervisor,
};
use crate::{
    crash, limits,
    pipeline::{
        Row, Touched, TouchedRows,
        amend::{self, Changes},
    },
    plugin::Plugin,
    source::{SomeStreams, Source},
    store::{Generation, OnError, Purpose, RebuildRecord, RowSnapshot, Segment, StoreError},
    vocabulary::{FailureKind, Partitioning, Position, Scan},
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// The outcome of rebuilding one stream.
#[derive(Debug, Clone, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// The projection.
    pub projection_name: String,
    /// The stream.
    pub stream: String,
    /// The live generation, in which its rows were replaced.
    pub generation: u64,
    /// Its events that were replayed.
    pub events: u64,
    /// Rows that it has now.
    pub rows: u64,
    /// Rows that it had, by the plugins that built the generation, and has no longer.
    pub removed: u64,
    /// Up to here, the position of the generation.
    pub position: Position,
}

impl Supervisor {
    /// Builds one stream with the installed plugin, and replaces its rows in the live generation of `name`.
    ///
    /// Which rows were its own is found by building it with the plugins that built the generation, too: a row that only
    /// they wrote is removed.
    ///
    /// # Errors
    /// Where the projection is not partitioned by stream, nothing is live or it has another shape, the stream is unknown, it
    /// has dead letters, or an event of it cannot be handled.
    pub fn rebuild_stream(&self, name: &str, stream: &str) -> Result<StreamReport, RebuildError> {
        self.host.compile(name);
        let _lock = self.host.long_command(name, "a rebuild of one stream")?;
        // Its rows are built up to where the live generation stands, and that stands still until they are replaced.
        let _held = self.host.hold_followers(name);
        if let Some(live) = self.host.store.live_rebuild(name)?.filter(|live| live.is_followed()) {
            self.host.store.claim(name, live.generation)?;
        }
        let (plugin, live, record) = self.stands_alone(name, stream)?;
        let source = self.host.source(&record.spec.source)?;
        refuse_other_history(source.as_ref(), &record, &Accept::default())?;
        let through = record.checkpoint.position;
        let touched = Touched::default();
        let built = self.build_stream(&record, &source, stream, &plugin, Vec::new(), &touched)?;
        let ours = self.changes(&built, &touched);
        let (changes, touched) = self.dropping(&built, ours)?;
        let events = built.passed();
        if events == 0 {
            return Err(RebuildError::NotFound(format!(
                "{} has no event of stream {stream} that {name} handles",
                record.spec.source
            )));
        }
        let theirs = self.rows_before(&record, &source, stream, &plugin)?;
        let own = |row: &Row| changes.contains_key(row) || theirs.contains(row);
        let now = self.host.store.rows(&live)?;
        if let Some((table, key)) = foreign(&now, &touched.looked_for, &touched.scanned, own)? {
            let key = String::from_utf8_lossy(&key).into_owned();
            return Err(RebuildError::NotPossible(format!(
                "{name} says that it is partitioned by stream, but stream {stream} reads the row {} of table {}, which it has not \
                 written: alone it would come to other rows; unspool rebuild {name} rebuilds all of it",
                key.escape_debug(),
                live.tables.get(table).map_or("", String::as_str)
            )));
        }
        let rows = changes.values().filter(|document| document.is_some()).count() as u64;
        let (mut all, mut removed) = (changes, 0);
        for row in theirs {
            if !all.contains_key(&row) && stored(&now, &row)?.is_some() {
                all.insert(row, None);
                removed += 1;
            }
        }
        let claimed = self.host.store.claim(name, live.number)?;
        amend::replace_rows(&self.host.store, &claimed, plugin.digest(), all)?;
        crash::point("stream.replaced");
        if !record.is_followed() {
            self.host.store.record_digest(name, live.number, self.host.store.digest(&live)?)?;
        }
        Ok(StreamReport {
            projection_name: name.to_owned(),
            stream: stream.to_owned(),
            generation: live.number,
            events,
            rows,
            removed,
            position: through,
        })
    }

    /// The installed plugin and the live generation, where one stream of that can be built by itself.
    fn stands_alone(&self, name: &str, stream: &str) -> Result<(Plugin, Generation, RebuildRecord), RebuildError> {
        let owner = self.host.store.projection(name)?;
        let plugin = self.host.plugin(owner.digest())?;
        if plugin.description().partitioning != Partitioning::Stream {
            return Err(RebuildError::NotPossible(format!(
                "{name} is not partitioned by stream: its rows may hold something of several streams; unspool rebuild {name} rebuilds \
                 all of it"
            )));
        }
        let live = self.host.store.live(name)?;
        self.host.store.refuse_misfit(name, None, None)?;
        let record = self.host.store.rebuild(name, live.number)?;
        if !same_shape(&record, plugin.description()) {
            return Err(RebuildError::Refused { name: name.to_owned(), refusal: Refusal::OtherShape });
        }
        if self.host.store.parked_streams(&live)?.contains(stream) {
            return Err(RebuildError::NotPossible(format!(
                "stream {stream} has dead letters; unspool dead-letters retry {name} --stream {stream} handles them in order"
            )));
        }
        Ok((plugin, live, record))
    }

    /// Builds `stream` by itself up to where `record` stands, where its rows live: from there a handler reads what it has
    /// written in the form that it has there.
    fn build_stream(
        &self,
        record: &RebuildRecord,
        source: &Arc<dyn Source>,
        stream: &str,
        plugin: &Plugin,
        segments: Vec<Segment>,
        touched: &Touched,
    ) -> Result<RebuildRecord, RebuildError> {
        let name = &record.checkpoint.projection_name;
        let one = Arc::new(SomeStreams::one(source.clone(), stream));
        let shadow = Shadow {
            source: one.clone(),
            found_in: Some(one),
            source_name: record.spec.source.clone(),
            plugin: plugin.clone(),
            segments,
            after: record.spec.after,
            to: record.checkpoint.position,
            chunk_size: record.spec.options.chunk_size,
            on_error: OnError::Stop,
            purpose: Purpose::Scratch,
            label: None,
            into: record.external.as_ref().map(|external| external.into.clone()),
            indexes: Vec::new(),
            touched: Some(touched.clone()),
            observed: None,
        };
        self.build_shadow(name, shadow).map_err(|e| match e {
            RebuildError::NotBuilt { failure: Some(failure), .. } => RebuildError::NotBuilt {
                message: format!("stream {stream} of {name}: {failure}"),
                failure: Some(failure),
            },
            other => other,
        })
    }

    /// The result of `built`: every row that was written for it, as it was left.
    fn changes(&self, built: &RebuildRecord, touched: &Touched) -> Result<(Changes, TouchedRows), RebuildError> {
        let mut touched = touched.take();
        let rows = self.host.store.rows(&self.generation_of(built)?)?;
        let written = std::mem::take(&mut touched.written).into_iter();
        let changes: Result<Changes, StoreError> = written.map(|row| Ok((row.clone(), stored(&rows, &row)?))).collect();
        Ok((changes?, touched))
    }

    /// The rows that the plugins which built the generation wrote for the stream; none where that is `plugin` alone.
    fn rows_before(
        &self,
        record: &RebuildRecord,
        source: &Arc<dyn Source>,
        stream: &str,
        plugin: &Plugin,
    ) -> Result<BTreeSet<Row>, RebuildError> {
        if record.ranges.iter().all(|range| range.plugin_digest == plugin.digest()) {
            return Ok(BTreeSet::new());
        }
        let mut segments = Vec::new();
        for range in &record.ranges {
            let plugin_digest = self.host.plugin(&range.plugin_digest)?.digest().to_owned();
            segments.push(Segment { plugin_digest, through: range.through });
        }
        let touched = Touched::default();
        match self.build_stream(record, source, stream, plugin, segments, &touched) {
            Ok(built) => self.dropping(&built, Ok(()))?,
            // Where they failed, they left what they had written until there.
            Err(RebuildError::NotBuilt { failure: Some(failure), .. }) if blames_them(failure.kind) => {
                tracing::debug!(stream, "the plugins before did not get through it either: {failure}");
            }
            Err(e) => return Err(e),
        }
        Ok(touched.take().written)
    }
}

/// Whether a failure is one of plugin and event, which was there when the generation was built, too.
fn blames_them(kind: FailureKind) -> bool {
    !matches!(kind, FailureKind::Source | FailureKind::Store | FailureKind::Plugin | FailureKind::Other)
}

/// The document of a row, where there is one.
fn stored(rows: &RowSnapshot, (table, key): &Row) -> Result<Option<Bytes>, StoreError> {
    std::str::from_utf8(key).map_or(Ok(None), |key| rows.get(*table, key))
}

/// A row that the stream looked for, that is there now, and that is none of its own.
fn foreign(
    now: &RowSnapshot,
    looked_for: &BTreeSet<Row>,
    scanned: &BTreeSet<(usize, String)>,
    own: impl Fn(&Row) -> bool,
) -> Result<Option<Row>, StoreError> {
    for row in looked_for.iter().filter(|row| !own(row)) {
        if stored(now, row)?.is_some() {
            return Ok(Some(row.clone()));
        }
    }
    for (table, prefix) in scanned {
        let mut after: Option<String> = None;
        loop {
            let page =
                now.scan(*table, Scan { prefix, limit: limits::RETRY_EVENTS, ..Scan::page(after.as_deref()) })?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let rows = page.into_iter().map(|(key, _)| (*table, Bytes::from(key)));
            if let Some(row) = rows.into_iter().find(|row| !own(row)) {
                return Ok(Some(row));
            }
        }
    }
    Ok(None)
}
