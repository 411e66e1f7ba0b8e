//! Backup, check and compaction of the store.

use super::{
    LAYOUT, Store,
    catalog::{
        ProjectionRecord, RebuildRecord,
        activity::{ACTIVITY, ACTIVITY_CHANGES, ACTIVITY_EXTENT},
        alerts::{ALERTS, EXTENT, FIRING, ROUTES},
        change_log::{CHANGE_LOGS, CHANGES},
        dead_letters::{parked_table, parked_table_name},
        generations::is_unused,
        tables::{COMPONENTS, PROJECTIONS, REBUILDS, decode},
    },
    data_dir::DataDir,
    embedded::{
        journal::{is_journal, journal_table, journal_table_name},
        packed::DICTIONARIES,
        tables::{row_table, row_table_name},
    },
    error::StoreError,
    rows::{Generation, RowSnapshot, digest},
};
use redb::{
    Key, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle, Value,
    WriteTransaction,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeSet, fs, os::unix::fs::OpenOptionsExt, path::Path};
use unspool_disk::{self as disk, Checked, DiskError};
use unspool_vocabulary::{Scan, Status, check_document, crash, work};

/// What a check has looked at, and what it found.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Generations whose records were checked.
    pub generations: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Dead letters that were read.
    pub parked: u64,
    /// The directory of which this one is a copy, or from which it was moved; absent where it is where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// What does not fit, in words; empty where everything does.
    pub problems: Vec<String>,
}

impl Store {
    /// Writes a consistent copy of the store to `file`, as of now; the store goes on meanwhile.
    ///
    /// # Errors
    /// When `file` exists or cannot be written, or the store cannot be read.
    pub fn backup(&self, file: &Path) -> Result<u64, StoreError> {
        let io_error = |source| DiskError::Io { path: file.to_owned(), source };
        if file.exists() {
            return Err(StoreError::Refused(format!("{} exists; a backup overwrites nothing", file.display())));
        }
        let read = self.db.begin_read()?;
        let mut draft = file.to_owned().into_os_string();
        draft.push(".draft");
        let draft = std::path::PathBuf::from(draft);
        if draft.exists() {
            fs::remove_file(&draft).map_err(io_error)?;
        }
        // As private as the data directory.
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(io_error)?;
        let copied = copy_to(&read, &draft).and_then(|()| {
            crash::point("backup.draft");
            Ok(fs::rename(&draft, file).map_err(io_error)?)
        });
        if let Err(e) = copied {
            drop(fs::remove_file(&draft));
            return Err(e);
        }
        Ok(fs::metadata(file).map_err(io_error)?.len())
    }

