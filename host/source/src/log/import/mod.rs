//! Filling the log from event files: parsed on one thread, looked up and stored on another.
//!
//! Events go through in rounds. A round's ids are looked up in the order of the index, which touches each of its pages
//! once; what the log has already is left out; the rest gets positions and goes into blocks in the order of the file.
//! All rounds of a file are one transaction: it is in the log as a whole or not at all.

mod handover;
mod judge;
mod kinds;
mod parse;
mod queue;
mod report;
mod rounds;
mod store;
mod verdict;

pub use report::{ImportProgress, ImportSummary};

use super::{EventLog, damage};
use crate::{SourceError, event_file::EventFile};
use kinds::Kinds;
use queue::Queue;
use rounds::Rounds;
use unspool_vocabulary::{crash, limits};

impl EventLog {
    /// Adds the events of `file` that the log does not have. `progress` gets how far it is.
    ///
    /// # Errors
    /// Names the file, the position in it and the reason, where an event is not acceptable: then nothing is added. Where what
    /// was set aside cannot be kept, names the file for that.
    pub fn import(
        &self,
        file: &mut EventFile,
        progress: &mut dyn FnMut(&ImportProgress),
    ) -> Result<ImportSummary, SourceError> {
        let write = self.db.begin_write().map_err(damage)?;
        let mut summary = ImportSummary::default();
        let mut kinds = Kinds::load(&write)?;
        let (name, bytes_total) = (file.name().to_owned(), file.bytes_total());
        let aside = file.aside();
        let mut rounds = Rounds::start(self, &write, &name, aside.clone())?;
        let queue = Queue::new(limits::IMPORT_ROUND_BYTES);
        std::thread::scope(|scope| {
            let (sender, receiver) = queue.ends();
            let parser = scope.spawn(|| parse::parse(file, &mut kinds, sender));
            let stored = store::store(receiver, &mut rounds, &mut summary, &mut |bytes_read, events| {
                progress(&ImportProgress { bytes_read, bytes_total, events });
            });
            let parsed =
                parser.join().map_err(|_| SourceError::permanent(format!("{name}: the parser ended by a panic")))?;
            // What is wrong with the file comes first: it may be why storing found nothing more.
            parsed.map_err(SourceError::from).and(stored)
        })?;
        rounds.finish()?;
        kinds.save(&write)?;
        if let Some(aside) = &aside {
            aside.sync()?;
            summary.skipped = Some(aside.count());
        }
        summary.read = summary.added + summary.duplicates + summary.skipped.unwrap_or(0);
        crash::point("import.before-commit");
        write.commit().map_err(damage)?;
        crash::point("import.after-commit");
        // Not before: whoever finds the file may count on all else being in the log. Importing again makes it again.
        if let Some(aside) = &aside {
            aside.publish()?;
            crash::point("import.aside-published");
        }
        Ok(summary)
    }
}
