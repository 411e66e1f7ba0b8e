//! The data plane: source to reader to handlers to committer. Here, and only here, a source, a plugin and a store meet.
//!
//! An event goes through these files, from the top down; each names only files that do not name it:
//!
//! | file | what it does |
//! |---|---|
//! | `run.rs` | an attempt from its beginning to its end, on two threads; `attempt.rs` is what it works with, `stop.rs` ends it from outside |
//! | `reader.rs` | reads ahead, filtered by event type, and cuts chunks (`chunk.rs`); `call_size.rs` decides how large |
//! | `queue.rs` | holds chunks ready, bounded in bytes |
//! | `handlers.rs` | takes chunks in order: tries again, sets aside (`parking.rs`), or stops; `culprit.rs` finds the event behind a trap |
//! | `calls.rs` | calls, and puts what was handled into the overlay |
//! | `sharing.rs` | handles the streams of one chunk separately, where the projection allows it; `owners.rs` finds rows that two of them touch |
//! | `instance.rs` | one call of a plugin (`projection.rs`) with a permit of the pool (`pool.rs`) |
//! | `overlay.rs` | rows handled and not committed yet; later chunks read through it |
//! | `recent.rs` | rows that a follower has committed lately |
//! | `committer.rs` | makes the work of all rebuilds durable; `commit_queue.rs` is what one of them has for it |
//! | `ending.rs` | commits the last of it with the status that follows from `halt.rs`; `adding_up.rs` checks whether what was counted is what was handled |
//!
//! Beside them: `dead_letters.rs`, events that were set aside, as a source; `touched.rs`, which rows an attempt has touched;
//! `observed.rs`, which events changed one row; `amend.rs`, which changes a generation that has been built without an event; `published.rs` and `stages.rs`, what operators
//! see; `priority.rs` and `panics.rs`, of threads.
//!
//! Handling of a chunk starts as soon as the writes of the one before are in the overlay; it never waits for the disk,
//! unless the overlay is full. Nothing counts as processed before its commit.

mod adding_up;
pub mod amend;
mod attempt;
mod call_size;
mod calls;
mod chunk;
mod commit_queue;
mod committer;
mod culprit;
mod dead_letters;
mod ending;
mod halt;
mod handlers;
mod instance;
mod observed;
#[doc(hidden)]
pub mod overlay;
mod owners;
mod panics;
mod parking;
mod pool;
mod priority;
mod projection;
mod published;
mod queue;
mod reader;
mod recent;
mod run;
mod sharing;
mod stages;
mod stop;
mod tally;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod touched;

pub use adding_up::refuse_empty;
pub use attempt::{Attempt, Ended};
pub use committer::Committer;
pub use dead_letters::{DeadLetters, Origin, Retry};
pub use observed::{Observed, RowEvent};
pub use pool::InstancePool;
pub use projection::Projection;
pub use published::Published;
pub use recent::Recent;
pub use run::run;
pub use stages::Stages;
pub use stop::Stop;
pub use tally::{Part, Tally};
pub use touched::{Row, Touched, TouchedRows};
