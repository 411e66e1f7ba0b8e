//! Filling the log from event files: parsed on one thread, looked up and stored on another.
//!
//! Events go through in rounds. A round's ids are looked up in the order of the index, which touches each of its pages
//! once; what the log has already is left out; the rest gets positions and goes into blocks in the order of the file.
//! All rounds of a file are one transaction: it is in the log as a whole or not at all.

use super::{
    EventLog, IDS, INDEX, KINDS, SECTIONS,
    block::{BlockBuilder, Section, Stored, Summary},
    damage, hash_128, id_hash,
};
use crate::{
    crash, limits,
    source::{
        SourceError,
        event_file::{EventFile, EventFileError, FileEvent, Place},
    },
    vocabulary::Event,
};
use ahash::AHashMap;
use redb::{ReadableTable, Table, WriteTransaction};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct ImportProgress {
    /// Bytes of the file that have been read, as it is stored.
    pub bytes_read: u64,
    /// Its size; absent for what has none.
    pub bytes_total: Option<u64>,
    /// Events that have been read.
    pub events: u64,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Events in the file.
    pub read: u64,
    /// Events that are new in the log.
    pub added: u64,
    /// Events that the log had already, or that stood in the file before.
    pub duplicates: u64,
}

/// Handovers that wait for the storing thread: as many as a round has, so that the next one is parsed while it is stored.
const HANDOVERS: usize = limits::IMPORT_ROUND_EVENTS / limits::IMPORT_HANDOVER_EVENTS;

/// Parsed events, on their way to be stored.
struct Handover {
    events: Vec<Parsed>,
    /// Their contents, one behind the other.
    contents: Vec<u8>,
    /// What the last of them is compared by.
    compared: Vec<u8>,
    bytes_read: u64,
}

/// What is needed of an event beside its content.
struct Parsed {
    /// Where its content ends.
    end: usize,
    kind: u32,
    timestamp: i64,
    position: Option<u64>,
    place: Place,
    id: u128,
    content: u128,
}

impl EventLog {
    /// Adds the events of `file` that the log does not have. `progress` hears how far it is.
    ///
    /// # Errors
    /// Names the file, the place in it and the reason, where an event is not acceptable: then nothing is added.
    pub fn import(
        &self,
        file: &mut EventFile,
        progress: &mut dyn FnMut(&ImportProgress),
    ) -> Result<ImportSummary, SourceError> {
        let write = self.db.begin_write().map_err(damage)?;
        let mut summary = ImportSummary::default();
        let mut kinds = Kinds::load(&write)?;
        let (name, bytes_total) = (file.name().to_owned(), file.bytes_total());
        let mut rounds = Rounds::start(self, &write, &name)?;
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel(HANDOVERS);
            let parser = scope.spawn(|| parse(file, &mut kinds, sender));
            let stored = store(&receiver, &mut rounds, &mut summary, &mut |bytes_read, events| {
                progress(&ImportProgress { bytes_read, bytes_total, events });
            });
            // Lets the parser go where storing has ended early.
            drop(receiver);
            let parsed =
                parser.join().map_err(|_| SourceError::permanent(format!("{name}: the parser ended by a panic")))?;
            // What is wrong with the file comes first: it may be why storing found nothing more.
            parsed.map_err(SourceError::from).and(stored)
        })?;
        rounds.finish()?;
        kinds.save(&write)?;
        crash::point("import.before-commit");
        write.commit().map_err(damage)?;
        crash::point("import.after-commit");
        Ok(summary)
    }
}

/// Event types and their numbers.
struct Kinds {
    numbers: AHashMap<String, u32>,
    known: u32,
}

impl Kinds {
    fn load(write: &WriteTransaction) -> Result<Kinds, SourceError> {
        let table = write.open_table(KINDS).map_err(damage)?;
        let mut numbers = AHashMap::new();
        for entry in table.iter().map_err(damage)? {
            let (name, number) = entry.map_err(damage)?;
            numbers.insert(name.value().to_owned(), number.value());
        }
        Ok(Kinds { known: numbers.len() as u32, numbers })
    }

    fn number(&mut self, kind: &str) -> u32 {
        if let Some(number) = self.numbers.get(kind) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(kind.to_owned(), number);
        number
    }

    fn save(&self, write: &WriteTransaction) -> Result<(), SourceError> {
        let mut table = write.open_table(KINDS).map_err(damage)?;
        for (name, number) in self.numbers.iter().filter(|(_, number)| **number >= self.known) {
            table.insert(name.as_str(), number).map_err(damage)?;
        }
        Ok(())
    }
}

/// Parses the file, and hands its events over until nobody takes them.
fn parse(file: &mut EventFile, kinds: &mut Kinds, sender: SyncSender<Handover>) -> Result<(), EventFileError> {
    let empty = || Handover { events: Vec::new(), contents: Vec::new(), compared: Vec::new(), bytes_read: 0 };
    let mut handover = empty();
    while let Some(event) = file.next() {
        let FileEvent { event, position, place } = event?;
        handover.push(&event, kinds.number(&event.kind), position, place);
        if handover.events.len() >= limits::IMPORT_HANDOVER_EVENTS || handover.contents.len() >= limits::BLOCK_BYTES * 4
        {
            handover.bytes_read = file.bytes_read();
            if sender.send(std::mem::replace(&mut handover, empty())).is_err() {
                return Ok(());
            }
        }
    }
    handover.bytes_read = file.bytes_read();
    // Nobody takes it where storing has ended early; it says why.
    drop(sender.send(handover));
    Ok(())
}

