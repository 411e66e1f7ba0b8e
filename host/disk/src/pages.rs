//! A file whose pages carry checksums, which every read tests.
//!
//! redb keeps checksums too, but tests them only when it repairs a file: a bit that flips on the disk would be read as
//! what was written, or make rows appear under other keys, or vanish. So redb stands on this file instead of a plain one.
//! All that locates keys and tables is stored in pages, so that no damage is read as anything.
//!
//! | pages of the file | what |
//! |---|---|
//! | 0 | the front, and zeros |
//! | then, again and again | 4096 bytes of checksums (8 bytes each), and the 512 pages that they are of |
//!
//! | bytes of the front | what |
//! |---|---|
//! | 0..8 | `unspool`, line feed |
//! | 8..12 | the version of this layout |
//! | 12 | 1 while the file is synced: all that was written is on the disk, with its checksums |
//! | 16..32 | the boot of the system in which it was synced |
//! | 32..40 | checksum of the rest of this, and of the header |
//! | 40..48 | checksum of the header when the file was synced last |
//! | 64..384 | redb's header |
//!
//! Numbers are little-endian. A checksum is XXH3 with the page's number as its seed; 0 stands for a page that was never
//! written, which is all zeros.
//!
//! **Crashes.** redb never writes over a page that its last commit needs, but for the header. So checksums may reach the
//! disk with the sync that makes their pages durable, before or after them: where they do not fit after a crash,
//! the page is not in use, or its commit was never done. The front is one sector, and says by `synced` whether that may
//! be so. After a process was killed it is exact, because each write of this file begins by clearing it. After a loss
//! of power it may be older than what it speaks of: then the file is read once. Where something does not fit, redb reads
//! all that is in use and tests its own checksums, too; what does not fit is then not in use, and gets new checksums.
//! Only where the header is newer than what was synced last, a commit was under way: then redb alone decides, by its own
//! checksums, whether it was done.

use super::{
    DiskError,
    front::{self, FRONT, Front, HEADER, Look, REDB_MAGIC, VERSION, is_clean, is_unborn_plain, read_front},
    geometry::{GROUP, PAGE, inner_len, outer_len, place, runs, sum, sums_place},
};
use redb::{BackendError, StorageBackend};
use std::{
    collections::HashMap,
    fmt,
    io::{self, ErrorKind},
    ops::{Bound, Range},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use twox_hash::XxHash3_64;
use unspool_vocabulary::work;

/// Pages of checksums that are kept in memory, but for changed ones.
const KEPT_GROUPS: usize = 512;

/// Damaged pages that are reported one by one.
const TOLD: usize = 10;

/// Openings of files in this process.
static OPENINGS: AtomicU64 = AtomicU64::new(0);

/// The file changed between the look at it and its lock: look again.
#[derive(Debug)]
pub(super) struct LookAgain;

impl fmt::Display for LookAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file has changed meanwhile")
    }
}

impl std::error::Error for LookAgain {}

/// See the module.
pub(super) struct Pages {
    file: Box<dyn StorageBackend>,
    pub(super) name: PathBuf,
    /// Tells this from every other opening of a file in this process.
    pub(super) opening: u64,
    /// The running system; `None` where a crash of it cannot be told from one of a process.
    boot: Option<[u8; 16]>,
    /// What a look at it showed before it was locked.
    look: Look,
    /// Set once something that redb has not asked for has failed: as after an error that it has seen, nothing is written any
    /// more.
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    begun: bool,
    /// Whether a front has been written.
    born: bool,
    header: Vec<u8>,
    /// As on the disk.
    synced: bool,
    /// The checksum of the header when that was so last.
    synced_header: u64,
    /// Whether checksums are tested.
    tested: bool,
    /// Whether pages that are not in use may have checksums that do not fit.
    stale: bool,
    /// Changes since the file was opened.
    changes: u64,
    groups: HashMap<u64, Group>,
}

/// Checksums of the pages of one group.
struct Group {
    sums: Vec<u64>,
    changed: bool,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("name", &self.name).finish_non_exhaustive()
    }
}

fn refuse(error: DiskError) -> io::Error {
    io::Error::other(error)
}

impl Drop for Pages {
    fn drop(&mut self) {
        super::forget_failure(self.opening);
    }
}

