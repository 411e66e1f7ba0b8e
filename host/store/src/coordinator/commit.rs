//! The one function that moves checkpoints.

use crate::{
    Store,
    catalog::{
        RebuildRecord,
        activity::note_amended,
        change_log::note_rows,
        dead_letters::{change_parked, parked_after},
        promotion::{promote_in, promotes_now, switch_in},
        tables::{REBUILDS, owner_in, put_record, record_in},
    },
    commit::{Commit, apply_to, fenced_record},
    error::StoreError,
};
use redb::{Durability, ReadableDatabase, WriteTransaction};
use unspool_disk::DiskError;
use unspool_vocabulary::{Status, act, crash};

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
        let outside = commits.iter().map(|commit| self.commit_outside(commit)).collect::<Result<Vec<_>, _>>()?;
        crash::point("commit.before");
        let mut write = self.db.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(|e| DiskError::Write(e.to_string()))?;
        for (commit, promoted) in commits.iter().zip(outside) {
            let record = fenced_record(&write.open_table(REBUILDS)?, commit)?;
            if record.external.is_none() {
                written.push(self.embedded.write(&write, &record, commit)?);
            }
            if advance(&write, record, commit, promoted)? {
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

    /// Commits to the database in which the rows live, where they do. Whether it has promoted the generation with that.
    fn commit_outside(&self, commit: &Commit) -> Result<Option<bool>, StoreError> {
        let read = self.db.begin_read()?;
        let record = fenced_record(&read.open_table(REBUILDS)?, commit)?;
        let Some(external) = &record.external else { return Ok(None) };
        let mut after = record.clone();
        after.parked = parked_after(&read, commit, record.parked)?;
        drop(read);
        apply_to(&mut after, commit);
        let live = self.live_rebuild(&commit.checkpoint.projection_name)?;
        let promote = promotes_now(record.is_ready(), &after, live.as_ref());
        self.databases.open(&external.into)?.commit(&record, external, commit, promote)?;
        Ok(Some(promote))
    }
}

/// Takes over what `commit` did, all but the rows. `promoted`: whether the database that has the rows
/// has promoted the generation with them. Says whether [`Store::finish_switch`] is to switch readers.
pub(super) fn advance(
    write: &WriteTransaction,
    mut record: RebuildRecord,
    commit: &Commit,
    promoted: Option<bool>,
) -> Result<bool, StoreError> {
    let projection = commit.checkpoint.projection_name.as_str();
    let was_ready = record.is_ready();
    let amends = !commit.follows && record.status() == Status::Completed && commit.unparked.is_empty();
    if let Some(external) = &mut record.external {
        external.commits += 1;
    }
    record.parked = change_parked(write, commit, record.parked)?;
    apply_to(&mut record, commit);
    act::on_behalf_of(commit.by.clone(), || {
        put_record(write, &record)?;
        match amends && !commit.rows.is_empty() {
            true => note_amended(write, &record, commit.rows.len()),
            false => Ok(()),
        }
    })?;
    note_rows(write, &record, &commit.rows)?;
    match promoted {
        Some(true) => promote_in(write, projection, commit.generation).map(|()| false),
        Some(false) => Ok(false),
        None => {
            let live = owner_in(write, projection)?.live.map(|live| record_in(write, projection, live)).transpose()?;
            match promotes_now(was_ready, &record, live.as_ref()) {
                true => switch_in(write, projection, commit.generation),
                false => Ok(false),
            }
        }
    }
}