impl Handover {
    fn push(&mut self, event: &Event, kind: u32, position: Option<u64>, place: Place) {
        event.at(0).encode_content(&mut self.contents);
        // An event that is delivered again may come with the time of that delivery: it is the same all the same.
        self.compared.clear();
        unspool_frame::Event { timestamp: 0, ..event.at(0) }.encode_content(&mut self.compared);
        self.events.push(Parsed {
            end: self.contents.len(),
            kind,
            timestamp: event.timestamp,
            position,
            place,
            id: id_hash(&event.id),
            content: hash_128(&self.compared),
        });
    }
}

/// Gathers handovers to rounds, and stores them.
fn store(
    handovers: &Receiver<Handover>,
    rounds: &mut Rounds<'_>,
    summary: &mut ImportSummary,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), SourceError> {
    let mut round = Round::default();
    for handover in handovers {
        summary.read += handover.events.len() as u64;
        let bytes_read = handover.bytes_read;
        round.push(handover);
        if round.events >= limits::IMPORT_ROUND_EVENTS || round.bytes >= limits::IMPORT_ROUND_BYTES {
            rounds.store(std::mem::take(&mut round), summary)?;
        }
        progress(bytes_read, summary.read);
    }
    rounds.store(round, summary)
}

#[derive(Default)]
struct Round {
    handovers: Vec<Handover>,
    events: usize,
    bytes: usize,
}

impl Round {
    fn push(&mut self, handover: Handover) {
        self.events += handover.events.len();
        self.bytes += handover.contents.len();
        self.handovers.push(handover);
    }
}

/// The transaction of an import, with its tables open.
struct Rounds<'t> {
    log: &'t EventLog,
    file: &'t str,
    ids: Table<'t, u128, (u64, u128)>,
    index: Table<'t, u64, &'static [u8]>,
    sections: Table<'t, (u64, u32), &'static [u8]>,
    block: BlockBuilder,
    /// The last position that is taken.
    last: u64,
}

/// What the order of the index says about one event of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    New,
    Duplicate,
}

impl<'t> Rounds<'t> {
    /// Opens the tables, and the last block where it is less than half full: many small imports do not leave as many
    /// small blocks.
    fn start(log: &'t EventLog, write: &'t WriteTransaction, file: &'t str) -> Result<Rounds<'t>, SourceError> {
        let mut rounds = Rounds {
            log,
            file,
            ids: write.open_table(IDS).map_err(damage)?,
            index: write.open_table(INDEX).map_err(damage)?,
            sections: write.open_table(SECTIONS).map_err(damage)?,
            block: BlockBuilder::default(),
            last: 0,
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

    fn store(&mut self, round: Round, summary: &mut ImportSummary) -> Result<(), SourceError> {
        let events: Vec<&Parsed> = round.handovers.iter().flat_map(|handover| &handover.events).collect();
        // Of equal ids the one that comes first in the file counts.
        let mut order: Vec<(u128, u32)> = (0..).zip(&events).map(|(index, event)| (event.id, index)).collect();
        order.sort_unstable();
        let verdicts = self.judge(&events, &order)?;
        let positions = self.append(&round, &verdicts)?;
        crash::point("import.round");
        for &(_, index) in &order {
            let (event, verdict) = (events[index as usize], verdicts[index as usize]);
            if verdict == Verdict::New {
                self.ids.insert(event.id, (positions[index as usize], event.content)).map_err(damage)?;
                summary.added += 1;
            } else {
                summary.duplicates += 1;
            }
        }
        Ok(())
    }

    /// Which events of the round the log does not have. One whose id is taken by another content is refused.
    fn judge(&self, events: &[&Parsed], order: &[(u128, u32)]) -> Result<Vec<Verdict>, SourceError> {
        let mut verdicts = vec![Verdict::New; events.len()];
        let mut before: Option<&Parsed> = None;
        for &(_, index) in order {
            let event = events[index as usize];
            let known = match before.filter(|before| before.id == event.id) {
                Some(before) => Some(before.content),
                None => self.ids.get(event.id).map_err(damage)?.map(|found| found.value().1),
            };
            match known {
                Some(content) if content == event.content => verdicts[index as usize] = Verdict::Duplicate,
                Some(_) => {
                    return Err(self.refuse(
                        event,
                        "an event with this id is there already, with another content; an event never changes: give this one an id of its own",
                    ));
                }
                None => {}
            }
            before = Some(event);
        }
        Ok(verdicts)
    }

    /// Puts the new events into blocks, in the order of the file, and returns the position of each.
    fn append(&mut self, round: &Round, verdicts: &[Verdict]) -> Result<Vec<u64>, SourceError> {
        let mut positions = Vec::with_capacity(verdicts.len());
        for handover in &round.handovers {
            let mut start = 0;
            for event in &handover.events {
                let content = &handover.contents[start..event.end];
                start = event.end;
                if verdicts[positions.len()] == Verdict::Duplicate {
                    positions.push(0);
                    continue;
                }
                let position = self.next_position(event)?;
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

    fn next_position(&self, event: &Parsed) -> Result<u64, SourceError> {
        match event.position {
            Some(position) if position > self.last => Ok(position),
            Some(position) => Err(self.refuse(
                event,
                &format!(
                    "position {position} is not after {}, the last one taken; positions rise strictly: take the field \
                     `position` out to append the events in the order of the file, or use another data directory",
                    self.last
                ),
            )),
            None => self
                .last
                .checked_add(1)
                .ok_or_else(|| self.refuse(event, "there is no position left behind the last one")),
        }
    }

    fn refuse(&self, event: &Parsed, reason: &str) -> SourceError {
        EventFileError::at(self.file, Some(event.place), reason).into()
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

    fn finish(mut self) -> Result<(), SourceError> {
        self.put_block()
    }
}
