//! Checking all that a data directory keeps.

use super::{ControlError, Host};
use crate::{source::Source, store::CheckReport};

impl Host {
    /// Reads the store, the log and the indexes of event files, and says what does not fit together.
    ///
    /// # Errors
    /// When one of them cannot be read, and nothing says why.
    pub(super) fn check(&self) -> Result<CheckReport, ControlError> {
        let mut report = self.store().check()?;
        match self.log() {
            Err(e) => report.problems.push(e.message),
            Ok(log) => {
                report.problems.extend(log.check()?);
                self.check_histories(log.identity(), &mut report);
            }
        }
        report.problems.extend(self.files().check()?);
        Ok(report)
    }

    /// What was built from the log was built from this one.
    fn check_histories(&self, log: &str, report: &mut CheckReport) {
        // Where they cannot be read, the report says so already.
        for record in self.store().all_rebuilds().unwrap_or_default() {
            if record.spec.source == "log" && record.spec.source_identity != log {
                let id = record.checkpoint_id();
                report.problems.push(format!("{id}: it was built from another log than the one that is there now"));
            }
        }
    }
}
