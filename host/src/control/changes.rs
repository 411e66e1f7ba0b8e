//! Read models that are watched: what they hold, then what changes in them.

use super::{
    ControlError, ErrorKind, Host, Response, Row, Sink,
    answers::Change,
    models::{index_of, shown},
    response::Answer,
    rows::each_row,
};
use crate::{
    limits,
    rebuild::{each_pair, is_same},
    store::{Changed, Generation, LiveRows, LogEnd, LoggedChange, StoreError},
    vocabulary::Position,
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

/// How often who watches is told that everything was told, at most: once it has.
const COMPLETE: Duration = Duration::from_millis(500);

/// The same where nothing has changed: one that has gone is noticed by it.
const AGAIN: Duration = Duration::from_secs(5);

/// Up to where somebody has been told everything: so many rows of an entry of the log of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    /// The live generation.
    generation: u64,
    /// The number of the entry; 0 before the first.
    number: u64,
    /// Rows of it that have been given.
    rows: usize,
    /// Its time, by which it is known; 0 before the first.
    at: i64,
}

/// So many rows of an entry are all of them.
const ALL: usize = usize::MAX;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-", self.generation, self.number)?;
        match self.rows {
            ALL => write!(f, "all-{}", self.at),
            rows => write!(f, "{rows}-{}", self.at),
        }
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Token, ()> {
        let mut parts = text.split('-');
        let mut part = || parts.next().ok_or(());
        let (generation, number, rows, at) = (part()?, part()?, part()?, part()?);
        let rows = if rows == "all" { ALL } else { rows.parse().map_err(drop)? };
        let token = Token {
            generation: generation.parse().map_err(drop)?,
            number: number.parse().map_err(drop)?,
            rows,
            at: at.parse().map_err(drop)?,
        };
        if parts.next().is_some() { Err(()) } else { Ok(token) }
    }
}

/// One who watches.
struct Watcher<'a, 'b> {
    host: &'a Host,
    name: &'a str,
    table: Option<&'a str>,
    prefix: &'a str,
    sink: &'a mut Sink<'b>,
    told: Token,
    /// Up to where the history was in what was told.
    position: Position,
    /// When everything had been told, and up to where.
    complete: (Instant, Token),
    /// Whether nobody listens any more.
    gone: bool,
}

impl Host {
    /// Gives the rows of what readers of `name` see, or from a token on what has changed in them; then each change, until nobody
    /// listens.
    pub(super) fn model_watch(
        &self,
        name: &str,
        table: Option<&str>,
        prefix: &str,
        from: Option<&str>,
        sink: &mut Sink<'_>,
    ) -> Answer {
        let live = self.store().live(name)?;
        if let Some(table) = table {
            index_of(&live, table)?;
        }
        let told = from.map(|from| self.token(name, from)).transpose()?;
        let begins = Token { generation: live.number, number: 0, rows: ALL, at: 0 };
        let begins = told.unwrap_or(begins);
        let position = match self.store().change(name, begins.number)? {
            Some(change) => change.position,
            None => self.store().rebuild(name, begins.generation)?.checkpoint.position,
        };
        let complete = (Instant::now(), begins);
        let mut watcher =
            Watcher { host: self, name, table, prefix, sink, told: begins, position, complete, gone: false };
        match told {
            None => watcher.snapshot("no token was given")?,
            Some(token) if watcher.is_kept(token)? => {}
            Some(_) => watcher.snapshot(TOO_OLD)?,
        }
        watcher.go_on()
    }

    /// The token that was given, where this store has given it.
    fn token(&self, name: &str, text: &str) -> Result<Token, ControlError> {
        let token: Token = text.parse().map_err(|()| {
            ControlError::refused(format!(
                "{text:?} is no token of unspool model watch: without --from it begins with all rows"
            ))
        })?;
        match self.store().rebuild(name, token.generation) {
            Err(StoreError::NotFound(_)) => {
                return Err(ControlError::not_possible(format!(
                    "the token {text} is of generation {} of {name}, which was dropped: without --from, unspool model watch begins with \
                     all rows",
                    token.generation
                )));
            }
            record => drop(record?),
        }
        let end = self.store().changes_end(name)?;
        let known = match self.store().change(name, token.number)? {
            Some(change) => change.at == token.at,
            // It was let go, or there was none yet.
            None => token.number < end.number || token.number == 0,
        };
        if !known || token.number > end.number {
            return Err(ControlError::not_possible(format!(
                "the token {text} was not given by this store, or before it was restored from a backup: without --from, unspool model \
                 watch begins with all rows"
            )));
        }
        Ok(token)
    }
}

