//! Checking all that a data directory keeps.

use super::{ControlError, Host};
use crate::{source::log::EventLog, store::CheckReport};

impl Host {
    /// Reads the store, the log and the indexes of event files, and reports what does not fit together.
    ///
    /// # Errors
    /// When one of them cannot be read, and nothing says why.
    pub(super) fn check(&self) -> Result<CheckReport, ControlError> {
        let mut report = self.store().check()?;
        match self.log() {
            Err(e) => report.problems.push(e.message),
            Ok(log) => {
                report.problems.extend(log.check()?);
                self.check_histories(log, &mut report);
            }
        }
        report.problems.extend(self.files().check()?);
        Ok(report)
    }

    /// What was built from the log was built from this one.
    fn check_histories(&self, log: &EventLog, report: &mut CheckReport) {
        // Where they cannot be read, the report says so already.
        for record in
            self.store().all_rebuilds().unwrap_or_default().iter().filter(|record| record.spec.source == "log")
        {
            let id = format!("{}: ", record.checkpoint_id());
            // A checkpoint that is wrong in itself is no reason to suspect the log.
            if report.problems.iter().any(|problem| problem.starts_with(&id)) {
                continue;
            }
            match crate::rebuild::departure(log, record) {
                Ok(None) => {}
                Ok(Some(why)) => report.problems.push(format!("{id}{why}")),
                Err(e) => report.problems.push(format!("{id}the log does not tell whether it was built from it: {e}")),
            }
        }
    }
}