    /// Reads every page, and checks that what is stored fits together: checkpoints, receipts, generations, rows.
    ///
    /// # Errors
    /// When the store cannot be read, and no page says why. What does not fit is not an error but part of the report.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport { copy_of: self.original(), ..CheckReport::default() };
        report.problems = self.db.check_pages()?;
        match self.check_contents(&mut report) {
            Err(e) if !report.problems.is_empty() => {
                report.problems.push(format!("the store: not all of it was read: {e}"));
            }
            checked => checked?,
        }
        Ok(report)
    }

    fn check_contents(&self, report: &mut CheckReport) -> Result<(), StoreError> {
        // Of rows that are in the store each copy has its own.
        if let Some(original) = &report.copy_of
            && self.projections()?.iter().any(|projection| projection.owner.is_some())
        {
            report.problems.push(super::location::copy_of(original));
        }
        if let Some(problem) = self.check_activity()?.problem {
            report.problems.push(format!("the record of activity: {problem}"));
        }
        let read = self.db.begin_read()?;
        let mut expected: BTreeSet<String> =
            ["meta", "components", "projections", "rebuilds", "dictionaries", "changes", "change_logs"]
                .map(str::to_owned)
                .into();
        expected.extend([ACTIVITY.name(), ACTIVITY_CHANGES.name(), ACTIVITY_EXTENT.name()].map(str::to_owned));
        expected.extend([ALERTS.name(), FIRING.name(), ROUTES.name(), EXTENT.name()].map(str::to_owned));
        // All from one transaction: the store goes on meanwhile.
        for projection in read.open_table(PROJECTIONS)?.iter()? {
            let (name, record) = projection?;
            check_projection(&read, &decode(name.value(), record.value())?, report)?;
        }
        for record in read.open_table(REBUILDS)?.iter()? {
            let (key, record) = record?;
            let record: RebuildRecord = decode(key.value().0, record.value())?;
            let (name, generation) = (&record.checkpoint.projection_name, record.generation);
            expected.insert(parked_table_name(name, generation));
            expected.insert(journal_table_name(name, generation));
            expected.extend(record.tables.iter().map(|table| row_table_name(name, generation, table)));
            let id = record.checkpoint_id();
            if self.needs_no_rows(&record)? {
                report.generations += 1;
                continue;
            }
            match self.rows_to_check(&read, &record) {
                Ok((generation, rows)) => match check_generation(&read, &record, &generation, &rows, report) {
                    Err(e @ StoreError::Postgres { .. }) => report.problems.push(format!("{id}: {e}")),
                    checked => checked?,
                },
                Err(e) => report.problems.push(format!("{id}: its rows cannot be read: {e}")),
            }
        }
        for projection in self.projections()? {
            // A database that cannot be reached shows above, in rows that cannot be read.
            report.problems.extend(self.misfits(&projection.description.name).unwrap_or_default());
        }
        for table in read.list_tables()? {
            if !expected.contains(table.name()) {
                report.problems.push(format!("table {} belongs to no generation", table.name()));
            }
        }
        Ok(())
    }

    /// Whether a generation has no rows in its database, and needs none: the first attempt that builds it makes their tables, and the
    /// next rebuild that takes its place drops them before it drops this.
    fn needs_no_rows(&self, record: &RebuildRecord) -> Result<bool, StoreError> {
        let name = &record.checkpoint.projection_name;
        let Some(external) = &record.external else { return Ok(false) };
        let owner = self.projection(name)?;
        let replaced = is_unused(&owner, record) && owner.latest != Some(record.generation);
        if external.commits > 0 && !replaced {
            return Ok(false);
        }
        let there = self.databases.open(&external.into).and_then(|there| there.standing(name));
        // Why it cannot be reached shows when its rows are to be read.
        Ok(there.is_ok_and(|there| there.generation(record.generation).is_none()))
    }

    /// The rows of a generation: those in the store as `read` sees them, others as their database has them now.
    fn rows_to_check(
        &self,
        read: &ReadTransaction,
        record: &RebuildRecord,
    ) -> Result<(Generation, RowSnapshot), StoreError> {
        let generation = Generation::of(record);
        let rows = match generation.into {
            None => self.embedded.snapshot(read, &generation)?,
            Some(_) => self.rows(&generation)?,
        };
        Ok((generation, rows))
    }
}

fn check_projection(
    read: &ReadTransaction,
    projection: &ProjectionRecord,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    let name = &projection.description.name;
    let components = read.open_table(COMPONENTS)?;
    for install in &projection.installs {
        match components.get(install.digest.as_str())? {
            Some(bytes) if blake3::hash(bytes.value()).to_hex().as_str() == install.digest => {}
            Some(_) => report.problems.push(format!("{name}: the stored plugin {} has another digest", install.digest)),
            None => report.problems.push(format!("{name}: the plugin {} is not stored", install.digest)),
        }
    }
    let rebuilds = read.open_table(REBUILDS)?;
    for (role, generation) in
        [("live", projection.live), ("previous", projection.previous), ("latest", projection.latest)]
    {
        let Some(generation) = generation else { continue };
        match rebuilds.get((name.as_str(), generation))? {
            None => report.problems.push(format!("{name}: its {role} generation {generation} has no record")),
            Some(stored) => {
                let record: RebuildRecord = decode(name, stored.value())?;
                if role == "live" && record.status() != Status::Completed {
                    report.problems.push(format!(
                        "{}: it is live, and it is {}",
                        record.checkpoint_id(),
                        record.status()
                    ));
                }
            }
        }
    }
    Ok(())
}

