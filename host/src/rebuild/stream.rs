//! Rebuilding one stream: its rows are replaced in what readers see, in one commit.

use super::{
    RebuildError, Refusal, apart::refuse_moving, prepared::same_shape, same_history::Accept,
    same_history::refuse_other_history, supervisor::Supervisor,
};
use crate::store::{RowSnapshot, StoreError};
use crate::{
    crash, limits,
    pipeline::replay::{self, Changes, Replayed},
    plugin::Plugin,
    source::Source,
    store::{BuiltRange, RebuildRecord},
    vocabulary::{Partitioning, Position, Scan},
};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;

/// What rebuilding one stream came to.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// The projection.
    pub projection_name: String,
    /// The stream.
    pub stream: String,
    /// The generation that readers see, in which its rows were replaced.
    pub generation: u64,
    /// Its events that were replayed.
    pub events: u64,
    /// Rows that it has now.
    pub rows: u64,
    /// Rows that it had, by the plugins that built the generation, and has no longer.
    pub removed: u64,
    /// Up to here: where the generation stands.
    pub position: Position,
}

impl Supervisor {
    /// Replays one stream with the plugin in place, and replaces its rows in the live generation of `name`.
    ///
    /// Which rows were its own is found by replaying it with the plugins that built the generation, too: a row that only
    /// they touch is removed.
    ///
    /// # Errors
    /// Where the projection is not partitioned by stream, nothing is live or it has another shape, the stream is unknown, it
    /// has parked events, or an event of it cannot be handled.
    pub fn rebuild_stream(&self, name: &str, stream: &str) -> Result<StreamReport, RebuildError> {
        self.host.compile(name);
        let _turn = self.host.long_command(name, "a rebuild of one stream")?;
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
        refuse_moving(&record)?;
        if self.host.store.parked_streams(&live)?.contains(stream) {
            return Err(RebuildError::NotPossible(format!(
                "stream {stream} has parked events; unspool dead-letters retry {name} --stream {stream} handles them in order"
            )));
        }
        let source = self.host.source(&record.spec.source)?;
        refuse_other_history(source.as_ref(), &record, &Accept::default())?;
        let (after, through) = (record.spec.after, record.checkpoint.position);
        let mut ours = Replayed::default();
        replay::replay_stream(source.as_ref(), stream, after, &[(plugin.clone(), through)], &mut ours).map_err(
            |failure| RebuildError::Apart {
                message: format!("stream {stream} of {name}: {failure}"),
                failure: Some(Box::new(failure)),
            },
        )?;
        let Replayed { rows, events, missed, scanned } = ours;
        if events == 0 {
            return Err(RebuildError::NotFound(format!(
                "{} has no event of stream {stream} that {name} handles",
                record.spec.source
            )));
        }
        let mut stale = self.stale_rows(&record, source.as_ref(), stream, &plugin, &rows)?;
        let now = self.host.store.rows(&live)?;
        let own = |row: &(usize, Bytes)| rows.contains_key(row) || stale.contains(row);
        if let Some((table, key)) = foreign(&now, missed, &scanned, own)? {
            let key = String::from_utf8_lossy(&key).into_owned();
            return Err(RebuildError::NotPossible(format!(
                "{name} says that it is partitioned by stream, but stream {stream} reads the row {} of table {}, which it has not \
                 written: alone it would come to other rows; unspool rebuild {name} rebuilds all of it",
                key.escape_debug(),
                live.tables.get(table).map_or("", String::as_str)
            )));
        }
        for row in std::mem::take(&mut stale) {
            if let Ok(key) = std::str::from_utf8(&row.1)
                && now.get(row.0, key)?.is_some()
            {
                stale.insert(row);
            }
        }
        let claimed = self.host.store.claim(name, live.number)?;
        let removed = stale.len() as u64;
        replay::replace_rows(&self.host.store, &claimed, plugin.digest(), &rows, stale)?;
        crash::point("stream.replaced");
        self.host.store.seal(name, live.number, self.host.store.digest(&live)?)?;
        Ok(StreamReport {
            projection_name: name.to_owned(),
            stream: stream.to_owned(),
            generation: live.number,
            events,
            rows: rows.values().filter(|document| document.is_some()).count() as u64,
            removed,
            position: through,
        })
    }

    /// Rows of the stream that the plugins which built the generation left, and `plugin` does not touch.
    fn stale_rows(
        &self,
        record: &RebuildRecord,
        source: &dyn Source,
        stream: &str,
        plugin: &Plugin,
        rows: &Changes,
    ) -> Result<BTreeSet<(usize, Bytes)>, RebuildError> {
        if record.ranges.iter().all(|range| range.plugin_digest == plugin.digest()) {
            return Ok(BTreeSet::new());
        }
        let part = |range: &BuiltRange| Ok((self.host.plugin(&range.plugin_digest)?, range.through));
        let parts: Vec<_> = record.ranges.iter().map(part).collect::<Result<_, RebuildError>>()?;
        let mut theirs = Replayed::default();
        // Where they failed, they left what they had touched until there.
        if let Err(e) = replay::replay_stream(source, stream, record.spec.after, &parts, &mut theirs) {
            tracing::debug!(stream, "the plugins before did not get through it either: {e}");
        }
        Ok(theirs.rows.into_keys().filter(|row| !rows.contains_key(row)).collect())
    }
}

/// A row that the stream looked for, that is there now, and that is none of its own.
fn foreign(
    now: &RowSnapshot,
    missed: BTreeSet<(usize, Bytes)>,
    scanned: &BTreeSet<(usize, String)>,
    own: impl Fn(&(usize, Bytes)) -> bool,
) -> Result<Option<(usize, Bytes)>, StoreError> {
    for row in missed.into_iter().filter(|row| !own(row)) {
        let key = std::str::from_utf8(&row.1).unwrap_or_default();
        if now.get(row.0, key)?.is_some() {
            return Ok(Some(row));
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
