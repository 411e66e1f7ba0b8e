//! The states of a rebuild, as one pure function: no clock, no I/O, no threads.

use crate::vocabulary::Status;

/// Where the latest rebuild of a projection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There has been none.
    Absent,
    /// There is one, in this status.
    Present(Status),
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// An operator wants a read model: an unfinished rebuild goes on, otherwise a new one starts.
    Trigger {
        /// Start over, giving up what an unfinished rebuild has done.
        restart: bool,
        /// The installed plugin has the state version and the tables that the rebuild began with.
        same_shape: bool,
    },
    /// An operator wants an unfinished rebuild to go on.
    Resume {
        /// The installed plugin has the state version and the tables that the rebuild began with.
        same_shape: bool,
    },
    /// An operator wants it to stop for now.
    Pause,
    /// An operator gives it up.
    Cancel,
    /// An operator installs another plugin. `same_shape`: it has the state version and the tables of this rebuild.
    Swap {
        /// See above.
        same_shape: bool,
    },
    /// An operator installs another plugin, and wants a new generation with it.
    SwapAnew,
    /// The target was reached, durably.
    TargetReached,
    /// An event could not be handled.
    EventFailed,
    /// The host that ran it is gone.
    HostLost,
}

/// What the supervisor does about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// End the attempt; what it has handled becomes durable together with this status.
    Stop(Status),
    /// Set this status; no attempt is running.
    SetStatus(Status),
    /// Install the other plugin.
    Install,
    /// Create an empty generation.
    CreateGeneration,
    /// Start an attempt from the checkpoint.
    Begin,
    /// Alert the operator.
    Alert,
}

/// The answer to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A new rebuild.
    Started,
    /// It is running anyway.
    AlreadyRunning,
    /// It goes on from its checkpoint.
    Resumed,
    /// It stops.
    Paused,
    /// It is given up.
    Cancelled,
    /// There is nothing to cancel.
    NotRunning,
    /// There has been no rebuild.
    NotFound,
    /// The other plugin is installed.
    Swapped,
    /// Noted.
    Noted,
}

/// Why it cannot be done now; the message says what can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Starting over while an attempt runs.
    #[error("a rebuild is running; cancel it before starting anew")]
    RunningRestart,
    /// Resuming what is over.
    #[error("the latest rebuild is {0}; there is nothing to resume: rebuild starts a new one")]
    NothingToResume(Status),
    /// Pausing what does not run.
    #[error("the latest rebuild is {0}; only a running one can be paused")]
    NothingToPause(Status),
    /// Nothing has ever been rebuilt.
    #[error("there has been no rebuild")]
    NoRebuild,
    /// Going on with a plugin of another shape.
    #[error(
        "the installed plugin has another state version or other tables than this rebuild began with; \
         rebuild --restart builds a new generation with it"
    )]
    OtherShape,
    /// Swapping the shape under a running rebuild.
    #[error(
        "the rebuild is running and this plugin has another state version or other tables; \
         cancel the rebuild, swap, and rebuild into a new generation"
    )]
    RunningOtherShape,
    /// News of an attempt that is not running.
    #[error("no attempt is running")]
    NotRunning,
}

