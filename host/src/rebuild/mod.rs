//! The life of rebuilds: a pure state machine, the attempts it asks for, and the commands that operators give.
//!
//! | file | what it does |
//! |---|---|
//! | `state` | the states of a rebuild as one pure function |
//! | `supervisor`, `options` | the handle to all rebuilds of a host: what happens when it starts, with which options, and when it ends |
//! | `starting`, `stopping` | starting and resuming; pause and cancel |
//! | `trigger` | what a trigger requests, and its answers; `prepared` looks up what that needs, `locate` what operators name in a history, `loss` whether readers would lose rows |
//! | `same_history` | whether a source is still the history that a generation was built from |
//! | `swap` | installing other plugins, and what follows for an unfinished rebuild |
//! | `shadow` | shadow builds: generations that are built to be compared or inspected; `compare` compares them row by row |
//! | `determinism` | whether a plugin's rows depend on its events alone; `bench` is the store in which that is tried |
//! | `dead_letters` | retrying and discarding dead letters |
//! | `perform` | the effects of what the state machine decides |
//! | `promote` | switching readers to another generation |
//! | `stream` | rebuilding one stream |
//! | `history` | which events made a row what it is |
//! | `progress` | what operators see; `orphaned`: the same of what a crashed host has left |
//! | `host` | what rebuilds share, and the list of what runs; `attempts` is what the thread of a rebuild does |
//! | `following` | keeping the live generation up to date, beside whatever is rebuilt, and the threads that do that |
//! | `wanted` | resumes what the last host was ended in the middle of |
//! | `watchdog`, `alerts` | noticing what stands still, or is behind; telling operators of that, and of what the store has entered itself |

mod alerts;
mod attempts;
mod bench;
mod compare;
mod dead_letters;
mod determinism;
mod diff;
mod error;
mod following;
mod history;
mod host;
mod locate;
mod loss;
mod options;
mod orphaned;
mod perform;
mod prepared;
mod progress;
mod promote;
mod same_history;
mod shadow;
mod starting;
mod state;
mod stopping;
mod stream;
mod supervisor;
mod swap;
mod trigger;
mod wanted;
mod watchdog;

pub use alerts::{AlertRoute, FAILURES};
pub use compare::{Comparison, FieldDifference, RowDifference};
pub(crate) use compare::{each_pair, is_same};
pub use dead_letters::RetryReport;
pub use determinism::{DeterminismReport, Divergence, Run};
pub use diff::{DiffCounts, DiffRange, DiffReport, FieldDiff, RowDiff, diff};
pub use error::RebuildError;
pub use following::{FollowAnswer, FollowEffect, FollowInput, FollowReport, FollowStatus, follow_step};
pub use history::{FieldChange, RowChange};
pub use options::Options;
pub use progress::Overview;
pub use promote::Switch;
pub use same_history::Accept;
pub(crate) use same_history::departure;
pub use shadow::{TrialReport, VerifyReport};
pub use state::{Answer, Effect, Input, Refusal, State, step};
pub use stopping::CancelAnswer;
pub use stream::StreamReport;
pub use supervisor::Supervisor;
pub use swap::{SwapReport, UnfinishedRebuild};
pub use trigger::{Plan, Trigger, TriggerAnswer};
