//! Sections between the slowest and the fastest of several readers: rebuilds that run over the log at the same time read it
//! once.
//!
//! A section is kept until the last reader has passed it. Where that would take too much memory, the readers in front wait:
//! they share the processor with those behind, which catch up. A reader that would hold up the others for long, or that
//! begins far from them, reads detached, until it has reached them. With one reader there is nobody to keep anything for.

use super::block::Section;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use unspool_vocabulary::limits;

/// A section's key: the positions of its block's first and last event, and its type. The last block of a log grows with each append:
/// what one reader has of it is not what another, which looks later, is to be given.
type Key = (u64, u64, u32);

/// See the module.
pub(super) struct SharedScan {
    /// Bytes of sections that are kept.
    room: usize,
    /// How long a reader waits for another that does not move at all.
    stall_timeout: Duration,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    joined: u64,
    readers: BTreeMap<u64, Cursor>,
    kept: BTreeMap<Key, Kept>,
    bytes: usize,
}

/// Where a reader stands.
struct Cursor {
    /// The key of the block that it reads next.
    next: u64,
    /// Whether nobody waits for it, and nothing is kept for it.
    detached: bool,
}

/// A section, or the slot for one that is being read: readers that come meanwhile wait for it.
#[derive(Default)]
struct Kept {
    section: Arc<Mutex<Option<Arc<Section>>>>,
    bytes: usize,
}

/// One reader of the log, until it is dropped.
pub(super) struct ScanCursor {
    scan: Arc<SharedScan>,
    number: u64,
    /// Time waited for others since `since`.
    waited: Duration,
    since: Instant,
}

impl Default for SharedScan {
    fn default() -> SharedScan {
        SharedScan::new(limits::SHARED_SCAN_BYTES, limits::SHARED_SCAN_STALL)
    }
}

impl SharedScan {
    pub(super) fn new(room: usize, stall_timeout: Duration) -> SharedScan {
        SharedScan { room, stall_timeout, state: Mutex::default(), moved: Condvar::new() }
    }

