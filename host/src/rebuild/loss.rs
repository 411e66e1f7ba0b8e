//! Whether readers would lose rows by a rebuild that is asked for.

use super::{RebuildError, prepared::Prepared, supervisor::Supervisor};
use crate::{
    source::Source,
    store::{AttemptStart, RebuildRecord},
    vocabulary::Matcher,
};

impl Supervisor {
    /// The live generation is not replaced by one that is built from nothing, or from less of the same history, unless that
    /// is requested.
    pub(super) fn refuse_loss(&self, prepared: &Prepared, start: &AttemptStart) -> Result<(), RebuildError> {
        let name = &prepared.name;
        let live = self.host.store.live_rebuild(name)?.filter(|live| live.passed() > 0 && start.options.promotes());
        let Some(live) = live else { return Ok(()) };
        if let Some(to) = prepared.to.filter(|to| *to < live.checkpoint.position)
            && live.is_followed()
            && live.spec.source_identity == prepared.source.identity()
        {
            return Err(RebuildError::NotPossible(format!(
                "readers of {name} see {}, which is followed and has come to {}: a rebuild that ends at {to} would take them back; \
                 leave out --to, add --no-promote, or stop following it first (unspool unfollow {name})",
                live.checkpoint_id(),
                live.checkpoint.position
            )));
        }
        if start.total_events == Some(0) {
            return match start.options.allow_empty {
                true => Ok(()),
                false => Err(RebuildError::NotPossible(format!(
                    "{} has no event of the types that {name} handles ({}) in this range: readers would see no rows instead of {}, \
                     which was built from {} events of {}; add --allow-empty where that is meant, or --no-promote",
                    prepared.source_name,
                    prepared.owner.description.event_types.join(", "),
                    live.checkpoint_id(),
                    live.passed(),
                    live.spec.source
                ))),
            };
        }
        let gone = match prepared.source_was {
            Some(_) => 0,
            None => self.gone(&live, prepared.source.as_ref())?,
        };
        if gone <= start.options.accept_missing() {
            return Ok(());
        }
        Err(RebuildError::NotPossible(format!(
            "{gone} of the {} events that the live generation, {}, was built from are not in {} any more: the new rows would lack what \
             they made; add --accept-missing {gone} where that is meant, or --no-promote",
            live.passed(),
            live.checkpoint_id(),
            prepared.source_name
        )))
    }

    /// How many of the events that `live` was built from `source` does not have any more, as far as its plugins are
    /// known and the source counts.
    fn gone(&self, live: &RebuildRecord, source: &dyn Source) -> Result<u64, RebuildError> {
        let mut there = 0;
        for range in &live.ranges {
            let Ok(plugin) = self.host.plugin(&range.plugin_digest) else { return Ok(0) };
            let matcher = Matcher::new(&plugin.description().event_types);
            let Some(count) = source.count(&matcher, range.after, range.through)? else { return Ok(0) };
            there += count;
        }
        Ok(live.passed().saturating_sub(there))
    }
}
