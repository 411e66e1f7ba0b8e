//! Reading a range of the log, filtered by type. Blocks in which nothing matches are passed over by their summaries.

use super::{EventLog, block::Summary, damage, shared_scan::ScanCursor};
use crate::{Reader, SourceError};
use redb::ReadTransaction;
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position, limits};

/// The numbers of the types that match. Types that are new after this was made stand above any range that it reads.
#[derive(Clone)]
enum Wanted {
    All,
    Kinds(Vec<bool>),
}

impl Wanted {
    fn new(log: &EventLog, read: &ReadTransaction, matcher: &Matcher) -> Result<Wanted, SourceError> {
        match matcher {
            Matcher::All => Ok(Wanted::All),
            matcher => {
                let names = log.kind_names(read)?;
                Ok(Wanted::Kinds(names.iter().map(|name| matcher.matches(name)).collect()))
            }
        }
    }

    fn accepts(&self, kind: u32) -> bool {
        match self {
            Wanted::All => true,
            Wanted::Kinds(kinds) => kinds.get(kind as usize).copied().unwrap_or(false),
        }
    }
}

/// How many events with `after < position <= through` match: whole blocks by their summaries.
pub(super) fn count(log: &EventLog, matcher: &Matcher, after: Position, through: Position) -> Result<u64, SourceError> {
    let read = log.begin()?;
    let wanted = Wanted::new(log, &read, matcher)?;
    let (after, through) = (number(after), number(through));
    let mut count = 0;
    for entry in log.index(&read)?.range(block_of(log, &read, after)?..).map_err(damage)? {
        let (first, summary) = entry.map_err(damage)?;
        let (first, summary) = (first.value(), log.summary(first.value(), summary.value())?);
        if first > through {
            break;
        }
        if after < first && summary.last <= through {
            count += summary.count(|kind| wanted.accepts(kind));
        } else if summary.last > after {
            for (kind, _) in summary.kinds.iter().filter(|(kind, _)| wanted.accepts(*kind)) {
                let section = log.section(&read, first, *kind)?;
                count += section.entries.iter().filter(|(_, at)| *at > after && *at <= through).count() as u64;
            }
        }
    }
    Ok(count)
}

/// Which event stands at `position`.
pub(super) fn at(log: &EventLog, position: Position) -> Result<Option<Mark>, SourceError> {
    let read = log.begin()?;
    let place = number(position);
    let index = log.index(&read)?;
    let Some(found) = index.range(..=place).map_err(damage)?.next_back() else { return Ok(None) };
    let (first, summary) = found.map_err(damage)?;
    let (first, summary) = (first.value(), log.summary(first.value(), summary.value())?);
    if place > summary.last {
        return Ok(None);
    }
    for (kind, _) in &summary.kinds {
        let section = log.section(&read, first, *kind)?;
        if let Some((_, frame)) = section.events().find(|(found, _)| *found == place) {
            let mark = Mark::of(frame, position);
            return mark.ok_or_else(|| log.damaged(format!("the event at position {position}"))).map(Some);
        }
    }
    Ok(None)
}

/// The greatest position up to which no event is later than `timestamp`.
pub(super) fn until(log: &EventLog, timestamp: i64) -> Result<Position, SourceError> {
    let read = log.begin()?;
    let mut last = 0;
    for entry in log.index(&read)?.range(0..).map_err(damage)? {
        let (first, summary) = entry.map_err(damage)?;
        let (first, summary) = (first.value(), log.summary(first.value(), summary.value())?);
        if summary.timestamps.1 > timestamp {
            let mut later: Option<u64> = None;
            let mut earlier = Vec::new();
            for (kind, _) in &summary.kinds {
                for (position, mut frame) in log.section(&read, first, *kind)?.events() {
                    let event = unspool_frame::Event::decode(&mut frame).map_err(|e| log.damaged(e))?;
                    if event.timestamp > timestamp {
                        later = Some(later.map_or(position, |later| later.min(position)));
                    } else {
                        earlier.push(position);
                    }
                }
            }
            let before = earlier.into_iter().filter(|position| later.is_none_or(|later| *position < later)).max();
            return Ok(Position::number(before.unwrap_or(last)));
        }
        last = summary.last;
    }
    Ok(Position::number(last))
}

