//! What an operator may see: the statuses that a rebuild may have, and the answers that each may give.

use Status::{Cancelled, Completed, Failed, Paused, Running};
use std::collections::BTreeSet;
use unspool::vocabulary::Status;

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Trigger,
    Restart,
    Resume,
    Pause,
    Cancel,
    /// Another plugin that does the same, or the same one.
    Swap,
    /// Another plugin, and a new generation.
    SwapAnew,
}

/// What it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Started,
    Resumed,
    AlreadyRunning,
    Done,
    NotRunning,
    NotFound,
    Refused,
}

/// A status that may be stored; `None` where there has been no rebuild. Their order means nothing.
type May = Option<Status>;

/// The statuses that a rebuild may have now.
#[derive(Debug, Clone)]
pub struct Model {
    may: Vec<May>,
    /// Whether an event may fail.
    fails: bool,
}

/// What `ask` leads to in `status`.
fn leads_to(status: May, ask: Ask) -> (Heard, May) {
    let stays = |heard| (heard, status);
    match (ask, status) {
        (Ask::Trigger | Ask::Resume, Some(Running)) => stays(Heard::AlreadyRunning),
        (Ask::Restart, Some(Running)) => stays(Heard::Refused),
        (Ask::Trigger | Ask::Resume, Some(Paused | Failed)) => (Heard::Resumed, Some(Running)),
        (Ask::Trigger | Ask::Restart, _) => (Heard::Started, Some(Running)),
        (Ask::Resume, _) => stays(Heard::Refused),
        (Ask::Pause, Some(Running | Paused)) => (Heard::Done, Some(Paused)),
        (Ask::Pause, _) => stays(Heard::Refused),
        (Ask::Cancel, None) => stays(Heard::NotFound),
        (Ask::Cancel, Some(Running | Paused | Failed)) => (Heard::Done, Some(Cancelled)),
        (Ask::Cancel, _) => stays(Heard::NotRunning),
        (Ask::Swap, _) => stays(Heard::Done),
        (Ask::SwapAnew, _) => (Heard::Done, Some(Running)),
    }
}

impl Model {
    /// Nothing has been rebuilt yet.
    pub fn new(fails: bool) -> Model {
        Model { may: vec![None], fails }
    }

    /// What runs may reach its end at any time.
    fn as_time_goes(&self, may: &[May]) -> Vec<May> {
        let mut closed = may.to_vec();
        if may.contains(&Some(Running)) {
            closed.push(Some(Completed));
            if self.fails {
                closed.push(Some(Failed));
            }
        }
        distinct(closed)
    }

    /// `heard` is the answer to `ask`.
    #[track_caller]
    pub fn heard(&mut self, ask: Ask, heard: Heard) {
        let before = self.as_time_goes(&self.may);
        let after: Vec<May> = before
            .iter()
            .map(|status| leads_to(*status, ask))
            .filter(|(answer, _)| *answer == heard)
            .map(|(_, status)| status)
            .collect();
        assert!(!after.is_empty(), "{ask:?} was answered {heard:?} where the rebuild may be {before:?}");
        self.may = distinct(after);
    }

    /// `status` is what is stored.
    #[track_caller]
    pub fn seen(&mut self, status: May) {
        let may = self.as_time_goes(&self.may);
        assert!(may.contains(&status), "the rebuild is {status:?}; it may be {may:?}");
        self.may = vec![status];
    }

    /// The host crashed while `ask`, if anything, had no answer yet.
    pub fn crashed(&mut self, ask: Option<Ask>) {
        let mut may = self.as_time_goes(&self.may);
        if let Some(ask) = ask {
            let after: Vec<May> = may.iter().map(|status| leads_to(*status, ask).1).collect();
            may.extend(self.as_time_goes(&after));
            // Between a new generation, or the stop before a swap, and the attempt that follows.
            if ask != Ask::Pause && ask != Ask::Cancel {
                may.push(Some(Paused));
            }
        }
        if may.contains(&Some(Running)) {
            may.push(Some(Paused));
        }
        may.retain(|status| *status != Some(Running));
        self.may = distinct(may);
    }

    /// It is left failed where hosts have crashed too often.
    pub fn may_have_given_up(&mut self) {
        self.may.push(Some(Failed));
    }
}

fn distinct(may: Vec<May>) -> Vec<May> {
    let mut known = BTreeSet::new();
    may.into_iter().filter(|status| known.insert(format!("{status:?}"))).collect()
}
