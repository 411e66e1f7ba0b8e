//! One stream of a history as a history of its own.

use super::{Lookup, Reader, Recognised, Source, SourceError};
use std::{sync::Arc, time::Duration};
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position};

/// The events of one stream, at their positions in the history. It is the same history, read in part: a checkpoint of the one
/// holds for the other. How many events the stream has is not known before they are read.
pub struct OneStream {
    history: Arc<dyn Source>,
    stream: String,
}

impl OneStream {
    /// The events of `stream` in `history`.
    pub fn new(history: Arc<dyn Source>, stream: &str) -> OneStream {
        OneStream { history, stream: stream.to_owned() }
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
        Ok(Box::new(StreamReader { reader, stream: self.stream.clone(), block: EventBlock::default() }))
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
    block: EventBlock,
}

impl Reader for StreamReader {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        let Some(all) = self.reader.next()? else { return Ok(None) };
        let block = &mut self.block;
        block.clear();
        for event in all.events() {
            if unspool_frame::Event::stream_of(event.frame) == Some(self.stream.as_bytes()) {
                block.push(event.frame, event.position, event.unreadable);
            }
        }
        (block.through, block.waited) = (all.through, all.waited);
        Ok(Some(block))
    }
}