impl Pages {
    /// The file called `name`, which looks like `look`.
    pub(super) fn new(file: impl StorageBackend, name: &Path, boot: Option<[u8; 16]>, look: Look) -> Pages {
        Pages {
            file: Box::new(file),
            name: name.to_owned(),
            opening: OPENINGS.fetch_add(1, Ordering::Relaxed),
            boot,
            look,
            failed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Lets nothing be written any more.
    pub(super) fn give_up(&self) {
        self.failed.store(true, Ordering::SeqCst);
    }

    fn refuse_after_failure(&self) -> io::Result<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(io::Error::other("the file could not be read or written before"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the front; under redb's lock.
    fn begin(&self, state: &mut State) -> io::Result<()> {
        (state.header, state.tested) = (vec![0; HEADER], true);
        let len = self.file.len()?;
        if len > 0 {
            let bytes = read_front(&*self.file, len)?;
            match Front::read(&bytes) {
                Some(front) if front.is_unborn(&*self.file, len)? => self.file.set_len(0)?,
                Some(front) => self.begin_with(state, front)?,
                None if bytes.starts_with(REDB_MAGIC) => return Err(io::Error::other(LookAgain)),
                None if is_unborn_plain(&*self.file, len, &bytes)? => self.file.set_len(0)?,
                None => return Err(refuse(DiskError::Foreign(self.name.clone()))),
            }
        }
        state.begun = true;
        Ok(())
    }

    fn begin_with(&self, state: &mut State, front: Front) -> io::Result<()> {
        if front.version != VERSION && front.fits {
            let (path, found, known) = (self.name.clone(), front.version, VERSION);
            return Err(refuse(DiskError::Format { path, found, known }));
        }
        if !front.fits && front.synced {
            return Err(self.damage("its first 384 bytes are not what was written"));
        }
        let synced = front.fits && front.synced;
        let exact = is_clean(&front.header) || self.boot == Some(front.boot);
        (state.born, state.synced, state.synced_header) = (true, front.synced, front.synced_header);
        state.header = front.header;
        if synced && exact {
            return Ok(());
        }
        if synced && self.sweep(state, |_, _, _| {})? == 0 {
            // What a loss of power left fits.
            return Ok(());
        }
        state.stale = true;
        state.tested = front.fits && state.synced_header == XxHash3_64::oneshot(&state.header);
        if self.look == Look::Unsynced { Ok(()) } else { Err(io::Error::other(LookAgain)) }
    }

    /// The report of a page that is not as it was written.
    fn damage(&self, what: impl fmt::Display) -> io::Error {
        refuse(super::damaged(format!("{} is damaged: {what}", self.name.display())))
    }

    fn damaged_page(&self, page: u64) -> io::Error {
        let at = place(page);
        self.damage(format!("its bytes {at} to {} are not what was written", at + PAGE as u64 - 1))
    }

    /// The checksums of a group.
    fn group<'s>(&self, state: &'s mut State, group: u64) -> io::Result<&'s mut Group> {
        if !state.groups.contains_key(&group) {
            if state.groups.len() >= KEPT_GROUPS {
                state.groups.retain(|_, kept| kept.changed);
            }
            let (at, mut bytes) = (sums_place(group), vec![0; PAGE]);
            if at + PAGE as u64 <= self.file.len()? {
                self.file.read(at, &mut bytes)?;
            }
            let (words, _) = bytes.as_chunks::<8>();
            let sums = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            state.groups.insert(group, Group { sums, changed: false });
        }
        state.groups.get_mut(&group).ok_or_else(|| io::Error::other("checksums were not kept"))
    }

    fn write_front(&self, state: &State) -> io::Result<()> {
        let boot = self.boot.unwrap_or_default();
        self.file.write(0, &front::encode(state.synced, boot, state.synced_header, &state.header))
    }

    /// Before anything changes.
    fn mark_unsynced(&self, state: &mut State) -> io::Result<()> {
        state.changes += 1;
        if state.synced {
            state.synced = false;
            self.write_front(state)?;
        }
        Ok(())
    }

    fn pages(&self) -> io::Result<u64> {
        Ok(inner_len(self.file.len()?) / PAGE as u64)
    }

    /// Reads all pages, and counts those that do not fit their checksums; each is shown with the sum that it has now.
    fn sweep(&self, state: &mut State, mut show: impl FnMut(&mut Group, u64, u64)) -> io::Result<u64> {
        let (mut space, mut found) = (Vec::new(), 0);
        for run in runs(1..self.pages()?) {
            found += self.sweep_run(state, run, &mut space, &mut show)?;
        }
        Ok(found)
    }

    fn sweep_run(
        &self,
        state: &mut State,
        run: Range<u64>,
        space: &mut Vec<u8>,
        show: &mut impl FnMut(&mut Group, u64, u64),
    ) -> io::Result<u64> {
        space.resize(PAGE * (run.end - run.start) as usize, 0);
        self.file.read(place(run.start), space)?;
        let (group, mut found) = (self.group(state, (run.start - 1) / GROUP)?, 0);
        for (page, bytes) in run.zip(space.chunks_exact(PAGE)) {
            let (was, is) = (group.sums[((page - 1) % GROUP) as usize], sum(page, bytes));
            if was != is && !(was == 0 && bytes.iter().all(|byte| *byte == 0)) {
                found += 1;
                show(group, page, is);
            }
        }
        Ok(found)
    }

    /// What is not as it was written, in words.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn check(&self) -> io::Result<Vec<String>> {
        let mut told = Vec::new();
        {
            let (state, mut front) = (self.lock(), vec![0; FRONT]);
            self.file.read(0, &mut front)?;
            if !Front::read(&front).is_some_and(|front| front.fits && front.header == state.header) {
                told.push(self.damage("its first 384 bytes are not what was written").to_string());
            }
        }
        let (mut space, mut found) = (Vec::new(), 0);
        let pages = self.pages()?;
        let file = self.name.file_name().unwrap_or_default();
        work::begin(format!("checking {}", file.display()), "pages", Some(pages));
        for run in runs(1..pages) {
            work::reach(run.start);
            // For one group at a time: others read and write meanwhile, and the file may have become shorter.
            let mut state = self.lock();
            let run = run.start..run.end.min(self.pages()?);
            if run.is_empty() {
                break;
            }
            found += self.sweep_run(&mut state, run, &mut space, &mut |_, page, _| {
                if told.len() < TOLD {
                    told.push(self.damaged_page(page).to_string());
                }
            })?;
        }
        if found > TOLD as u64 {
            told.push(format!("{}: {found} pages of 4096 bytes are not what was written", self.name.display()));
        }
        Ok(told)
    }

    /// Takes all pages as they are, once redb has tested those in use; from here on checksums are tested.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn adopt(&self) -> io::Result<()> {
        let mut state = self.lock();
        if !state.stale {
            return Ok(());
        }
        self.mark_unsynced(&mut state)?;
        self.sweep(&mut state, |group, page, sum| {
            group.sums[((page - 1) % GROUP) as usize] = sum;
            group.changed = true;
        })?;
        let pages = self.pages()?;
        self.forget_behind(&mut state, pages)?;
        (state.tested, state.stale) = (true, false);
        drop(state);
        self.sync_data()
    }

