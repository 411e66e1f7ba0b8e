//! Rebuilds: the rows are those of a naive fold, from logs and files, once or following, and as others read them.

mod event_files;
mod export;
mod failures;
mod follow;
mod rebuild;
