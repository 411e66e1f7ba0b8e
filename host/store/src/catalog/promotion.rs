//! Which generation is live. A switch is one transaction here; where a database has the rows of either generation, it
//! switches its own readers, and this only notes that it is to (see `coordinator/switch.rs`).

use super::{
    change_log::note_promotion,
    records::{Following, RebuildRecord},
    tables::{owner_in, put_owner, put_record, rebuilds_in, record_in},
};
use crate::error::StoreError;
use redb::WriteTransaction;
use unspool_vocabulary::{Position, crash};

/// What may be promoted all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allow {
    /// A generation that has dead letters.
    pub parked: bool,
    /// A generation that was built from no event, to replace one that was built from some.
    pub empty: bool,
}

pub(crate) fn refuse_empty_in(write: &WriteTransaction, record: &RebuildRecord) -> Result<(), StoreError> {
    let projection = &record.checkpoint.projection_name;
    let live = owner_in(write, projection)?.live.map(|live| record_in(write, projection, live)).transpose()?;
    refuse_empty(record, live)
}

pub(crate) fn refuse_empty(record: &RebuildRecord, live: Option<RebuildRecord>) -> Result<(), StoreError> {
    match live.filter(|live| record.passed() == 0 && live.passed() > 0 && live.generation != record.generation) {
        None => Ok(()),
        Some(live) => Err(StoreError::Refused(format!(
            "{} was built from no event: {} has none of its types in its range; the live generation, {}, was built from {}, and is \
             not replaced by empty tables unless --allow-empty says that this is meant",
            record.checkpoint_id(),
            record.spec.source,
            live.checkpoint_id(),
            live.passed()
        ))),
    }
}

pub(crate) fn not_complete(record: &RebuildRecord) -> StoreError {
    StoreError::Refused(format!(
        "{} is {}, not completed; only complete generations are promoted",
        record.checkpoint_id(),
        record.status()
    ))
}

/// Switches readers of `projection` to `generation`; the one before stays for rollback. Following goes on with the live one.
pub(crate) fn promote_in(write: &WriteTransaction, projection: &str, generation: u64) -> Result<(), StoreError> {
    let mut owner = owner_in(write, projection)?;
    if owner.live != Some(generation) {
        owner.previous = owner.live.replace(generation);
        put_owner(write, &owner)?;
        let mut live = record_in(write, projection, generation)?;
        live.promoted = true;
        put_record(write, &live)?;
        let previous = owner.previous.map(|previous| record_in(write, projection, previous)).transpose()?;
        note_promotion(write, &live, previous.as_ref())?;
        if let Some(previous) = previous {
            hand_over_following(write, previous, projection, generation)?;
        }
        // What is neither live any more nor kept for rollback is not kept up to date either.
        for mut other in rebuilds_in(write, projection)? {
            let kept = [owner.live, owner.previous].contains(&Some(other.generation));
            if !kept && other.unfollow().is_some() {
                put_record(write, &other)?;
            }
        }
        crash::point("promote.written");
    }
    Ok(())
}

/// Lets the generation that is live from now on be followed, where `previous` was.
fn hand_over_following(
    write: &WriteTransaction,
    mut previous: RebuildRecord,
    projection: &str,
    generation: u64,
) -> Result<(), StoreError> {
    let Some(following) = previous.unfollow() else { return Ok(()) };
    put_record(write, &previous)?;
    let mut live = record_in(write, projection, generation)?;
    // What was built up to an event on purpose does not go on from there.
    if live.following.is_none() && !following.once && live.spec.to.is_none() {
        let plugin = live.last_plugin().unwrap_or(&following.plugin_digest).to_owned();
        live.following = Some(Following::with(&plugin, following.since));
        put_record(write, &live)?;
    }
    Ok(())
}

/// Whether a commit that leaves `after` as it is promotes it. Once, for it was live before where it has been promoted; and never to a
/// position at which readers would be taken back.
pub(crate) fn promotes_now(was_ready: bool, after: &RebuildRecord, live: Option<&RebuildRecord>) -> bool {
    let ready = after.is_ready() && !was_ready && !after.promoted;
    ready && after.spec.options.promotes() && behind_live(after, live).is_none()
}

/// Where the live generation stands after `record`, over the same history: readers would be taken back in time. That position. While
/// nothing is followed they are, where that is asked for: by a rebuild that ends earlier on purpose, or of a history that has lost events.
pub(crate) fn behind_live(record: &RebuildRecord, live: Option<&RebuildRecord>) -> Option<Position> {
    let meant = record.spec.to.is_some() || record.spec.options.accept_missing.is_some();
    let live = live.filter(|live| live.generation != record.generation && (live.following.is_some() || !meant))?;
    let same = live.spec.source_identity == record.spec.source_identity;
    (same && live.checkpoint.position > record.checkpoint.position).then_some(live.checkpoint.position)
}

/// Switches readers of `projection` to `generation` where the store alone decides that; where a database takes part, records
/// that it is to take part, and says so: `Store::finish_switch` follows.
pub(crate) fn switch_in(write: &WriteTransaction, projection: &str, generation: u64) -> Result<bool, StoreError> {
    let mut owner = owner_in(write, projection)?;
    let mut outside = false;
    for number in [Some(generation), owner.live].into_iter().flatten() {
        outside |= record_in(write, projection, number)?.external.is_some();
    }
    if !outside {
        return promote_in(write, projection, generation).map(|()| false);
    }
    owner.switching = Some(generation);
    put_owner(write, &owner)?;
    Ok(true)
}
