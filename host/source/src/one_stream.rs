//! One stream of a history as a history of its own.

use super::{Lookup, Reader, Recognised, Source, SourceError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position};

/// The events of one stream, at their positions in the history. It is the same history, read in part: a checkpoint of the one
/// holds for the other. How many events the stream has is not known before they are read; how much of its history has been searched
/// for them is.
pub struct OneStream {
    history: Arc<dyn Source>,
    stream: String,
    looked_through: Arc<AtomicU64>,
}

impl OneStream {
    /// The events of `stream` in `history`.
    pub fn new(history: Arc<dyn Source>, stream: &str) -> OneStream {
        OneStream { history, stream: stream.to_owned(), looked_through: Arc::default() }
    }

    /// The history that the stream is one of.
    pub fn history(&self) -> &dyn Source {
        self.history.as_ref()
    }

    /// Matching events of the history that have been looked through for the stream's so far, again where they were read again.
    pub fn looked_through(&self) -> u64 {
        self.looked_through.load(Ordering::Relaxed)
    }
}

impl Source for OneStream {
    fn identity(&self) -> &str {
        self.history.identity()
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        self.history.ceiling()
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        let reader = self.history.read(matcher, after, through)?;
        let (stream, looked_through) = (self.stream.clone(), self.looked_through.clone());
        Ok(Box::new(StreamReader { reader, stream, looked_through, block: EventBlock::default() }))
    }

    fn recognises(&self, identity: &str) -> Recognised {
        self.history.recognises(identity)
    }

    fn at(&self, position: Position) -> Result<Option<Mark>, SourceError> {
        self.history.at(position)
    }

    fn stable(&self) -> Result<Position, SourceError> {
        self.history.stable()
    }

    fn wait(&self, timeout: Duration) {
        self.history.wait(timeout);
    }

    fn refuse_following(&self) -> Result<(), SourceError> {
        self.history.refuse_following()
    }

    fn until(&self, timestamp: i64) -> Result<Option<Position>, SourceError> {
        self.history.until(timestamp)
    }

    fn locate(&self, id: &str) -> Result<Lookup, SourceError> {
        self.history.locate(id)
    }
}

/// Leaves out the events of other streams.
struct StreamReader {
    reader: Box<dyn Reader>,
    stream: String,
    looked_through: Arc<AtomicU64>,
    block: EventBlock,
}

impl Reader for StreamReader {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        let Some(all) = self.reader.next()? else { return Ok(None) };
        let block = &mut self.block;
        block.clear();
        let mut looked_through = 0;
        for event in all.events() {
            looked_through += 1;
            if unspool_frame::Event::stream_of(event.frame) == Some(self.stream.as_bytes()) {
                block.push(event.frame, event.position, event.unreadable);
            }
        }
        self.looked_through.fetch_add(looked_through, Ordering::Relaxed);
        (block.through, block.waited) = (all.through, all.waited);
        Ok(Some(block))
    }
}
