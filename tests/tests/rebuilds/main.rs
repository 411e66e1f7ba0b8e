//! Rebuilds: the rows are those of a naive fold, from logs, files and histories that can do little, once or following, and as
//! others read them.

mod alerts;
mod changes;
mod event_files;
mod export;
mod failures;
mod follow;
mod history;
mod rebuild;
mod scripts;
mod sources;
