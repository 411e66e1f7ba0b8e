//! Whether what was counted is what was handled: a rebuild is complete only where the two are the same, counted again at the
//! end. Where a source does not count, nothing is claimed about that.

use super::{attempt::Attempt, commit_queue::Refused, halt::Halt, tally::Tally};
use crate::{
    source::SourceError,
    store::{RebuildRecord, Store, StoreError},
    vocabulary::{EventFailure, FailureKind, Seen},
};

/// Why what was read is not one history: at its beginning or its end there is another event than when it was begun.
fn other_end(attempt: &Attempt) -> Result<Option<Halt>, SourceError> {
    let record = &attempt.record;
    let begun = match &record.checkpoint.seen {
        Seen::Event(mark) => Some(mark),
        Seen::Nothing | Seen::Unknown => None,
    };
    for mark in begun.into_iter().chain(&attempt.end) {
        let Some(now) = attempt.source.at(mark.position)?.filter(|now| !mark.is(now)) else { continue };
        let (name, source) = (&record.checkpoint.projection_name, &record.spec.source);
        let message = format!(
            "at position {} of {source} stands event {} now, and event {} with another content when this was begun: it has become \
             another history while it was read",
            mark.position, now.id, mark.id
        );
        let remedy = format!("`unspool rebuild {name} --restart` builds from what is there");
        return Ok(Some(Halt::Failed(EventFailure::permanent(FailureKind::Source, message).with_remedy(remedy))));
    }
    Ok(None)
}

/// Adds up: how many events were counted and not there to be read, and how the attempt ends. `passed` events have been handled
/// or set aside.
pub(super) fn add_up(attempt: &Attempt, passed: u64) -> (u64, Halt) {
    let record = &attempt.record;
    let Some(tally) = &attempt.tally else { return (record.checkpoint.missing, Halt::EndOfRange) };
    let unread = record.total_events.map_or(record.checkpoint.missing, |total| total.saturating_sub(passed));
    match other_end(attempt) {
        Ok(None) => {}
        Ok(Some(halt)) => return (unread, halt),
        Err(e) => return (unread, e.into()),
    }
    let now = match count_again(attempt, tally, passed) {
        Ok(now) => now,
        Err(e) => return (unread, e.into()),
    };
    let (Some(_), Some(now)) = (record.total_events, now) else { return (unread, not_counted(attempt, passed)) };
    let (name, source) = (&record.checkpoint.projection_name, &record.spec.source);
    let failed = |message: String, remedy: String| {
        Halt::Failed(EventFailure::permanent(FailureKind::Source, message).with_remedy(remedy))
    };
    if now > passed {
        let message = format!(
            "{passed} events were handled, and {source} has {now} in their range now: {} of them came in below positions that \
             were stable",
            now - passed
        );
        return (unread, failed(message, format!("`unspool rebuild {name} --restart` builds from what is there")));
    }
    let gone = passed - now;
    let missing = unread + gone;
    if missing <= tally.accepted {
        return (unread, Halt::EndOfRange);
    }
    let message = format!(
        "{missing} events are missing from {source}: {} were counted, {unread} of these were not there any more when they were \
         to be read, and {gone} were deleted after they had been handled",
        passed + unread
    );
    let again = if attempt.follows { "follow" } else { "resume" };
    let remedy = format!(
        "`unspool rebuild {name} --restart` builds from what is there now; `unspool {again} {name} --accept-missing {missing}` \
         takes the rows as they are"
    );
    (unread, failed(message, remedy))
}

/// How many events there are now of what the generation is made of; `None` where the source does not count.
fn count_again(attempt: &Attempt, tally: &Tally, passed: u64) -> Result<Option<u64>, SourceError> {
    if tally.parts.is_empty() {
        return Ok(Some(passed));
    }
    let mut now = 0;
    for part in &tally.parts {
        match attempt.source.count(&part.matcher, part.after, part.through)? {
            Some(count) => now += count,
            None => return Ok(None),
        }
    }
    Ok(Some(now))
}

/// How an attempt ends whose events nobody has counted: at its target. Only now it is known whether there were any.
fn not_counted(attempt: &Attempt, passed: u64) -> Halt {
    if passed > 0 {
        return Halt::EndOfRange;
    }
    match refuse_empty(&attempt.store, &attempt.record) {
        Ok(()) => Halt::EndOfRange,
        Err(EventFailure { kind: FailureKind::Store, message, transient, .. }) => Refused { message, transient }.into(),
        Err(failure) => Halt::Failed(failure),
    }
}

/// The live generation is not replaced by one that was built from nothing, unless that is requested.
///
/// # Errors
/// A failure of the source in that case; of the store where it cannot be read.
pub fn refuse_empty(store: &Store, record: &RebuildRecord) -> Result<(), EventFailure> {
    if !record.spec.options.promotes() || record.spec.options.allow_empty {
        return Ok(());
    }
    let name = &record.checkpoint.projection_name;
    match store.refuse_empty(name, record.generation) {
        Ok(()) => Ok(()),
        Err(StoreError::Refused(message)) => {
            let remedy = format!(
                "see why it has none; where that is right, `unspool rebuild {name} --allow-empty` goes on and replaces the \
                 live generation with an empty one"
            );
            Err(EventFailure::permanent(FailureKind::Source, message).with_remedy(remedy))
        }
        Err(e) => {
            let transient = e.is_transient();
            Err(EventFailure { transient, ..EventFailure::permanent(FailureKind::Store, e.to_string()) })
        }
    }
}
