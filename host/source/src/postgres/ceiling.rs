//! The stable position of a history: nothing that commits later gets a position at or below it.
//!
//! A writer takes its number within a transaction and commits later, out of order. Two proofs are used, neither of which
//! depends on how the writer works:
//!
//! - **No hole**: after a stable position, numbers that follow each other without a gap are all there already.
//! - **Nobody left**: after the greatest number was read, all transactions that were open then have ended. Whoever might
//!   still fill a hole below it was one of them; so the holes that are left stay empty.
//!
//! Every open transaction holds a lock on its own virtual transaction id, which any role may see in `pg_locks`; prepared
//! ones are in `pg_prepared_xacts`. A sequence that hands out numbers to *sessions* (`CACHE` above 1, or an increment that
//! a program counts up in memory) would defeat both proofs, and is refused when the source is opened.

use super::{
    checks::standby,
    failed,
    layout::{Layout, Ordering},
    session::{Row, Session},
    settings::Settings,
};
use crate::SourceError;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use unspool_vocabulary::{Position, limits};

/// Numbers that are looked at in one search for a hole.
const SEARCHED: i64 = 10_000;

/// How often to check whether transactions have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What is known of the end of a history.
#[derive(Debug, Default)]
pub(super) struct StablePosition {
    /// Stable up to here.
    reached: Position,
    /// The end of the history at some moment, and the transactions that were open then and still are.
    candidate: Option<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    end: Position,
    open: HashSet<String>,
}

/// A history whose end is determined.
pub(super) struct End<'a> {
    pub(super) settings: &'a Settings,
    pub(super) layout: &'a Layout,
    pub(super) session: &'a mut Session,
}

impl StablePosition {
    /// Determines the stable position again, without waiting.
    pub(super) fn look(&mut self, history: &mut End<'_>) -> Result<Position, SourceError> {
        let found = match history.layout.ordering {
            Ordering::Serialised => history.greatest()?,
            Ordering::Transaction => history.below_open_transactions()?,
            Ordering::Gaps => self.past_holes(history)?,
        };
        self.reached = self.reached.max(found);
        Ok(self.reached)
    }