    /// Another reader, which begins with the block at `next`.
    pub(super) fn join(self: &Arc<SharedScan>, next: u64) -> ScanCursor {
        let mut state = self.lock();
        let number = state.joined;
        state.joined += 1;
        let detached = state.slowest().is_some_and(|(_, slowest)| slowest.abs_diff(next) > limits::SHARED_SCAN_EVENTS);
        state.readers.insert(number, Cursor { next, detached });
        ScanCursor { scan: self.clone(), number, waited: Duration::ZERO, since: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ScanCursor {
    /// Says that the block at `next` is the next one. Waits for the others where they are too far behind, and says how long.
    pub(super) fn advance(&mut self, next: u64) -> Duration {
        let scan = Arc::clone(&self.scan);
        let mut state = scan.lock();
        state.cursor(self.number, next);
        scan.moved.notify_all();
        let mut waited_now = Duration::ZERO;
        while state.bytes >= scan.room && state.leads(self.number) {
            let started = Instant::now();
            let waited = scan.moved.wait_timeout(state, scan.stall_timeout);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            let time = started.elapsed();
            self.waited += time;
            waited_now += time;
            if timeout.timed_out() || self.waits_mostly() {
                state.detach_slowest();
            }
        }
        waited_now
    }

    /// Whether more than half of the time lately was spent waiting.
    fn waits_mostly(&mut self) -> bool {
        let time = self.since.elapsed();
        if time < self.scan.stall_timeout * 4 {
            return false;
        }
        let mostly = self.waited * 2 > time;
        (self.waited, self.since) = (Duration::ZERO, Instant::now());
        mostly
    }

    /// The section, as another reader left it or from `read`.
    pub(super) fn section<E>(&self, key: Key, read: impl FnOnce() -> Result<Section, E>) -> Result<Arc<Section>, E> {
        let Some(cursor) = self.scan.lock().cursor_for(self.number, key) else { return read().map(Arc::new) };
        let mut kept = cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(section) = &*kept {
            return Ok(section.clone());
        }
        let section = Arc::new(read()?);
        *kept = Some(section.clone());
        drop(kept);
        self.scan.lock().count(key, section.frames.len());
        Ok(section)
    }
}

impl Drop for ScanCursor {
    fn drop(&mut self) {
        let mut state = self.scan.lock();
        state.readers.remove(&self.number);
        state.forget();
        self.scan.moved.notify_all();
    }
}

impl State {
    /// The reader that is furthest behind of those that read together, and where it stands.
    fn slowest(&self) -> Option<(u64, u64)> {
        let together = self.readers.iter().filter(|(_, cursor)| !cursor.detached);
        together.map(|(number, cursor)| (*number, cursor.next)).min_by_key(|(_, next)| *next)
    }

    fn cursor(&mut self, number: u64, next: u64) {
        let slowest = self.slowest();
        if let Some(cursor) = self.readers.get_mut(&number) {
            cursor.next = next;
            cursor.detached &=
                slowest.is_some_and(|(_, slowest)| next < slowest || next - slowest > limits::SHARED_SCAN_EVENTS);
        }
        self.forget();
    }

    /// Whether one that reads together with this reader is behind it.
    fn leads(&self, number: u64) -> bool {
        let own = self.readers.get(&number).filter(|cursor| !cursor.detached);
        own.is_some_and(|own| self.slowest().is_some_and(|(_, slowest)| slowest < own.next))
    }

    fn detach_slowest(&mut self) {
        if let Some((slowest, _)) = self.slowest()
            && let Some(cursor) = self.readers.get_mut(&slowest)
        {
            cursor.detached = true;
        }
        self.forget();
    }

    /// Drops what nobody needs any more.
    fn forget(&mut self) {
        let slowest = self.slowest().map_or(u64::MAX, |(_, slowest)| slowest);
        while let Some(first) = self.kept.first_entry()
            && first.key().0 < slowest
        {
            self.bytes -= first.remove().bytes;
        }
    }

    /// The slot of a section that is kept, or is to be; `None` where the reader has it for itself.
    fn cursor_for(&mut self, number: u64, key: Key) -> Option<Arc<Mutex<Option<Arc<Section>>>>> {
        let together = self.readers.len() > 1 && self.readers.get(&number).is_some_and(|cursor| !cursor.detached);
        if together {
            return Some(self.kept.entry(key).or_default().section.clone());
        }
        self.kept.get(&key).map(|kept| kept.section.clone())
    }

    fn count(&mut self, key: Key, bytes: usize) {
        // It may be forgotten already.
        if let Some(kept) = self.kept.get_mut(&key) {
            self.bytes += bytes - std::mem::replace(&mut kept.bytes, bytes);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const BLOCKS: u64 = 2000;

    fn section(first: u64) -> Section {
        Section { entries: vec![(100, first)], frames: vec![first as u8; 100] }
    }

    /// Reads all blocks on `readers` threads; how often each was read from the log.
    fn read(scan: &Arc<SharedScan>, readers: usize) -> HashMap<u64, usize> {
        let reads: HashMap<u64, AtomicUsize> = (0..BLOCKS).map(|block| (block, AtomicUsize::new(0))).collect();
        let readings: Vec<_> = (0..readers).map(|_| scan.join(0)).collect();
        std::thread::scope(|scope| {
            for mut reading in readings {
                let reads = &reads;
                scope.spawn(move || {
                    for block in 0..BLOCKS {
                        reading.advance(block);
                        let read = || {
                            reads[&block].fetch_add(1, Ordering::Relaxed);
                            Ok::<_, ()>(section(block))
                        };
                        assert_eq!(reading.section((block, block, 0), read).unwrap().entries, [(100, block)]);
                    }
                });
            }
        });
        assert!(scan.lock().kept.is_empty());
        assert_eq!(scan.lock().bytes, 0);
        reads.into_iter().map(|(block, count)| (block, count.into_inner())).collect()
    }

    #[test]
    fn readers_that_keep_pace_read_once() {
        let scan = Arc::new(SharedScan::new(1000, Duration::from_secs(60)));
        assert!(read(&scan, 5).values().all(|count| *count == 1));
        assert!(read(&scan, 1).values().all(|count| *count == 1));
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_for_long() {
        let scan = Arc::new(SharedScan::new(1000, Duration::from_millis(20)));
        let mut still = scan.join(0);
        assert!(read_beside(&scan).values().all(|count| *count == 1));
        // It reads on by itself, and nothing is kept for it.
        for block in 0..BLOCKS {
            still.advance(block);
            assert_eq!(
                still.section((block, block, 0), || Ok::<_, ()>(section(block))).unwrap().entries,
                [(100, block)]
            );
        }
        assert_eq!(scan.lock().bytes, 0);
    }

    /// One reader beside one that stands still.
    fn read_beside(scan: &Arc<SharedScan>) -> HashMap<u64, usize> {
        let mut reading = scan.join(0);
        let mut counts = HashMap::new();
        for block in 0..BLOCKS {
            reading.advance(block);
            let read = || {
                *counts.entry(block).or_insert(0) += 1;
                Ok::<_, ()>(section(block))
            };
            reading.section((block, block, 0), read).unwrap();
            assert!(scan.lock().bytes <= 1100, "more is kept than there is room for");
        }
        counts
    }

    #[test]
    fn a_reader_far_from_the_others_reads_alone() {
        let scan = Arc::new(SharedScan::new(1000, Duration::from_secs(60)));
        let mut one = scan.join(0);
        let mut far = scan.join(limits::SHARED_SCAN_EVENTS + 1);
        for block in 0..100 {
            far.advance(limits::SHARED_SCAN_EVENTS + 1 + block);
            far.section((limits::SHARED_SCAN_EVENTS + 1 + block, 0, 0), || Ok::<_, ()>(section(block))).unwrap();
            one.advance(block);
        }
        assert_eq!(scan.lock().bytes, 0);
    }

    #[test]
    fn a_section_that_could_not_be_read_is_read_again() {
        let scan = Arc::new(SharedScan::new(1000, Duration::from_secs(60)));
        let (one, other) = (scan.join(0), scan.join(0));
        assert_eq!(one.section((0, 0, 0), || Err("gone")).err(), Some("gone"));
        assert_eq!(other.section((0, 0, 0), || Ok::<_, ()>(section(0))).unwrap().entries, [(100, 0)]);
        assert_eq!(one.section((0, 0, 0), || Err("gone")).unwrap().entries, [(100, 0)]);
    }
}
