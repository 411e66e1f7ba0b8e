//! What can go wrong with the store, and what to do about it.

use unspool_disk::DiskError;
#[cfg(feature = "postgres")]
use unspool_postgres::ConnectError;

/// A store that cannot do what was requested.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its file, or the disk under it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Someone else has taken over the rebuild.
    #[error("{projection}/{generation} has been taken over by another attempt; its work goes on there")]
    Fenced {
        /// The projection.
        projection: String,
        /// The generation.
        generation: u64,
    },
    /// A database in which rows live.
    #[error("{message}")]
    Postgres {
        /// What is wrong there, and what to do about it.
        message: String,
        /// Whether another try may succeed.
        transient: bool,
    },
    /// No such projection, generation or table.
    #[error("{0}")]
    NotFound(String),
    /// Not possible as things are.
    #[error("{0}")]
    Refused(String),
}

#[cfg(feature = "postgres")]
impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> StoreError {
        StoreError::Postgres { message: error.message, transient: error.transient }
    }
}

impl StoreError {
    /// Whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Postgres { transient: true, .. })
    }

    /// Another attempt has the generation.
    pub(super) fn fenced(projection: &str, generation: u64) -> StoreError {
        StoreError::Fenced { projection: projection.to_owned(), generation }
    }

    /// Names what was being read, where the file turned out to be damaged there.
    pub(super) fn reading(self, what: impl std::fmt::Display) -> StoreError {
        match self {
            StoreError::Disk(DiskError::Damaged(place)) => DiskError::Damaged(format!("{place} ({what})")).into(),
            other => other,
        }
    }

    /// What was read is not what was written.
    pub(super) fn damaged(what: impl Into<String>) -> StoreError {
        DiskError::Damaged(format!("the store is damaged: {}", what.into())).into()
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                DiskError::from(error).into()
            }
        }
    )*};
}

from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);