type Step = Result<(State, Answer, &'static [Effect]), Refusal>;

/// What follows from `input` in `state`: the next state, the answer, and the effects.
///
/// # Errors
/// A [`Refusal`] leaves everything as it is.
pub fn step(state: State, input: Input) -> Step {
    use State::{Absent, Present};
    use Status::{Cancelled, Completed, Failed, Paused, Running};

    const START: &[Effect] = &[Effect::CreateGeneration, Effect::Begin];
    let to = |status, answer, effects: &'static [Effect]| -> Step { Ok((Present(status), answer, effects)) };
    let stay = |answer| -> Step { Ok((state, answer, &[])) };

    match (state, input) {
        (Present(Running), Input::Trigger { restart: true, .. }) => Err(Refusal::RunningRestart),
        (Present(Running), Input::Trigger { .. } | Input::Resume { .. }) => stay(Answer::AlreadyRunning),
        (
            Present(Paused | Failed),
            Input::Trigger { restart: false, same_shape: true } | Input::Resume { same_shape: true },
        ) => to(Running, Answer::Resumed, &[Effect::Begin]),
        (
            Present(Paused | Failed),
            Input::Trigger { restart: false, same_shape: false } | Input::Resume { same_shape: false },
        ) => Err(Refusal::OtherShape),
        (_, Input::Trigger { .. }) => to(Running, Answer::Started, START),

        (Present(status), Input::Resume { .. }) => Err(Refusal::NothingToResume(status)),
        (Absent, Input::Resume { .. } | Input::Pause) => Err(Refusal::NoRebuild),

        (Present(Running), Input::Pause) => to(Paused, Answer::Paused, &[Effect::Stop(Paused)]),
        (Present(Paused), Input::Pause) => stay(Answer::Paused),
        (Present(status), Input::Pause) => Err(Refusal::NothingToPause(status)),

        (Absent, Input::Cancel) => stay(Answer::NotFound),
        (Present(Running), Input::Cancel) => to(Cancelled, Answer::Cancelled, &[Effect::Stop(Cancelled)]),
        (Present(Paused | Failed), Input::Cancel) => to(Cancelled, Answer::Cancelled, &[Effect::SetStatus(Cancelled)]),
        (Present(Completed | Cancelled), Input::Cancel) => stay(Answer::NotRunning),

        (Present(Running), Input::Swap { same_shape: false }) => Err(Refusal::RunningOtherShape),
        (Present(Running), Input::Swap { same_shape: true }) => {
            to(Running, Answer::Swapped, &[Effect::Stop(Paused), Effect::Install, Effect::Begin])
        }
        (Present(Running), Input::SwapAnew) => to(
            Running,
            Answer::Swapped,
            &[Effect::Stop(Paused), Effect::Install, Effect::CreateGeneration, Effect::Begin],
        ),
        (_, Input::SwapAnew) => {
            to(Running, Answer::Swapped, &[Effect::Install, Effect::CreateGeneration, Effect::Begin])
        }
        (_, Input::Swap { .. }) => Ok((state, Answer::Swapped, &[Effect::Install])),

        (Present(Running), Input::TargetReached) => to(Completed, Answer::Noted, &[]),
        (Present(Running), Input::EventFailed) => to(Failed, Answer::Noted, &[Effect::Alert]),
        (Present(Running), Input::HostLost) => to(Paused, Answer::Noted, &[Effect::SetStatus(Paused)]),
        (_, Input::TargetReached | Input::EventFailed | Input::HostLost) => Err(Refusal::NotRunning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::*;
    use Effect::{Alert, Begin, CreateGeneration, Install, SetStatus, Stop};
    use Status::{Cancelled as C, Completed as D, Failed as F, Paused as P, Running as R};

    const STATES: [State; 6] =
        [State::Absent, State::Present(R), State::Present(P), State::Present(D), State::Present(F), State::Present(C)];

    fn ok(status: Status, answer: Answer, effects: &'static [Effect]) -> Step {
        Ok((State::Present(status), answer, effects))
    }

    /// One row for each input, one column for each state, in the order of `STATES`.
    #[test]
    fn every_state_meets_every_input() {
        let started = || ok(R, Started, &[CreateGeneration, Begin]);
        let swapped = |state| Ok((state, Swapped, [Install].as_slice()));
        let not_running = || Err(Refusal::NotRunning);
        let anew = || [started(), Err(Refusal::RunningRestart), started(), started(), started(), started()];
        let unfinished =
            |answer: fn() -> Step| [started(), ok(R, AlreadyRunning, &[]), answer(), started(), answer(), started()];
        let table: [(Input, [Step; 6]); 14] = [
            (Input::Trigger { restart: false, same_shape: true }, unfinished(|| ok(R, Resumed, &[Begin]))),
            (Input::Trigger { restart: false, same_shape: false }, unfinished(|| Err(Refusal::OtherShape))),
            (Input::Trigger { restart: true, same_shape: true }, anew()),
            (Input::Trigger { restart: true, same_shape: false }, anew()),
            (
                Input::Resume { same_shape: true },
                [
                    Err(Refusal::NoRebuild),
                    ok(R, AlreadyRunning, &[]),
                    ok(R, Resumed, &[Begin]),
                    Err(Refusal::NothingToResume(D)),
                    ok(R, Resumed, &[Begin]),
                    Err(Refusal::NothingToResume(C)),
                ],
            ),
            (
                Input::Resume { same_shape: false },
                [
                    Err(Refusal::NoRebuild),
                    ok(R, AlreadyRunning, &[]),
                    Err(Refusal::OtherShape),
                    Err(Refusal::NothingToResume(D)),
                    Err(Refusal::OtherShape),
                    Err(Refusal::NothingToResume(C)),
                ],
            ),
            (
                Input::Pause,
                [
                    Err(Refusal::NoRebuild),
                    ok(P, Paused, &[Stop(P)]),
                    ok(P, Paused, &[]),
                    Err(Refusal::NothingToPause(D)),
                    Err(Refusal::NothingToPause(F)),
                    Err(Refusal::NothingToPause(C)),
                ],
            ),
            (
                Input::Cancel,
                [
                    Ok((State::Absent, NotFound, &[])),
                    ok(C, Cancelled, &[Stop(C)]),
                    ok(C, Cancelled, &[SetStatus(C)]),
                    ok(D, NotRunning, &[]),
                    ok(C, Cancelled, &[SetStatus(C)]),
                    ok(C, NotRunning, &[]),
                ],
            ),
            (Input::Swap { same_shape: true }, {
                let mut row = STATES.map(swapped);
                row[1] = ok(R, Swapped, &[Stop(P), Install, Begin]);
                row
            }),
            (Input::Swap { same_shape: false }, {
                let mut row = STATES.map(swapped);
                row[1] = Err(Refusal::RunningOtherShape);
                row
            }),
            (Input::SwapAnew, {
                let mut row = STATES.map(|_| ok(R, Swapped, &[Install, CreateGeneration, Begin]));
                row[1] = ok(R, Swapped, &[Stop(P), Install, CreateGeneration, Begin]);
                row
            }),
            (Input::TargetReached, {
                let mut row = STATES.map(|_| not_running());
                row[1] = ok(D, Noted, &[]);
                row
            }),
            (Input::EventFailed, {
                let mut row = STATES.map(|_| not_running());
                row[1] = ok(F, Noted, &[Alert]);
                row
            }),
            (Input::HostLost, {
                let mut row = STATES.map(|_| not_running());
                row[1] = ok(P, Noted, &[SetStatus(P)]);
                row
            }),
        ];
        for (input, expected) in table {
            for (state, expected) in STATES.into_iter().zip(expected) {
                assert_eq!(step(state, input), expected, "{state:?} meets {input:?}");
            }
        }
    }
}