fn check_generation(
    read: &ReadTransaction,
    record: &RebuildRecord,
    generation: &Generation,
    rows: &RowSnapshot,
    report: &mut CheckReport,
) -> Result<(), StoreError> {
    report.generations += 1;
    work::begin(
        format!("checking {}", record.checkpoint_id()),
        "rows",
        record.row_digest.as_ref().map(|recorded| recorded.rows),
    );
    let (name, id) = (&record.checkpoint.projection_name, record.checkpoint_id());
    let mut problem = |what: String| report.problems.push(format!("{id}: {what}"));
    let mut after = record.spec.after;
    for range in &record.ranges {
        if range.after != after {
            problem(format!("its receipt has a hole between {after} and {}", range.after));
        }
        after = range.through;
    }
    if after != record.checkpoint.position {
        problem(format!("its receipt ends at {after}, its checkpoint stands at {}", record.checkpoint.position));
    }
    // What is followed is on its way to what has come since.
    let arrives = record.status() == Status::Completed && record.following.is_none();
    if arrives && record.checkpoint.position < record.target {
        problem(format!("completed at {}, before its target {}", record.checkpoint.position, record.target));
    }
    if (record.status() == Status::Failed) != record.checkpoint.error.is_some() {
        problem("only a failed rebuild has a failure".to_owned());
    }
    let mut readable = true;
    for (index, table) in record.tables.iter().enumerate() {
        let mut after: Option<String> = None;
        loop {
            let page = rows.scan(index, Scan::page(after.as_deref()))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            report.rows += page.len() as u64;
            work::advance(page.len() as u64);
            for (key, document) in &page {
                if let Err(e) = check_document(document) {
                    readable = false;
                    report.problems.push(format!("{id}: {table} row {key}: {e}"));
                }
            }
        }
    }
    let parked = match read.open_table(parked_table(&parked_table_name(name, record.generation))) {
        Ok(parked) => parked.len()?,
        Err(redb::TableError::TableDoesNotExist(_)) => 0,
        Err(e) => return Err(e.into()),
    };
    report.parked += parked;
    if parked != record.parked {
        report.problems.push(format!("{id}: there are {parked} dead letters, its receipt says {}", record.parked));
    }
    if let Some(recorded) = record.row_digest.as_ref().filter(|_| readable) {
        work::begin(format!("checking the digest of {id}"), "rows", Some(recorded.rows));
        let found = digest(rows, generation)?;
        if found != *recorded {
            report
                .problems
                .push(format!("{id}: its rows have the digest {}, its receipt says {}", found.digest, recorded.digest));
        }
    }
    Ok(())
}

/// Checks the pages of the store of `dir`, and gives the space that is free in it back to the disk. Nobody else may have
/// it open.
///
/// # Errors
/// When it is in use, damaged, or cannot be written.
pub fn compact(dir: &DataDir) -> Result<bool, StoreError> {
    let mut db = open(dir)?;
    if let Some(first) = db.check_pages()?.into_iter().next() {
        return Err(DiskError::Damaged(first).into());
    }
    let intact = db.check_tables().map_err(|e| StoreError::damaged(e.to_string()))?;
    if !intact {
        return Err(StoreError::damaged("its pages do not fit together"));
    }
    db.compact().map_err(|e| DiskError::Write(e.to_string()).into())
}

fn open(dir: &DataDir) -> Result<Checked, DiskError> {
    let kept = dir.keeps(&dir.store_file())?.unwrap_or(false);
    disk::open(&dir.store_file(), &LAYOUT, unspool_vocabulary::limits::STORE_CACHE_BYTES, kept)
}

fn copy_to(read: &ReadTransaction, file: &Path) -> Result<(), StoreError> {
    let copy = disk::open(file, &LAYOUT, unspool_vocabulary::limits::STORE_CACHE_BYTES, false)?;
    let write = copy.begin_write().map_err(DiskError::from)?;
    copy_table(read, &write, COMPONENTS)?;
    copy_table(read, &write, PROJECTIONS)?;
    copy_table(read, &write, REBUILDS)?;
    super::location::copy_location(read, &write)?;
    // Made with the first rows, and the first promotion.
    let there = |name: &str| Ok::<_, StoreError>(read.list_tables()?.any(|table| table.name() == name));
    if there(DICTIONARIES.name())? {
        copy_table(read, &write, DICTIONARIES)?;
    }
    if there(CHANGES.name())? {
        copy_table(read, &write, CHANGES)?;
        copy_table(read, &write, CHANGE_LOGS)?;
    }
    if there(ACTIVITY.name())? {
        copy_table(read, &write, ACTIVITY)?;
        copy_table(read, &write, ACTIVITY_EXTENT)?;
    }
    if there(ACTIVITY_CHANGES.name())? {
        copy_table(read, &write, ACTIVITY_CHANGES)?;
    }
    // What everybody was told leaves an empty table behind, what nobody was to be told of none.
    if there(FIRING.name())? {
        copy_table(read, &write, FIRING)?;
    }
    if there(ALERTS.name())? {
        copy_table(read, &write, ALERTS)?;
        copy_table(read, &write, EXTENT)?;
    }
    if there(ROUTES.name())? {
        copy_table(read, &write, ROUTES)?;
    }
    for table in read.list_tables()? {
        let name = table.name();
        if name.starts_with("rows/") {
            copy_table(read, &write, row_table(name))?;
        } else if name.starts_with("parked/") {
            copy_table(read, &write, parked_table(name))?;
        } else if is_journal(name) {
            copy_table(read, &write, journal_table(name))?;
        }
    }
    crash::point("backup.copied");
    Ok(write.commit()?)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    read: &ReadTransaction,
    write: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), StoreError> {
    let mut to = write.open_table(table)?;
    let from = read.open_table(table)?;
    work::begin(format!("copying {}", table.name()), "entries", Some(from.len()?));
    for entry in from.iter()? {
        let (key, value) = entry?;
        work::advance(1);
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}
