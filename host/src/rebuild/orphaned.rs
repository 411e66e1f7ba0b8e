//! What a crashed host has left: what becomes of it, as pure functions, so that whoever only reads sees what the next host
//! will make of it.

use crate::{
    limits,
    store::{Purpose, RebuildRecord},
    vocabulary::{EventFailure, FailureKind, Status},
};

/// The state of a record that no host works on.
pub(super) fn as_left(mut record: RebuildRecord) -> RebuildRecord {
    if record.status() != Status::Running {
        return record;
    }
    // When its host ended, nobody knows; it lived at its last commit.
    record.interrupt(record.checkpoint.checkpointed_at);
    if let Some(failure) = crash_loop(&record) {
        record.interrupted = false;
        (record.checkpoint.status, record.checkpoint.error) = (Status::Failed, Some(failure));
    }
    record
}

/// Whether a generation was a shadow build under way when its host ended: nobody waits for it any more.
pub(super) fn is_orphan(record: &RebuildRecord) -> bool {
    match record.spec.purpose {
        Purpose::Rebuild => false,
        Purpose::Scratch => true,
        Purpose::AsOf => record.status() != Status::Completed,
    }
}

/// Why an interrupted rebuild, or a generation that is followed, does not go on by itself, where it puts hosts into a crash loop.
pub(super) fn crash_loop(interrupted: &RebuildRecord) -> Option<EventFailure> {
    let (most, meanwhile, then) = match &interrupted.following {
        None => (limits::CRASHES, "in the middle of this rebuild", "resume".to_owned()),
        Some(_) => (
            limits::CRASHES_FOLLOWING,
            "while it brought this generation up to date",
            format!("unspool follow {}", interrupted.checkpoint.projection_name),
        ),
    };
    let loops = interrupted.crashes >= most && interrupted.spec.purpose == Purpose::Rebuild;
    loops.then(|| {
        EventFailure::permanent(
            FailureKind::Other,
            format!(
                "the host has ended {} times in a row {meanwhile}, at position {}: see what ends it (memory, a signal, the machine), \
                 then {then}",
                interrupted.crashes, interrupted.checkpoint.position
            ),
        )
    })
}
