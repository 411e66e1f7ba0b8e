//! Unspool replays an event history through sandboxed projection plugins and rebuilds read models that can be trusted.
//!
//! The modules are in the order of their layers; each names only those below it in this list:
//!
//! | layer | what it is |
//! |---|---|
//! | [`cli`] | the command line: arguments, progress bars, output |
//! | `http` | the same requests over HTTP, and the dashboard |
//! | [`control`] | the closed set of requests, executed here or by the host that owns the data directory |
//! | [`rebuild`] | the state machine of a rebuild, its attempts, the supervisor of them all |
//! | [`pipeline`] | source to reader to handlers to committer: the only layer that knows a source, a plugin and a store |
//! | [`source`], [`plugin`], [`store`] | adapters: histories, WebAssembly, redb; none knows the others |
//! | [`export`] | rows as files for other engines: NDJSON, CSV, Parquet |
//! | [`disk`], `postgres` | how a redb file of ours is opened, and what can be wrong with it; connections to PostgreSQL |
//! | [`settings`] | `unspool.toml` |
//! | [`log`] | the newest lines of the log |
//! | `traces` | spans of commits and failures over OTLP; nothing without the feature `otlp` |
//! | `outbound` | other machines over HTTP |
//! | [`vocabulary`], [`limits`] | the words, and every bound with its reason |
//! | [`private`] | what is its owner's alone: rights of directories, files and sockets |
//! | [`crash`] | points where a test can end the process; nothing without the feature `crash-points` |
//!
//! `host/DESIGN.md` argues the formats, what a crash can leave, and the invariants.

pub mod cli;
pub mod control;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
#[cfg(feature = "http")]
pub mod outbound;
pub mod pipeline;
pub mod rebuild;
mod traces;

pub use unspool_disk as disk;
pub use unspool_export as export;
pub use unspool_plugin as plugin;
#[cfg(feature = "postgres")]
pub use unspool_postgres as postgres;
pub use unspool_source as source;
pub use unspool_store as store;
pub use unspool_vocabulary as vocabulary;
pub use unspool_vocabulary::{crash, limits, private, settings};