/// Why a token is not gone on from.
const TOO_OLD: &str = "the token is too old: changes after it are not kept any more";

impl Watcher<'_, '_> {
    /// Whether all changes after `token` are kept.
    fn is_kept(&self, token: Token) -> Result<bool, ControlError> {
        let store = self.host.store();
        let within = token.rows != ALL && store.change(self.name, token.number)?.is_none();
        let next = store.change_after(self.name, token.number)?;
        Ok(!within && next.is_none_or(|(number, _)| number == token.number + 1))
    }

    /// Tells what changes, as it does.
    fn go_on(&mut self) -> Answer {
        while !self.gone {
            let store = self.host.store();
            // The rest of an entry first.
            let next = match self.told.rows {
                ALL => store.change_after(self.name, self.told.number)?,
                _ => store.change(self.name, self.told.number)?.map(|change| (self.told.number, change)),
            };
            match next {
                Some((number, _)) if number > self.told.number + 1 => {
                    self.snapshot("changes came faster than they were read, and are not kept any more")?;
                }
                Some((number, change)) => self.entry(number, &change)?,
                None if self.told.rows != ALL => self.told.rows = ALL,
                None if self.host.only_reads() => return self.at_rest(),
                None if self.host.is_closing() => break,
                None => {
                    let (at, told) = self.complete;
                    if at.elapsed() >= if told == self.told { AGAIN } else { COMPLETE } {
                        self.complete();
                    }
                    std::thread::sleep(limits::CHANGES_POLL);
                }
            }
        }
        // Who is slow has not been told everything when the host ends.
        match self.host.is_closing() {
            true => Err(ControlError::new(ErrorKind::Host, "the host ends; try again, with the last token")),
            false => Ok(Response::Nothing),
        }
    }

    /// Nobody changes anything now.
    fn at_rest(&mut self) -> Answer {
        if self.complete.1 != self.told {
            self.complete();
        }
        if self.gone {
            return Ok(Response::Nothing);
        }
        Err(ControlError::not_possible(
            "no host runs on this data directory, and nothing changes until one does: unspool serve; then unspool model watch goes on \
             with --from and the last token",
        ))
    }

    fn entry(&mut self, number: u64, change: &LoggedChange) -> Result<(), ControlError> {
        let given = if number == self.told.number { self.told.rows } else { 0 };
        match &change.what {
            Changed::Rows => {
                let mut told = Token { generation: change.generation, number, rows: given, at: change.at };
                for (table, key, document) in change.rows()?.into_iter().skip(given) {
                    told.rows += 1;
                    if self.is_watched(&table, &key) {
                        self.row(&table, key, document.as_ref(), change.position, Some(told))?;
                    }
                    if self.gone {
                        return Ok(());
                    }
                }
                (self.told, self.position) = (Token { rows: ALL, ..told }, change.position);
                Ok(())
            }
            Changed::Promoted { from } => self.promoted(number, change, *from),
            Changed::Unknown => self.snapshot(
                "more changed at once than is kept, or a host was killed while it changed rows in a database",
            ),
        }
    }