/// The position after which, up to `through`, there are `events` matching events.
pub(super) fn back(log: &EventLog, matcher: &Matcher, through: Position, events: u64) -> Result<Position, SourceError> {
    let read = log.begin()?;
    let wanted = Wanted::new(log, &read, matcher)?;
    let through = number(through);
    let mut left = events;
    for entry in log.index(&read)?.range(..=through).map_err(damage)?.rev() {
        let (first, summary) = entry.map_err(damage)?;
        let (first, summary) = (first.value(), log.summary(first.value(), summary.value())?);
        let mut positions = Vec::new();
        for (kind, _) in summary.kinds.iter().filter(|(kind, _)| wanted.accepts(*kind)) {
            positions.extend(
                log.section(&read, first, *kind)?.entries.iter().map(|(_, at)| *at).filter(|at| *at <= through),
            );
        }
        positions.sort_unstable();
        match (positions.len() as u64).checked_sub(left) {
            // The event before the first of those wanted, or right before the block.
            Some(0) if left > 0 => return Ok(Position::number(first.saturating_sub(1))),
            Some(before) => {
                let before = before.checked_sub(1).and_then(|index| positions.get(index as usize));
                return Ok(Position::number(before.copied().unwrap_or_else(|| first.saturating_sub(1))));
            }
            None => left -= positions.len() as u64,
        }
    }
    Ok(Position::START)
}

/// A position of the log as its number. A pair has none: it is after every event.
fn number(position: Position) -> u64 {
    if position.major == 0 { position.minor } else { u64::MAX }
}

/// The key of the block that may hold the event after `position`.
fn block_of(log: &EventLog, read: &ReadTransaction, position: u64) -> Result<u64, SourceError> {
    let index = log.index(read)?;
    let mut at_or_before = index.range(..=position).map_err(damage)?;
    at_or_before.next_back().map_or(Ok(0), |found| found.map(|(first, _)| first.value()).map_err(damage))
}

/// Reads a range block by block. Each read is a transaction of its own: a reader that lives for hours keeps no pages
/// from being used again, and what it reads does not change.
pub(super) struct LogReader {
    log: EventLog,
    wanted: Wanted,
    /// Everything up to here has been given.
    after: u64,
    through: u64,
    /// The key of the next block to look at.
    next: u64,
    ended: bool,
    /// What was given last.
    given: EventBlock,
    reading: ScanCursor,
}

impl LogReader {
    pub(super) fn new(
        log: EventLog,
        matcher: &Matcher,
        after: Position,
        through: Position,
    ) -> Result<LogReader, SourceError> {
        let read = log.begin()?;
        let wanted = Wanted::new(&log, &read, matcher)?;
        let (after, through) = (number(after), number(through));
        let next = block_of(&log, &read, after)?;
        let reading = log.scan.join(next);
        Ok(LogReader { log, wanted, after, through, next, ended: false, given: EventBlock::default(), reading })
    }

    /// The next block in which something matches, or only how far nothing does; `None` at the end of the range.
    fn next_match(&mut self, read: &ReadTransaction) -> Result<Option<(u64, Summary)>, SourceError> {
        let mut passed_over = 0;
        for entry in self.log.index(read)?.range(self.next..).map_err(damage)? {
            let (first, summary) = entry.map_err(damage)?;
            let (first, summary) = (first.value(), self.log.summary(first.value(), summary.value())?);
            if first > self.through {
                return Ok(None);
            }
            self.next = summary.last.saturating_add(1);
            passed_over += 1;
            let matches = summary.last > self.after && summary.count(|kind| self.wanted.accepts(kind)) > 0;
            if matches || passed_over >= limits::BLOCKS_PASSED_OVER {
                return Ok(Some((first, summary)));
            }
        }
        Ok(None)
    }

    /// The matching events of a block within the range, in the order of their positions.
    fn select(&mut self, read: &ReadTransaction, first: u64, summary: &Summary) -> Result<(), SourceError> {
        let wanted = summary.kinds.iter().map(|(kind, _)| *kind).filter(|kind| self.wanted.accepts(*kind));
        let section = |kind| self.reading.section((first, summary.last, kind), || self.log.section(read, first, kind));
        let sections = wanted.map(section).collect::<Result<Vec<_>, _>>()?;
        let events = sections.iter().flat_map(|section| section.events());
        let mut events: Vec<_> = events.filter(|(at, _)| *at > self.after && *at <= self.through).collect();
        // Sections are sorted runs, which this sort merges.
        events.sort_by_key(|(at, _)| *at);
        let EventBlock { bytes, ends, .. } = &mut self.given;
        for (at, frame) in events {
            bytes.extend_from_slice(frame);
            ends.push((bytes.len() as u32, Position::number(at)));
        }
        Ok(())
    }
}

impl Reader for LogReader {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        // Before the transaction begins: it would keep pages while this waits for others.
        self.given.waited = self.reading.advance(self.next);
        let read = self.log.begin()?;
        self.given.bytes.clear();
        self.given.ends.clear();
        match self.next_match(&read)? {
            Some((first, summary)) => {
                if summary.count(|kind| self.wanted.accepts(kind)) > 0 {
                    self.select(&read, first, &summary)?;
                }
                self.after = summary.last.min(self.through);
            }
            None => {
                self.ended = true;
                self.after = self.through.max(self.after);
            }
        }
        self.given.through = Position::number(self.after);
        Ok(Some(&self.given))
    }
}
