//! Sections between the slowest and the fastest of several readers: rebuilds that run over the log at the same time read it
//! once.
//!
//! A section is kept until the last reader has passed it. Where that would take too much memory, the readers in front wait:
//! they share the processor with those behind, who catch up. A reader that would hold up the others for long, or that
//! begins far from them, reads alone, until it is where they are. With one reader there is nobody to keep anything for.

use super::block::Section;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use unspool_vocabulary::limits;

/// A section's key: the position of its block's first event, and its type.
type Key = (u64, u32);

/// See the module.
pub(super) struct Window {
    /// Bytes of sections that are kept.
    room: usize,
    /// How long a reader waits for another that does not move at all.
    patience: Duration,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    joined: u64,
    readers: BTreeMap<u64, Place>,
    kept: BTreeMap<Key, Kept>,
    bytes: usize,
}

/// Where a reader stands.
struct Place {
    /// The key of the block that it reads next.
    next: u64,
    /// Whether nobody waits for it, and nothing is kept for it.
    alone: bool,
}

/// A section, or the place for one that is being read: whoever comes meanwhile waits for it.
#[derive(Default)]
struct Kept {
    section: Arc<Mutex<Option<Arc<Section>>>>,
    bytes: usize,
}

/// One reader of the log, until it is dropped.
pub(super) struct Reading {
    window: Arc<Window>,
    number: u64,
    /// Time waited for others since `since`.
    waited: Duration,
    since: Instant,
}

impl Default for Window {
    fn default() -> Window {
        Window::new(limits::WINDOW_BYTES, limits::WINDOW_PATIENCE)
    }
}

impl Window {
    pub(super) fn new(room: usize, patience: Duration) -> Window {
        Window { room, patience, state: Mutex::default(), moved: Condvar::new() }
    }