    /// Waits until everything that stands in the history now is stable, however long transactions that are open now
    /// take, and returns the stable position.
    pub(super) fn wait(&mut self, history: &mut End<'_>) -> Result<Position, SourceError> {
        let until = Instant::now() + limits::OPEN_TRANSACTIONS_WAIT;
        // What was known is forgotten: the store may have been restored to an earlier state, which must be noticed.
        *self = StablePosition::default();
        let mut open = match history.layout.ordering {
            Ordering::Serialised => return self.look(history),
            Ordering::Transaction | Ordering::Gaps => Candidate { end: history.greatest()?, open: history.open()? },
        };
        while !open.open.is_empty() {
            if Instant::now() >= until {
                return Err(history.still_open(&open.open));
            }
            std::thread::sleep(POLL_INTERVAL);
            let now = history.open()?;
            open.open.retain(|transaction| now.contains(transaction));
        }
        if history.layout.ordering == Ordering::Gaps {
            self.reached = open.end;
            return Ok(open.end);
        }
        // Transactions of other databases may hold the oldest snapshot back a little longer.
        loop {
            let reached = self.look(history)?;
            if reached >= open.end {
                return Ok(reached);
            }
            if Instant::now() >= until {
                return Err(history.still_open(&HashSet::new()));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    fn past_holes(&mut self, history: &mut End<'_>) -> Result<Position, SourceError> {
        let without_hole = history.without_hole(self.reached)?;
        if self.candidate.as_ref().is_some_and(|candidate| candidate.end <= without_hole) {
            self.candidate = None;
        }
        let candidate = match self.candidate.take() {
            Some(mut candidate) => {
                let now = history.open()?;
                candidate.open.retain(|transaction| now.contains(transaction));
                candidate
            }
            None => {
                let end = history.greatest()?;
                if end <= without_hole {
                    return Ok(without_hole);
                }
                // In this order: whoever holds a number below the end is among those that are open afterwards.
                Candidate { end, open: history.open()? }
            }
        };
        if candidate.open.is_empty() {
            let passed = candidate.end.minor.saturating_sub(without_hole.minor);
            tracing::debug!(
                source = history.settings.name,
                "no transaction is left that could fill a hole among the {passed} positions up to {}",
                candidate.end
            );
            return Ok(candidate.end);
        }
        self.candidate = Some(candidate);
        Ok(without_hole)
    }
}

impl End<'_> {
    fn query(&mut self, query: &str) -> Result<Vec<Row>, SourceError> {
        self.session.query(query).map_err(|e| failed(self.settings, &e))
    }

    /// The greatest position of any row.
    fn greatest(&mut self) -> Result<Position, SourceError> {
        self.last("")
    }

    /// The greatest position of a transaction below which none is open.
    fn below_open_transactions(&mut self) -> Result<Position, SourceError> {
        let transaction = self.layout.transaction.clone().unwrap_or_default();
        self.last(&format!(" AND {transaction} < pg_snapshot_xmin(pg_current_snapshot())"))
    }

    /// The greatest position where `condition` holds, which begins with AND. Rows that lack a part of it have none.
    fn last(&mut self, condition: &str) -> Result<Position, SourceError> {
        let Layout { end, number, transaction, .. } = self.layout;
        // The results have names of their own: ORDER BY would take a transaction's text for the transaction.
        let query = match transaction {
            None => format!(
                "SELECT '0', {number}::text AS unspool_minor FROM {end} WHERE {number} IS NOT NULL{condition} \
                 ORDER BY {number} DESC LIMIT 1"
            ),
            Some(transaction) => format!(
                "SELECT {transaction}::text AS unspool_major, {number}::text AS unspool_minor FROM {end} \
                 WHERE {transaction} IS NOT NULL AND {number} IS NOT NULL{condition} \
                 ORDER BY {transaction} DESC, {number} DESC LIMIT 1"
            ),
        };
        match self.query(&query)?.first() {
            Some(row) => self.layout.position_in(self.settings, row),
            None => Ok(Position::START),
        }
    }

    /// How far numbers follow each other after `position`.
    fn without_hole(&mut self, position: Position) -> Result<Position, SourceError> {
        let Layout { end, number, shift, .. } = self.layout;
        if !self.layout.counted {
            return Ok(position);
        }
        let after = self.layout.stored(position);
        let query = format!(
            "SELECT {number}::text AS unspool_number FROM {end} WHERE {number} > {after} ORDER BY {number} LIMIT {SEARCHED}"
        );
        let mut reached = after.saturating_add(*shift);
        for row in self.query(&query)? {
            let number = self.layout.number_in(self.settings, &row, 0)?;
            if Some(number) != reached.checked_add(1) {
                break;
            }
            reached = number;
        }
        Ok(Position::number(reached.try_into().unwrap_or(0)))
    }

    /// The transactions of this database that are open, other than our own. Where holes are passed once these have ended,
    /// the server must be one that knows them.
    fn open(&mut self) -> Result<HashSet<String>, SourceError> {
        let query = "SELECT lock.virtualtransaction, pg_is_in_recovery() FROM pg_locks AS lock \
                     JOIN pg_stat_activity AS session USING (pid) \
                     WHERE lock.locktype = 'virtualxid' AND lock.pid <> pg_backend_pid() \
                     AND session.datname = current_database() \
                     AND session.backend_type IS DISTINCT FROM 'autovacuum worker' \
                     AND session.backend_type IS DISTINCT FROM 'walsender' \
                     UNION ALL SELECT 'prepared: ' || gid, pg_is_in_recovery() FROM pg_prepared_xacts \
                     WHERE database = current_database() UNION ALL SELECT NULL, pg_is_in_recovery()";
        let rows = self.query(query)?;
        if self.layout.ordering == Ordering::Gaps && rows.iter().any(|row| row.holds(1)) {
            return Err(standby(self.settings));
        }
        Ok(rows.iter().filter_map(|row| row.text(0)).map(str::to_owned).collect())
    }

    fn still_open(&mut self, open: &HashSet<String>) -> SourceError {
        let query = "SELECT virtualtransaction, pid FROM pg_locks WHERE locktype = 'virtualxid' ORDER BY pid";
        let sessions = self.query(query).unwrap_or_default();
        let named: Vec<String> = sessions
            .iter()
            .filter(|row| row.text(0).is_some_and(|transaction| open.contains(transaction)))
            .map(|row| format!("the session with pid {}", row.text(1).unwrap_or("?")))
            .chain(open.iter().filter(|transaction| transaction.starts_with("prepared: ")).cloned())
            .collect();
        let who = if named.is_empty() { "one that is not visible".to_owned() } else { named.join(", ") };
        SourceError {
            transient: true,
            ..SourceError::permanent(format!(
                "{}: transactions that may still add events below the end of the history have been open for {} s: {who}; \
                 end them, or try again later",
                self.settings.name,
                limits::OPEN_TRANSACTIONS_WAIT.as_secs()
            ))
        }
    }
}
