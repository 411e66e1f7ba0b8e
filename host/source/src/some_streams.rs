//! Some streams of a history as a history of their own.

use super::{Lookup, Reader, Recognised, Source, SourceError};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use unspool_vocabulary::{EventBlock, Mark, Matcher, Position};

/// The events of some streams, at their positions in the history. It is the same history, read in part: a checkpoint of the one
/// holds for the other. How many events the streams have is not known before they are read; how much of the history has been
/// searched for them is.
pub struct SomeStreams {
    history: Arc<dyn Source>,
    which: Which,
    looked_through: Arc<AtomicU64>,
}

/// Which streams of a history.
#[derive(Clone)]
enum Which {
    /// The one of this name.
    Called(String),
    /// Those whose names contain this text, or are contained in it.
    AkinTo(String),
}

impl Which {
    fn has(&self, stream: &[u8]) -> bool {
        match self {
            Which::Called(name) => stream == name.as_bytes(),
            Which::AkinTo(text) => {
                std::str::from_utf8(stream).is_ok_and(|stream| stream.contains(text.as_str()) || text.contains(stream))
            }
        }
    }
}

impl SomeStreams {
    /// The events of `stream` in `history`.
    pub fn one(history: Arc<dyn Source>, stream: &str) -> SomeStreams {
        SomeStreams { history, which: Which::Called(stream.into()), looked_through: Arc::default() }
    }

    /// The events of those streams in `history` whose names contain `text`, or are contained in it.
    pub fn akin_to(history: Arc<dyn Source>, text: &str) -> SomeStreams {
        SomeStreams { history, which: Which::AkinTo(text.into()), looked_through: Arc::default() }
    }

    /// The history that the streams are some of.
    pub fn history(&self) -> &dyn Source {
        self.history.as_ref()
    }

    /// Matching events of the history that have been looked through for the streams' so far, again where they were read again.
    pub fn looked_through(&self) -> u64 {
        self.looked_through.load(Ordering::Relaxed)
    }
}

impl Source for SomeStreams {
    fn identity(&self) -> &str {
        self.history.identity()
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        self.history.ceiling()
    }

    fn read(&self, matcher: &Matcher, after: Position, through: Position) -> Result<Box<dyn Reader>, SourceError> {
        let reader = self.history.read(matcher, after, through)?;
        let (which, looked_through) = (self.which.clone(), self.looked_through.clone());
        Ok(Box::new(StreamsReader { reader, which, looked_through, block: EventBlock::default() }))
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
struct StreamsReader {
    reader: Box<dyn Reader>,
    which: Which,
    looked_through: Arc<AtomicU64>,
    block: EventBlock,
}

impl Reader for StreamsReader {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        let Some(all) = self.reader.next()? else { return Ok(None) };
        let block = &mut self.block;
        block.clear();
        let mut looked_through = 0;
        for event in all.events() {
            looked_through += 1;
            if unspool_frame::Event::stream_of(event.frame).is_some_and(|stream| self.which.has(stream)) {
                block.push(event.frame, event.position, event.unreadable);
            }
        }
        self.looked_through.fetch_add(looked_through, Ordering::Relaxed);
        (block.through, block.waited) = (all.through, all.waited);
        Ok(Some(block))
    }
}
