//! The transaction of an import: what a round adds goes into blocks and under ids.

use super::super::{
    EventLog, IDS, INDEX, SECTIONS,
    block::{BlockBuilder, Section, Stored, Summary},
    damage,
};
use super::{
    handover::{Handover, Parsed},
    verdict::{Judged, Verdict},
};
use crate::{
    SourceError,
    event_file::{Aside, EventFileError},
};
use redb::{ReadableTable, Table, WriteTransaction};
use std::{collections::BTreeMap, sync::Arc};
use unspool_vocabulary::limits;

/// Handovers whose ids are looked up together.
#[derive(Default)]
pub(super) struct Round {
    pub(super) handovers: Vec<Handover>,
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Round {
    pub(super) fn push(&mut self, handover: Handover) {
        self.events += handover.events.len();
        self.bytes += handover.bytes();
        self.handovers.push(handover);
    }
}

/// The transaction of an import, with its tables open.
pub(super) struct Rounds<'t> {
    pub(super) log: &'t EventLog,
    file: &'t str,
    pub(super) ids: Table<'t, u128, (u64, u128)>,
    pub(super) index: Table<'t, u64, &'static [u8]>,
    pub(super) sections: Table<'t, (u64, u32), &'static [u8]>,
    pub(super) block: BlockBuilder,
    /// The last position that is taken.
    last: u64,
    /// Where refused events go, if not the whole file is refused for them.
    aside: Option<Arc<Aside>>,
}

impl<'t> Rounds<'t> {
    /// Opens the tables, and the last block where it is less than half full: many small imports do not leave as many
    /// small blocks.
    pub(super) fn start(
        log: &'t EventLog,
        write: &'t WriteTransaction,
        file: &'t str,
        aside: Option<Arc<Aside>>,
    ) -> Result<Rounds<'t>, SourceError> {
        let mut rounds = Rounds {
            log,
            file,
            ids: write.open_table(IDS).map_err(damage)?,
            index: write.open_table(INDEX).map_err(damage)?,
            sections: write.open_table(SECTIONS).map_err(damage)?,
            block: BlockBuilder::default(),
            last: 0,
            aside,
        };
        let latest = match rounds.index.last().map_err(damage)? {
            Some((first, summary)) => Some((first.value(), log.summary(first.value(), summary.value())?)),
            None => None,
        };
        if let Some((first, summary)) = latest {
            rounds.last = summary.last;
            if (summary.count(|_| true) as usize) < limits::BLOCK_EVENTS / 2
                && (summary.bytes as usize) < limits::BLOCK_BYTES / 2
            {
                rounds.reopen(first, &summary)?;
            }
        }
        Ok(rounds)
    }

    fn reopen(&mut self, first: u64, summary: &Summary) -> Result<(), SourceError> {
        let mut sections = BTreeMap::new();
        for (kind, _) in &summary.kinds {
            let section = match self.sections.get((first, *kind)).map_err(damage)? {
                Some(stored) => Section::decode(stored.value()).map_err(|e| self.log.damaged(e))?,
                None => return Err(self.log.damaged(format!("section {kind} of block {first} is missing"))),
            };
            sections.insert(*kind, section);
        }
        self.block = BlockBuilder::reopen(first, summary, sections);
        Ok(())
    }

    /// Puts the new events into blocks, in the order of the file, and returns the position of each.
    pub(super) fn append(&mut self, round: &Round, judged: &mut Judged) -> Result<Vec<u64>, SourceError> {
        let mut positions = Vec::with_capacity(judged.verdicts.len());
        for handover in &round.handovers {
            for (event, content) in handover.events.iter().zip(handover.contents()) {
                let index = positions.len();
                let position = match judged.verdicts[index] {
                    Verdict::New => self.next_position(event)?,
                    Verdict::Duplicate | Verdict::SetAside => None,
                };
                let Some(position) = position else {
                    if judged.verdicts[index] == Verdict::New {
                        judged.verdicts[index] = Verdict::SetAside;
                    }
                    positions.push(0);
                    continue;
                };
                let renamed = judged.renamed.get(&(index as u32)).map(|renamed| renamed.content.as_slice());
                let content = renamed.unwrap_or(content);
                if self.block.is_full(content.len()) {
                    self.put_block()?;
                }
                self.block.push(position, event.kind, event.timestamp, content);
                self.last = position;
                positions.push(position);
            }
        }
        Ok(positions)
    }

    /// The position of a new event; `None` where it is set aside for the one that it has.
    fn next_position(&self, event: &Parsed) -> Result<Option<u64>, SourceError> {
        let refused = match (event.position, self.last.checked_add(1)) {
            (Some(position), _) if position > self.last => return Ok(Some(position)),
            (None, Some(position)) => return Ok(Some(position)),
            (Some(position), _) => self.refuse(
                event,
                &format!(
                    "position {position} is not after {}, the last one taken; positions rise strictly: take the field \
                     `position` out to append the events in the order of the file, or use another data directory",
                    self.last
                ),
            ),
            (None, None) => self.refuse(event, "there is no position left after the last one"),
        };
        refused.map(|_| None)
    }

    /// Sets an event aside, or refuses the whole file for it.
    pub(super) fn refuse(&self, event: &Parsed, reason: &str) -> Result<Verdict, SourceError> {
        match (&self.aside, &event.raw) {
            (Some(aside), Some(raw)) => {
                aside.put(raw)?;
                Ok(Verdict::SetAside)
            }
            _ => Err(EventFileError::at(self.file, Some(event.place), reason).into()),
        }
    }

    fn put_block(&mut self) -> Result<(), SourceError> {
        let Some(Stored { first, summary, sections }) = self.block.take() else { return Ok(()) };
        let summary = rmp_serde::to_vec(&summary).map_err(|e| self.log.damaged(e))?;
        self.index.insert(first, summary.as_slice()).map_err(damage)?;
        for (kind, bytes) in sections {
            self.sections.insert((first, kind), bytes.as_slice()).map_err(damage)?;
        }
        Ok(())
    }

    /// Stores what is left in the open block.
    pub(super) fn finish(mut self) -> Result<(), SourceError> {
        self.put_block()
    }
}
