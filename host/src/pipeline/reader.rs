//! Reads ahead, filtered by event type, and cuts chunks.

use super::{attempt::Attempt, call_size::CallSize, chunk::Chunk, panics, priority::yield_if_low, queue::ChunkQueue};
use crate::{
    limits,
    source::{Reader, SourceError},
    vocabulary::BlockEvent,
};
use std::time::Instant;

/// Reads from the checkpoint to the target. Ends early when the queue is closed. Nobody waits for a reader that is gone, nor
/// takes its end for that of the range.
pub(super) fn run(attempt: &Attempt, queue: &ChunkQueue, size: &CallSize) {
    yield_if_low(attempt.record.spec.options.priority());
    let read = panics::caught(|| read(attempt, queue, size));
    let read = read.unwrap_or_else(|panic| Err(SourceError::permanent(panics::told("reads the source", &panic))));
    if let Err(e) = read {
        queue.push(Err(e));
    }
    queue.end();
}

fn read(attempt: &Attempt, queue: &ChunkQueue, size: &CallSize) -> Result<(), SourceError> {
    let record = &attempt.record;
    let reader = attempt.source.read(&attempt.matcher, record.checkpoint.position, record.target)?;
    cut(reader, attempt, queue, size)
}

fn cut(mut reader: Box<dyn Reader>, attempt: &Attempt, queue: &ChunkQueue, size: &CallSize) -> Result<(), SourceError> {
    let mut chunk = Chunk::new(attempt.record.checkpoint.position);
    let stages = attempt.published.stages();
    loop {
        let started = Instant::now();
        let block = match reader.next() {
            Ok(Some(block)) => block,
            Ok(None) => break,
            Err(e) => {
                // What was read before it counts.
                chunk.is_read();
                queue.push(Ok(chunk));
                return Err(e);
            }
        };
        stages.read().add(started.elapsed().saturating_sub(block.waited));
        stages.read_waited().add(block.waited);
        for BlockEvent { frame, position, unreadable } in block.events() {
            let full = chunk.len() >= size.events() || chunk.bytes() + frame.len() > limits::CHUNK_BYTES;
            // One that the source cannot read is a chunk of its own.
            let cut = full || unreadable.is_some() || chunk.is_unreadable();
            if cut && !chunk.is_empty() {
                let next = queue.chunk_after(&chunk);
                let mut full = std::mem::replace(&mut chunk, next);
                full.is_read();
                if !stages.read_waited().time(|| queue.push(Ok(full))) {
                    return Ok(());
                }
            }
            chunk.push(frame, position);
            chunk.unreadable = unreadable.map(str::to_owned);
        }
        chunk.through = block.through;
        if attempt.stop.is_raised() {
            return Ok(());
        }
    }
    // The last chunk is sent even when it is empty: it carries the checkpoint over what did not match.
    chunk.is_read();
    queue.push(Ok(chunk));
    Ok(())
}
