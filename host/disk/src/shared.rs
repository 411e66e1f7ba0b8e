//! What redb has of a file: its pages, whose failures are recorded on the way.

use super::pages::Pages;
use redb::{BackendError, StorageBackend};
use std::{io, ops::Bound, sync::Arc};

/// [`Pages`] as redb has them, while somebody else looks at them too.
#[derive(Debug, Clone)]
pub(super) struct Shared(pub(super) Arc<Pages>);

impl Shared {
    /// What fails is recorded: redb passes it on once.
    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|e| super::note_failure(self.0.opening, &self.0.name, e))
    }
}

/// Both kinds of methods: those whose failures are recorded, and those about locks.
macro_rules! through {
    (
        $(noted $noted:ident($($given:ident: $kind:ty),*) -> $value:ty;)*
        $(locks $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        impl StorageBackend for Shared {
            $(fn $noted(&self, $($given: $kind),*) -> io::Result<$value> {
                self.noted(self.0.$noted($($given),*))
            })*
            $(fn $name(&self, $($argument: $type),*) -> Result<$answer, BackendError> {
                self.0.$name($($argument),*)
            })*
        }
    };
}

through! {
    noted len() -> u64;
    noted read(offset: u64, out: &mut [u8]) -> ();
    noted write(offset: u64, data: &[u8]) -> ();
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
