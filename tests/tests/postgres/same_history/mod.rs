//! A checkpoint belongs to one event of one history, a read model to one source, and rows to one store: whatever was put back,
//! replaced, emptied or taken for another is said, and nothing is applied.

mod counts;
mod databases;
mod files;
mod shop;
mod sources;
mod targets;