    /// Pages from `pages` on are gone: where the file grows again they are zeros.
    fn forget_behind(&self, state: &mut State, pages: u64) -> io::Result<()> {
        let last = pages.max(1) - 1;
        state.groups.retain(|group, _| *group * GROUP < last);
        if !last.is_multiple_of(GROUP) {
            let group = self.group(state, last / GROUP)?;
            let behind = &mut group.sums[(last % GROUP) as usize..];
            group.changed |= behind.iter().any(|sum| *sum != 0);
            behind.fill(0);
        }
        Ok(())
    }

    fn pages_of(&self, offset: u64, len: usize) -> io::Result<Range<u64>> {
        if offset == 0 || !offset.is_multiple_of(PAGE as u64) || !len.is_multiple_of(PAGE) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "only whole pages are read and written"));
        }
        Ok(offset / PAGE as u64..(offset + len as u64) / PAGE as u64)
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.lock();
        if !state.begun {
            self.begin(&mut state)?;
        }
        Ok(inner_len(self.file.len()?))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER {
            out.copy_from_slice(&self.lock().header[..out.len()]);
            return Ok(());
        }
        let mut rest = out;
        for run in runs(self.pages_of(offset, rest.len())?) {
            let bytes = rest.split_off_mut(..PAGE * (run.end - run.start) as usize).unwrap_or_default();
            self.file.read(place(run.start), bytes)?;
            let mut state = self.lock();
            if !state.tested {
                continue;
            }
            let first = ((run.start - 1) % GROUP) as usize;
            let group = self.group(&mut state, (run.start - 1) / GROUP)?;
            let sums = group.sums[first..first + (run.end - run.start) as usize].to_vec();
            drop(state);
            for ((page, bytes), was) in run.zip(bytes.chunks_exact(PAGE)).zip(sums) {
                if was != sum(page, bytes) && !(was == 0 && bytes.iter().all(|byte| *byte == 0)) {
                    return Err(self.damaged_page(page));
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.refuse_after_failure()?;
        let mut state = self.lock();
        if offset == 0 && data.len() == HEADER {
            state.changes += 1;
            (state.born, state.synced) = (true, false);
            state.header.copy_from_slice(data);
            return self.write_front(&state);
        }
        self.mark_unsynced(&mut state)?;
        let mut rest = data;
        for run in runs(self.pages_of(offset, data.len())?) {
            let bytes = rest.split_off(..PAGE * (run.end - run.start) as usize).unwrap_or_default();
            let (at, first) = (place(run.start), ((run.start - 1) % GROUP) as usize);
            let group = self.group(&mut state, (run.start - 1) / GROUP)?;
            for (slot, (page, bytes)) in group.sums[first..].iter_mut().zip(run.zip(bytes.chunks_exact(PAGE))) {
                *slot = sum(page, bytes);
            }
            group.changed = true;
            self.file.write(at, bytes)?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.refuse_after_failure()?;
        let mut state = self.lock();
        self.mark_unsynced(&mut state)?;
        self.file.set_len(outer_len(len))?;
        self.forget_behind(&mut state, len / PAGE as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.refuse_after_failure()?;
        let changes = {
            let mut state = self.lock();
            for (group, kept) in state.groups.iter_mut().filter(|(_, kept)| kept.changed) {
                let bytes: Vec<u8> = kept.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
                self.file.write(sums_place(*group), &bytes)?;
                kept.changed = false;
            }
            state.changes
        };
        self.file.sync_data()?;
        let mut state = self.lock();
        // A write in between is not on the disk yet.
        if state.born && !state.stale && !state.synced && state.changes == changes {
            state.synced = true;
            state.synced_header = XxHash3_64::oneshot(&state.header);
            self.write_front(&state)?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
