//! What redb has of a file: its pages, whose failures are recorded on the way.

use super::{geometry::PAGE, pages::Pages};
use redb::{BackendError, StorageBackend};
use std::{
    io,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use unspool_vocabulary::work;

/// [`Pages`] as redb has them, while somebody else looks at them too.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) pages: Arc<Pages>,
    /// Whether pages that are read and written are said to be work that is done.
    pub(super) counted: Arc<AtomicBool>,
}

impl Shared {
    fn count(&self, bytes: usize) {
        if self.counted.load(Ordering::Relaxed) {
            work::advance((bytes / PAGE) as u64);
        }
    }

    /// What fails is recorded: redb passes it on once.
    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|e| super::note_failure(self.pages.opening, &self.pages.name, e))
    }
}

/// Both kinds of methods: those whose failures are recorded, and those about locks.
macro_rules! through {
    (
        $(noted $noted:ident($($given:ident: $kind:ty),*) -> $value:ty;)*
        $(locks $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        impl StorageBackend for Shared {
            fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
                self.count(out.len());
                self.noted(self.pages.read(offset, out))
            }

            fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
                self.count(data.len());
                self.noted(self.pages.write(offset, data))
            }

            $(fn $noted(&self, $($given: $kind),*) -> io::Result<$value> {
                self.noted(self.pages.$noted($($given),*))
            })*
            $(fn $name(&self, $($argument: $type),*) -> Result<$answer, BackendError> {
                self.pages.$name($($argument),*)
            })*
        }
    };
}

through! {
    noted len() -> u64;
    noted set_len(len: u64) -> ();
    noted sync_data() -> ();
    noted close() -> ();
    locks try_lock_range(start: Bound<u64>, end: Bound<u64>) -> bool;
    locks try_lock_shared_range(start: Bound<u64>, end: Bound<u64>) -> bool;
    locks lock_range(start: Bound<u64>, end: Bound<u64>) -> ();
    locks lock_shared_range(start: Bound<u64>, end: Bound<u64>) -> ();
    locks unlock_range(start: Bound<u64>, end: Bound<u64>) -> ();
    locks query_lock_range(start: Bound<u64>, end: Bound<u64>) -> bool;
}
