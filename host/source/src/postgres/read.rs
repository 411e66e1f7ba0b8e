//! Reading a range: one COPY after another on a connection and a thread of their own, so that the server, the network and
//! the handlers work at the same time. Each COPY is short: none holds a snapshot for hours, which would keep the server
//! from cleaning up, and other readers from moving on.

use super::{
    failed,
    identity::Identity,
    kind::Kind,
    layout::{Layout, of_types},
    rows::{COLUMNS, Rows},
    session::Session,
    settings::Settings,
};
use crate::{Reader, SourceError};
use postgres::fallible_iterator::FallibleIterator;
use std::sync::{
    Arc, Mutex, PoisonError,
    mpsc::{Receiver, SyncSender, sync_channel},
};
use unspool_postgres::Cancel;
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position};

/// Rows of one COPY. Stores that order by transaction may have no index for it, so that each COPY sorts.
const ROWS: usize = 50_000;
const SORTED_ROWS: usize = 500_000;

/// Events and bytes after which a block is handed over.
const BLOCK_EVENTS: usize = 1_000;
const BLOCK_BYTES: usize = 1 << 20;

/// Blocks that wait for their reader.
const BLOCKS_AHEAD: usize = 4;

/// What a reader reads.
pub(super) struct Scan {
    pub(super) settings: Settings,
    pub(super) layout: Layout,
    pub(super) selected: String,
    pub(super) kinds: Vec<Kind>,
    pub(super) matcher: Matcher,
    pub(super) after: Position,
    pub(super) through: Position,
    pub(super) identity: Identity,
    pub(super) idle: Arc<Idle>,
}

/// Connections that wait for the next reader: a follower reads many short ranges.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<Session>>);

impl Idle {
    /// Connections that are kept.
    const KEPT: usize = 2;

    fn take(&self) -> Option<Session> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| idle.pop()).find(|session| !session.is_closed())
    }

    fn put(&self, session: Session) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < Idle::KEPT {
            idle.push(session);
        }
    }
}

type Block = Result<EventBlock, SourceError>;

/// Takes blocks from the thread that reads.
pub(super) struct PostgresReader {
    blocks: Receiver<Block>,
    /// What was given last.
    given: EventBlock,
    through: Position,
    ended: bool,
}

impl PostgresReader {
    /// Starts the thread. It has the priority of the one that calls, and ends soon after this is dropped.
    pub(super) fn start(scan: Scan) -> Result<PostgresReader, SourceError> {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        let through = scan.through;
        let spawned = std::thread::Builder::new().name("postgres".into()).spawn(move || {
            if let Err(e) = scan.run(&sender) {
                drop(sender.send(Err(e)));
            }
        });
        match spawned {
            Ok(_) => Ok(PostgresReader { blocks, given: EventBlock::default(), through, ended: false }),
            Err(e) => Err(SourceError {
                transient: true,
                ..SourceError::permanent(format!("the thread that reads PostgreSQL does not start: {e}"))
            }),
        }
    }
}

impl Reader for PostgresReader {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        match self.blocks.recv() {
            Ok(block) => {
                self.given = block?;
                self.ended = self.given.through >= self.through;
                Ok(Some(&self.given))
            }
            Err(_) => Err(SourceError::permanent("the thread that reads PostgreSQL has ended by a panic")),
        }
    }
}

impl Scan {
    fn run(&self, out: &SyncSender<Block>) -> Result<(), SourceError> {
        let mut session = match self.idle.take() {
            Some(session) => session,
            None => self.identity.reach(&self.settings, &self.layout)?,
        };
        let mut after = self.after;
        let mut last = None;
        // An empty range needs no query, and has an end all the same.
        while after < self.through {
            self.refuse_another(&mut session, last.as_ref())?;
            match self.batch(&mut session, after, out)? {
                Some(Batch::Full(reached, mark)) => (after, last) = (reached, mark),
                Some(Batch::Last) => break,
                // Nobody takes blocks any more.
                None => return Ok(()),
            }
        }
        self.idle.put(session);
        drop(out.send(Ok(EventBlock { through: self.through.max(self.after), ..EventBlock::default() })));
        Ok(())
    }

    /// A name may lead to another history from one moment to the next: a pooler that leads to another server, a table that is
    /// exchanged.
    fn refuse_another(&self, session: &mut Session, last: Option<&Mark>) -> Result<(), SourceError> {
        let Some(last) = last else { return Ok(()) };
        let Scan { settings, layout, selected, kinds, .. } = self;
        match at(settings, layout, selected, kinds, last.position, session)? {
            Some(now) if !last.is(&now) => Err(SourceError::permanent(format!(
                "{}: another event stands at position {} than was read there a moment ago ({} instead of {}): it has become \
                 another history while it was read",
                settings.name, last.position, now.id, last.id
            ))),
            _ => Ok(()),
        }
    }

