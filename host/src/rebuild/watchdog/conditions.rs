//! The conditions of projections that only show while a host works: what is entered into the outbox of alerts, and when that is over.

use super::{Verdict, Watched, verdict};
use crate::{
    limits,
    rebuild::host::Host,
    store::AlertCause,
    vocabulary::{AlertKind, Position, Status, Waiting},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// For how long what an earlier host has entered is not over because it does not show: what was away then is first asked again.
const TAKEN_OVER: Duration = limits::CONTACT.saturating_mul(2);

/// What was found of a condition.
enum Found {
    /// It is over, or never was.
    Fine,
    /// Nobody knows at this moment; it is left as it is.
    Unknown,
    /// It is there.
    There(Box<AlertCause>),
}

/// A condition of a projection.
type Condition = (String, AlertKind);

/// What is known of all of them.
pub(super) struct Conditions {
    /// Those that are entered.
    firing: BTreeSet<Condition>,
    /// Those among them that an earlier host has entered.
    taken_over: BTreeSet<Condition>,
    /// Those that were fine at the last look: what is so twice is over, and not what is back for a moment.
    fine: BTreeSet<Condition>,
    started: Instant,
    /// By key, how far a follower should have come, and since when.
    marks: HashMap<String, (Position, Instant)>,
}

impl Conditions {
    /// Those that an earlier host has entered.
    pub(super) fn known(host: &Host) -> Conditions {
        let alerts = host.store.firing_alerts().unwrap_or_else(|e| {
            tracing::error!("the alerts of the last host cannot be read: {e}");
            Vec::new()
        });
        let firing = alerts.into_iter().map(|alert| (alert.projection, alert.kind));
        let firing: BTreeSet<Condition> =
            firing.filter(|(_, kind)| [AlertKind::Stalled, AlertKind::Behind].contains(kind)).collect();
        Conditions {
            taken_over: firing.clone(),
            firing,
            fine: BTreeSet::new(),
            started: Instant::now(),
            marks: HashMap::new(),
        }
    }

    /// Looks at everything that runs or waits, by key, and enters what has changed.
    pub(super) fn look(&mut self, host: &Host, watched: &[(String, Watched)]) {
        let mut found = BTreeMap::new();
        self.marks.retain(|key, _| watched.iter().any(|(watched, _)| watched == key));
        for (key, watched) in watched {
            let waiting = watched.waiting(host, key);
            note(&mut found, watched, AlertKind::Stalled, stalled(host, key, watched, waiting.as_ref()));
            if watched.follows {
                let behind = self.behind(host, key, watched, waiting.as_ref());
                note(&mut found, watched, AlertKind::Behind, behind);
            }
        }
        for (name, kind) in &self.firing {
            found.entry((name.clone(), *kind)).or_insert_with(|| at_rest(host, name));
        }
        for (condition, found) in found {
            self.enter(host, condition, found);
        }
    }

    fn enter(&mut self, host: &Host, condition: Condition, found: Found) {
        let fires = self.firing.contains(&condition);
        let is_over = match found {
            Found::Fine => !self.fine.insert(condition.clone()),
            _ => {
                self.fine.remove(&condition);
                false
            }
        };
        let (name, kind) = &condition;
        let cause = match found {
            Found::There(cause) if !fires => Some(cause),
            Found::Fine if fires && is_over => None,
            _ => return,
        };
        let begins = cause.is_some();
        if !begins && self.taken_over.contains(&condition) && self.started.elapsed() < TAKEN_OVER {
            return;
        }
        match &cause {
            Some(cause) => tracing::error!(projection = name, "{}: {}", kind.name(), cause.message),
            None => tracing::info!(projection = name, "{} no more", kind.name()),
        }
        if let Err(e) = host.store.set_alert(name, *kind, cause.map(|cause| *cause)) {
            tracing::error!(projection = name, "nobody is told of that: {e}");
        }
        self.taken_over.remove(&condition);
        match begins {
            true => self.firing.insert(condition),
            false => self.firing.remove(&condition),
        };
    }

    /// Whether a follower has not handled for long what was in its history by then. One that was behind is so until it has come to the
    /// end.
    fn behind(&mut self, host: &Host, key: &str, watched: &Watched, waiting: Option<&Option<Waiting>>) -> Found {
        match waiting {
            None => return Found::Unknown,
            Some(Some(waiting)) if is_long(waiting) => {
                let message = format!("what has come since is not known: {}", waiting.error);
                return Found::There(cause(host, key, watched, message, Some(waiting)));
            }
            Some(_) => {}
        }
        let Some(published) = host.published(key).filter(|_| watched.is_at_work()) else { return Found::Unknown };
        let (position, target, now) = (published.position(), watched.record.target, Instant::now());
        if position >= target {
            self.marks.remove(key);
            return if matches!(waiting, Some(None)) { Found::Fine } else { Found::Unknown };
        }
        let mark = self.marks.entry(key.to_owned()).or_insert((target, now));
        if position >= mark.0 {
            *mark = (target, now);
        }
        if now.duration_since(mark.1) < limits::CONTACT {
            return Found::Unknown;
        }
        let seconds = limits::CONTACT.as_secs();
        let message = format!(
            "it stands at position {position}, and has not handled for {seconds} s what was there up to {}",
            mark.0
        );
        Found::There(cause(host, key, watched, message, None))
    }
}

/// Of what is built and followed under the name of one projection, the worst counts.
fn note(all: &mut BTreeMap<Condition, Found>, watched: &Watched, kind: AlertKind, found: Found) {
    let rank = |found: &Found| match found {
        Found::Fine => 0,
        Found::Unknown => 1,
        Found::There(_) => 2,
    };
    let before = all.entry((watched.name.clone(), kind)).or_insert(Found::Fine);
    if rank(&found) > rank(before) {
        *before = found;
    }
}

fn stalled(host: &Host, key: &str, watched: &Watched, waiting: Option<&Option<Waiting>>) -> Found {
    match waiting {
        None => return Found::Unknown,
        Some(Some(waiting)) if is_long(waiting) => {
            let message = format!("waits for {} s: {}", waiting.ms / 1_000, waiting.error);
            return Found::There(cause(host, key, watched, message, Some(waiting)));
        }
        Some(Some(_)) => return Found::Unknown,
        Some(None) => {}
    }
    let Some(published) = host.published(key).filter(|_| watched.is_at_work()) else { return Found::Unknown };
    if verdict(&watched.record, &published) == Verdict::Fine {
        return Found::Fine;
    }
    let (position, seconds) = (published.position(), published.still_for().as_secs());
    let message = format!("it stands still at position {position} for {seconds} s, behind {}", watched.record.target);
    Found::There(cause(host, key, watched, message, None))
}

/// What nobody works on: it is over, unless somebody is to.
fn at_rest(host: &Host, name: &str) -> Found {
    let Ok(records) = host.store.rebuilds(name) else { return Found::Unknown };
    let moves =
        records.iter().any(|record| record.is_followed() || record.is_wanted() || record.status() == Status::Running);
    if moves { Found::Unknown } else { Found::Fine }
}

fn is_long(waiting: &Waiting) -> bool {
    Duration::from_millis(waiting.ms) >= limits::CONTACT
}

fn cause(host: &Host, key: &str, watched: &Watched, message: String, waiting: Option<&Waiting>) -> Box<AlertCause> {
    let position = host.published(key).map_or(watched.record.checkpoint.position, |published| published.position());
    let generation = Some(watched.record.generation);
    Box::new(AlertCause { message, generation, position, failure: None, waiting: waiting.cloned() })
}
