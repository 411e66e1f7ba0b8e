//! Who is to be told of what, and what became of it.

use super::{ALERTS, Alert, Phase, ROUTES, Told, absent, alert_in, alerts_at, extent_in, keep, routes_in};
use crate::{
    Store,
    catalog::tables::{decode, encode},
    error::StoreError,
};
use redb::{ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use unspool_vocabulary::{AlertKind, limits};

/// Somebody who is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRecord {
    /// Where to, for people to see.
    pub to: String,
    /// Of what.
    pub on: Vec<AlertKind>,
    /// How long that must last first, in milliseconds.
    pub lasting_ms: u64,
    /// How often they are told again of what lasts, in milliseconds; once where absent.
    pub repeat_ms: Option<u64>,
    /// Alerts that were over and had this number or a lesser one when they were first to be told are not told.
    since: u64,
    /// The last try to tell them anything; absent before the first.
    #[serde(default)]
    pub last: Option<Tried>,
    /// Messages that have arrived.
    pub delivered: u64,
    /// Tries that have failed.
    pub failed: u64,
    /// Messages that were given up.
    pub dropped: u64,
}

/// A try to tell somebody something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// Why it has failed; absent where it has not.
    pub error: Option<String>,
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAlert {
    /// About this alert.
    pub alert: Alert,
    /// What it says.
    pub phase: Phase,
    /// Since when it is due, in milliseconds since 1970.
    pub since: i64,
}

/// What is to be told to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextAlert {
    /// Now: what was tried least, and of that the oldest.
    pub due: Option<DueAlert>,
    /// When something else is due, in milliseconds since 1970; `None` where nothing is as things are.
    pub later: Option<i64>,
}

impl RouteRecord {
    /// A new one, that is told of `on` where it lasts for so long, and told again so often.
    pub fn new(to: String, on: Vec<AlertKind>, lasting_ms: u64, repeat_ms: Option<u64>) -> RouteRecord {
        RouteRecord { to, on, lasting_ms, repeat_ms, ..RouteRecord::default() }
    }

    /// What the route `name` is to be told next of `alert`, and from when on.
    pub(super) fn next(&self, name: &str, alert: &Alert) -> Option<(Phase, i64)> {
        if !self.on.contains(&alert.kind) {
            return None;
        }
        let told = alert.told.get(name);
        let lasting = i64::try_from(self.lasting_ms).unwrap_or(i64::MAX);
        let from = if alert.kind.is_momentary() { alert.since } else { alert.since.saturating_add(lasting) };
        match (told.and_then(|told| told.phase), alert.ended) {
            (None, Some(_)) if alert.number <= self.since => None,
            (None, Some(ended)) if ended < from => None,
            (None, _) => Some((Phase::Firing, from)),
            (Some(Phase::Firing), Some(ended)) => (!alert.kind.is_momentary()).then_some((Phase::Resolved, ended)),
            (Some(Phase::Firing), None) => {
                let repeat = i64::try_from(self.repeat_ms?).unwrap_or(i64::MAX);
                Some((Phase::Firing, told.map_or(0, |told| told.at).saturating_add(repeat)))
            }
            (Some(Phase::Resolved), _) => None,
        }
    }
}

