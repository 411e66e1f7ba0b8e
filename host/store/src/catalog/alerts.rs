//! The outbox of alerts: what operators are to be told of, and whom of them has been.
//!
//! | redb table | key | value |
//! |---|---|---|
//! | `alerts` | number, from 1 | [`Alert`], MessagePack |
//! | `alerts_firing` | (projection, kind) | the number of the alert that is not over |
//! | `alert_routes` | route | [`RouteRecord`], MessagePack |
//! | `alert_extent` | `()` | [`Extent`], MessagePack |
//!
//! What the records of a projection say is entered in the transaction that writes them (`conditions`, called where a change is noted in
//! the record of activity: nothing that changes a record can forget it). What only shows while a host works is entered by its watchdog.
//! There is one alert for each condition of a projection until that is over, whatever restarts meanwhile. Whoever delivers asks for what
//! is due (`delivery`), and notes what became of it: what was not noted is delivered again, under the same id.

mod conditions;
mod delivery;
#[cfg(test)]
mod tests;

pub(crate) use conditions::{completed, reconcile};
pub use delivery::{DueAlert, NextAlert, RouteRecord, Tried};

use super::tables::{decode, encode};
use crate::{Store, error::StoreError};
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
    WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unspool_vocabulary::{AlertKind, EventFailure, Position, Waiting, limits, now_ms};

/// See above.
pub(crate) const ALERTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("alerts");
/// See above.
pub(crate) const FIRING: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("alerts_firing");
/// See above.
pub(crate) const ROUTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("alert_routes");
/// See above.
pub(crate) const EXTENT: TableDefinition<'_, (), &[u8]> = TableDefinition::new("alert_extent");

/// Something that operators are to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Its number, which no other has.
    pub number: u64,
    /// The condition.
    pub kind: AlertKind,
    /// The projection that is in it.
    pub projection: String,
    /// What brought it about.
    pub cause: AlertCause,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// When it was over; absent while it lasts.
    pub ended: Option<i64>,
    /// Who has been told, by route.
    told: BTreeMap<String, Told>,
}

/// What brought an alert about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertCause {
    /// In one sentence.
    pub message: String,
    /// The generation, where it is about one.
    pub generation: Option<u64>,
    /// Where that stood.
    pub position: Position,
    /// What has failed.
    pub failure: Option<EventFailure>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
}

/// What a message says of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It has begun, or lasts.
    Firing,
    /// It is over.
    Resolved,
}

/// What somebody has been told of an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The newest of it.
    phase: Option<Phase>,
    /// When, in milliseconds since 1970.
    at: i64,
    /// Tries to tell what comes next that have failed.
    tries: u32,
}

/// What there has been.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Extent {
    /// The number of the newest alert.
    newest: u64,
    /// How often any of this has changed.
    changes: u64,
}

impl Alert {
    /// One that the store did not take.
    pub fn unstored(projection: &str, kind: AlertKind, cause: AlertCause) -> Alert {
        let (projection, since, ended, told) = (projection.to_owned(), now_ms(), None, BTreeMap::new());
        Alert { number: 0, kind, projection, cause, since, ended, told }
    }

    /// The same for every alert about this condition of this projection, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        let text = format!("{}\0{}", self.projection, self.kind.name());
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}

/// Enters an alert, unless there is one of this kind already.
fn fire(write: &WriteTransaction, projection: &str, kind: AlertKind, cause: AlertCause) -> Result<(), StoreError> {
    let mut firing = write.open_table(FIRING)?;
    if firing.get((projection, kind.name()))?.is_some() {
        return Ok(());
    }
    let (mut extent, now) = (extent_in(write)?, now_ms());
    extent.newest += 1;
    let number = extent.newest;
    if !kind.is_momentary() {
        firing.insert((projection, kind.name()), number)?;
    }
    let ended = kind.is_momentary().then_some(now);
    let alert =
        Alert { number, kind, projection: projection.to_owned(), cause, since: now, ended, told: BTreeMap::new() };
    keep(write, &alert)?;
    bound(write)?;
    note_change(write, extent)
}

/// Notes that a condition is over, where there was an alert about it.
fn resolve(write: &WriteTransaction, projection: &str, kind: AlertKind) -> Result<(), StoreError> {
    let number = write.open_table(FIRING)?.remove((projection, kind.name()))?.map(|number| number.value());
    let Some(number) = number else { return Ok(()) };
    let extent = extent_in(write)?;
    if let Some(alert) = alert_in(write, number)? {
        keep(write, &Alert { ended: Some(now_ms()), ..alert })?;
    }
    note_change(write, extent)
}

