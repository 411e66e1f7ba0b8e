//! Filling the log from event files: parsed on one thread, looked up and stored on another.
//!
//! Events go through in rounds. A round's ids are looked up in the order of the index, which touches each of its pages
//! once; what the log has already is left out; the rest gets positions and goes into blocks in the order of the file.
//! All rounds of a file are one transaction: it is in the log as a whole or not at all.

use super::{
    EventLog, IDS, INDEX, KINDS, SECTIONS,
    block::{BlockBuilder, Section, Stored, Summary},
    content, damage, id_hash,
};
use crate::{
    crash, limits,
    source::{
        SourceError,
        event_file::{Aside, EventFile, EventFileError, FileEvent, Place, source_of, without_time},
    },
};
use ahash::AHashMap;
use redb::{ReadableTable, Table, WriteTransaction};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
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
    /// CloudEvents among those that are new whose id another source had already: theirs became `SOURCE#ID`.
    #[serde(skip_serializing_if = "is_zero")]
    pub renamed: u64,
    /// Events and lines that were set aside; absent where they would have been refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
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
    /// The hash of its content with the time that is kept in its metadata, where one is: logs of earlier versions have that.
    with_time: Option<u128>,
    /// Whether its id is unique within its source only.
    cloud: bool,
    /// The event as it is written, where refused ones are set aside.
    raw: Option<Box<[u8]>>,
}

impl Parsed {
    /// Whether it has the content of this hash.
    fn is(&self, content: u128) -> bool {
        self.content == content || self.with_time == Some(content)
    }
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
        let aside = file.aside();
        let mut rounds = Rounds::start(self, &write, &name, aside.clone())?;
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
        if let Some(aside) = aside {
            aside.keep().map_err(|reason| EventFileError::at(&name, None, reason))?;
            summary.skipped = Some(aside.count());
        }
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
        let event = event?;
        let kind = kinds.number(&event.event.kind);
        handover.push(event, kind);
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
    fn push(&mut self, event: FileEvent, kind: u32) {
        let FileEvent { event, position, place, cloud, without_time, raw } = event;
        let frame = event.at(0);
        frame.encode_content(&mut self.contents);
        let bare = unspool_frame::Event { metadata: without_time.as_ref().unwrap_or(&event.metadata), ..frame };
        self.events.push(Parsed {
            end: self.contents.len(),
            kind,
            timestamp: event.timestamp,
            position,
            place,
            id: id_hash(&event.id),
            content: content::hash(&bare, &mut self.compared),
            with_time: without_time.is_some().then(|| content::hash(&frame, &mut self.compared)),
            cloud,
            raw,
        });
    }

