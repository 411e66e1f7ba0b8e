//! What becomes of the events of a round.

use ahash::AHashMap;

/// What the order of the index says about one event of a round.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Duplicate,
    SetAside,
}

/// What becomes of the events of a round.
pub(super) struct Judged {
    pub(super) verdicts: Vec<Verdict>,
    /// Those that are known under another id from now on, by their index in the round.
    pub(super) renamed: AHashMap<u32, Renamed>,
}

/// An event under another id than its own.
pub(super) struct Renamed {
    pub(super) id: u128,
    pub(super) hash: u128,
    pub(super) content: Vec<u8>,
}
