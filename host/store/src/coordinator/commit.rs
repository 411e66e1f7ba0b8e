//! The one function that moves checkpoints.

use crate::{
    Store,
    catalog::{
        RebuildRecord,
        dead_letters::{change_parked, parked_after},
        promotion::{promote_in, switch_in},
        tables::{REBUILDS, put_record},
    },
    commit::{Commit, apply_to, fenced_record},
    error::StoreError,
};
use redb::{Durability, ReadableDatabase, WriteTransaction};
use unspool_disk::DiskError;
use unspool_vocabulary::crash;

impl Store {
    /// Makes the work of any number of rebuilds durable: rows, checkpoints, and the promotion of those that complete, in
    /// one transaction. When it returns an error, nothing of it was kept, and the attempts it belongs to must start
    /// again from what the store holds.
    ///
    /// Of a rebuild whose rows live in a database, that database has its own transaction first, with rows, checkpoint and
    /// promotion, and the store follows. After an error it may be that the database alone has the commit: whoever claims the
    /// generation next has it then.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where another attempt has taken over; [`StoreError::Disk`] where the disk refuses;
    /// [`StoreError::Postgres`] where a database does, or cannot be reached.
    pub fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let (mut switched, mut written) = (None, Vec::new());
        for commit in commits {
            self.commit_outside(commit)?;
        }
        crash::point("commit.before");
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(|e| DiskError::Write(e.to_string()))?;
        for commit in commits {
            let record = fenced_record(&write.open_table(REBUILDS)?, commit)?;
            if record.external.is_none() {
                written.push(self.embedded.write(&write, &record, commit)?);
            }
            if advance(&write, record, commit)? {
                switched = Some(commit.checkpoint.projection_name.as_str());
            }
        }
        crash::point("commit.written");
        write.commit()?;
        written.into_iter().for_each(|written| self.embedded.committed(written));
        crash::point("commit.after");
        if let Some(projection) = switched
            && let Err(e) = self.finish_switch(projection)
        {
            tracing::error!(projection, "readers are not switched yet: {e}");
        }
        Ok(())
    }

    /// Commits to the database in which the rows live, where they do.
    fn commit_outside(&self, commit: &Commit) -> Result<(), StoreError> {
        let read = self.db.begin_read()?;
        let record = fenced_record(&read.open_table(REBUILDS)?, commit)?;
        let Some(external) = &record.external else { return Ok(()) };
        let mut after = record.clone();
        after.parked = parked_after(&read, commit, record.parked)?;
        drop(read);
        apply_to(&mut after, commit);
        let promote = after.is_ready() && !record.is_ready() && after.spec.options.promotes();
        self.databases.open(&external.into)?.commit(&record, external, commit, promote)
    }
}

/// Takes over what `commit` did, all but the rows. Says whether [`Store::finish_switch`] is to switch readers.
pub(super) fn advance(
    write: &WriteTransaction,
    mut record: RebuildRecord,
    commit: &Commit,
) -> Result<bool, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let was_ready = record.is_ready();
    if let Some(external) = &mut record.external {
        external.commits += 1;
    }
    record.parked = change_parked(write, commit, record.parked)?;
    apply_to(&mut record, commit);
    put_record(write, &record)?;
    // Once: whoever switches readers elsewhere afterwards means it.
    if !(record.is_ready() && !was_ready && record.spec.options.promotes()) {
        return Ok(false);
    }
    match record.external {
        // Their database has switched them with the same commit.
        Some(_) => promote_in(write, projection, commit.generation).map(|()| false),
        None => switch_in(write, projection, commit.generation),
    }
}