    /// Another reader, which begins with the block at `next`.
    pub(super) fn join(self: &Arc<Window>, next: u64) -> Reading {
        let mut state = self.lock();
        let number = state.joined;
        state.joined += 1;
        let alone = state.slowest().is_some_and(|(_, slowest)| slowest.abs_diff(next) > limits::WINDOW_EVENTS);
        state.readers.insert(number, Place { next, alone });
        Reading { window: self.clone(), number, waited: Duration::ZERO, since: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// Says that the block at `next` is the next one. Waits for the others where they are too far behind, and says how long.
    pub(super) fn advance(&mut self, next: u64) -> Duration {
        let window = Arc::clone(&self.window);
        let mut state = window.lock();
        state.place(self.number, next);
        window.moved.notify_all();
        let mut waited_now = Duration::ZERO;
        while state.bytes >= window.room && state.leads(self.number) {
            let started = Instant::now();
            let waited = window.moved.wait_timeout(state, window.patience);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            let time = started.elapsed();
            self.waited += time;
            waited_now += time;
            if timeout.timed_out() || self.waits_mostly() {
                state.leave_the_slowest();
            }
        }
        waited_now
    }

    /// Whether more than half of the time lately was spent waiting.
    fn waits_mostly(&mut self) -> bool {
        let time = self.since.elapsed();
        if time < self.window.patience * 4 {
            return false;
        }
        let mostly = self.waited * 2 > time;
        (self.waited, self.since) = (Duration::ZERO, Instant::now());
        mostly
    }

    /// The section, as another reader left it or from `read`.
    pub(super) fn section<E>(&self, key: Key, read: impl FnOnce() -> Result<Section, E>) -> Result<Arc<Section>, E> {
        let Some(place) = self.window.lock().place_for(self.number, key) else { return read().map(Arc::new) };
        let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(section) = &*kept {
            return Ok(section.clone());
        }
        let section = Arc::new(read()?);
        *kept = Some(section.clone());
        drop(kept);
        self.window.lock().count(key, section.frames.len());
        Ok(section)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.window.lock();
        state.readers.remove(&self.number);
        state.forget();
        self.window.moved.notify_all();
    }
}

impl State {
    /// The reader that is furthest behind of those that read together, and where it stands.
    fn slowest(&self) -> Option<(u64, u64)> {
        let together = self.readers.iter().filter(|(_, place)| !place.alone);
        together.map(|(number, place)| (*number, place.next)).min_by_key(|(_, next)| *next)
    }

    fn place(&mut self, number: u64, next: u64) {
        let slowest = self.slowest();
        if let Some(place) = self.readers.get_mut(&number) {
            place.next = next;
            place.alone &= slowest.is_some_and(|(_, slowest)| next < slowest || next - slowest > limits::WINDOW_EVENTS);
        }
        self.forget();
    }

    /// Whether one that reads together with this reader is behind it.
    fn leads(&self, number: u64) -> bool {
        let own = self.readers.get(&number).filter(|place| !place.alone);
        own.is_some_and(|own| self.slowest().is_some_and(|(_, slowest)| slowest < own.next))
    }

    fn leave_the_slowest(&mut self) {
        if let Some((slowest, _)) = self.slowest()
            && let Some(place) = self.readers.get_mut(&slowest)
        {
            place.alone = true;
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

    /// The place of a section that is kept, or is to be; `None` where the reader has it for itself.
    fn place_for(&mut self, number: u64, key: Key) -> Option<Arc<Mutex<Option<Arc<Section>>>>> {
        let together = self.readers.len() > 1 && self.readers.get(&number).is_some_and(|place| !place.alone);
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
    fn read(window: &Arc<Window>, readers: usize) -> HashMap<u64, usize> {
        let reads: HashMap<u64, AtomicUsize> = (0..BLOCKS).map(|block| (block, AtomicUsize::new(0))).collect();
        let readings: Vec<_> = (0..readers).map(|_| window.join(0)).collect();
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
                        assert_eq!(reading.section((block, 0), read).unwrap().entries, [(100, block)]);
                    }
                });
            }
        });
        assert!(window.lock().kept.is_empty());
        assert_eq!(window.lock().bytes, 0);
        reads.into_iter().map(|(block, count)| (block, count.into_inner())).collect()
    }

    #[test]
    fn readers_that_keep_pace_read_once() {
        let window = Arc::new(Window::new(1000, Duration::from_secs(60)));
        assert!(read(&window, 5).values().all(|count| *count == 1));
        assert!(read(&window, 1).values().all(|count| *count == 1));
    }

    #[test]
    fn a_reader_that_stands_still_holds_nobody_up_for_long() {
        let window = Arc::new(Window::new(1000, Duration::from_millis(20)));
        let mut still = window.join(0);
        assert!(read_beside(&window).values().all(|count| *count == 1));
        // It reads on by itself, and nothing is kept for it.
        for block in 0..BLOCKS {
            still.advance(block);
            assert_eq!(still.section((block, 0), || Ok::<_, ()>(section(block))).unwrap().entries, [(100, block)]);
        }
        assert_eq!(window.lock().bytes, 0);
    }

    /// One reader beside one that stands still.
    fn read_beside(window: &Arc<Window>) -> HashMap<u64, usize> {
        let mut reading = window.join(0);
        let mut counts = HashMap::new();
        for block in 0..BLOCKS {
            reading.advance(block);
            let read = || {
                *counts.entry(block).or_insert(0) += 1;
                Ok::<_, ()>(section(block))
            };
            reading.section((block, 0), read).unwrap();
            assert!(window.lock().bytes <= 1100, "more is kept than there is room for");
        }
        counts
    }

    #[test]
    fn a_reader_far_from_the_others_reads_alone() {
        let window = Arc::new(Window::new(1000, Duration::from_secs(60)));
        let mut one = window.join(0);
        let mut far = window.join(limits::WINDOW_EVENTS + 1);
        for block in 0..100 {
            far.advance(limits::WINDOW_EVENTS + 1 + block);
            far.section((limits::WINDOW_EVENTS + 1 + block, 0), || Ok::<_, ()>(section(block))).unwrap();
            one.advance(block);
        }
        assert_eq!(window.lock().bytes, 0);
    }

    #[test]
    fn a_section_that_could_not_be_read_is_read_again() {
        let window = Arc::new(Window::new(1000, Duration::from_secs(60)));
        let (one, other) = (window.join(0), window.join(0));
        assert_eq!(one.section((0, 0), || Err("gone")).err(), Some("gone"));
        assert_eq!(other.section((0, 0), || Ok::<_, ()>(section(0))).unwrap().entries, [(100, 0)]);
        assert_eq!(one.section((0, 0), || Err("gone")).unwrap().entries, [(100, 0)]);
    }
}
