//! Dead letters as a source: the events that a generation has set aside, in the order of their history.

use crate::{
    limits,
    source::{Reader, Source, SourceError},
    store::{Generation, ParkedEvent, Store, StoreError},
    vocabulary::{EventBlock, EventFailure, Matcher, Position},
};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens the history that dead letters came from.
pub type Origin = Arc<dyn Fn() -> Result<Arc<dyn Source>, SourceError> + Send + Sync>;

/// The dead letters of a generation. What their history could not read is read there again: it may have been corrected.
#[derive(Clone)]
pub struct DeadLetters {
    store: Store,
    generation: Generation,
    /// In the order of their positions.
    letters: Arc<Vec<(Position, String)>>,
    origin: Origin,
}

impl DeadLetters {
    /// Those of `generation` (of one stream `only`, where that is given), which came from `origin`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(
        store: &Store,
        generation: &Generation,
        only: Option<&str>,
        origin: Origin,
    ) -> Result<DeadLetters, StoreError> {
        let mut letters = store.parked_keys(generation)?;
        letters.retain(|(_, stream)| only.is_none_or(|only| only == stream));
        letters.sort_unstable();
        Ok(DeadLetters { store: store.clone(), generation: generation.clone(), letters: Arc::new(letters), origin })
    }
}

impl Source for DeadLetters {
    fn identity(&self) -> &str {
        "dead letters"
    }

    fn ceiling(&self) -> Result<Position, SourceError> {
        Ok(self.letters.last().map_or(Position::START, |(position, _)| *position))
    }

    /// All of them, whatever their types and the range: they were handled by a plugin that took them.
    fn read(&self, _matcher: &Matcher, _after: Position, _through: Position) -> Result<Box<dyn Reader>, SourceError> {
        Ok(Box::new(Letters { of: self.clone(), next: 0, origin: None, block: EventBlock::default() }))
    }
}

struct Letters {
    of: DeadLetters,
    next: usize,
    /// Their history, once one of them has to be read there again.
    origin: Option<Arc<dyn Source>>,
    block: EventBlock,
}

impl Reader for Letters {
    fn next(&mut self) -> Result<Option<&EventBlock>, SourceError> {
        let page: Vec<_> = self.of.letters.iter().skip(self.next).take(limits::RETRY_EVENTS).collect();
        if page.is_empty() {
            return Ok(None);
        }
        let letters = self.of.store.parked_at(&self.of.generation, &page, limits::CHUNK_BYTES);
        let (letters, taken) = letters.map_err(|e| SourceError::permanent(e.to_string()))?;
        self.block.clear();
        self.next += taken;
        for letter in letters {
            let (event, why) = match letter.unreadable {
                true => self.read_again(&letter)?,
                false => (letter.event, None),
            };
            self.block.push(&event, letter.position, why.as_deref());
        }
        Ok(Some(&self.block))
    }
}

impl Letters {
    /// What its history has for an event that it could not read, and why it still cannot.
    fn read_again(&mut self, letter: &ParkedEvent) -> Result<(Bytes, Option<String>), SourceError> {
        let source = match &self.origin {
            Some(source) => source.clone(),
            None => self.origin.insert((self.of.origin)()?).clone(),
        };
        let id = unspool_frame::Event::decode(&mut &letter.event[..]).map(|event| event.id.to_owned());
        let mut reader = source.read(&Matcher::All, letter.position.before(), letter.position)?;
        let mut found = None;
        while let Some(block) = reader.next()? {
            for event in block.events().filter(|event| event.position == letter.position) {
                let read = unspool_frame::Event::decode(&mut &event.frame[..]).ok();
                let same = read.is_some_and(|read| Ok(read.id) == id.as_deref() && read.stream == letter.stream);
                found = Some((same, Bytes::copy_from_slice(event.frame), event.unreadable.map(str::to_owned)));
            }
        }
        let forget = || {
            let name = &self.of.generation.projection;
            format!(
                "`unspool dead-letters discard {name} --stream '{}'` discards the dead letters of its stream",
                letter.stream
            )
        };
        Ok(match found {
            Some((true, event, why)) => (event, why),
            Some((false, ..)) => {
                (letter.event.clone(), Some(format!("another event has its position now; {}", forget())))
            }
            None => (letter.event.clone(), Some(format!("its source does not have it any more; {}", forget()))),
        })
    }
}

/// Makes an attempt one that handles dead letters: it removes those that are handled, and leaves those that fail again where
/// they are, and the checkpoint, too.
#[derive(Clone, Default)]
pub struct Retry {
    failures: Arc<Mutex<Vec<EventFailure>>>,
}

/// Failures that are kept.
const SHOWN: usize = 10;

impl Retry {
    /// Why the first streams stopped again.
    pub fn failures(&self) -> Vec<EventFailure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn failed(&self, failure: &EventFailure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < SHOWN {
            failures.push(failure.clone());
        }
    }
}

#[cfg(test)]
mod tests;
