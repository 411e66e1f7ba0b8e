//! Reading a range of the log, filtered by type. Blocks in which nothing matches are passed over by their summaries.

use super::{EventLog, block::Summary, damage};
use crate::{
    limits,
    source::{Reader, SourceError},
    vocabulary::{EventBlock, Matcher, Position},
};
use bytes::Bytes;
use redb::ReadTransaction;

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

/// A position of the log as its number. A pair has none: it stands behind every event.
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
        Ok(LogReader { log, wanted, after, through, next, ended: false })
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
    fn select(&self, read: &ReadTransaction, first: u64, summary: &Summary) -> Result<EventBlock, SourceError> {
        let wanted = summary.kinds.iter().map(|(kind, _)| *kind).filter(|kind| self.wanted.accepts(*kind));
        let sections = wanted.map(|kind| self.log.section(read, first, kind)).collect::<Result<Vec<_>, _>>()?;
        let events = sections.iter().flat_map(|section| section.events());
        let mut events: Vec<_> = events.filter(|(at, _)| *at > self.after && *at <= self.through).collect();
        // Sections are sorted runs, which this sort merges.
        events.sort_by_key(|(at, _)| *at);
        let mut bytes = Vec::with_capacity(events.iter().map(|(_, frame)| frame.len()).sum());
        let mut ends = Vec::with_capacity(events.len());
        for (at, frame) in events {
            bytes.extend_from_slice(frame);
            ends.push((bytes.len() as u32, Position::number(at)));
        }
        let through = Position::number(summary.last.min(self.through));
        Ok(EventBlock { bytes: Bytes::from(bytes), ends, through })
    }
}

impl Reader for LogReader {
    fn next(&mut self) -> Result<Option<EventBlock>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let read = self.log.begin()?;
        let Some((first, summary)) = self.next_match(&read)? else {
            self.ended = true;
            let through = Position::number(self.through.max(self.after));
            return Ok(Some(EventBlock { through, ..EventBlock::default() }));
        };
        let through = summary.last.min(self.through);
        let given = if summary.count(|kind| self.wanted.accepts(kind)) > 0 {
            self.select(&read, first, &summary)?
        } else {
            EventBlock { through: Position::number(through), ..EventBlock::default() }
        };
        self.after = through;
        Ok(Some(given))
    }
}