    /// Reads the next rows, and hands them over.
    fn batch(
        &self,
        session: &mut Session,
        after: Position,
        out: &SyncSender<Block>,
    ) -> Result<Option<Batch>, SourceError> {
        let Scan { settings, layout, selected, kinds, .. } = self;
        let within = layout.within(after, self.through) + &of_types(layout, &self.matcher);
        let most = if layout.transaction.is_some() { SORTED_ROWS } else { ROWS };
        let query =
            format!("SELECT {selected} FROM {} WHERE {within} ORDER BY {} LIMIT {most}", layout.from, layout.place());
        let mut cancel = Some(session.cancel());
        let converter = Rows::new(settings, layout, kinds);
        session.copy(&query, COLUMNS, settings, |rows| {
            let (mut count, mut reached) = (0, after);
            let (mut block, mut last) = (Growing::default(), None);
            loop {
                let row = match rows.next().map_err(|e| failed(settings, &e)) {
                    Ok(Some(row)) => row,
                    Ok(None) => break,
                    Err(e) => return block.end(out, Err(e)),
                };
                let (position, unreadable) = match converter.append(&row, &mut block.bytes) {
                    Ok(appended) => appended,
                    Err(e) => return block.end(out, Err(e)),
                };
                if position <= reached {
                    return Err(SourceError::permanent(format!(
                        "{}: position {position} comes after {reached}; positions must be unique",
                        settings.name
                    )));
                }
                (count, reached) = (count + 1, position);
                if count == most {
                    last = block.mark(position, unreadable.is_some());
                }
                if !block.push(position, unreadable, settings)? {
                    continue;
                }
                // Not after the end of the range: a block that ends there is the last one.
                if reached < self.through && out.send(Ok(block.take())).is_err() {
                    cancel.take().into_iter().for_each(stop);
                    return Ok(None);
                }
            }
            block.end(out, Ok(Some(if count < most { Batch::Last } else { Batch::Full(reached, last) })))
        })
    }
}

/// Which event stands at `position`, whether or not the store would give it to readers.
pub(super) fn at(
    settings: &Settings,
    layout: &Layout,
    selected: &str,
    kinds: &[Kind],
    position: Position,
    session: &mut Session,
) -> Result<Option<Mark>, SourceError> {
    let query = format!("SELECT {selected} FROM {} WHERE {} LIMIT 1", layout.from, layout.standing_at(position));
    let converter = Rows::new(settings, layout, kinds);
    let found = session.copy(&query, COLUMNS, settings, |rows| {
        let mut mark = None;
        while let Some(row) = rows.next().map_err(|e| failed(settings, &e))? {
            mark = converter.mark(&row, position);
        }
        Ok(Some(mark))
    })?;
    Ok(found.flatten())
}

/// Asks the server to end what nobody waits for any more; where it does not hear, it sees the connection close.
fn stop(cancel: Cancel) {
    if let Err(e) = cancel.cancel() {
        tracing::debug!("a query is not cancelled, its connection closes: {e}");
    }
}

enum Batch {
    /// There may be more after this position; the mark by which the event there is recognised.
    Full(Position, Option<Mark>),
    Last,
}

/// A block that rows are added to.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    ends: Vec<(u32, Position)>,
    unreadable: Vec<(usize, String)>,
}

impl Growing {
    /// Ends the event that was appended last, which may be unreadable; whether the block is full.
    fn push(
        &mut self,
        position: Position,
        unreadable: Option<String>,
        settings: &Settings,
    ) -> Result<bool, SourceError> {
        let end = u32::try_from(self.bytes.len())
            .map_err(|_| SourceError::permanent(format!("{}: the event at {position} is too large", settings.name)))?;
        self.unreadable.extend(unreadable.map(|why| (self.ends.len(), why)));
        self.ends.push((end, position));
        Ok(self.ends.len() >= BLOCK_EVENTS || self.bytes.len() >= BLOCK_BYTES)
    }

    /// The mark by which the event that was appended last is recognised; an event that cannot be read may be corrected.
    fn mark(&self, position: Position, unreadable: bool) -> Option<Mark> {
        let start = self.ends.last().map_or(0, |(end, _)| *end as usize);
        Mark::of(&self.bytes[start..], position).filter(|_| !unreadable)
    }

    /// Hands over what was read before a batch ended, however it did.
    fn end(
        &mut self,
        out: &SyncSender<Block>,
        ended: Result<Option<Batch>, SourceError>,
    ) -> Result<Option<Batch>, SourceError> {
        if !self.ends.is_empty() && out.send(Ok(self.take())).is_err() {
            return Ok(None);
        }
        ended
    }

    fn take(&mut self) -> EventBlock {
        let through = self.ends.last().map_or(Position::START, |(_, position)| *position);
        EventBlock {
            bytes: std::mem::take(&mut self.bytes),
            ends: std::mem::take(&mut self.ends),
            unreadable: std::mem::take(&mut self.unreadable),
            through,
            ..EventBlock::default()
        }
    }
}
