//! Sections that were just read, for the readers that follow: several rebuilds that run over the log at the same time read
//! it once.
//!
//! Readers move forward, so that the oldest section is the one that is needed least. With one reader there is nobody to
//! keep anything for.

use super::block::Section;
use crate::limits;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A section's key: the position of its block's first event, and its type.
type Key = (u64, u32);

#[derive(Default)]
pub(super) struct SectionCache {
    readers: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sections: HashMap<Key, Arc<Section>>,
    order: VecDeque<Key>,
    bytes: usize,
}

/// One reader of the log, until it is dropped.
pub(super) struct Reading(Arc<SectionCache>);

impl SectionCache {
    pub(super) fn join(self: &Arc<SectionCache>) -> Reading {
        self.readers.fetch_add(1, Ordering::Relaxed);
        Reading(self.clone())
    }

    /// The section, from here or from `read`.
    pub(super) fn get<E>(&self, key: Key, read: impl FnOnce() -> Result<Section, E>) -> Result<Arc<Section>, E> {
        if self.readers.load(Ordering::Relaxed) < 2 {
            return read().map(Arc::new);
        }
        if let Some(section) = self.lock().sections.get(&key) {
            return Ok(section.clone());
        }
        // Two readers may both read it: that costs time, never a wrong section.
        let section = Arc::new(read()?);
        self.lock().keep(key, section.clone());
        Ok(section)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: Key, section: Arc<Section>) {
        self.bytes += section.frames.len();
        if let Some(before) = self.sections.insert(key, section) {
            self.bytes -= before.frames.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > limits::SECTIONS_KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            if let Some(section) = self.sections.remove(&oldest) {
                self.bytes -= section.frames.len();
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::Relaxed) <= 2 {
            *self.0.lock() = Kept::default();
        }
    }
}
