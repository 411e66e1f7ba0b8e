//! The pool of instances: how many chunks may be handled at the same time, over all rebuilds.

use crate::limits;
use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// A number of permits. A rebuild takes one for each chunk and gives it back after it, so that rebuilds take turns. The instance
/// itself is made for the chunk, on the rebuild's own thread: handing chunks to threads of the pool would cost two
/// switches a chunk, and the thread's priority would have to follow the rebuild's.
#[derive(Clone)]
pub struct InstancePool {
    instances: usize,
    keeps_owners: bool,
    free: Arc<(Mutex<usize>, Condvar)>,
    rebuilds: Arc<AtomicUsize>,
}

/// A rebuild that uses the pool, until it is dropped.
pub(super) struct User<'a>(&'a InstancePool);

/// A permit in the pool, until it is dropped.
pub(super) struct Permit<'a>(&'a InstancePool);

impl InstancePool {
    /// A pool of `permits` permits: one at least, and at most [`limits::POOL_INSTANCES`], for which the engine has room.
    /// `instances` of them may work for one rebuild, where its events need not stay in order over all streams.
    pub fn new(permits: usize, instances: usize) -> InstancePool {
        let permits = permits.clamp(1, limits::POOL_INSTANCES);
        InstancePool {
            instances: instances.clamp(1, permits),
            keeps_owners: false,
            free: Arc::new((Mutex::new(permits), Condvar::new())),
            rebuilds: Arc::default(),
        }
    }

    /// Every stream of a projection that is partitioned by stream is handled by an instance of its own, and no row that one touches is
    /// touched by another, through the whole history: exact, and slow.
    pub fn keeping_owners(self) -> InstancePool {
        InstancePool { keeps_owners: true, ..self }
    }

    pub(super) fn keeps_owners(&self) -> bool {
        self.keeps_owners
    }

    /// Lets a rebuild use it.
    pub(super) fn join(&self) -> User<'_> {
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        User(self)
    }

    /// How many instances may work for one rebuild, at most.
    pub(super) fn instances(&self) -> usize {
        self.instances
    }

    /// How many may work for each rebuild at this moment: what others keep busy gains nothing from smaller parts.
    pub(super) fn share(&self) -> usize {
        self.instances / self.rebuilds.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn take(&self) -> Permit<'_> {
        let (free, freed) = &*self.free;
        let free = free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

impl Default for InstancePool {
    fn default() -> Self {
        InstancePool::new(limits::POOL_INSTANCES, limits::instances_of_one())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let (free, freed) = &*self.0.free;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        freed.notify_one();
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.0.rebuilds.fetch_sub(1, Ordering::Relaxed);
    }
}
