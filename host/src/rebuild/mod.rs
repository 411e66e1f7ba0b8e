//! The life of rebuilds: a pure state machine, the attempts it asks for, and the supervisor of them all.

mod alert;
mod attempts;
mod error;
mod state;
mod supervisor;

pub use error::RebuildError;
pub use state::{Answer, Effect, Input, Refusal, State, step};
pub use supervisor::{CancelAnswer, Options, Plan, Supervisor, SwapReport, Trigger, TriggerAnswer};