    /// The contents of its events, in order.
    fn contents(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.events.iter().map(move |event| &self.contents[std::mem::replace(&mut start, event.end)..event.end])
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

/// What becomes of the events of a round.
struct Judged {
    verdicts: Vec<Verdict>,
    /// Those that are known under another id from now on, by their place in the round.
    renamed: AHashMap<u32, Renamed>,
}

/// An event under another id than its own.
struct Renamed {
    id: u128,
    hash: u128,
    content: Vec<u8>,
}

/// Whoever has an id already.
#[derive(Clone, Copy)]
struct Holder {
    id: u128,
    at: HeldAt,
    content: u128,
}

#[derive(Clone, Copy)]
enum HeldAt {
    /// At this position of the log.
    Log(u64),
    /// At this place of the round.
    Round(u32),
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
    /// Where refused events go, if not the whole file is refused for them.
    aside: Option<Arc<Aside>>,
}

/// What the order of the index says about one event of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    New,
    Duplicate,
    SetAside,
}

impl<'t> Rounds<'t> {
    /// Opens the tables, and the last block where it is less than half full: many small imports do not leave as many
    /// small blocks.
    fn start(
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

    fn store(&mut self, round: Round, summary: &mut ImportSummary) -> Result<(), SourceError> {
        let events: Vec<&Parsed> = round.handovers.iter().flat_map(|handover| &handover.events).collect();
        // Of equal ids the one that comes first in the file counts.
        let mut order: Vec<(u128, u32)> = (0..).zip(&events).map(|(index, event)| (event.id, index)).collect();
        order.sort_unstable();
        let mut judged = self.judge(&round, &events, &order)?;
        let positions = self.append(&round, &mut judged)?;
        crash::point("import.round");
        for &(_, index) in &order {
            let event = events[index as usize];
            match judged.verdicts[index as usize] {
                Verdict::New => {
                    let renamed = judged.renamed.get(&index).map(|renamed| (renamed.id, renamed.hash));
                    let (id, hash) = renamed.unwrap_or((event.id, event.content));
                    self.ids.insert(id, (positions[index as usize], hash)).map_err(damage)?;
                    summary.added += 1;
                    summary.renamed += u64::from(renamed.is_some());
                }
                Verdict::Duplicate => summary.duplicates += 1,
                Verdict::SetAside => {}
            }
        }
        Ok(())
    }

    /// Which events of the round the log does not have. One whose id is taken by another content is refused.
    fn judge(&self, round: &Round, events: &[&Parsed], order: &[(u128, u32)]) -> Result<Judged, SourceError> {
        let mut judged = Judged { verdicts: vec![Verdict::New; events.len()], renamed: AHashMap::new() };
        let mut contested = Vec::new();
        let mut holder: Option<Holder> = None;
        for &(id, index) in order {
            let event = events[index as usize];
            let known = match holder.filter(|holder| holder.id == id) {
                Some(known) => known,
                None => match self.ids.get(id).map_err(damage)?.map(|found| found.value()) {
                    Some((position, content)) => Holder { id, at: HeldAt::Log(position), content },
                    None => {
                        holder = Some(Holder { id, at: HeldAt::Round(index), content: event.content });
                        continue;
                    }
                },
            };
            holder = Some(known);
            if event.is(known.content) {
                judged.verdicts[index as usize] = Verdict::Duplicate;
            } else {
                contested.push((index, known));
            }
        }
        if !contested.is_empty() {
            // In the order of the file, in which ids are given.
            contested.sort_unstable_by_key(|(index, _)| *index);
            self.settle(round, events, order, &contested, &mut judged)?;
        }
        Ok(judged)
    }

    /// Decides about events whose id is taken by something else, as far as hashes tell.
    fn settle(
        &self,
        round: &Round,
        events: &[&Parsed],
        order: &[(u128, u32)],
        contested: &[(u32, Holder)],
        judged: &mut Judged,
    ) -> Result<(), SourceError> {
        let contents: Vec<&[u8]> = round.handovers.iter().flat_map(Handover::contents).collect();
        let mut given: AHashMap<u128, u128> = AHashMap::new();
        for &(index, holder) in contested {
            let parsed = events[index as usize];
            let frame = content::framed(contents[index as usize]);
            let held = match holder.at {
                HeldAt::Log(position) => self.stored(position)?,
                HeldAt::Round(index) => content::framed(contents[index as usize]),
            };
            let event = self.decode(&frame)?;
            let held = self.decode(&held)?;
            let verdict = &mut judged.verdicts[index as usize];
            if content::same(&event, &held) {
                *verdict = Verdict::Duplicate;
                continue;
            }
            let taken = "an event with this id is there already, with another content; an event never changes: give this one an id of its own";
            let source = source_of(event.stream, event.metadata);
            if !parsed.cloud || source == source_of(held.stream, held.metadata) {
                *verdict = self.refuse(parsed, taken)?;
                continue;
            }
            let id = format!("{source}#{}", event.id);
            if id.len() > limits::NAME_BYTES {
                *verdict =
                    self.refuse(parsed, "an event of another source has this id, and with its source it is too long")?;
                continue;
            }
            let mut content = Vec::new();
            let renamed = unspool_frame::Event { id: &id, ..event };
            renamed.encode_content(&mut content);
            let bare = without_time(event.metadata, event.timestamp);
            let bare = unspool_frame::Event { metadata: bare.as_deref().unwrap_or(event.metadata), ..renamed };
            let (id, hash) = (id_hash(&id), content::hash(&bare, &mut Vec::new()));
            let in_round = || order.binary_search_by_key(&id, |(id, _)| *id).ok();
            let known = match (given.get(&id), in_round()) {
                (Some(known), _) => Some(*known),
                (None, Some(at)) => Some(events[order[at].1 as usize].content),
                (None, None) => self.ids.get(id).map_err(damage)?.map(|found| found.value().1),
            };
            match known {
                Some(known) if known == hash => *verdict = Verdict::Duplicate,
                Some(_) => *verdict = self.refuse(parsed, taken)?,
                None => {
                    given.insert(id, hash);
                    judged.renamed.insert(index, Renamed { id, hash, content });
                }
            }
        }
        Ok(())
    }

    /// The event at `position`, which an import has put there, as chunk frames show it.
    fn stored(&self, position: u64) -> Result<Vec<u8>, SourceError> {
        if let Some(frame) = self.block.find(position) {
            return Ok(frame.to_owned());
        }
        let block = self.index.range(..=position).map_err(damage)?.next_back().transpose().map_err(damage)?;
        if let Some((first, summary)) = block {
            for (kind, _) in self.log.summary(first.value(), summary.value())?.kinds {
                let Some(section) = self.sections.get((first.value(), kind)).map_err(damage)? else { continue };
                let section = Section::decode(section.value()).map_err(|e| self.log.damaged(e))?;
                if let Some(frame) = section.find(position) {
                    return Ok(frame.to_owned());
                }
            }
        }
        Err(self.log.damaged(format!("there is no event at position {position}")))
    }

    fn decode<'f>(&self, frame: &'f [u8]) -> Result<unspool_frame::Event<'f>, SourceError> {
        unspool_frame::Event::decode(&mut &*frame).map_err(|e| self.log.damaged(e))
    }

    /// Puts the new events into blocks, in the order of the file, and returns the position of each.
    fn append(&mut self, round: &Round, judged: &mut Judged) -> Result<Vec<u64>, SourceError> {
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
            (None, None) => self.refuse(event, "there is no position left behind the last one"),
        };
        refused.map(|_| None)
    }

    /// Sets an event aside, or refuses the whole file for it.
    fn refuse(&self, event: &Parsed, reason: &str) -> Result<Verdict, SourceError> {
        match (&self.aside, &event.raw) {
            (Some(aside), Some(raw)) => {
                aside.put(raw).map_err(|reason| EventFileError::at(self.file, None, reason))?;
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

    fn finish(mut self) -> Result<(), SourceError> {
        self.put_block()
    }
}
