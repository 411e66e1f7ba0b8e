//! The handler registry: which projections are installed, and which plugin each runs.

use super::{
    records::{Install, ProjectionRecord, Verification},
    tables::{COMPONENTS, PROJECTIONS, decode, owner_in, put_owner},
};
use crate::{Store, error::StoreError};
use redb::{ReadableDatabase, ReadableTable};
use unspool_vocabulary::{Description, crash};

impl Store {
    /// Every installed projection, in the order of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn projections(&self) -> Result<Vec<ProjectionRecord>, StoreError> {
        let table = self.db.begin_read()?.open_table(PROJECTIONS)?;
        let mut records = Vec::new();
        for entry in table.iter()? {
            let (name, record) = entry?;
            records.push(decode(name.value(), record.value())?);
        }
        Ok(records)
    }

    /// The projection named `name`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], with the names there are.
    pub fn projection(&self, name: &str) -> Result<ProjectionRecord, StoreError> {
        let table = self.db.begin_read()?.open_table(PROJECTIONS)?;
        if let Some(record) = table.get(name)? {
            return decode(name, record.value());
        }
        let known: Vec<_> = self.projections()?.into_iter().map(|record| record.description.name).collect();
        Err(StoreError::NotFound(match known.as_slice() {
            [] => format!("no projection is named {name}; none is installed: unspool plugin install FILE"),
            known => format!("no projection is named {name}; installed are: {}", known.join(", ")),
        }))
    }

    /// The bytes of an installed component.
    ///
    /// # Errors
    /// When the store cannot be read, or holds no component with this digest.
    pub fn component(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let table = self.db.begin_read()?.open_table(COMPONENTS)?;
        match table.get(digest)? {
            Some(bytes) => Ok(bytes.value().to_vec()),
            None => Err(StoreError::damaged(format!("the plugin {digest} is recorded but not stored"))),
        }
    }

    /// Installs a plugin, as `how` says: `install`, `swap` or `rollback`. A plugin that is installed already is left as it
    /// is: the answer is `false`.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn install(
        &self,
        description: &Description,
        digest: &str,
        component: &[u8],
        how: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        crash::point("install.before");
        let write = self.db.begin_write()?;
        let name = description.name.as_str();
        {
            let stored = match write.open_table(PROJECTIONS)?.get(name)? {
                Some(record) => Some(decode::<ProjectionRecord>(name, record.value())?),
                None => None,
            };
            let mut record = stored.unwrap_or_else(|| ProjectionRecord {
                description: description.clone(),
                installs: Vec::new(),
                live: None,
                previous: None,
                latest: None,
                next_generation: 1,
                owner: None,
                switching: None,
                last_verify: None,
            });
            if record.digest() == digest {
                return Ok(false);
            }
            record.description = description.clone();
            record.installs.push(Install {
                digest: digest.to_owned(),
                version: description.version,
                at: now,
                how: how.to_owned(),
            });
            put_owner(&write, &record)?;
            write.open_table(COMPONENTS)?.insert(digest, component)?;
        }
        crash::point("install.written");
        write.commit()?;
        crash::point("install.after");
        Ok(true)
    }

    /// Records what became of a verification.
    ///
    /// # Errors
    /// When there is no such projection, or the store cannot be written.
    pub fn record_verification(&self, name: &str, verification: Verification) -> Result<(), StoreError> {
        let write = self.db.begin_write()?;
        let mut owner = owner_in(&write, name)?;
        owner.last_verify = Some(verification);
        put_owner(&write, &owner)?;
        Ok(write.commit()?)
    }
}