    /// Another generation is live: tells the rows that differ.
    fn promoted(
        &mut self,
        number: u64,
        change: &LoggedChange,
        from: Option<(u64, Position)>,
    ) -> Result<(), ControlError> {
        let (promoted, position) = (change.generation, change.position);
        self.tell(Change::Promoted { promoted, from: from.map(|(from, _)| from), position });
        let live = self.host.store().live_rows(self.name)?;
        // Of what was live before, the rows must still be those that a subscriber has.
        let before = match from {
            Some((from, stood)) if live.changes.promotion == number => self.rows_of(from, stood)?,
            _ => None,
        };
        let Some((generation, rows)) = before else {
            return self.rows(
                "the generation before it has been changed or dropped since, or another one was promoted",
                &live,
            );
        };
        let mut shown = Ok(());
        each_pair((&generation, &rows), (&live.generation, &live.rows), &mut |table, before, now| {
            let Some((key, _)) = now.or(before) else { return Ok(true) };
            let equal = match (before, now) {
                (Some((_, before)), Some((_, now))) => is_same(table, key, before, now)?,
                _ => false,
            };
            if !equal && self.is_watched(table, key) {
                shown = self.row(table, key.clone(), now.map(|(_, document)| document), live.position, None);
            }
            Ok(shown.is_ok() && !self.gone)
        })?;
        shown?;
        self.stands_at(&live);
        self.complete();
        Ok(())
    }

    /// The rows of a generation, where it still stands there.
    fn rows_of(
        &self,
        number: u64,
        stood: Position,
    ) -> Result<Option<(Generation, crate::store::RowSnapshot)>, ControlError> {
        let generation = match self.host.store().generation(self.name, number) {
            Err(StoreError::NotFound(_)) => return Ok(None),
            generation => generation?,
        };
        let (position, rows) = self.host.store().rows_at(&generation)?;
        Ok((position == stood).then_some((generation, rows)))
    }

    /// Tells all rows that readers see now.
    fn snapshot(&mut self, because: &str) -> Result<(), ControlError> {
        let live = self.host.store().live_rows(self.name)?;
        self.rows(because, &live)
    }

    fn rows(&mut self, because: &str, live: &LiveRows) -> Result<(), ControlError> {
        let LiveRows { generation, position, rows, .. } = live;
        self.tell(Change::Snapshot { snapshot: generation.number, position: *position, because: because.to_owned() });
        for (index, table) in generation.tables.iter().enumerate() {
            if self.table.is_some_and(|watched| watched != table) {
                continue;
            }
            each_row(rows, index, self.prefix, None, usize::MAX, &mut |key, document| {
                self.row(table, key, Some(&document), *position, None).map(|()| !self.gone)
            })?;
        }
        self.stands_at(live);
        self.complete();
        Ok(())
    }

    fn stands_at(&mut self, live: &LiveRows) {
        let LogEnd { number, at, .. } = live.changes;
        self.told = Token { generation: live.generation.number, number, rows: ALL, at };
        self.position = live.position;
    }

    fn complete(&mut self) {
        let token = self.told;
        self.complete = (Instant::now(), token);
        self.tell(Change::Complete { complete: token.generation, position: self.position, token: token.to_string() });
    }

    fn is_watched(&self, table: &str, key: &str) -> bool {
        self.table.is_none_or(|watched| watched == table) && key.starts_with(self.prefix)
    }

    fn row(
        &mut self,
        table: &str,
        key: String,
        document: Option<&Bytes>,
        position: Position,
        token: Option<Token>,
    ) -> Result<(), ControlError> {
        let value = document.map(|document| shown(self.name, table, &key, document)).transpose()?;
        let (table, token) = (table.to_owned(), token.map(|token| token.to_string()));
        self.tell(Change::Row { table, key, value: value.unwrap_or(Value::Null), position, token });
        Ok(())
    }

    fn tell(&mut self, change: Change) {
        self.gone = self.gone || !(self.sink)(Row::Change(change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        for (rows, text) in [(ALL, "3-17-all-1700000000000"), (4, "3-17-4-1700000000000")] {
            let token = Token { generation: 3, number: 17, rows, at: 1_700_000_000_000 };
            assert_eq!((token.to_string().as_str(), text.parse()), (text, Ok(token)));
        }
        for wrong in ["", "3", "3-17-all", "3-17-all-1-1", "a-17-all-1", "3-17--1"] {
            assert_eq!(wrong.parse::<Token>(), Err(()), "{wrong}");
        }
    }
}