/// Enters an alert, or that it is over.
fn set(
    write: &WriteTransaction,
    projection: &str,
    kind: AlertKind,
    cause: Option<AlertCause>,
) -> Result<(), StoreError> {
    match cause {
        Some(cause) => fire(write, projection, kind, cause),
        None => resolve(write, projection, kind),
    }
}

/// Writes an alert; one that is over, and that nobody is to be told of any more, goes.
fn keep(write: &WriteTransaction, alert: &Alert) -> Result<(), StoreError> {
    let routes = routes_in(write)?;
    let open = routes.iter().any(|(name, route)| route.next(name, alert).is_some());
    let mut alerts = write.open_table(ALERTS)?;
    match alert.ended.is_none() || open {
        true => alerts.insert(alert.number, encode(alert)?.as_slice())?,
        false => alerts.remove(alert.number)?,
    };
    Ok(())
}

/// Lets go of the alerts beyond what is kept, of those that are over the oldest first, and says whom nobody told.
fn bound(write: &WriteTransaction) -> Result<(), StoreError> {
    while write.open_table(ALERTS)?.len()? > limits::ALERTS {
        let mut oldest = None;
        for entry in write.open_table(ALERTS)?.iter()? {
            let alert: Alert = decode("an alert", entry?.1.value())?;
            if alert.ended.is_some() {
                oldest = Some(alert);
                break;
            }
        }
        // What lasts is bounded by how many projections there are.
        let Some(alert) = oldest else { return Ok(()) };
        for (name, mut route) in routes_in(write)? {
            if route.next(&name, &alert).is_some() {
                tracing::error!(
                    projection = alert.projection,
                    "{name} is never told that it was {}: more than {} alerts wait to be told",
                    alert.kind.name(),
                    limits::ALERTS
                );
                route.dropped += 1;
                write.open_table(ROUTES)?.insert(name.as_str(), encode(&route)?.as_slice())?;
            }
        }
        write.open_table(ALERTS)?.remove(alert.number)?;
    }
    Ok(())
}

fn alert_in(write: &WriteTransaction, number: u64) -> Result<Option<Alert>, StoreError> {
    let alerts = write.open_table(ALERTS)?;
    let stored = alerts.get(number)?;
    stored.map(|stored| decode("an alert", stored.value())).transpose()
}

fn routes_in(write: &WriteTransaction) -> Result<Vec<(String, RouteRecord)>, StoreError> {
    let mut routes = Vec::new();
    for entry in write.open_table(ROUTES)?.iter()? {
        let (name, route) = entry?;
        routes.push((name.value().to_owned(), decode("a route of alerts", route.value())?));
    }
    Ok(routes)
}

fn extent_in(write: &WriteTransaction) -> Result<Extent, StoreError> {
    let extents = write.open_table(EXTENT)?;
    let stored = extents.get(())?;
    stored.map_or_else(|| Ok(Extent::default()), |stored| decode("alerts", stored.value()))
}

fn note_change(write: &WriteTransaction, mut extent: Extent) -> Result<(), StoreError> {
    extent.changes += 1;
    write.open_table(EXTENT)?.insert((), encode(&extent)?.as_slice())?;
    Ok(())
}

/// Where nothing was ever entered there is no table.
fn absent<T>(opened: Result<T, TableError>) -> Result<Option<T>, StoreError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn alerts_at(read: &ReadTransaction) -> Result<Vec<Alert>, StoreError> {
    let mut alerts = Vec::new();
    if let Some(table) = absent(read.open_table(ALERTS))? {
        for entry in table.iter()? {
            alerts.push(decode("an alert", entry?.1.value())?);
        }
    }
    Ok(alerts)
}

impl Store {
    /// Enters what was found of a condition that only shows while a host works: what brought it about, or that it is over. Where that is
    /// known already nothing changes.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_alert(&self, projection: &str, kind: AlertKind, cause: Option<AlertCause>) -> Result<(), StoreError> {
        let write = self.db.begin_write()?;
        set(&write, projection, kind, cause)?;
        Ok(write.commit()?)
    }

    /// The alerts that are not over, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn firing_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let mut alerts = alerts_at(&self.db.begin_read()?)?;
        alerts.retain(|alert| alert.ended.is_none());
        Ok(alerts)
    }

    /// How often alerts have begun, or were over. Whoever has looked at them looks again when it is another number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alert_changes(&self) -> Result<u64, StoreError> {
        let Some(extents) = absent(self.db.begin_read()?.open_table(EXTENT))? else { return Ok(0) };
        let stored = extents.get(())?;
        let extent: Extent = stored.map_or_else(|| Ok(Extent::default()), |stored| decode("alerts", stored.value()))?;
        Ok(extent.changes)
    }
}
