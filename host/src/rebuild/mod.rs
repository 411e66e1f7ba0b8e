//! The life of rebuilds: a pure state machine, the attempts it asks for, and the commands that operators give.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | the states of a rebuild as one pure function |
//! | `supervisor` | pause, resume, cancel; what happens when a host starts and ends |
//! | `trigger` | starting and resuming; `prepared` looks up what that needs, `locate` what operators name in a history |
//! | `same_history` | whether a source is still the history that a generation was built from |
//! | `swap` | installing other plugins, and what follows for an unfinished rebuild |
//! | `shadow` | shadow builds: generations that are built to be compared or inspected; `compare` compares them row by row |
//! | `determinism` | whether a plugin's rows depend on its events alone; `bench` is the store in which that is tried |
//! | `dead_letters` | retrying and discarding dead letters |
//! | `perform` | the effects of what the state machine decides |
//! | `promote` | switching readers to another generation |
//! | `stream` | rebuilding one stream |
//! | `progress` | what operators see; `orphaned`: the same of what a crashed host has left |
//! | `host` | what rebuilds share, and their threads; `attempts` is what such a thread does |
//! | `following` | keeping the live generation up to date, beside whatever is rebuilt |
//! | `wanted` | resumes what the last host was ended in the middle of |
//! | `watchdog`, `alert` | noticing a rebuild that stands still; alerting the operator to one that failed or waits |

mod alert;
mod attempts;
mod bench;
mod compare;
mod dead_letters;
mod determinism;
mod error;
mod following;
mod host;
mod locate;
mod orphaned;
mod perform;
mod prepared;
mod progress;
mod promote;
mod same_history;
mod shadow;
mod state;
mod stream;
mod supervisor;
mod swap;
mod trigger;
mod wanted;
mod watchdog;

pub use alert::FAILURES;
pub use compare::{Comparison, FieldDifference, RowDifference};
pub use dead_letters::RetryReport;
pub use determinism::{DeterminismReport, Divergence, Run};
pub use error::RebuildError;
pub use following::{FollowAnswer, FollowEffect, FollowInput, FollowReport, FollowStatus, follow_step};
pub use progress::Overview;
pub use promote::Switch;
pub use same_history::Accept;
pub(crate) use same_history::departure;
pub use shadow::{TrialReport, VerifyReport};
pub use state::{Answer, Effect, Input, Refusal, State, step};
pub use stream::StreamReport;
pub use supervisor::{CancelAnswer, Options, Supervisor};
pub use swap::{SwapReport, UnfinishedRebuild};
pub use trigger::{Plan, Trigger, TriggerAnswer};
