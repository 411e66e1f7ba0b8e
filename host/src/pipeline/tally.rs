//! What must add up at the target of an attempt.

use crate::vocabulary::{Matcher, Position};

/// What must add up when an attempt reaches its target.
#[derive(Debug, Default)]
pub struct Tally {
    /// What the generation is made of, part by part, to be counted again; nothing where it was counted before, and the attempt
    /// only goes on from there.
    pub parts: Vec<Part>,
    /// As many events may be missing.
    pub accepted: u64,
}

/// A range of a history, and the types that were handled in it.
#[derive(Debug, Clone)]
pub struct Part {
    /// The types.
    pub matcher: Matcher,
    /// It begins after this position.
    pub after: Position,
    /// And ends here.
    pub through: Position,
}

impl Part {
    /// Adds a part after the last one; two of the same types are one.
    pub fn push(parts: &mut Vec<Part>, part: Part) {
        match parts.last_mut() {
            Some(last) if last.matcher == part.matcher && last.through == part.after => last.through = part.through,
            _ => parts.push(part),
        }
    }
}
