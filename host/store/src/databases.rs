//! The databases in which rows live, by name.

#[cfg(feature = "postgres")]
use super::postgres;
use super::{error::StoreError, external::ExternalRows};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The databases that are in use. Clones of a store share them.
#[derive(Default)]
pub(super) struct Databases {
    open: Mutex<HashMap<String, Arc<dyn ExternalRows>>>,
}

impl Databases {
    /// The database that `into` names. Nothing is connected yet.
    ///
    /// # Errors
    /// When it names none.
    #[cfg_attr(not(feature = "postgres"), allow(unreachable_code, unused_mut, unused_variables))]
    pub(super) fn open(&self, into: &str) -> Result<Arc<dyn ExternalRows>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = open.get(into) {
            return Ok(database.clone());
        }
        let database: Arc<dyn ExternalRows> = match into.split_once(':') {
            #[cfg(feature = "postgres")]
            Some((postgres::KIND, target)) => Arc::new(postgres::Pool::new(target.parse()?)),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres", _)) => {
                return Err(StoreError::Refused(
                    "this unspool was built without PostgreSQL: build it with the feature postgres, which is on by default".to_owned(),
                ));
            }
            // What it is instead may hold a password.
            _ => {
                return Err(StoreError::Refused(
                    "rows live in the store, or in postgres:postgresql://USER@HOST:PORT/DATABASE; --into names no such place"
                        .to_owned(),
                ));
            }
        };
        open.insert(into.to_owned(), database.clone());
        Ok(database)
    }
}
