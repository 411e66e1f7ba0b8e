//! The history of one row: every event that changed it, found by handling its history again.

mod changes;
mod past;
mod verdict;

pub use changes::{FieldChange, RowChange};

use super::{
    RebuildError, locate,
    same_history::{Accept, refuse_other_history},
    shadow::Shadow,
    supervisor::Supervisor,
};
use crate::{
    pipeline::Observed,
    source::{SomeStreams, Source},
    store::{Generation, Purpose, Segment},
    vocabulary::{Partitioning, Position},
};
use bytes::Bytes;
use changes::{Changes, Tell};
use past::{Past, Replayed};
use std::sync::{Arc, mpsc};

impl Supervisor {
    /// Tells every event that changed a row of `generation`, the oldest first, up to `to` (an event's id, a position or a time), or
    /// to where the generation stands: the plugins that built it handle the history again, each its part.
    ///
    /// # Errors
    /// When the history is another one than it was built from, an event of it cannot be handled, or `to` names no point of it. After
    /// the changes: where there are none, where the row that they lead to is not the one that is stored, and where dead letters are
    /// in the way.
    pub fn history(
        &self,
        generation: &Generation,
        table: usize,
        key: &str,
        to: Option<&str>,
        tell: &mut Tell<'_>,
    ) -> Result<(), RebuildError> {
        let store = &self.host.store;
        // What is compared in the end is taken in the beginning: a follower may go on meanwhile.
        let (stands, rows) = store.rows_at(generation)?;
        let stored = rows.get(table, key)?;
        drop(rows);
        let parked = store.parked_keys(generation)?;
        let past = self.past(generation, (table, key), to, stands)?;
        let mut heard = true;
        let mut tell = |change: RowChange| {
            heard = heard && tell(change);
            heard
        };
        // No other stream writes a row that one of these has written.
        let akin = past.by_stream.then(|| Arc::new(SomeStreams::akin_to(past.source.clone(), key)));
        let of_akin = akin.map(|akin| self.replay(&past, Some(akin), &mut tell)).transpose()?;
        let replayed = match of_akin.filter(|replayed| replayed.changes > 0) {
            Some(replayed) => replayed,
            None => self.replay(&past, None, &mut tell)?,
        };
        if !heard {
            return Ok(());
        }
        verdict::on(&past, &replayed, (stands == past.through).then_some(&stored), &parked)
    }

    fn past<'a>(
        &self,
        generation: &'a Generation,
        (table, key): (usize, &'a str),
        to: Option<&str>,
        stands: Position,
    ) -> Result<Past<'a>, RebuildError> {
        let name = &generation.projection;
        let record = self.host.store.rebuild(name, generation.number)?;
        let source = self.host.source(&record.spec.source)?;
        refuse_other_history(source.as_ref(), &record, &Accept::default())?;
        let through = match to {
            Some(to) => locate::end(source.as_ref(), &record.spec.source, to)?.min(stands),
            None => stands,
        };
        let (mut segments, mut by_stream) = (Vec::new(), true);
        for range in &record.ranges {
            let plugin = self.host.plugin(&range.plugin_digest)?;
            by_stream &= plugin.description().partitioning == Partitioning::Stream;
            segments.push(Segment { plugin_digest: range.plugin_digest.clone(), through: range.through });
        }
        let plugin = match record.last_plugin() {
            Some(digest) => self.host.plugin(digest)?,
            None => self.host.plugin(self.host.store.projection(name)?.digest())?,
        };
        Ok(Past { generation, table, key, record, source, segments, plugin, by_stream, through })
    }

    /// Handles the history again, or only these streams of it, and tells what changes the row.
    fn replay(
        &self,
        past: &Past<'_>,
        streams: Option<Arc<SomeStreams>>,
        tell: &mut Tell<'_>,
    ) -> Result<Replayed, RebuildError> {
        let (name, record) = (&past.generation.projection, &past.record);
        let (teller, told) = mpsc::channel();
        let source: Arc<dyn Source> = match &streams {
            Some(some) => some.clone(),
            None => past.source.clone(),
        };
        let shadow = Shadow {
            source,
            found_in: streams,
            source_name: record.spec.source.clone(),
            plugin: past.plugin.clone(),
            segments: past.segments.clone(),
            after: record.spec.after,
            to: past.through,
            chunk_size: record.spec.options.chunk_size,
            on_error: record.spec.options.on_error(),
            purpose: Purpose::Scratch,
            label: None,
            into: None,
            indexes: Vec::new(),
            touched: None,
            observed: Some(Observed::new((past.table, Bytes::copy_from_slice(past.key.as_bytes())), teller)),
        };
        let mut changes = Changes::new(past, told);
        let built = self.build_shadow_while(name, shadow, || changes.hand_on(tell));
        changes.hand_on(tell);
        let built = match built {
            // It was ended because nobody listens any more.
            Err(RebuildError::NotBuilt { failure: None, .. }) if !changes.are_heard() => None,
            built => Some(built?),
        };
        let (mut row, mut parked) = (None, Vec::new());
        if let Some(built) = built {
            let found = || -> Result<_, RebuildError> {
                let shadow = self.generation_of(&built)?;
                let row = self.host.store.rows(&shadow)?.get(past.table, past.key)?;
                Ok((row, self.host.store.parked_keys(&shadow)?))
            };
            (row, parked) = self.dropping(&built, found())?;
        }
        Ok(Replayed { changes: changes.count, streams: changes.streams, row, parked })
    }
}
