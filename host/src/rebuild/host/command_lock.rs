//! The command lock: one command about a projection at a time.

use super::Host;
use crate::{limits, rebuild::RebuildError, vocabulary::act};

/// The command lock of a projection, held until it is dropped.
pub(in crate::rebuild) struct CommandLock<'a> {
    host: &'a Host,
    name: String,
}

impl Drop for CommandLock<'_> {
    fn drop(&mut self) {
        self.host.change(|work| work.in_hand.remove(&self.name));
    }
}

impl Host {
    /// Takes the command lock of the projection `name`. A command that waits for something far away holds up
    /// no other projection, and others about this one not for long.
    ///
    /// # Errors
    /// [`RebuildError::Busy`] where another command does not finish within [`limits::COMMAND_WAIT`],
    /// [`RebuildError::UnderWay`] where a long one does not within [`limits::LONG_COMMAND_WAIT`].
    pub(in crate::rebuild) fn command(&self, name: &str) -> Result<CommandLock<'_>, RebuildError> {
        self.turn(name, None)
    }

    /// As [`Host::command`], for a long one: others about the projection soon fail with `what` it is.
    ///
    /// # Errors
    /// As [`Host::command`].
    pub(in crate::rebuild) fn long_command(
        &self,
        name: &str,
        what: &'static str,
    ) -> Result<CommandLock<'_>, RebuildError> {
        self.turn(name, Some(what))
    }

    fn turn(&self, name: &str, what: Option<&'static str>) -> Result<CommandLock<'_>, RebuildError> {
        drop(self.wait_while(limits::LONG_COMMAND_WAIT, |work| work.in_hand.contains_key(name)));
        let mut work = self.wait_while(limits::COMMAND_WAIT, |work| work.in_hand.get(name) == Some(&None));
        match work.in_hand.get(name) {
            None => drop(work.in_hand.insert(name.to_owned(), what)),
            Some(None) => return Err(RebuildError::Busy(name.to_owned())),
            Some(Some(what)) => return Err(RebuildError::UnderWay { name: name.to_owned(), what }),
        }
        drop(work);
        let lock = CommandLock { host: self, name: name.to_owned() };
        match act::take_expected() {
            Some(expected) if self.store.newest_change(name)? != expected => {
                Err(RebuildError::Changed(name.to_owned()))
            }
            _ => Ok(lock),
        }
    }
}
