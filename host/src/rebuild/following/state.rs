//! Keeping the live generation up to date, as one pure function: no clock, no I/O, no threads. It runs beside the rebuild of a
//! candidate (see `rebuild/state.rs`), and neither knows of the other.

use crate::vocabulary::FollowState;

/// What happens to a generation that is complete. Its state is `None` while it is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowInput {
    /// An operator wants it to be kept up to date.
    Follow,
    /// An operator wants it to stay as it is.
    Unfollow,
    /// An operator wants it to be brought to the present end of its history, once.
    CatchUp,
    /// An operator installs another plugin of the same shape.
    Swap,
    /// An event could not be handled.
    EventFailed,
    /// The host that followed it is gone, and another one serves.
    HostLost,
    /// Another generation is live from now on.
    Superseded,
}

/// What the supervisor does about it, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowEffect {
    /// End the follower; what it has handled becomes durable.
    Stop,
    /// Record this state; no follower is running.
    Record(Option<FollowState>),
    /// Start a follower from the checkpoint.
    Begin,
    /// Bring it forward to the present end, and no further.
    BeginOnce,
    /// Wait until the follower that runs is at the present end.
    Wait,
    /// Tell the operator.
    Alert,
}

/// What the operator is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowAnswer {
    /// It is followed from now on.
    Following,
    /// It has been followed before.
    AlreadyFollowing,
    /// It is not followed any more.
    Stopped,
    /// It has not been followed.
    NotFollowing,
    /// It is at the end that its history had.
    CaughtUp,
    /// Nothing was asked.
    Noted,
}

/// What follows from `input` in `state`: the next state, the answer, and the effects.
pub fn follow_step(
    state: Option<FollowState>,
    input: FollowInput,
) -> (Option<FollowState>, FollowAnswer, &'static [FollowEffect]) {
    use FollowAnswer as A;
    use FollowEffect::{Alert, Begin, BeginOnce, Record, Stop, Wait};
    use FollowState::{Failed, Following};

    match (state, input) {
        (None, FollowInput::Follow) => (Some(Following), A::Following, &[Record(Some(Following)), Begin]),
        // The thread of one that has failed may still be ending.
        (Some(Failed), FollowInput::Follow) => (Some(Following), A::Following, &[Stop, Record(Some(Following)), Begin]),
        (Some(Following), FollowInput::Follow) => (state, A::AlreadyFollowing, &[]),
        (None, FollowInput::Unfollow) => (None, A::NotFollowing, &[]),
        (Some(Following), FollowInput::Unfollow) => (None, A::Stopped, &[Stop, Record(None)]),
        (Some(Failed), FollowInput::Unfollow) => (None, A::Stopped, &[Record(None)]),
        (None | Some(Failed), FollowInput::CatchUp) => (None, A::CaughtUp, &[BeginOnce]),
        (Some(Following), FollowInput::CatchUp) => (state, A::CaughtUp, &[Wait]),
        (Some(Following), FollowInput::Swap) => (state, A::Noted, &[Stop, Record(Some(Following)), Begin]),
        // What it failed of, the other plugin may handle.
        (Some(Failed), FollowInput::Swap) => (Some(Following), A::Noted, &[Stop, Record(Some(Following)), Begin]),
        (None, FollowInput::Swap) => (None, A::Noted, &[]),
        (Some(Following), FollowInput::EventFailed) => (Some(Failed), A::Noted, &[Alert]),
        (Some(Following), FollowInput::HostLost) => (state, A::Noted, &[Begin]),
        (Some(Following), FollowInput::Superseded) => (None, A::Noted, &[Stop]),
        (None | Some(Failed), FollowInput::EventFailed | FollowInput::HostLost | FollowInput::Superseded) => {
            (state, A::Noted, &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FollowEffect::*;
    use FollowState::{Failed as X, Following as F};

    /// One row for each input, one column for each state: idle, following, failed.
    #[test]
    fn every_state_meets_every_input() {
        use FollowAnswer as A;
        type Step = (Option<FollowState>, FollowAnswer, &'static [FollowEffect]);
        let table: [(FollowInput, [Step; 3]); 7] = [
            (
                FollowInput::Follow,
                [
                    (Some(F), A::Following, &[Record(Some(F)), Begin]),
                    (Some(F), A::AlreadyFollowing, &[]),
                    (Some(F), A::Following, &[Stop, Record(Some(F)), Begin]),
                ],
            ),
            (
                FollowInput::Unfollow,
                [
                    (None, A::NotFollowing, &[]),
                    (None, A::Stopped, &[Stop, Record(None)]),
                    (None, A::Stopped, &[Record(None)]),
                ],
            ),
            (
                FollowInput::CatchUp,
                [(None, A::CaughtUp, &[BeginOnce]), (Some(F), A::CaughtUp, &[Wait]), (None, A::CaughtUp, &[BeginOnce])],
            ),
            (
                FollowInput::Swap,
                [
                    (None, A::Noted, &[]),
                    (Some(F), A::Noted, &[Stop, Record(Some(F)), Begin]),
                    (Some(F), A::Noted, &[Stop, Record(Some(F)), Begin]),
                ],
            ),
            (
                FollowInput::EventFailed,
                [(None, A::Noted, &[]), (Some(X), A::Noted, &[Alert]), (Some(X), A::Noted, &[])],
            ),
            (FollowInput::HostLost, [(None, A::Noted, &[]), (Some(F), A::Noted, &[Begin]), (Some(X), A::Noted, &[])]),
            (FollowInput::Superseded, [(None, A::Noted, &[]), (None, A::Noted, &[Stop]), (Some(X), A::Noted, &[])]),
        ];
        for (input, expected) in table {
            for (state, expected) in [None, Some(F), Some(X)].into_iter().zip(expected) {
                assert_eq!(follow_step(state, input), expected, "{state:?} meets {input:?}");
            }
        }
    }
}
