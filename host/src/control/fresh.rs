//! Reading what one has written: until the live generation has the history up to a given event.

use super::{ControlError, ErrorKind, Fresh, Host};
use crate::{limits, source::Lookup, vocabulary::Position};
use std::time::{Duration, Instant};

impl Host {
    /// Returns when the generation has what `fresh` asks for: up to which position.
    ///
    /// # Errors
    /// Where it does not have it in time, with how far it is; where no event has that id.
    pub(super) fn wait_for_events(
        &self,
        name: &str,
        generation: Option<&str>,
        fresh: &Fresh,
    ) -> Result<Option<Position>, ControlError> {
        let Some(wanted) = self.wanted(name, generation, fresh)? else { return Ok(None) };
        let until = Instant::now() + Duration::from_millis(fresh.wait_ms);
        loop {
            let generation = self.generation(name, generation)?;
            let position = self.store().rebuild(name, generation.number)?.checkpoint.position;
            if position >= wanted {
                return Ok(Some(wanted));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_closing() {
                return Err(not_yet(name, generation.number, position, wanted));
            }
            std::thread::sleep(left.min(limits::FRESH_POLL));
        }
    }

    /// The position that is asked for; `None` where none is.
    fn wanted(&self, name: &str, generation: Option<&str>, fresh: &Fresh) -> Result<Option<Position>, ControlError> {
        let Some(id) = &fresh.at_least_event else { return Ok(fresh.at_least) };
        let number = self.generation(name, generation)?.number;
        let source = self.store().rebuild(name, number)?.spec.source;
        match self.sources().open(&source)?.locate(id)? {
            Lookup::Found(located) => Ok(Some(located.position)),
            Lookup::NotThere => Err(ControlError::not_possible(format!(
                "{source}, from which {name} is built, has no event with the id {id}"
            ))),
            Lookup::CannotLook => Err(ControlError::refused(format!(
                "{source} does not find events by their id; name the position with --at-least"
            ))),
        }
    }
}

/// Refuses rows that lack what was asked for: another generation may have been promoted since that was waited for.
pub(super) fn refuse_stale(
    name: &str,
    generation: u64,
    position: Position,
    wanted: Option<Position>,
) -> Result<(), ControlError> {
    match wanted.filter(|wanted| position < *wanted) {
        Some(wanted) => Err(not_yet(name, generation, position, wanted)),
        None => Ok(()),
    }
}

fn not_yet(name: &str, generation: u64, position: Position, wanted: Position) -> ControlError {
    ControlError::new(
        ErrorKind::Busy,
        format!(
            "{name}/{generation} has its history up to position {position}, and not up to {wanted} yet: wait for it with --wait, or see \
             whether it is followed (unspool status {name})"
        ),
    )
}
