//! What an operator does about a failure: one answer for each kind, wherever a failure is shown.

use super::{EventFailure, FailureKind};

impl EventFailure {
    /// What to do so that the rebuild of `projection` goes on; `in_database`: its rows live in one, not in the store.
    pub fn advice(&self, projection: &str, in_database: bool) -> String {
        self.advice_before("resume", projection, in_database)
    }

    /// What to do so that the live generation of `projection` is kept up to date again; `in_database` as for [`EventFailure::advice`].
    pub fn advice_to_follow(&self, projection: &str, in_database: bool) -> String {
        self.advice_before("follow", projection, in_database)
    }

    /// What to do, and then the command with which it goes on.
    fn advice_before(&self, command: &str, projection: &str, in_database: bool) -> String {
        if let Some(remedy) = &self.remedy {
            return remedy.clone();
        }
        let resume = format!("`unspool {command} {projection}`");
        let swap = format!("`unspool plugin swap {projection} FILE`");
        let park = format!("`unspool rebuild {projection} --on-error park` sets such events aside and goes on");
        let given_up = self.tries.is_some();
        match self.kind {
            FailureKind::Handler | FailureKind::Trap | FailureKind::BadOutput | FailureKind::Stack
                if self.event_id.is_some() =>
            {
                format!("fix the handler and {swap}, then {resume}; or {park}")
            }
            FailureKind::Handler | FailureKind::Trap | FailureKind::BadOutput | FailureKind::Stack => {
                format!("fix the handler and {swap}, then {resume}")
            }
            FailureKind::Deadline if self.event_id.is_some() => format!(
                "this event alone takes more processor time than a call may have: see whether the handler loops, fix it and \
                 {swap}, then {resume}; or {park}"
            ),
            FailureKind::Deadline => format!(
                "a call takes more processor time than it may have: `unspool rebuild {projection} --chunk-size N` goes on with \
                 smaller chunks; where the handler loops, fix it and {swap}, then {resume}"
            ),
            FailureKind::Memory => format!(
                "`unspool --memory MIB {command} {projection}` gives an instance more memory (a host that runs is ended and \
                 started with --memory); where the handler wastes it, fix it and {swap}, then {resume}"
            ),
            FailureKind::Source if given_up => {
                format!("see that the source can be reached and answers, then {resume}")
            }
            FailureKind::Source if self.event_id.is_some() => {
                format!(
                    "correct this event in its source, or leave it out by a query of your own, then {resume}; or {park}"
                )
            }
            FailureKind::Source => format!("see to the source, as it says, then {resume}"),
            FailureKind::Store if in_database && given_up => {
                format!("see that the database that has the rows can be reached and answers, then {resume}")
            }
            FailureKind::Store if in_database => {
                format!("see to the database that has the rows, or to the disk of the store, as it says, then {resume}")
            }
            FailureKind::Store => format!(
                "see to the disk (free space on it, where it is full), end the host and start it again: after such an error \
                 it writes no more; then {resume}"
            ),
            FailureKind::Plugin => format!("{swap} installs a plugin that loads, then {resume}"),
            FailureKind::Other => format!("see to what it says, then {resume}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(kind: FailureKind, change: impl FnOnce(&mut EventFailure), in_database: bool) -> String {
        let mut failure = EventFailure::permanent(kind, "so");
        change(&mut failure);
        failure.advice("orders", in_database)
    }

    /// Only a handler that is at fault is to be fixed, and what follows is always how the rebuild goes on.
    #[test]
    fn each_kind_has_its_own_remedy() {
        let nothing = |_: &mut EventFailure| ();
        let event = |failure: &mut EventFailure| failure.event_id = Some("e1".to_owned());
        let tried = |failure: &mut EventFailure| failure.tries = std::num::NonZeroU32::new(12);
        for kind in [FailureKind::Handler, FailureKind::Trap, FailureKind::BadOutput, FailureKind::Stack] {
            assert!(advice(kind, event, false).starts_with("fix the handler and"), "{kind:?}");
            assert!(advice(kind, event, false).contains("--on-error park"), "{kind:?}");
            assert!(!advice(kind, nothing, false).contains("--on-error park"), "{kind:?} blames no event");
        }
        for (shown, word) in [
            (advice(FailureKind::Source, event, false), "correct this event"),
            (advice(FailureKind::Source, nothing, false), "see to the source"),
            (advice(FailureKind::Source, tried, false), "can be reached"),
            (advice(FailureKind::Store, nothing, false), "start it again"),
            (advice(FailureKind::Store, nothing, true), "the database that has the rows"),
            (advice(FailureKind::Store, tried, true), "can be reached"),
            (advice(FailureKind::Memory, event, false), "--memory MIB"),
            (advice(FailureKind::Deadline, nothing, false), "--chunk-size N"),
            (advice(FailureKind::Deadline, event, false), "this event alone"),
            (advice(FailureKind::Plugin, nothing, false), "that loads"),
            (advice(FailureKind::Other, nothing, false), "what it says"),
        ] {
            assert!(shown.contains(word) && shown.contains("resume orders`"), "no {word:?} in {shown}");
            assert!(!shown.starts_with("fix the handler"), "{shown}");
        }
        let restart = |failure: &mut EventFailure| failure.remedy = Some("build anew".to_owned());
        assert_eq!(advice(FailureKind::Source, restart, false), "build anew");
    }
}