impl Store {
    /// Says who is to be told from now on; whoever was and is not among `routes` is forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn declare_alert_routes(&self, routes: &[(String, RouteRecord)]) -> Result<(), StoreError> {
        let known: BTreeMap<String, RouteRecord> =
            self.alert_routes()?.into_iter().map(|(name, route, _)| (name, route)).collect();
        let same = |(name, route): &(String, RouteRecord)| known.get(name).is_some_and(|known| known.is_like(route));
        if known.len() == routes.len() && routes.iter().all(same) {
            return Ok(());
        }
        let write = self.db.begin_write()?;
        let newest = extent_in(&write)?.newest;
        for (name, _) in known.iter().filter(|(name, _)| !routes.iter().any(|(route, _)| route == *name)) {
            write.open_table(ROUTES)?.remove(name.as_str())?;
        }
        for (name, route) in routes {
            let before = known.get(name).cloned().unwrap_or(RouteRecord { since: newest, ..RouteRecord::default() });
            let RouteRecord { to, on, lasting_ms, repeat_ms, .. } = route.clone();
            let now = RouteRecord { to, on, lasting_ms, repeat_ms, ..before };
            write.open_table(ROUTES)?.insert(name.as_str(), encode(&now)?.as_slice())?;
        }
        // What waited for whoever is forgotten waits for nobody.
        let mut numbers = Vec::new();
        for entry in write.open_table(ALERTS)?.iter()? {
            numbers.push(entry?.0.value());
        }
        for number in numbers {
            if let Some(alert) = alert_in(&write, number)? {
                keep(&write, &alert)?;
            }
        }
        Ok(write.commit()?)
    }

    /// Who is told, by name, and how many messages are due for each and have not arrived.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alert_routes(&self) -> Result<Vec<(String, RouteRecord, u64)>, StoreError> {
        let read = self.db.begin_read()?;
        let (alerts, now) = (alerts_at(&read)?, unspool_vocabulary::now_ms());
        let Some(table) = absent(read.open_table(ROUTES))? else { return Ok(Vec::new()) };
        let mut routes = Vec::new();
        for entry in table.iter()? {
            let (name, route) = entry?;
            let (name, route): (String, RouteRecord) =
                (name.value().to_owned(), decode("a route of alerts", route.value())?);
            let due = |alert: &&Alert| route.next(&name, alert).is_some_and(|(_, from)| from <= now);
            let waiting = alerts.iter().filter(due).count() as u64;
            routes.push((name, route, waiting));
        }
        Ok(routes)
    }

    /// What is to be told to the route `name` at `now`, in milliseconds since 1970.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn next_alert(&self, name: &str, now: i64) -> Result<NextAlert, StoreError> {
        let read = self.db.begin_read()?;
        let mut next = NextAlert { due: None, later: None };
        let Some(routes) = absent(read.open_table(ROUTES))? else { return Ok(next) };
        let Some(route) = routes.get(name)? else { return Ok(next) };
        let route: RouteRecord = decode("a route of alerts", route.value())?;
        let mut least = u32::MAX;
        for alert in alerts_at(&read)? {
            let Some((phase, since)) = route.next(name, &alert) else { continue };
            let tries = alert.told.get(name).map_or(0, |told| told.tries);
            if since > now {
                next.later = Some(next.later.map_or(since, |later| later.min(since)));
            } else if next.due.is_none() || tries < least {
                least = tries;
                next.due = Some(DueAlert { alert, phase, since });
            }
        }
        Ok(next)
    }

    /// Notes what became of a message, at `now`; why it has not arrived, where it has not. One that cannot be delivered for
    /// [`limits::ALERT_LIFE`] is given up: `true` where it was.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_delivery(
        &self,
        name: &str,
        due: &DueAlert,
        outcome: Result<(), String>,
        now: i64,
    ) -> Result<bool, StoreError> {
        let write = self.db.begin_write()?;
        let Some((_, mut route)) = routes_in(&write)?.into_iter().find(|(route, _)| route == name) else {
            return Ok(false);
        };
        let life = i64::try_from(limits::ALERT_LIFE.as_millis()).unwrap_or(i64::MAX);
        let given_up = outcome.is_err() && now.saturating_sub(due.since) > life;
        match &outcome {
            Ok(()) => route.delivered += 1,
            Err(_) => route.failed += 1,
        }
        route.dropped += u64::from(given_up);
        let arrived = outcome.is_ok();
        route.last = Some(Tried { at: now, error: outcome.err() });
        write.open_table(ROUTES)?.insert(name, encode(&route)?.as_slice())?;
        if let Some(mut alert) = alert_in(&write, due.alert.number)?.filter(|alert| alert.since == due.alert.since) {
            let told = alert.told.entry(name.to_owned()).or_default();
            match arrived || given_up {
                true => *told = Told { phase: Some(due.phase), at: now, tries: 0 },
                false => told.tries = told.tries.saturating_add(1),
            }
            keep(&write, &alert)?;
        }
        write.commit()?;
        Ok(given_up)
    }
}

impl RouteRecord {
    /// Whether the same is wanted by both.
    fn is_like(&self, other: &RouteRecord) -> bool {
        let wanted = |route: &RouteRecord| (route.to.clone(), route.on.clone(), route.lasting_ms, route.repeat_ms);
        wanted(self) == wanted(other)
    }
}
